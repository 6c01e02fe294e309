use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{AppId, Clock, Entropy, KeyId, Secret, Timestamp};

use super::change::{Change, NewcomerKey};
use super::error::{KeyError, RegistryError};
use super::key::{CreatedKey, KeyMaterial, KeyRecord, KeyState, NewKey, RevokedKey, SigningKey};
use super::registry::{KeyRegistry, Observer, earlier};
use super::validate::{KeyValidator, check_label, new_secret};
use super::writer::RegistryWriter;
use crate::apps::App;
use crate::reach::UrlRule;
use crate::vault::{MasterKey, Purpose, Sealer};

/// The rules of keys.
///
/// Questions are answered from the [`KeyRegistry`]; changes go by the [`RegistryWriter`].
pub struct KeyService {
    pub(super) writer: Arc<RegistryWriter>,
    pub(super) registry: Arc<KeyRegistry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    validator: KeyValidator,
}

/// What a server decides for all apps.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// The server's own base URLs, which every app's tokens may name in `aud`.
    pub base_audiences: Vec<String>,
    /// Where JWKS URLs may lead.
    pub jwks_urls: UrlRule,
}

impl KeyService {
    /// Works on the keys of a registry.
    pub fn new(
        writer: Arc<RegistryWriter>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        jwks_urls: UrlRule,
    ) -> Self {
        Self {
            registry: Arc::clone(writer.registry()),
            writer,
            clock,
            entropy,
            validator: KeyValidator { jwks_urls },
        }
    }

    /// Makes or registers a key. The first HMAC key of an app, and any that is made while none
    /// can sign, becomes its signing key.
    ///
    /// When this returns, the key is on disk: what it hands out may be shown.
    pub async fn create_key(&self, app: AppId, order: NewKey) -> Result<CreatedKey, KeyError> {
        let now = self.clock.now();
        let valid = self.validator.validate(order, now, &*self.entropy)?;
        self.writer
            .change(|| {
                let app = self.registry.known_app(app)?;
                if let Some(old) = self.registry.key_record(valid.id)
                    && (old.released.is_none() || old.app == app.id)
                {
                    return Err(KeyError::KeyExists { id: valid.id });
                }
                let mut record = valid.record(app.id, now, &self.sealer());
                if let Some(maker) = valid.made_by {
                    let end = self.end_of_maker(maker, &app, now)?;
                    record.expires = earlier(record.expires, end);
                }
                let signs = record.may_sign(now) && self.signer(&app, now).is_none();
                let created = CreatedKey {
                    record: record.clone(),
                    secret: valid.secret().cloned(),
                };
                Ok((
                    Some(Change::AddKey(Box::new(NewcomerKey {
                        key: record,
                        app,
                        signs,
                    }))),
                    created,
                ))
            })
            .await
    }

    /// Replaces an HMAC key: a new one with a new id and the same algorithm, label, expiry and
    /// ceiling; the old one verifies for `overlap` more (24 hours unless given) and signs no
    /// more.
    pub async fn rotate_key(
        &self,
        id: KeyId,
        overlap: Option<Duration>,
    ) -> Result<CreatedKey, KeyError> {
        self.rotate(id, overlap, None).await
    }

    /// The same for an app's server with a token of this key, which made the new key then.
    pub async fn rotate_key_by(
        &self,
        id: KeyId,
        overlap: Option<Duration>,
        maker: KeyId,
    ) -> Result<CreatedKey, KeyError> {
        self.rotate(id, overlap, Some(maker)).await
    }

    async fn rotate(
        &self,
        id: KeyId,
        overlap: Option<Duration>,
        maker: Option<KeyId>,
    ) -> Result<CreatedKey, KeyError> {
        let overlap = overlap.unwrap_or(DEFAULT_OVERLAP);
        if overlap > MAX_OVERLAP {
            return Err(KeyError::Order {
                what: "overlap",
                found: format!("{} s", overlap.as_secs()),
                expected: "at most 365 days",
            });
        }
        let now = self.clock.now();
        let fresh = KeyId::generate(&*self.entropy);
        self.writer
            .change(|| {
                let old = self.registry.known_key(id)?;
                if !matches!(old.material, KeyMaterial::Hmac(_)) {
                    return Err(KeyError::NotRotatable {
                        id,
                        kind: old.material.kind(),
                    });
                }
                require_active(&old, now)?;
                let app = self.registry.known_app(old.app)?;
                let secret = new_secret(old.algorithm, &*self.entropy);
                let purpose = Purpose::HmacSecret {
                    app: old.app,
                    key: fresh,
                };
                let (made_by, expires) = match maker {
                    None => (old.made_by, old.expires),
                    Some(maker) => {
                        let end = self.end_of_maker(maker, &app, now)?;
                        (Some(maker), earlier(old.expires, end))
                    }
                };
                let new = KeyRecord {
                    id: fresh,
                    created: now,
                    expires,
                    last_used: None,
                    made_by,
                    material: KeyMaterial::Hmac(self.sealer().seal(purpose, secret.expose())),
                    ..old.clone()
                };
                let mut api_keys = self.registry.api_keys_of(app.id);
                api_keys.retain(|record| record.key == id);
                for record in &mut api_keys {
                    record.key = fresh;
                }
                let signs = app.signing_key == Some(id) || self.signer(&app, now).is_none();
                let created = CreatedKey {
                    record: new.clone(),
                    secret: Some(secret),
                };
                Ok((
                    Some(Change::Rotate {
                        old: Box::new(old),
                        until: now.plus(overlap),
                        new: Box::new(NewcomerKey {
                            key: new,
                            app,
                            signs,
                        }),
                        api_keys,
                    }),
                    created,
                ))
            })
            .await
    }

