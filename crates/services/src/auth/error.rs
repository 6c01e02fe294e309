use std::time::Duration;

use hexline_protocol::ErrorCode;

use super::settings::SettingsError;
use crate::failure::Failure;
use crate::keys::KeyError;
use crate::store::StoreError;
use crate::tokens::TokenError;
use crate::vault::VaultError;

/// Why nobody was signed in.
///
/// Texts name what was found and what was expected, and never a token, a secret or a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The app has no such strategy, or it is switched off.
    #[error("the app has no such strategy, or it is switched off")]
    StrategyUnknown,
    /// The app is disabled.
    #[error("the app is disabled")]
    AppDisabled,
    /// A part of the request is no good.
    #[error("{what}: expected {expected}")]
    Order {
        /// Which part.
        what: &'static str,
        /// What may stand there.
        expected: &'static str,
    },
    /// What was shown does not prove who the user is.
    #[error("{message}")]
    Refused {
        /// In a word, for programs.
        reason: &'static str,
        /// What was found and what was expected.
        message: String,
    },
    /// The provider, or the app's own sign-in, is out of reach or makes no sense.
    #[error("{message}")]
    Unreachable {
        /// What is the matter.
        message: String,
        /// When it may be worth another try.
        retry_after_s: u32,
    },
    /// Too many come at once.
    #[error("too many sign in at once, expected fewer")]
    Throttled {
        /// When it may be worth another try.
        retry_after_s: u32,
    },
    /// Settings that cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No token can be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No such app or API key.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for AuthError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::StrategyUnknown | Self::Store(StoreError::NotFound { .. }) => ErrorCode::NotFound,
            Self::AppDisabled => ErrorCode::Forbidden,
            Self::Order { .. } | Self::Settings(_) => ErrorCode::InvalidRequest,
            Self::Refused { .. } => ErrorCode::SignInFailed,
            Self::Throttled { .. } => ErrorCode::RateLimited,
            Self::Unreachable { .. } | Self::Store(_) => ErrorCode::Unavailable,
            Self::Token(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Vault(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::Token(error) => error.is_for_caller(),
            Self::Keys(error) => error.is_for_caller(),
            Self::Vault(error) => error.is_for_caller(),
            Self::Store(error) => matches!(error, StoreError::NotFound { .. }),
            _ => true,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Refused { reason, .. } => Some(reason),
            Self::Unreachable { .. } => Some("provider_unavailable"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after_s, .. } | Self::Throttled { retry_after_s } => {
                Some(Duration::from_secs(u64::from(*retry_after_s)))
            }
            _ => None,
        }
    }
}

impl AuthError {
    pub(super) fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            message: message.into(),
        }
    }

    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable {
            message: message.into(),
            retry_after_s: 10,
        }
    }
}
