//! The data directory: who may use it, and the master key beside it.
//!
//! One process at a time changes a data directory: a running server holds `hexline.lock` for its
//! whole life, a command that works without a server holds it for its short work.
//!
//! The master key is a file of mode 0600. It is rotated so that a crash at any moment loses
//! nothing: the new key is on disk as `….next` before the database is sealed with it, and the
//! database says which of the two it is sealed with ([`KeyTurn::settle`]).
//!
//! Invariants: no file of ours is ever readable by others, not even for a moment; a key file is
//! replaced only by rename; a key that the database may be sealed with is never removed. Whoever
//! only reads changes nothing: to change a key file takes a [`KeyTurn`], and to have one takes a
//! [`DataLock`]. What root makes in the directory of another user belongs to that user.

mod master_key;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hexline_store::Owner;
use rustix::fs::OFlags;

use crate::config::Config;
pub use master_key::{FoundKey, HeldKeyFile, KeyTurn, MasterKeyError, MasterKeyFile};

/// A directory that exists and that others cannot enter.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Held while a process changes a data directory; let go when the last copy is dropped or the
/// process ends.
#[derive(Debug, Clone)]
pub struct DataLock {
    _file: Arc<File>,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// It is not there.
    #[error(
        "there is no data directory {}: start the server or make an app (hexline app create \
         NAME) first, or name another with --data DIR",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// There is no database in it.
    #[error(
        "there is no database in {}: start the server or make an app (hexline app create NAME) \
         first, or name another directory with --data DIR",
        path.display()
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error(
        "the data directory {} is in use by {holder}, which does not answer on its control \
         socket: stop it, or wait until it is done",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who, as far as is known.
        holder: String,
    },
    /// The operating system says no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DataDir {
    /// Takes a directory, making it with mode 0700 if it is not there.
    pub fn create(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        };
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(io)?;
            if let Some(parent) = path.parent() {
                sync_dir(parent).map_err(io)?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Takes a directory that is there.
    pub fn existing(path: &Path) -> Result<Self, DataDirError> {
        if path.is_dir() {
            Ok(Self {
                path: path.to_owned(),
            })
        } else {
            Err(DataDirError::Missing {
                path: path.to_owned(),
            })
        }
    }

    /// Takes a directory in which the records of this configuration are already.
    pub fn with_records(config: &Config) -> Result<Self, DataDirError> {
        let dir = Self::existing(&config.data_dir)?;
        if config.uses_postgres() || config.sqlite_path().exists() {
            Ok(dir)
        } else {
            Err(DataDirError::Empty { path: dir.path })
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the directory, or says who has it.
    pub fn lock(&self) -> Result<DataLock, DataDirError> {
        let path = self.path.join("hexline.lock");
        let io = |action| {
            let path = path.clone();
            move |source| DataDirError::Io {
                action,
                path,
                source,
            }
        };
        let mut file = lock_file(&path).map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path: self.path.clone(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        // Only for the message above; the lock does not depend on it.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io("write"))?;
        for concern in self.concerns() {
            tracing::warn!("{concern}");
        }
        Ok(DataLock {
            _file: Arc::new(file),
        })
    }

    /// Who else could change what is in the directory, in words for people.
    pub fn concerns(&self) -> Vec<String> {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return Vec::new();
        };
        let shown = self.path.display();
        let mut concerns = Vec::new();
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            concerns.push(format!(
                "others can write to the data directory {shown} (mode {mode:04o}), and so replace \
                 database and master key: chmod 700 {shown}"
            ));
        }
        let me = rustix::process::geteuid().as_raw();
        if me != ROOT && metadata.uid() != me {
            concerns.push(format!(
                "the data directory {shown} belongs to user {}, who can replace database and \
                 master key: run this as that user, or give the directory to user {me}",
                metadata.uid()
            ));
        }
        concerns
    }

    /// Locks the directory as soon as it is free, within `patience`.
    #[expect(
        clippy::disallowed_methods,
        reason = "another process is waited for, which goes by the machine's clock"
    )]
    pub async fn lock_within(&self, patience: Duration) -> Result<DataLock, DataDirError> {
        let attempts = patience.as_millis() / LOCK_RETRY.as_millis();
        for _ in 0..attempts {
            match self.lock() {
                Err(DataDirError::InUse { .. }) => tokio::time::sleep(LOCK_RETRY).await,
                decided => return decided,
            }
        }
        self.lock()
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(or_here(path))?.sync_all()
}

/// Opens a file to lock, or makes it for the owner of its directory. Follows no link: whoever can
/// put one there could have another file written to.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            Owner::of(or_here(path.parent().unwrap_or(Path::new(""))))?.give(&file)?;
            return Ok(file);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::Error::other(
            "it is a file under another name as well, expected one of its own: remove it",
        ));
    }
    Ok(file)
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

