use std::fmt;

use argon2::Params;
use hexline_model::Secret;

use super::error::OperatorError;

/// A password as it is stored: argon2id, its parameters and salt, in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// A password that may be set.
#[derive(Debug, Clone)]
pub struct Password(Secret<String>);

impl Password {
    /// Checks the rules: at least 12 characters, at most 1024 bytes. What they are is the
    /// person's affair.
    pub fn parse(text: Secret<String>) -> Result<Self, OperatorError> {
        let found = text.expose().chars().count();
        if found < MIN_CHARS {
            return Err(OperatorError::PasswordTooShort { found });
        }
        if text.expose().len() > MAX_BYTES {
            return Err(OperatorError::PasswordTooLong);
        }
        Ok(Self(text))
    }

    pub(super) fn text(&self) -> &Secret<String> {
        &self.0
    }
}

impl PasswordHash {
    /// As it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// To store it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What one guess costs: 19 MiB and two passes, as OWASP recommends for argon2id.
pub(super) fn cost() -> Params {
    Params::new(19 * 1024, 2, 1, None).expect("within argon2's bounds")
}

/// The longest that a password can be.
pub(super) const MAX_BYTES: usize = 1024;

const MIN_CHARS: usize = 12;
