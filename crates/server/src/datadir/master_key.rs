use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hexline_model::{Entropy, Secret};
use hexline_services::vault::{Fingerprint, MasterKey};
use hexline_store::Owner;
use zeroize::Zeroizing;

use super::{DataLock, or_here, sync_dir};

/// Where the master key is. Reads it and changes nothing.
#[derive(Debug, Clone)]
pub struct MasterKeyFile {
    path: PathBuf,
}

/// The master key file in the hands of a process that may change the data directory.
#[derive(Debug, Clone)]
pub struct HeldKeyFile {
    file: MasterKeyFile,
    _data: DataLock,
}

/// A turn at changing the key file: nodes of one machine that share it have data directories of
/// their own, and only one of them at a time may rotate or settle.
#[derive(Debug)]
pub struct KeyTurn<'a> {
    /// The file itself, behind symbolic links.
    real: PathBuf,
    shown: &'a Path,
    _lock: File,
}

/// The key that a database is sealed with, as it was found.
#[derive(Debug)]
pub struct FoundKey {
    /// The key.
    pub key: MasterKey,
    /// Whether a rotation left something to settle.
    pub unsettled: bool,
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
        source: hexline_services::vault::MasterKeyError,
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
    /// Another process is changing the file.
    #[error("another process is rotating the master key {}: try again", path.display())]
    Busy {
        /// The file.
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

impl MasterKeyFile {
    /// Names the place; reads nothing.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The same file for a process that holds a data directory, which may change it.
    #[must_use]
    pub fn held(self, data: &DataLock) -> HeldKeyFile {
        HeldKeyFile {
            file: self,
            _data: data.clone(),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key as it is; `None` if there is no file.
    pub fn read(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        read(&self.path)
    }

    /// The key with this fingerprint: the current one, or the next one if a rotation has sealed
    /// the database and not come to its end.
    pub fn find(&self, sealed_with: &Fingerprint) -> Result<FoundKey, MasterKeyError> {
        let fits = |key: &MasterKey| key.fingerprint() == *sealed_with;
        let next = next_to(&real(&self.path));
        let current = self.read()?;
        let missing = current.is_none();
        if let Some(key) = current.filter(fits) {
            return Ok(FoundKey {
                key,
                unsettled: next.exists(),
            });
        }
        if let Some(key) = read(&next)?.filter(fits) {
            return Ok(FoundKey {
                key,
                unsettled: true,
            });
        }
        let path = self.path.clone();
        Err(if missing {
            MasterKeyError::Missing { path }
        } else {
            MasterKeyError::Wrong { path }
        })
    }
}

impl HeldKeyFile {
    /// The path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file, for reading.
    pub fn file(&self) -> &MasterKeyFile {
        &self.file
    }

    /// Takes the turn at changing the file. It ends with what is returned.
    #[expect(
        clippy::disallowed_methods,
        reason = "another process is waited for, which goes by the machine's clock"
    )]
    pub async fn turn(&self) -> Result<KeyTurn<'_>, MasterKeyError> {
        for _ in 0..TURN_ATTEMPTS {
            match self.try_turn() {
                Err(MasterKeyError::Busy { .. }) => tokio::time::sleep(TURN_RETRY).await,
                decided => return decided,
            }
        }
        self.try_turn()
    }

    fn try_turn(&self) -> Result<KeyTurn<'_>, MasterKeyError> {
        let real = real(self.path());
        let path = beside(&real, ".lock");
        let io = |source| MasterKeyError::Io {
            action: "lock",
            path: path.clone(),
            source,
        };
        let file = super::lock_file(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(KeyTurn {
                real,
                shown: self.path(),
                _lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(MasterKeyError::Busy {
                path: self.path().to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

impl KeyTurn<'_> {
    /// The key that the database is sealed with.
    ///
    /// `sealed_with` is the fingerprint in the database, asked for within this turn; `None` if
    /// nothing was sealed in it yet, and then the file is made if it is not there. Finishes or
    /// takes back a rotation that a crash interrupted.
    pub fn settle(
        &self,
        sealed_with: Option<&Fingerprint>,
        entropy: &dyn Entropy,
    ) -> Result<MasterKey, MasterKeyError> {
        let file = MasterKeyFile::at(self.shown);
        let Some(sealed_with) = sealed_with else {
            return match file.read()? {
                Some(key) => Ok(key),
                None => self.make(entropy),
            };
        };
        let FoundKey { key, unsettled } = file.find(sealed_with)?;
        if unsettled {
            let current = read(&self.real)?;
            if current.is_some_and(|current| current.fingerprint() == *sealed_with) {
                remove(&self.next_path())?;
            } else {
                self.finish_rotation(&key)?;
            }
        }
        Ok(key)
    }

    /// Puts the next key on disk, beside the current one.
    pub fn begin_rotation(&self, next: &MasterKey) -> Result<(), MasterKeyError> {
        let path = self.next_path();
        if path.exists() {
            return Err(MasterKeyError::Unsettled { path });
        }
        self.write(&path, &next.to_text(), Place::New)
    }

    /// Puts the next key in the place of the current one. To be called once the database is
    /// sealed with it; if its file is gone, it is written from memory.
    pub fn finish_rotation(&self, next: &MasterKey) -> Result<(), MasterKeyError> {
        let path = self.next_path();
        let there = read(&path).ok().flatten();
        if there.is_none_or(|there| there.fingerprint() != next.fingerprint()) {
            return self.write(&self.real, &next.to_text(), Place::Taken);
        }
        fs::rename(path, &self.real)
            .and_then(|()| sync_dir(parent(&self.real)))
            .map_err(|source| MasterKeyError::Io {
                action: "replace",
                path: self.real.clone(),
                source,
            })
    }

    fn make(&self, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
        let key = MasterKey::generate(entropy);
        match self.write(&self.real, &key.to_text(), Place::New) {
            Ok(()) => Ok(key),
            // Somebody put one there by hand.
            Err(error) => read(&self.real)?.ok_or(error),
        }
    }

    fn next_path(&self) -> PathBuf {
        next_to(&self.real)
    }

    // Through a draft, so that a file of that name is whole whenever it is there.
    fn write(
        &self,
        path: &Path,
        text: &Secret<String>,
        place: Place,
    ) -> Result<(), MasterKeyError> {
        let draft = beside(&self.real, ".draft");
        let written = (|| {
            // The turn is ours: a draft that is there was left by a crash.
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            let owner = Owner::of(&self.real).or_else(|_| Owner::of(or_here(parent(path))))?;
            owner.give(&file)?;
            file.write_all(text.expose().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            match place {
                Place::New => put_in_place(&draft, path)?,
                Place::Taken => fs::rename(&draft, path)?,
            }
            sync_dir(parent(path))
        })();
        written.map_err(|source| {
            // Of no use; if it cannot be removed either, the first cause is the better one.
            let _ = fs::remove_file(&draft);
            MasterKeyError::Io {
                action: "write",
                path: path.to_owned(),
                source,
            }
        })
    }
}

#[derive(Clone, Copy)]
enum Place {
    New,
    Taken,
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

// Never over a file that is there.
fn put_in_place(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => fs::remove_file(draft),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Some file systems have no hard links.
        Err(_) if !path.exists() => fs::rename(draft, path),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), MasterKeyError> {
    fs::remove_file(path)
        .and_then(|()| sync_dir(parent(path)))
        .map_err(|source| MasterKeyError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        })
}

// A key may be named by a symbolic link, which stays one.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn next_to(real: &Path) -> PathBuf {
    beside(real, ".next")
}

fn beside(real: &Path, end: &str) -> PathBuf {
    let mut name = real.to_owned().into_os_string();
    name.push(end);
    name.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

const MAX_KEY_FILE: u64 = 4096;
const TURN_RETRY: Duration = Duration::from_millis(20);
const TURN_ATTEMPTS: u32 = 500;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hexline_model::SeededEntropy;

    use super::super::DataDir;
    use super::*;

    fn place() -> (tempfile::TempDir, HeldKeyFile, SeededEntropy) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = DataDir::existing(dir.path()).and_then(|dir| dir.lock());
        let file = MasterKeyFile::at(&dir.path().join("master.key"));
        let held = file.held(&lock.expect("free"));
        (dir, held, SeededEntropy::new(1))
    }

    fn settle(
        file: &HeldKeyFile,
        sealed_with: Option<&Fingerprint>,
        entropy: &SeededEntropy,
    ) -> Result<MasterKey, MasterKeyError> {
        file.try_turn()?.settle(sealed_with, entropy)
    }

    fn begin(file: &HeldKeyFile, next: &MasterKey) -> Result<(), MasterKeyError> {
        file.try_turn()?.begin_rotation(next)
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_dir, file, entropy) = place();
        settle(&file, None, &entropy).expect("made");
        let open = fs::Permissions::from_mode(0o640);
        fs::set_permissions(file.path(), open).expect("changed");
        let refused = settle(&file, None, &entropy)
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
            settle(&file, Some(&other), &entropy),
            Err(MasterKeyError::Missing { .. })
        ));
        settle(&file, None, &entropy).expect("made");
        assert!(matches!(
            settle(&file, Some(&other), &entropy),
            Err(MasterKeyError::Wrong { .. })
        ));
    }

    #[test]
    fn a_crash_during_a_rotation_loses_neither_key() {
        let (_dir, file, entropy) = place();
        let old = settle(&file, None, &entropy).expect("made").fingerprint();
        let next = MasterKey::generate(&entropy);
        begin(&file, &next).expect("written");
        assert!(matches!(
            begin(&file, &next),
            Err(MasterKeyError::Unsettled { .. })
        ));
        // Before the database was sealed again: the old key stays.
        let settled = settle(&file, Some(&old), &entropy).expect("taken back");
        assert_eq!(settled.fingerprint(), old);
        // After it: the new key takes its place.
        begin(&file, &next).expect("the leftover is gone");
        let settled = settle(&file, Some(&next.fingerprint()), &entropy).expect("finished");
        assert_eq!(settled.fingerprint(), next.fingerprint());
        let kept = file.file().read().expect("readable").expect("there");
        assert_eq!(kept.fingerprint(), next.fingerprint());
        assert!(!next_to(file.path()).exists());
    }

    #[test]
    fn a_reader_finds_either_key_and_moves_neither() {
        let (_dir, file, entropy) = place();
        let old = settle(&file, None, &entropy).expect("made").fingerprint();
        let next = MasterKey::generate(&entropy);
        begin(&file, &next).expect("written");
        for fingerprint in [&old, &next.fingerprint()] {
            let found = file.file().find(fingerprint).expect("there");
            assert_eq!(found.key.fingerprint(), *fingerprint);
            assert!(found.unsettled);
        }
        assert!(file.path().exists() && next_to(file.path()).exists());
    }

    // Regression: with the next key's file gone, the rotation ended in an error while the
    // database was sealed with a key that stood nowhere any more.
    #[test]
    fn a_next_key_whose_file_is_gone_is_written_from_memory() {
        let (_dir, file, entropy) = place();
        settle(&file, None, &entropy).expect("made");
        let next = MasterKey::generate(&entropy);
        let turn = file.try_turn().expect("free");
        turn.begin_rotation(&next).expect("written");
        fs::remove_file(next_to(file.path())).expect("removed");
        turn.finish_rotation(&next).expect("finished");
        let kept = file.file().read().expect("readable").expect("there");
        assert_eq!(kept.fingerprint(), next.fingerprint());
    }

    #[test]
    fn one_rotation_at_a_time_whoever_holds_which_data_directory() {
        let (dir, file, _) = place();
        let other = tempfile::tempdir().expect("a temporary directory");
        let lock = DataDir::existing(other.path()).and_then(|dir| dir.lock());
        let same = MasterKeyFile::at(&dir.path().join("master.key")).held(&lock.expect("free"));
        let turn = file.try_turn().expect("free");
        assert!(matches!(same.try_turn(), Err(MasterKeyError::Busy { .. })));
        drop(turn);
        same.try_turn().expect("free again");
    }

    // Regression: a rotation put a plain file in the place of the link and left the old key
    // where the link had pointed.
    #[test]
    fn a_key_behind_a_link_is_replaced_where_it_is() {
        let (dir, file, entropy) = place();
        settle(&file, None, &entropy).expect("made");
        let vault = dir.path().join("vault");
        fs::create_dir(&vault).expect("made");
        fs::rename(file.path(), vault.join("key")).expect("moved");
        std::os::unix::fs::symlink(vault.join("key"), file.path()).expect("linked");
        let next = MasterKey::generate(&entropy);
        let turn = file.try_turn().expect("free");
        turn.begin_rotation(&next).expect("written");
        turn.finish_rotation(&next).expect("finished");
        let metadata = fs::symlink_metadata(file.path()).expect("there");
        assert!(metadata.is_symlink());
        let kept = read(&vault.join("key")).expect("readable").expect("there");
        assert_eq!(kept.fingerprint(), next.fingerprint());
    }

    // Regression: root rotated and the service could not read its key any more.
    #[test]
    fn a_rotation_by_root_leaves_the_key_to_its_owner() {
        let (_dir, file, entropy) = place();
        settle(&file, None, &entropy).expect("made");
        if std::os::unix::fs::chown(file.path(), Some(4711), Some(4712)).is_err() {
            return; // Only root can try.
        }
        let next = MasterKey::generate(&entropy);
        let turn = file.try_turn().expect("free");
        turn.begin_rotation(&next).expect("written");
        turn.finish_rotation(&next).expect("finished");
        let metadata = fs::metadata(file.path()).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_draft_that_a_crash_left_is_no_obstacle_and_does_not_stay() {
        let (dir, file, entropy) = place();
        let draft = dir.path().join("master.key.draft");
        fs::write(&draft, "half a k").expect("written");
        settle(&file, None, &entropy).expect("made");
        assert!(!draft.exists());
    }
}
