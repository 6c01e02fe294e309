use std::fmt;

use hexline_model::Timestamp;

/// Why a token is refused. The words are part of the protocol; see docs/tokens.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not a JWS of the accepted shape.
    TokenMalformed,
    /// `iss` (and `kid`) name no key.
    KeyUnknown,
    /// The key was revoked.
    KeyRevoked,
    /// The key's time is over.
    KeyExpired,
    /// `alg` is not the algorithm of the key.
    AlgorithmMismatch,
    /// The signature is not that of the key.
    SignatureInvalid,
    /// `aud` names somebody else.
    AudienceMismatch,
    /// `exp` has passed.
    TokenExpired,
    /// `nbf` or `iat` lies ahead.
    TokenNotYetValid,
    /// `exp` − `iat` is more than the app allows.
    TokenTooLong,
    /// A claim is missing or is not what it has to be.
    ClaimInvalid,
    /// The token was revoked, alone or with others.
    TokenRevoked,
    /// The token does not grant what is asked for.
    GrantMissing,
}

/// A refusal: why, what was found, what was expected.
///
/// Neither text ever holds the token, a secret, or the content of `sub`. What the token's maker
/// wrote is quoted with its control characters escaped and cut at 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: found {found}, expected {expected}")]
pub struct Rejection {
    /// The first check that failed.
    pub reason: Reason,
    /// What was found, as an object of "found …".
    pub found: String,
    /// What was expected, as an object of "expected …".
    pub expected: String,
    /// When the same token passes again, if it does.
    pub until: Option<Timestamp>,
}

impl Reason {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 13] = [
        Self::TokenMalformed,
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::AlgorithmMismatch,
        Self::SignatureInvalid,
        Self::AudienceMismatch,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenTooLong,
        Self::ClaimInvalid,
        Self::TokenRevoked,
        Self::GrantMissing,
    ];

    /// The word on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TokenMalformed => "token_malformed",
            Self::KeyUnknown => "key_unknown",
            Self::KeyRevoked => "key_revoked",
            Self::KeyExpired => "key_expired",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::SignatureInvalid => "signature_invalid",
            Self::AudienceMismatch => "audience_mismatch",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenTooLong => "token_too_long",
            Self::ClaimInvalid => "claim_invalid",
            Self::TokenRevoked => "token_revoked",
            Self::GrantMissing => "grant_missing",
        }
    }

    /// Reads a word of the wire.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }
}

impl Rejection {
    /// A refusal. The texts follow the words "found" and "expected".
    pub fn new(reason: Reason, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            reason,
            found: found.into(),
            expected: expected.into(),
            until: None,
        }
    }

    /// Says when the same token passes again.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// Text of the token's maker, fit for a message: quoted, escaped, cut short.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().min(QUOTED_CHARS) + 8);
    quoted.push('"');
    let mut chars = text.chars();
    for c in chars.by_ref().take(QUOTED_CHARS) {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            _ => quoted.extend(c.escape_unicode()),
        }
    }
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted.push('"');
    quoted
}

const QUOTED_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.code()), Some(reason));
        }
        assert_eq!(Reason::parse("token"), None);
    }

    #[test]
    fn quoted_text_is_bounded_and_prints_on_one_line() {
        assert_eq!(quote("a\"b\n\u{202e}é"), r#""a\"b\u{a}\u{202e}é""#);
        assert_eq!(quote(&"x".repeat(5000)).chars().count(), 64 + 3);
    }
}
