use hexline_protocol::ErrorCode;

use crate::Failure;

/// Why a call about the caller's own access is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// An app's server asks: it is no user.
    #[error("the token is an app's own; expected a user's")]
    NotAUser,
}

impl Failure for SessionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotAUser => ErrorCode::Forbidden,
        }
    }
}
