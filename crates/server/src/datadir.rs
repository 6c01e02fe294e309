//! The data directory: who may use it, and the master key beside it.
//!
//! One process at a time changes a data directory: a running server holds `hexline.lock` for its
//! whole life, a command that works without a server holds it for its short work.
//!
//! The master key is a file of mode 0600. It is rotated so that a crash at any moment loses
//! nothing: the new key is on disk as `….next` before the database is sealed with it, and the
//! database says which of the two it is sealed with ([`MasterKeyFile::settle`]).
//!
//! Invariants: no file of ours is ever readable by others, not even for a moment; a key file is
//! replaced only by rename; a key that the database may be sealed with is never removed.

mod master_key;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use master_key::{MasterKeyError, MasterKeyFile};

/// A directory that exists and that others cannot enter.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Held while a process changes a data directory; let go when it is dropped or the process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
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
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open"))?;
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
        Ok(DataLock { _file: file })
    }

    /// Locks the directory as soon as it is free, within `patience`.
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
    let here = Path::new(".");
    File::open(if path.as_os_str().is_empty() {
        here
    } else {
        path
    })?
    .sync_all()
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn a_data_directory_and_its_key_are_made_for_the_owner_alone() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::create(&root.path().join("a/b")).expect("made");
        let mode = |path: &Path| path.metadata().expect("there").mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        let file = MasterKeyFile::at(&dir.path().join("master.key"));
        let key = file.settle(None, &SeededEntropy::new(1)).expect("made");
        assert_eq!(mode(file.path()), 0o600);
        let again = file.settle(None, &SeededEntropy::new(2)).expect("read");
        assert_eq!(key.fingerprint(), again.fingerprint());
        let names = std::fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(names, 1, "no draft is left");
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
}
