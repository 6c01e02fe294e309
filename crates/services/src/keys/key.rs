use std::fmt;

use hexline_model::{AppId, KeyId, Secret, Timestamp};
use hexline_token::{Algorithm, Grants};

use crate::vault::Sealed;

/// A key of an app, as it is stored.
///
/// Everything but `state` and `last_used` is fixed for its life; re-sealing replaces the seal of
/// a secret, never the secret.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// The token's `iss`; unique across apps.
    pub id: KeyId,
    /// To which app it belongs.
    pub app: AppId,
    /// For people; may be empty.
    pub label: String,
    /// The one algorithm of its tokens. `None` for a JWKS, whose every JWK has its own.
    pub algorithm: Option<Algorithm>,
    /// Whether it verifies.
    pub state: KeyState,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it verifies nothing, if that was decided when it was made.
    pub expires: Option<Timestamp>,
    /// When a token of it was last accepted; up to a minute behind.
    pub last_used: Option<Timestamp>,
    /// What its tokens may grant at most; `None` is no limit.
    pub ceiling: Option<Grants>,
    /// The key whose token made it, if an app's server did.
    pub made_by: Option<KeyId>,
    /// Since when another app may take its id; only of a revoked key.
    pub released: Option<Timestamp>,
    /// What verifies.
    pub material: KeyMaterial,
}

/// The life of a key: active, then retiring after a rotation, or revoked at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Verifies, and signs if it is the app's signing key.
    Active,
    /// Was rotated: still verifies until then, signs no more.
    Retiring {
        /// The end of the overlap.
        until: Timestamp,
    },
    /// Verifies nothing, for ever.
    Revoked {
        /// Since when.
        at: Timestamp,
    },
}

/// What verifies the tokens of a key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// A secret shared with the app's server, sealed.
    Hmac(Sealed),
    /// A public key in PEM.
    PublicPem(String),
    /// A public key as a JWK.
    PublicJwk(String),
    /// A JWKS document; `kid` picks the key.
    Jwks(String),
    /// A URL that gives a JWKS document; the server fetches it.
    JwksUrl(String),
}

/// An order for a key. Made by one of the constructors, refined by the methods.
///
/// ```
/// use hexline_services::keys::NewKey;
/// use hexline_token::Algorithm;
///
/// let order = NewKey::generate(Algorithm::Hs256).label("backend");
/// # let _ = order;
/// ```
#[derive(Debug, Clone)]
pub struct NewKey {
    pub(super) source: KeySource,
    pub(super) label: String,
    pub(super) expires: Option<Timestamp>,
    pub(super) ceiling: Option<Grants>,
    pub(super) made_by: Option<KeyId>,
}

/// Where the material of a new key comes from.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    Generate(Algorithm),
    Hmac {
        id: KeyId,
        algorithm: Algorithm,
        secret: Secret<String>,
    },
    PublicPem {
        pem: String,
        algorithm: Option<Algorithm>,
    },
    PublicJwk(String),
    Jwks(String),
    JwksUrl(String),
}

/// A key that was just made. The only time that a generated secret is handed out unasked.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// The key as stored.
    pub record: KeyRecord,
    /// Its secret, if it has one.
    pub secret: Option<Secret<String>>,
}

/// A key that was revoked.
#[derive(Debug, Clone, PartialEq)]
pub struct RevokedKey {
    /// The key as stored.
    pub record: KeyRecord,
    /// The keys that it had made, and those that they had made in turn, which were revoked with it.
    pub made: Vec<KeyRecord>,
}

/// What signs the tokens that the server mints for an app.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The `iss` of those tokens.
    pub id: KeyId,
    /// The `alg` of those tokens.
    pub algorithm: Algorithm,
    /// The text whose bytes are the HMAC key.
    pub secret: Secret<String>,
}

impl NewKey {
    /// A new HMAC key with a secret of at least 256 random bits, as many as the algorithm's hash
    /// has: HS256, HS384 or HS512.
    pub fn generate(algorithm: Algorithm) -> Self {
        Self::from_source(KeySource::Generate(algorithm))
    }

    /// An HMAC key that an app's server has already, under the id that it has there.
    pub fn hmac(id: KeyId, algorithm: Algorithm, secret: Secret<String>) -> Self {
        Self::from_source(KeySource::Hmac {
            id,
            algorithm,
            secret,
        })
    }

    /// A public key in PEM. `algorithm` decides between RS256 and PS256; an EC or Ed25519 key
    /// has but one.
    pub fn public_pem(pem: impl Into<String>, algorithm: Option<Algorithm>) -> Self {
        Self::from_source(KeySource::PublicPem {
            pem: pem.into(),
            algorithm,
        })
    }

    /// A public key as a JWK.
    pub fn public_jwk(jwk: impl Into<String>) -> Self {
        Self::from_source(KeySource::PublicJwk(jwk.into()))
    }

    /// A JWKS document, kept as it is.
    pub fn jwks(document: impl Into<String>) -> Self {
        Self::from_source(KeySource::Jwks(document.into()))
    }

    /// A URL that gives a JWKS document; https, or http on loopback where that is allowed.
    pub fn jwks_url(url: impl Into<String>) -> Self {
        Self::from_source(KeySource::JwksUrl(url.into()))
    }

    /// Names the key for people: at most 200 bytes, no control characters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Lets the key verify nothing from then on.
    #[must_use]
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.expires = Some(at);
        self
    }

    /// Limits what its tokens may grant.
    #[must_use]
    pub fn ceiling(mut self, ceiling: Grants) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// Says whose token makes it: it ends no later than that key as it is now, and is revoked with
    /// it.
    #[must_use]
    pub fn made_by(mut self, key: KeyId) -> Self {
        self.made_by = Some(key);
        self
    }

    fn from_source(source: KeySource) -> Self {
        Self {
            source,
            label: String::new(),
            expires: None,
            ceiling: None,
            made_by: None,
        }
    }
}

impl KeyRecord {
    /// From when on it verifies nothing, revocation apart: the earlier of its own expiry and the
    /// end of its overlap.
    pub fn end(&self) -> Option<Timestamp> {
        match (self.state, self.expires) {
            (KeyState::Retiring { until }, Some(expires)) => Some(until.min(expires)),
            (KeyState::Retiring { until }, None) => Some(until),
            (_, expires) => expires,
        }
    }

    /// Whether it may sign what the server mints now.
    pub fn may_sign(&self, now: Timestamp) -> bool {
        self.state == KeyState::Active
            && self.end().is_none_or(|end| now < end)
            && matches!(self.material, KeyMaterial::Hmac(_))
    }
}

impl KeyMaterial {
    /// One word for it, as stored and shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "hmac",
            Self::PublicPem(_) => "public_pem",
            Self::PublicJwk(_) => "public_jwk",
            Self::Jwks(_) => "jwks",
            Self::JwksUrl(_) => "jwks_url",
        }
    }

    /// What was registered, word for word; `None` for a secret.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Hmac(_) => None,
            Self::PublicPem(text)
            | Self::PublicJwk(text)
            | Self::Jwks(text)
            | Self::JwksUrl(text) => Some(text),
        }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({})", self.kind())
    }
}
