use std::fmt;
use std::time::Duration;

use hexline_model::{AppId, Identity, IdentityError, Subject, Timestamp};

use crate::apps::TokenLife;

/// Tokens of an app that are refused though their key is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose tokens.
    pub app: AppId,
    /// Which of them.
    pub target: Target,
    /// When it was said; for all but a single token, those with `iat` up to this second.
    pub at: Timestamp,
}

/// Which tokens a revocation names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The token with this `jti`.
    Token {
        /// The `jti`.
        jti: TokenId,
        /// Its `exp`, if whoever revoked it knew.
        expires: Option<Timestamp>,
    },
    /// Those issued up to a moment.
    IssuedBefore(Scope),
}

/// Whose tokens an issued-before revocation names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everyone's.
    App,
    /// Those of one identity, on every device.
    Identity(Identity),
    /// Those of one device of an identity.
    Device(Subject),
}

/// A `jti` that can be revoked: 1 to 1024 bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(String);

/// Why a text is no token id that can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a jti is 1 to 1024 bytes without control characters, found {found} bytes")]
pub struct TokenIdError {
    /// Bytes found.
    pub found: usize,
}

/// One word for the kind of a target; with [`Target::subject`] it names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A single token.
    Token,
    /// The whole app.
    App,
    /// An identity.
    Identity,
    /// A device.
    Device,
}

/// From when back a revocation names no living token. Made by [`SweepHorizon::at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepHorizon {
    /// A token with a known `exp` before this is dead.
    pub expired_before: Timestamp,
    /// All tokens issued before this are dead; `None` if the app's tokens may live for ever.
    pub issued_before: Option<Timestamp>,
}

impl TokenId {
    /// Reads a `jti`.
    pub fn parse(text: &str) -> Result<Self, TokenIdError> {
        if !hexline_token::jti_fits(text) {
            return Err(TokenIdError { found: text.len() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// Which kind of target it is.
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Token { .. } => TargetKind::Token,
            Self::IssuedBefore(Scope::App) => TargetKind::App,
            Self::IssuedBefore(Scope::Identity(_)) => TargetKind::Identity,
            Self::IssuedBefore(Scope::Device(_)) => TargetKind::Device,
        }
    }

    /// The `jti`, identity or `identity/device`; empty for the whole app.
    pub fn subject(&self) -> String {
        match self {
            Self::Token { jti, .. } => jti.0.clone(),
            Self::IssuedBefore(Scope::App) => String::new(),
            Self::IssuedBefore(Scope::Identity(identity)) => identity.to_string(),
            Self::IssuedBefore(Scope::Device(subject)) => subject.to_string(),
        }
    }

    /// The reverse of [`Self::kind`] and [`Self::subject`]; `None` if no target has these.
    pub fn from_parts(kind: TargetKind, subject: &str, expires: Option<Timestamp>) -> Option<Self> {
        let whole = |parsed: Result<Scope, IdentityError>| parsed.ok().map(Self::IssuedBefore);
        match kind {
            TargetKind::Token => TokenId::parse(subject)
                .ok()
                .map(|jti| Self::Token { jti, expires }),
            TargetKind::App => subject.is_empty().then_some(Self::IssuedBefore(Scope::App)),
            TargetKind::Identity => whole(Identity::parse(subject).map(Scope::Identity)),
            TargetKind::Device => whole(Subject::parse(subject).map(Scope::Device)),
        }
    }
}

impl TargetKind {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::App => "app",
            Self::Identity => "identity",
            Self::Device => "device",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Token, Self::App, Self::Identity, Self::Device]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl SweepHorizon {
    /// The horizon of an app whose tokens live this long by the loosest settings that it ever
    /// had.
    ///
    /// Cautious by a few seconds: an `iat` counts in whole seconds and may lie `leeway` ahead.
    pub fn at(now: Timestamp, longest: TokenLife, leeway: Duration) -> Self {
        let slack = leeway * 2 + Duration::from_secs(1);
        Self {
            expired_before: now.minus(slack),
            issued_before: match longest {
                TokenLife::AtMost(ttl) => Some(now.minus(ttl).minus(slack)),
                TokenLife::Unlimited => None,
            },
        }
    }

    /// Whether a revocation names no living token any more.
    pub fn covers(&self, revocation: &Revocation) -> bool {
        match revocation.target {
            Target::Token {
                expires: Some(expires),
                ..
            } => expires < self.expired_before,
            Target::Token { expires: None, .. } | Target::IssuedBefore(_) => self
                .issued_before
                .is_some_and(|horizon| revocation.at < horizon),
        }
    }
}

// A target names people; only its kind may reach a log.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.kind().as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "Scope::App",
            Self::Identity(_) => "Scope::Identity(..)",
            Self::Device(_) => "Scope::Device(..)",
        })
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenId(..)")
    }
}