const LOCK_RETRY: Duration = Duration::from_millis(20);
const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[tokio::test]
    async fn a_data_directory_and_its_key_are_made_for_the_owner_alone() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::create(&root.path().join("a/b")).expect("made");
        let mode = |path: &Path| path.metadata().expect("there").mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(dir.concerns(), [""; 0]);
        let lock = dir.lock().expect("free");
        let file = MasterKeyFile::at(&dir.path().join("master.key")).held(&lock);
        let turn = file.turn().await.expect("free");
        let key = turn.settle(None, &SeededEntropy::new(1)).expect("made");
        assert_eq!(mode(file.path()), 0o600);
        let again = turn.settle(None, &SeededEntropy::new(2)).expect("read");
        assert_eq!(key.fingerprint(), again.fingerprint());
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .expect("listed")
            .map(|entry| entry.expect("listed").file_name())
            .collect();
        names.sort();
        let expected = ["hexline.lock", "master.key", "master.key.lock"];
        assert_eq!(names, expected, "no draft is left");
    }

    #[test]
    fn a_second_process_is_told_who_has_the_directory() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::existing(root.path()).expect("there");
        let held = dir.lock().expect("free");
        let refused = dir.lock().expect_err("held").to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(held);
        dir.lock().expect("free again");
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_made_in_passing() {
        assert!(matches!(
            DataDir::existing(Path::new("/nonexistent/hexline")),
            Err(DataDirError::Missing { .. })
        ));
    }

    // Regression: the process id was written over whatever a link of that name pointed to.
    #[test]
    fn a_lock_that_is_a_link_is_not_written_through() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::existing(root.path()).expect("there");
        let precious = root.path().join("precious");
        std::fs::write(&precious, "text").expect("written");
        let lock = root.path().join("hexline.lock");
        std::os::unix::fs::symlink(&precious, &lock).expect("linked");
        dir.lock().expect_err("a symbolic link");
        std::fs::remove_file(&lock).expect("removed");
        std::fs::hard_link(&precious, &lock).expect("linked");
        dir.lock().expect_err("another name of a file");
        assert_eq!(std::fs::read_to_string(&precious).expect("read"), "text");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_warned_of() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::existing(root.path()).expect("there");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o770);
        std::fs::set_permissions(root.path(), open).expect("changed");
        let concerns = dir.concerns().join(" ");
        assert!(concerns.contains("chmod 700"), "{concerns}");
    }

    // Regression: a first command by root left files that the service could not open.
    #[test]
    fn what_root_makes_in_the_directory_of_a_service_belongs_to_the_service() {
        let root = tempfile::tempdir().expect("a temporary directory");
        if std::os::unix::fs::chown(root.path(), Some(4711), Some(4712)).is_err() {
            return; // Only root can try.
        }
        let dir = DataDir::existing(root.path()).expect("there");
        let _held = dir.lock().expect("free");
        let lock = root.path().join("hexline.lock");
        let metadata = std::fs::metadata(lock).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
    }
}
