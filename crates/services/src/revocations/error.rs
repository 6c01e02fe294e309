use hexline_protocol::ErrorCode;

use super::revocation::TokenIdError;
use crate::apps::UnknownApp;
use crate::failure::Failure;
use crate::keys::RegistryError;
use crate::store::StoreError;

/// Why the revocation service did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// No such app.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    /// A `jti` that can't be.
    #[error(transparent)]
    TokenId(#[from] TokenIdError),
    /// A time or a span is no good.
    #[error("{what} is {found}, expected {expected}")]
    Invalid {
        /// Which: `issued_before` or `hold_s`.
        what: &'static str,
        /// What stood there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The registry could not be brought up to the database.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for RevocationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownApp(error) => error.code(),
            Self::TokenId(_) | Self::Invalid { .. } => ErrorCode::InvalidParams,
            Self::Registry(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::UnknownApp(_) | Self::TokenId(_) | Self::Invalid { .. } => true,
            Self::Registry(error) => error.is_for_caller(),
            Self::Store(error) => error.is_for_caller(),
        }
    }
}