    /// Ends a key at once, which cannot be undone, with everything that it opened and every key that it made.
    /// Twice is once.
    pub async fn revoke_key(&self, id: KeyId) -> Result<RevokedKey, KeyError> {
        self.revoke_with(id, |key| self.registry.made_by(key.app, &[id]))
            .await
    }

    /// The same, but the keys that it made stay.
    pub async fn revoke_key_alone(&self, id: KeyId) -> Result<RevokedKey, KeyError> {
        self.revoke_with(id, |_| Vec::new()).await
    }

    async fn revoke_with(
        &self,
        id: KeyId,
        made: impl Fn(&KeyRecord) -> Vec<KeyRecord>,
    ) -> Result<RevokedKey, KeyError> {
        let at = self.clock.now();
        self.writer
            .change(|| {
                let mut record = self.registry.known_key(id)?;
                let mut made = made(&record);
                made.retain(stands);
                let own = stands(&record).then_some(&mut record);
                let revoked: Vec<KeyRecord> = own
                    .into_iter()
                    .chain(&mut made)
                    .map(|key| {
                        key.state = KeyState::Revoked { at };
                        key.clone()
                    })
                    .collect();
                let change = (!revoked.is_empty()).then_some(Change::Revoke { keys: revoked, at });
                Ok((change, RevokedKey { record, made }))
            })
            .await
    }

    /// Revokes a key with every key that it made, and lets another app take its id: the app that
    /// has it may not be the one that tokens of this id are from. Twice is once.
    pub async fn release_key(&self, id: KeyId) -> Result<RevokedKey, KeyError> {
        let at = self.clock.now();
        self.writer
            .change(|| {
                let mut record = self.registry.known_key(id)?;
                let mut made = self.registry.made_by(record.app, &[id]);
                made.retain(stands);
                if record.released.is_some() && made.is_empty() {
                    return Ok((None, RevokedKey { record, made }));
                }
                let own = stands(&record).then_some(&mut record);
                for key in own.into_iter().chain(&mut made) {
                    key.state = KeyState::Revoked { at };
                }
                record.released = record.released.or(Some(at));
                let change = Change::Release {
                    key: Box::new(record.clone()),
                    made: made.clone(),
                };
                Ok((Some(change), RevokedKey { record, made }))
            })
            .await
    }

    /// Names a key anew, for people.
    pub async fn set_label(
        &self,
        id: KeyId,
        label: impl Into<String>,
    ) -> Result<KeyRecord, KeyError> {
        let label = label.into();
        check_label(&label)?;
        self.writer
            .change(|| {
                let old = self.registry.known_key(id)?;
                let new = KeyRecord {
                    label: label.clone(),
                    ..old.clone()
                };
                let change = (new != old).then(|| Change::Label(Box::new(new.clone())));
                Ok((change, self.with_last_use(new)))
            })
            .await
    }

    /// Writes down when keys were last used, in one batch. How many there were.
    pub async fn flush_last_used(&self) -> Result<usize, KeyError> {
        let used = self.registry.unflushed();
        self.writer.stores().keys.touch(&used).await?;
        self.registry.mark_flushed(&used);
        Ok(used.len())
    }

    /// Tells this observer of every change from now on, after it took effect.
    pub fn on_event(&self, observer: Observer) {
        self.registry.on_event(observer);
    }

    /// What tokens are checked against.
    pub fn registry(&self) -> &Arc<KeyRegistry> {
        &self.registry
    }

    /// Takes in what others changed in the database and tells observers. Reads one row if
    /// nothing changed. True if something did.
    pub async fn refresh(&self) -> Result<bool, RegistryError> {
        self.writer.refresh().await
    }

    /// Re-seals every secret under a new master key, in one transaction. How many there were.
    ///
    /// The caller keeps both keys on disk until this returns: afterwards the old one opens
    /// nothing, before, the new one.
    pub async fn rotate_master_key(&self, new: &MasterKey) -> Result<u64, KeyError> {
        self.writer.reseal(new).await
    }

    /// The key with this id.
    pub async fn lookup_key(&self, id: KeyId) -> Result<KeyRecord, KeyError> {
        let stored = self.writer.stores().keys.lookup(id).await?;
        stored
            .map(|key| self.with_last_use(key))
            .ok_or(KeyError::KeyUnknown { id })
    }

