use std::time::Duration;

use hexline_protocol::ErrorCode;

use super::operator::{EmailError, PersonNameError};
use crate::failure::Failure;
use crate::store::StoreError;
use crate::vault::VaultError;

/// Why the operator service did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The link was not made by this start of the server, or there is an operator already.
    #[error("this link is of no use any more: ask for a new one")]
    LinkInvalid,
    /// E-mail, password, code or passkey do not fit; which of them is not told.
    #[error("the e-mail address or what was given with it does not fit")]
    SignInFailed,
    /// The password fits; a code is wanted too.
    #[error("the one-time code of the authenticator app is wanted")]
    TotpRequired,
    /// No session, or one that has ended.
    #[error("sign in first")]
    SignedOut,
    /// Too many failures from there, or on this account.
    #[error("too many failed attempts: wait a while")]
    Throttled {
        /// How long.
        wait: Duration,
    },
    /// Too many at once.
    #[error("too many are signing in at once: try again")]
    Busy,
    /// The password given for confirmation is wrong.
    #[error("the password does not fit")]
    PasswordWrong,
    /// The passkey given for confirmation is not the operator's, or was refused.
    #[error("the passkey does not fit: use one of your own")]
    PasskeyWrong,
    /// Neither password nor passkey was given in this session lately.
    #[error(
        "this changes how operators sign in: confirm the session with your password or a passkey \
         first"
    )]
    ConfirmationRequired,
    /// Too short a password.
    #[error("the password has {found} characters, expected at least 12")]
    PasswordTooShort {
        /// How many it has.
        found: usize,
    },
    /// Too long a password.
    #[error("the password has more than 1024 bytes")]
    PasswordTooLong,
    /// No e-mail address.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// No name.
    #[error(transparent)]
    Name(#[from] PersonNameError),
    /// The address is in use.
    #[error("there is an operator with this e-mail address already")]
    EmailTaken,
    /// No such operator.
    #[error("there is no such operator")]
    Unknown,
    /// No such session, passkey or the like.
    #[error("there is no such {what}")]
    NotFound {
        /// What is missing.
        what: &'static str,
    },
    /// It would leave nobody who may do everything.
    #[error("this is the last owner who can sign in: make another one first")]
    LastOwner,
    /// What was asked does not fit the state.
    #[error("{message}")]
    Conflict {
        /// Why.
        message: &'static str,
    },
    /// What was sent does not pass.
    #[error("{message}")]
    Invalid {
        /// Why.
        message: &'static str,
    },
    /// The database.
    #[error(transparent)]
    Store(StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Failure for OperatorError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::LinkInvalid | Self::PasswordWrong | Self::PasskeyWrong => ErrorCode::Forbidden,
            Self::ConfirmationRequired => ErrorCode::ConfirmationRequired,
            Self::SignInFailed => ErrorCode::SignInFailed,
            Self::TotpRequired => ErrorCode::TotpRequired,
            Self::SignedOut => ErrorCode::SignedOut,
            Self::Throttled { .. } | Self::Busy => ErrorCode::RateLimited,
            Self::PasswordTooShort { .. }
            | Self::PasswordTooLong
            | Self::Email(_)
            | Self::Name(_)
            | Self::Invalid { .. } => ErrorCode::InvalidParams,
            Self::EmailTaken | Self::LastOwner | Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Unknown | Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Store(_) | Self::Vault(_) => ErrorCode::Unavailable,
        }
    }

    fn is_for_caller(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Vault(_))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } => Some(*wait),
            Self::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { what: "operator" } => Self::EmailTaken,
            StoreError::Conflict { what: "owner" } => Self::LastOwner,
            StoreError::Conflict { what: "passkey" } => Self::Conflict {
                message: "this passkey is registered already",
            },
            StoreError::NotFound { what: "operator" } => Self::Unknown,
            error => Self::Store(error),
        }
    }
}
