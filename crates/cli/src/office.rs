//! Where commands on apps and keys are carried out: by the running server, or here.

use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Clock, Entropy, SystemClock, SystemEntropy};
use hexline_server::config::Config;
use hexline_server::control::{self, Answer, CallError, Command, Desk};
use hexline_server::datadir::{DataDir, DataDirError, DataLock};
use hexline_server::records::{self, OpenError, Records};
use hexline_services::audit::AuditService;

use super::exit::{CliError, Exit};
use super::paint::Paint;

/// Carries out a command: asks the server that runs on the data directory, or, if none does,
/// opens the records under the directory's lock.
///
/// `make` allows to make a data directory that is not there yet.
pub(crate) async fn carry_out(
    config: &Config,
    command: Command,
    make: bool,
) -> Result<Answer, CliError> {
    let dir = if make {
        DataDir::create(&config.data_dir)?
    } else {
        DataDir::existing(&config.data_dir)?
    };
    for concern in dir.concerns() {
        eprintln!("{} {concern}", Paint::stderr().bad("warning:"));
    }
    // A server that is just starting holds the lock and does not answer yet; another command
    // holds it for a moment.
    let mut busy = None;
    for _ in 0..PATIENCE {
        match control::call(&config.control_path(), &command).await {
            Ok(outcome) => return Ok(outcome?),
            Err(CallError::NoServer) => {}
            Err(error) => return Err(error.into()),
        }
        if !make {
            DataDir::with_records(config)?;
        }
        match dir.lock_within(LOCK_WITHIN).await {
            Ok(lock) => return here(config, command, lock).await,
            Err(error @ DataDirError::InUse { .. }) => busy = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy
        .expect("the loop ends early unless the directory is in use")
        .into())
}

/// An answer that belongs to another command.
pub(crate) fn unexpected(answer: &Answer) -> CliError {
    CliError::failed(format!(
        "the server answered something else than was asked: {answer:?}"
    ))
}

async fn here(config: &Config, command: Command, lock: DataLock) -> Result<Answer, CliError> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let records = records::open(config, config.listen.port(), Arc::clone(&entropy), &lock).await?;
    let Records {
        database,
        services,
        operators,
        master_key,
    } = records;
    let store = Arc::new(database.clone());
    let audit = Arc::new(AuditService::new(
        store,
        Arc::clone(&clock),
        Arc::clone(&entropy),
    ));
    let desk = Desk::new(services, operators, master_key, clock, entropy)
        .at(&config.base_url(config.listen.port()))
        .audited(audit);
    let outcome = desk.execute(command).await;
    database.close().await;
    drop(lock);
    Ok(outcome?)
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let exit = match error {
            CallError::TooLong { .. } => Exit::Usage,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(Exit::Unavailable, message)
    }
}

const PATIENCE: u32 = 10;
const LOCK_WITHIN: Duration = Duration::from_millis(500);
