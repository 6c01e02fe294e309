use std::time::Duration;

use hexline_model::{AppId, KeyId};
use hexline_protocol::ErrorCode;
use hexline_services::Failure;
use hexline_token::Rejection;

/// Why a request is not let in by its token. Each door says it in its own form.
#[derive(Debug)]
pub(crate) struct TokenRefusal {
    pub(crate) cause: RefusalCause,
    /// The app and the key that the token names, truly or not, if there is such a key.
    pub(crate) named: Option<(AppId, KeyId)>,
}

/// What was found and what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusalCause {
    #[error("no token; expected {expected}")]
    Missing { expected: &'static str },
    #[error("the Authorization header is not of the form: Bearer TOKEN")]
    NotBearer,
    #[error("two different tokens; expected one")]
    Several,
    /// The token is not good.
    #[error("found {}, expected {}", .rejection.found, .rejection.expected)]
    Rejected {
        rejection: Rejection,
        /// Until another token may be good, if that is known.
        retry_after: Option<Duration>,
    },
    #[error("too many failed tokens from this address")]
    TooManyFailures,
    /// The token may well be good.
    #[error("the key set of the token's issuer cannot be fetched now")]
    KeySetUnavailable { retry_after: Duration },
}

impl Failure for RefusalCause {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Missing { .. } | Self::NotBearer | Self::Several => ErrorCode::TokenMalformed,
            Self::Rejected { rejection, .. } => rejection.code(),
            Self::TooManyFailures => ErrorCode::RateLimited,
            Self::KeySetUnavailable { .. } => ErrorCode::Unavailable,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Missing { .. } | Self::NotBearer | Self::Several => None,
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::TooManyFailures => Some(FAILURES_PAUSE),
            Self::KeySetUnavailable { retry_after } => Some(*retry_after),
        }
    }
}

impl From<RefusalCause> for TokenRefusal {
    fn from(cause: RefusalCause) -> Self {
        Self { cause, named: None }
    }
}

const FAILURES_PAUSE: Duration = Duration::from_secs(6);
