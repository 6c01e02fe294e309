//! A server's claim to its data directory.

use std::time::Duration;

use crate::config::Config;
use crate::control::{self, Answer, Command, StatusView};
use crate::datadir::{DataDir, DataDirError, DataLock};

/// Why a server cannot have the data directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// A server has it.
    #[error(
        "a server runs here already, at {url} (process {pid}, data directory {dir}): stop it, or \
         take another directory with --data DIR"
    )]
    Served { url: String, pid: u32, dir: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// Locks the data directory for a server. Waits for a command that works on it for a moment, and
/// not for a server.
#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for, which goes by the machine's clock"
)]
pub(crate) async fn claim(config: &Config) -> Result<DataLock, ClaimError> {
    let dir = DataDir::create(&config.data_dir)?;
    let mut attempts = 0..ATTEMPTS;
    loop {
        let busy = match dir.lock() {
            Err(busy @ DataDirError::InUse { .. }) => busy,
            decided => return Ok(decided?),
        };
        match control::call(&config.control_path(), &Command::Status).await {
            Ok(Ok(Answer::Status(StatusView {
                url: Some(url),
                pid,
                ..
            }))) => {
                let dir = dir.path().display().to_string();
                return Err(ClaimError::Served { url, pid, dir });
            }
            _ if attempts.next().is_some() => tokio::time::sleep(RETRY).await,
            _ => return Err(busy.into()),
        }
    }
}

const ATTEMPTS: u32 = 100;
const RETRY: Duration = Duration::from_millis(50);
