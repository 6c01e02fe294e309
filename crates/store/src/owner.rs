use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Whom a file belongs to.
///
/// A command that root runs on the directory of a service must not leave files there that the
/// service cannot open: what it makes takes the owner of what it stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// The owner of a file or directory that is there.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Gives them a file that was just made. Only root can; anyone else keeps the file, which
    /// then belongs to whoever will open it again.
    pub fn give(self, file: &File) -> io::Result<()> {
        let now = Self::from(&file.metadata()?);
        if now == self || now.user != ROOT {
            return Ok(());
        }
        set(file, self).map_err(|source| {
            io::Error::new(
                source.kind(),
                format!(
                    "it cannot be given to user {}, whose directory this is; run this as that \
                     user: {source}",
                    self.user
                ),
            )
        })
    }
}

#[cfg(unix)]
impl From<&Metadata> for Owner {
    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            user: metadata.uid(),
            group: metadata.gid(),
        }
    }
}

#[cfg(unix)]
fn set(file: &File, owner: Owner) -> io::Result<()> {
    std::os::unix::fs::fchown(file, Some(owner.user), Some(owner.group))
}

#[cfg(not(unix))]
impl From<&Metadata> for Owner {
    fn from(_: &Metadata) -> Self {
        Self { user: 1, group: 1 }
    }
}

#[cfg(not(unix))]
fn set(_: &File, _: Owner) -> io::Result<()> {
    Ok(())
}

const ROOT: u32 = 0;
