use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hexline_model::{Entropy, Secret};
use hexline_services::keys::{self, Fingerprint, MasterKey};
use zeroize::Zeroizing;

use super::sync_dir;

/// Where the master key is.
#[derive(Debug, Clone)]
pub struct MasterKeyFile {
    path: PathBuf,
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
