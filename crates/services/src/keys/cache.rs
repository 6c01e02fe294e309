use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hexline_model::{AppId, KeyId, Timestamp};
use hexline_token::{Grants, KeyEntry, KeySet, Rules, VerifyingKey};

use super::authorization::AuthorizedJwk;
use super::jwks::{JwksCache, JwksOrder, Wanted};
use super::key::{KeyMaterial, KeyRecord, KeyState};
use crate::apps::App;
use crate::vault::{Purpose, Sealer};

/// A usable key with its app's rules, as they were when it was looked up. Cheap to clone.
#[derive(Clone)]
pub struct KeyHandle {
    pub(super) key: Arc<CachedKey>,
    pub(super) app: Arc<CachedApp>,
    pub(super) verifying: VerifyingKey,
    /// Which JWK of a set it is.
    pub(super) kid: Option<Box<str>>,
}

/// An app with what follows from its settings.
pub(super) struct CachedApp {
    pub(super) app: App,
    pub(super) rules: Rules,
}

/// A key with what follows from its record.
pub(super) struct CachedKey {
    /// As it is stored; its last use may be behind `used`.
    pub(super) record: KeyRecord,
    pub(super) ceiling: Option<Arc<Grants>>,
    pub(super) verifies: Verifies,
    /// Shared by all generations of the same key, so that no use is forgotten.
    pub(super) used: Arc<Used>,
}

/// Never changes while a key lives.
#[derive(Clone)]
pub(super) enum Verifies {
    One(VerifyingKey),
    Set(Arc<KeySet>),
    Fetched(Arc<JwksCache>),
    /// What is stored does not pass for a key any more; logged when it was loaded.
    Nothing,
}

/// When a key was last used, and up to when that is written down.
#[derive(Default)]
pub(super) struct Used {
    latest: AtomicI64,
    flushed: AtomicI64,
}

impl KeyHandle {
    /// The key's id, the token's `iss`.
    pub fn id(&self) -> KeyId {
        self.key.record.id
    }

    /// The app that the key belongs to.
    pub fn app(&self) -> AppId {
        self.app.app.id
    }

    /// From when on the key verifies nothing.
    pub fn end(&self) -> Option<Timestamp> {
        self.key.record.end()
    }

    /// Which JWK it is, if the key is a set.
    pub(super) fn jwk(&self) -> Option<AuthorizedJwk> {
        match self.key.verifies {
            Verifies::Set(_) | Verifies::Fetched(_) => Some(AuthorizedJwk {
                kid: self.kid.clone(),
                key: self.verifying.clone(),
            }),
            Verifies::One(_) | Verifies::Nothing => None,
        }
    }

    /// Notes that a token of this key was accepted.
    pub fn touch(&self, now: Timestamp) {
        self.key.used.note(now);
    }
}

impl KeyEntry for KeyHandle {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    fn rules(&self) -> &Rules {
        &self.app.rules
    }

    fn ceiling(&self) -> Option<&Arc<Grants>> {
        self.key.ceiling.as_ref()
    }
}

/// Why a key verifies nothing.
pub(super) enum End {
    Revoked(Timestamp),
    Expired(Timestamp),
}

impl CachedKey {
    pub(super) fn end(&self, now: Timestamp) -> Option<End> {
        if let KeyState::Revoked { at } = self.record.state {
            return Some(End::Revoked(at));
        }
        self.record
            .end()
            .filter(|end| *end <= now)
            .map(End::Expired)
    }

    pub(super) fn order(&self, wanted: Wanted<'_>, now: Timestamp) -> Option<JwksOrder> {
        let (Verifies::Fetched(cache), KeyMaterial::JwksUrl(url)) =
            (&self.verifies, &self.record.material)
        else {
            return None;
        };
        let usable = self.end(now).is_none();
        (usable && cache.order(wanted, now)).then(|| JwksOrder {
            key: self.record.id,
            url: url.clone(),
        })
    }

    /// The record with the last use as known here.
    pub(super) fn shown(&self) -> KeyRecord {
        KeyRecord {
            last_used: self.used.latest(),
            ..self.record.clone()
        }
    }
}

impl Verifies {
    pub(super) fn from_record(record: &KeyRecord, sealer: &Sealer) -> Self {
        let read = || -> Result<Self, String> {
            let algorithm = || record.algorithm.ok_or("the key names no algorithm");
            Ok(match &record.material {
                KeyMaterial::Hmac(sealed) => {
                    let purpose = Purpose::HmacSecret {
                        app: record.app,
                        key: record.id,
                    };
                    let secret = sealer.open(purpose, sealed).map_err(|e| e.to_string())?;
                    let secret = secret.expose().as_bytes();
                    Self::One(VerifyingKey::hmac(algorithm()?, secret).map_err(text)?)
                }
                KeyMaterial::PublicPem(pem) => {
                    Self::One(VerifyingKey::from_pem(algorithm()?, pem).map_err(text)?)
                }
                KeyMaterial::PublicJwk(jwk) => {
                    Self::One(VerifyingKey::from_jwk(jwk).map_err(text)?)
                }
                KeyMaterial::Jwks(document) => {
                    Self::Set(Arc::new(KeySet::parse(document).map_err(text)?))
                }
                KeyMaterial::JwksUrl(_) => Self::Fetched(Arc::default()),
            })
        };
        // One bad row must not keep every other key from working.
        read().unwrap_or_else(|error| {
            tracing::error!(key.id = %record.id, %error, "a stored key can't be used");
            Self::Nothing
        })
    }
}

impl Used {
    pub(super) fn note(&self, now: Timestamp) {
        // Once a second is enough; the rest would only make the cores fight over this line.
        let now = now.as_millis();
        if self.latest.load(Ordering::Relaxed).saturating_add(1000) <= now {
            self.latest.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        let latest = self.latest.load(Ordering::Relaxed);
        (latest != 0).then(|| Timestamp::from_millis(latest))
    }

    /// Takes in what the store says.
    pub(super) fn stored(&self, at: Timestamp) {
        self.latest.fetch_max(at.as_millis(), Ordering::Relaxed);
        self.flushed(at);
    }

    /// Notes that uses up to then are written down.
    pub(super) fn flushed(&self, at: Timestamp) {
        self.flushed.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn unflushed(&self) -> Option<Timestamp> {
        let flushed = self.flushed.load(Ordering::Relaxed);
        self.latest().filter(|latest| latest.as_millis() > flushed)
    }
}

impl fmt::Debug for KeyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHandle({})", self.id())
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
