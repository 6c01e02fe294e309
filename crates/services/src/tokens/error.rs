use hexline_protocol::ErrorCode;
use hexline_token::{BuildError, GrantsError, MOST_SOURCES};

use crate::failure::Failure;
use crate::keys::KeyError;

/// Why a token was not made.
///
/// Texts name what was found and what was expected, and never a token or a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The grants cannot be read.
    #[error("grants: {0}")]
    Grants(#[from] GrantsError),
    /// The grants are more than the caller may hand out.
    #[error("found a grant of {beyond} beyond {limit}, expected at most that")]
    Beyond {
        /// Which: `signal`, `signal.channels`, …
        beyond: &'static str,
        /// What they are beyond: `the caller's own allowance`, `the token that is exchanged`.
        limit: &'static str,
    },
    /// A client token manages nothing.
    #[error("found a grant of platform, expected signal, chat, push or video in a client token")]
    Platform,
    /// It would live longer than the app allows, or not at all.
    #[error("found a ttl of {found} s, expected 1 s to {most} s")]
    Ttl {
        /// Seconds asked for.
        found: u64,
        /// The app's longest.
        most: u64,
    },
    /// The token that was to be exchanged is another app's, or no client token.
    #[error("found a token that is none of this app's users', expected one")]
    Foreign,
    /// The token was exchanged too often: it cannot name what it stands on any more.
    #[error(
        "found a token that stands on {MOST_SOURCES} others by exchange, expected one with fewer; \
         exchange the first one again"
    )]
    Exchanged,
    /// The token cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// No such app, or no key that signs.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Failure for TokenError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Beyond { .. } => ErrorCode::GrantMissing,
            Self::Foreign => ErrorCode::KeyUnknown,
            Self::Build(BuildError::TooLarge { .. }) => ErrorCode::TooLarge,
            Self::Build(BuildError::Signing | BuildError::Key(_)) => ErrorCode::Unavailable,
            Self::Grants(_)
            | Self::Platform
            | Self::Ttl { .. }
            | Self::Exchanged
            | Self::Build(_) => ErrorCode::InvalidRequest,
            Self::Keys(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::Keys(error) => error.is_for_caller(),
            _ => self.code() != ErrorCode::Unavailable,
        }
    }
}