    /// The keys that a key made, and those that they made in turn, oldest first; what
    /// [`revoke_key`](Self::revoke_key) revokes with it, if it stands. Answers from memory.
    pub fn keys_made_by(&self, key: &KeyRecord) -> Vec<KeyRecord> {
        self.registry.made_by(key.app, &[key.id])
    }

    /// Every key of an app, oldest first.
    pub async fn list_keys(&self, app: AppId) -> Result<Vec<KeyRecord>, KeyError> {
        self.registry.known_app(app)?;
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = self.writer.stores().keys.list(app, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(keys);
            };
            after = Some((last.created, last.id));
            keys.extend(page.into_iter().map(|key| self.with_last_use(key)));
        }
    }

    /// The secret of an HMAC key, for whoever may see it. Answers from memory.
    pub fn reveal_secret(&self, id: KeyId) -> Result<Secret<String>, KeyError> {
        let key = self.registry.known_key(id)?;
        let KeyMaterial::Hmac(sealed) = &key.material else {
            return Err(KeyError::NoSecret {
                id,
                kind: key.material.kind(),
            });
        };
        let purpose = Purpose::HmacSecret {
            app: key.app,
            key: id,
        };
        self.sealer()
            .open(purpose, sealed)
            .map_err(|source| KeyError::Seal { id, source })
    }

    /// What signs the tokens that the server mints for an app. Answers from memory.
    pub fn signing_key(&self, app: AppId) -> Result<SigningKey, KeyError> {
        let app = self.registry.known_app(app)?;
        let none = KeyError::NoSigningKey { app: app.id };
        let key = self.signer(&app, self.clock.now()).ok_or(none)?;
        self.signing(&app, &key)
    }

    /// A certain HMAC key of an app, for signing what the server mints; refused like an app that
    /// has none if it may not sign now. Answers from memory.
    pub fn signing_key_of(&self, app: AppId, key: KeyId) -> Result<SigningKey, KeyError> {
        let app = self.registry.known_app(app)?;
        let now = self.clock.now();
        let own = self.registry.key_record(key);
        let own = own.filter(|key| key.app == app.id && key.may_sign(now));
        let none = KeyError::NoSigningKey { app: app.id };
        self.signing(&app, &own.ok_or(none)?)
    }

    fn signing(&self, app: &App, key: &KeyRecord) -> Result<SigningKey, KeyError> {
        let algorithm = key
            .algorithm
            .ok_or(KeyError::NoSigningKey { app: app.id })?;
        Ok(SigningKey {
            id: key.id,
            algorithm,
            secret: self.reveal_secret(key.id)?,
        })
    }

    fn signer(&self, app: &App, now: Timestamp) -> Option<KeyRecord> {
        self.registry
            .key_record(app.signing_key?)
            .filter(|key| key.app == app.id && key.may_sign(now))
    }

    /// When what this key makes for its app ends at the latest; refused if it makes nothing now.
    fn end_of_maker(
        &self,
        maker: KeyId,
        app: &App,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, KeyError> {
        let key = self.registry.known_key(maker)?;
        if key.app != app.id {
            return Err(KeyError::KeyUnknown { id: maker });
        }
        require_active(&key, now)?;
        Ok(key.expires)
    }

    fn with_last_use(&self, key: KeyRecord) -> KeyRecord {
        let here = self
            .registry
            .key_record(key.id)
            .and_then(|known| known.last_used);
        KeyRecord {
            last_used: key.last_used.max(here),
            ..key
        }
    }

    fn sealer(&self) -> Arc<Sealer> {
        self.writer.vault().sealer()
    }
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyService({:?})", self.registry)
    }
}

pub(crate) fn check_signs(key: &KeyRecord, app: &App, now: Timestamp) -> Result<(), KeyError> {
    // Another app's key is as unknown as none.
    if key.app != app.id {
        return Err(KeyError::KeyUnknown { id: key.id });
    }
    require_secret(key)?;
    require_active(key, now)
}

fn stands(key: &KeyRecord) -> bool {
    !matches!(key.state, KeyState::Revoked { .. })
}

fn require_secret(key: &KeyRecord) -> Result<(), KeyError> {
    match key.material {
        KeyMaterial::Hmac(_) => Ok(()),
        _ => Err(KeyError::NoSecret {
            id: key.id,
            kind: key.material.kind(),
        }),
    }
}

fn require_active(key: &KeyRecord, now: Timestamp) -> Result<(), KeyError> {
    let found = match key.state {
        KeyState::Revoked { .. } => "revoked",
        KeyState::Retiring { .. } => "retiring",
        KeyState::Active if key.end().is_some_and(|end| end <= now) => "expired",
        KeyState::Active => return Ok(()),
    };
    Err(KeyError::NotActive { id: key.id, found })
}

const DEFAULT_OVERLAP: Duration = Duration::from_hours(24);
const MAX_OVERLAP: Duration = Duration::from_hours(365 * 24);
const PAGE: u32 = 500;
