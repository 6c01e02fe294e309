//! How services refuse: one trait for the errors of all of them, so that every door renders each alike.
//!
//! A door has one conversion for everything that implements [`Failure`]: to an HTTP refusal, to a
//! JSON-RPC error, to an answer for the command line.
//!
//! To add an error: an enum in the service's `error.rs`, and `impl Failure` with one exhaustive match.

use std::error::Error;
use std::time::Duration;

use hexline_protocol::{CallError, ErrorCode};
use hexline_token::{Reason, Rejection};

use crate::store::StoreError;

/// An error that a caller is told of.
pub trait Failure: Error {
    /// The code to answer with; see docs/errors.md.
    fn code(&self) -> ErrorCode;

    /// Whether its text may be shown to the caller; otherwise it is for the log alone.
    fn is_for_caller(&self) -> bool {
        true
    }

    /// What the caller is told, for people.
    fn message(&self) -> String {
        if self.is_for_caller() {
            self.to_string()
        } else {
            "the server cannot do this at the moment".to_owned()
        }
    }

    /// When it may be worth another try.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// A reason that is finer than the code, in a word, for programs.
    fn reason(&self) -> Option<&'static str> {
        None
    }
}

impl<F: Failure + ?Sized> Failure for &F {
    fn code(&self) -> ErrorCode {
        (**self).code()
    }

    fn is_for_caller(&self) -> bool {
        (**self).is_for_caller()
    }

    fn message(&self) -> String {
        (**self).message()
    }

    fn retry_after(&self) -> Option<Duration> {
        (**self).retry_after()
    }

    fn reason(&self) -> Option<&'static str> {
        (**self).reason()
    }
}

/// A call that cannot be read.
impl Failure for CallError {
    fn code(&self) -> ErrorCode {
        CallError::code(self)
    }
}

impl Failure for StoreError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Unavailable(_) | Self::ReadOnly | Self::Corrupt { .. } | Self::Other(_) => {
                ErrorCode::Unavailable
            }
        }
    }

    fn is_for_caller(&self) -> bool {
        self.code() != ErrorCode::Unavailable
    }
}

/// A token that is refused.
impl Failure for Rejection {
    fn code(&self) -> ErrorCode {
        match self.reason {
            Reason::TokenMalformed => ErrorCode::TokenMalformed,
            Reason::KeyUnknown => ErrorCode::KeyUnknown,
            Reason::KeyRevoked => ErrorCode::KeyRevoked,
            Reason::KeyExpired => ErrorCode::KeyExpired,
            Reason::AlgorithmMismatch => ErrorCode::AlgorithmMismatch,
            Reason::SignatureInvalid => ErrorCode::SignatureInvalid,
            Reason::AudienceMismatch => ErrorCode::AudienceMismatch,
            Reason::TokenExpired => ErrorCode::TokenExpired,
            Reason::TokenNotYetValid => ErrorCode::TokenNotYetValid,
            Reason::TokenTooLong => ErrorCode::TokenTooLong,
            Reason::ClaimInvalid => ErrorCode::ClaimInvalid,
            Reason::TokenRevoked => ErrorCode::TokenRevoked,
            Reason::GrantMissing => ErrorCode::GrantMissing,
        }
    }

    fn message(&self) -> String {
        format!("found {}, expected {}", self.found, self.expected)
    }
}
