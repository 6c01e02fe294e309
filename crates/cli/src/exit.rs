use std::error::Error;
use std::process::ExitCode;

use hexline_server::config::ConfigError;
use hexline_server::control::{Failure, FailureKind};
use hexline_server::datadir::{DataDirError, MasterKeyError};
use serde::Serialize;

/// How a command ends. The numbers are documented in docs/operating.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed for a reason that has no number of its own; a check of `doctor` failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A token or a call was refused.
    Refused = 3,
    /// There is no such app or key.
    NotFound = 4,
    /// It exists already, or its state does not allow it.
    Conflict = 5,
    /// The server, the data directory or the database cannot be reached.
    Unavailable = 6,
}

/// Why a command failed, for the one who typed it.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

/// What `--json` prints to stderr.
#[derive(Serialize)]
struct Shown<'a> {
    code: &'static str,
    message: &'a str,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Tells it on stderr and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let shown = Shown {
                code: self.exit.word(),
                message: &self.message,
            };
            eprintln!(
                "{}",
                serde_json::to_string(&shown).expect("two texts are JSON")
            );
        } else {
            let paint = super::paint::Paint::stderr();
            eprintln!("{} {}", paint.bad("error:"), self.message);
        }
        self.exit.into()
    }
}

/// An error and its causes. Many errors name their cause themselves: it is said once.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

impl Exit {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<DataDirError> for CliError {
    fn from(error: DataDirError) -> Self {
        let exit = match error {
            DataDirError::Missing { .. } | DataDirError::Empty { .. } => Exit::NotFound,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<MasterKeyError> for CliError {
    fn from(error: MasterKeyError) -> Self {
        Self::new(Exit::Unavailable, error.to_string())
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::Invalid => Exit::Usage,
            FailureKind::NotFound => Exit::NotFound,
            FailureKind::Conflict => Exit::Conflict,
            FailureKind::Unavailable => Exit::Unavailable,
            FailureKind::Internal => Exit::Failed,
        };
        Self::new(exit, failure.message)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot create /x: {0}")]
    struct Told(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("no start")]
    struct Untold(#[source] Told);

    // Regression: "cannot create /x: File exists: File exists".
    #[test]
    fn a_cause_is_told_once() {
        let told = Told(io::Error::other("it is full"));
        assert_eq!(with_causes(&told), "cannot create /x: it is full");
        let untold = Untold(told);
        assert_eq!(
            with_causes(&untold),
            "no start: cannot create /x: it is full"
        );
    }
}
