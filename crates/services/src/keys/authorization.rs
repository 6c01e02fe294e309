use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use hexline_model::{AppId, KeyId, Route, Subject, Timestamp};
use hexline_token::{
    KeyEntry as _, Permissions, Reason, Rejection, Source, Verified, VerifyingKey,
};

use super::cache::KeyHandle;
use crate::Caller;

/// What a verified token allows, and what that depends on: enough to check it again without
/// having the token ([`reauthorize`](super::KeyRegistry::reauthorize)).
#[derive(Clone)]
pub struct Authorization {
    /// The app.
    pub app: AppId,
    /// The key that verified the token.
    pub key: KeyId,
    /// Which JWK it was, if the key is a set.
    pub jwk: Option<Box<AuthorizedJwk>>,
    /// Whose token; `None` for a platform token.
    pub subject: Option<Subject>,
    /// The token's `jti`.
    pub token_id: Option<Box<str>>,
    /// The tokens that it was exchanged for.
    pub sources: Box<[Source]>,
    /// The token's `iat`.
    pub issued: Timestamp,
    /// The token's `exp`.
    pub expires: Option<Timestamp>,
    /// The token's grants and the key's ceiling.
    pub permissions: Arc<Permissions>,
}

/// The key of a set that verified a token.
#[derive(Debug, Clone)]
pub struct AuthorizedJwk {
    /// Its name in the set, unless the token named none.
    pub kid: Option<Box<str>>,
    /// The key itself: another may take its name.
    pub key: VerifyingKey,
}

/// Why an authorization does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// The token, or the key that verified it, is no longer good.
    #[error("found {}, expected {}", .0.found, .0.expected)]
    Token(Rejection),
    /// Whom the token is for is held out. A new connection is refused with `token_revoked`.
    #[error("the identity or the device is held out until {until}")]
    Held {
        /// Until when.
        until: Timestamp,
    },
    /// The app was disabled. A new connection is refused with `token_revoked` as well.
    #[error("the app is disabled")]
    AppDisabled,
}

impl Authorization {
    /// What this token allows.
    pub fn of(verified: &Verified<KeyHandle>) -> Self {
        let (entry, claims) = (&verified.entry, &verified.claims);
        let permissions = Permissions::new(claims.grants().clone(), entry.ceiling().cloned());
        Self {
            app: entry.app(),
            key: entry.id(),
            jwk: entry.jwk().map(Box::new),
            subject: claims.subject().cloned(),
            token_id: claims.token_id().map(Box::from),
            sources: claims.sources().into(),
            issued: claims.issued(),
            expires: claims.expires(),
            permissions: Arc::new(permissions),
        }
    }

    /// Who calls by it on a connection with this route; nobody if it is an app's server's.
    pub fn connected(&self, route: Route) -> Option<Caller> {
        let subject = self.subject.as_ref()?;
        let permissions = Arc::clone(&self.permissions);
        Some(Caller::connected(self.app, subject, route, permissions))
    }

    /// Who calls by it with a request that stands alone: the user's device, or the app's server.
    pub fn over_http(&self) -> Caller {
        let permissions = Arc::clone(&self.permissions);
        match self.subject.clone() {
            Some(subject) => Caller::over_http(self.app, subject, permissions),
            None => Caller::server(self.app, permissions),
        }
    }

    /// Whether it ends with this key: the one that verified the token, or that of a token which it
    /// was exchanged for.
    pub fn depends_on_key(&self, key: KeyId) -> bool {
        let is_it = |source: &Source| KeyId::parse(source.issuer()) == Ok(key);
        self.key == key || self.sources.iter().any(is_it)
    }

    /// Whether it ends with the token of this `jti`: its own, or one that it was exchanged for.
    pub fn depends_on_token(&self, jti: &str) -> bool {
        let is_it = |source: &Source| source.token_id() == Some(jti);
        self.token_id.as_deref() == Some(jti) || self.sources.iter().any(is_it)
    }

    /// The keys, besides the one that verified the token, that it ends with.
    pub fn source_keys(&self) -> HashSet<KeyId> {
        let keys = self.sources.iter();
        let keys = keys.filter_map(|source| KeyId::parse(source.issuer()).ok());
        keys.filter(|key| *key != self.key).collect()
    }
}

impl Revoked {
    /// The reason that a new connection would be refused with.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Token(rejection) => rejection.reason,
            Self::Held { .. } | Self::AppDisabled => Reason::TokenRevoked,
        }
    }
}

impl From<Rejection> for Revoked {
    fn from(rejection: Rejection) -> Self {
        Self::Token(rejection)
    }
}

// The subject names a person.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization(key {})", self.key)
    }
}
