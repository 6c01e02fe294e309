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

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hexline_model::{Entropy, Secret};
use hexline_services::keys::{self, Fingerprint, MasterKey};
use zeroize::Zeroizing;

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

/// Where the master key is.
#[derive(Debug, Clone)]
pub struct MasterKeyFile {
    path: PathBuf,
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

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// Others can read the file.
    #[error(
        "the master key {} has mode {mode:04o}, expected 0600: others can read it. If nobody \
         has, run chmod 600 {}; else rotate it as well (hexline master-key rotate)",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: keys::MasterKeyError,
    },
    /// The database is sealed and the key is gone.
    #[error(
        "the database is sealed with a master key, and there is no {}: put the key back, or name \
         its place with HEXLINE_MASTER_KEY_FILE",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file holds another key than the database wants.
    #[error(
        "the master key in {} is not the one that this database is sealed with: put the right one \
         there, or name its place with HEXLINE_MASTER_KEY_FILE",
        path.display()
    )]
    Wrong {
        /// The file.
        path: PathBuf,
    },
    /// A rotation was begun and never finished.
    #[error(
        "an earlier rotation left {}: restart the server (or run any hexline app command without \
         one), which settles it, and rotate again",
        path.display()
    )]
    Unsettled {
        /// The file that was left.
        path: PathBuf,
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

impl MasterKeyFile {
    /// Names the place; reads nothing.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that the database is sealed with.
    ///
    /// `sealed_with` is the fingerprint in the database; `None` if nothing was sealed in it yet,
    /// and then the file is made if it is not there. Finishes or takes back a rotation that a
    /// crash interrupted.
    pub fn settle(
        &self,
        sealed_with: Option<&Fingerprint>,
        entropy: &dyn Entropy,
    ) -> Result<MasterKey, MasterKeyError> {
        let current = read(&self.path)?;
        let Some(sealed_with) = sealed_with else {
            return match current {
                Some(key) => Ok(key),
                None => self.make(entropy),
            };
        };
        let fits = |key: &MasterKey| key.fingerprint() == *sealed_with;
        let next_path = self.next_path();
        let next = read(&next_path)?;
        match (current, next) {
            (Some(key), next) if fits(&key) => {
                if next.is_some() {
                    remove(&next_path)?;
                }
                Ok(key)
            }
            (_, Some(key)) if fits(&key) => {
                self.finish_rotation()?;
                Ok(key)
            }
            (Some(_), _) => Err(MasterKeyError::Wrong {
                path: self.path.clone(),
            }),
            (None, _) => Err(MasterKeyError::Missing {
                path: self.path.clone(),
            }),
        }
    }

    /// Reads the key as it is; `None` if there is no file.
    pub fn read(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        read(&self.path)
    }

    /// Puts the next key on disk, beside the current one.
    pub fn begin_rotation(&self, next: &MasterKey) -> Result<(), MasterKeyError> {
        let path = self.next_path();
        if path.exists() {
            return Err(MasterKeyError::Unsettled { path });
        }
        write_new(&path, &next.to_text())
    }

    /// Puts the next key in the place of the current one. To be called once the database is
    /// sealed with it.
    pub fn finish_rotation(&self) -> Result<(), MasterKeyError> {
        std::fs::rename(self.next_path(), &self.path)
            .and_then(|()| sync_dir(parent(&self.path)))
            .map_err(|source| MasterKeyError::Io {
                action: "replace",
                path: self.path.clone(),
                source,
            })
    }

    fn make(&self, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
        let key = MasterKey::generate(entropy);
        match write_new(&self.path, &key.to_text()) {
            Ok(()) => Ok(key),
            // Another node that shares the file was first.
            Err(error) => read(&self.path)?.ok_or(error),
        }
    }

    fn next_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".next");
        name.into()
    }
}

fn read(path: &Path) -> Result<Option<MasterKey>, MasterKeyError> {
    let io = |source| MasterKeyError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(io)?;
    MasterKey::parse(&text)
        .map(Some)
        .map_err(|source| MasterKeyError::Malformed {
            path: path.to_owned(),
            source,
        })
}

// Through a temporary file, so that a file of that name is whole whenever it is there.
fn write_new(path: &Path, text: &Secret<String>) -> Result<(), MasterKeyError> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        put_in_place(&draft, path)?;
        sync_dir(parent(path))
    })();
    written.map_err(|source| {
        // The draft is of no use; if it cannot be removed either, the first cause is the better one.
        let _ = std::fs::remove_file(&draft);
        MasterKeyError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        }
    })
}

// Never over a file that is there: nodes that share a key file may start together.
fn put_in_place(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Ok(()) => std::fs::remove_file(draft),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Some file systems have no hard links.
        Err(_) if !path.exists() => std::fs::rename(draft, path),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), MasterKeyError> {
    std::fs::remove_file(path)
        .and_then(|()| sync_dir(parent(path)))
        .map_err(|source| MasterKeyError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        })
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
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
const MAX_KEY_FILE: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hexline_model::SeededEntropy;

    use super::*;

    fn place() -> (tempfile::TempDir, MasterKeyFile, SeededEntropy) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = MasterKeyFile::at(&dir.path().join("master.key"));
        (dir, file, SeededEntropy::new(1))
    }

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

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_dir, file, entropy) = place();
        file.settle(None, &entropy).expect("made");
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(file.path(), open).expect("changed");
        let refused = file
            .settle(None, &entropy)
            .expect_err("exposed")
            .to_string();
        assert!(
            refused.contains("0640") && refused.contains("chmod 600"),
            "{refused}"
        );
    }

    #[test]
    fn a_missing_or_wrong_key_is_never_replaced_by_a_new_one() {
        let (_dir, file, entropy) = place();
        let other = MasterKey::generate(&entropy).fingerprint();
        assert!(matches!(
            file.settle(Some(&other), &entropy),
            Err(MasterKeyError::Missing { .. })
        ));
        file.settle(None, &entropy).expect("made");
        assert!(matches!(
            file.settle(Some(&other), &entropy),
            Err(MasterKeyError::Wrong { .. })
        ));
    }

    #[test]
    fn a_crash_during_a_rotation_loses_neither_key() {
        let (_dir, file, entropy) = place();
        let old = file.settle(None, &entropy).expect("made").fingerprint();
        let next = MasterKey::generate(&entropy);
        file.begin_rotation(&next).expect("written");
        assert!(matches!(
            file.begin_rotation(&next),
            Err(MasterKeyError::Unsettled { .. })
        ));
        // Before the database was sealed again: the old key stays.
        let settled = file.settle(Some(&old), &entropy).expect("taken back");
        assert_eq!(settled.fingerprint(), old);
        // After it: the new key takes its place.
        file.begin_rotation(&next).expect("the leftover is gone");
        let settled = file
            .settle(Some(&next.fingerprint()), &entropy)
            .expect("finished");
        assert_eq!(settled.fingerprint(), next.fingerprint());
        let kept = file.read().expect("readable").expect("there");
        assert_eq!(kept.fingerprint(), next.fingerprint());
        assert!(!file.next_path().exists());
    }
}
