use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hexline_model::{AppId, Clock, Entropy, KeyId, Secret, Timestamp};
use tokio::sync::Mutex;

use super::app::{App, AppChanges, AppName, AppSettings, TokenLife};
use super::change::{ATTEMPTS, Change, NewcomerKey};
use super::error::KeyError;
use super::key::{CreatedKey, KeyMaterial, KeyRecord, KeyState, NewKey, RevokedKey, SigningKey};
use super::registry::{KeyRegistry, Observer, earlier};
use super::revocation::{Revocation, Scope, SweepHorizon, Target, TokenId};
use super::screen::{Screen, check_label, new_secret};
use super::seal::{Purpose, Sealer};
use super::store::{ChangeError, Changes, Revision, RevocationCursor, Stores};
use crate::reach::UrlRule;
use crate::store::StoreError;

/// The rules of apps, keys and revocations.
///
/// Questions are answered from the [`KeyRegistry`]; changes go to the store first. Changes take
/// turns, in this process by a lock and across processes by the store's revision: each is decided
/// on the state that it changes, or decided again.
///
/// A change that is dropped halfway leaves nothing half done: whatever the store committed is
/// taken in by the next change or [`refresh`](Self::refresh).
pub struct KeyService {
    pub(super) stores: Stores,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) registry: Arc<KeyRegistry>,
    screen: Screen,
    sealers: RwLock<Sealers>,
    /// The revision that the registry shows. Whoever holds the lock may change things.
    pub(super) known: Mutex<Revision>,
}

/// What a server decides for all apps.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// The server's own base URLs, which every app's tokens may name in `aud`.
    pub base_audiences: Vec<String>,
    /// Where JWKS URLs may lead.
    pub jwks_urls: UrlRule,
}

pub(super) struct Sealers {
    pub(super) current: Arc<Sealer>,
    /// Set while the store re-seals, so that a re-seal whose end nobody saw is understood.
    pub(super) next: Option<Arc<Sealer>>,
}

impl KeyService {
    /// Opens the service: checks that the master key is the database's (a new database takes it
    /// over) and loads everything.
    pub async fn open(
        stores: Stores,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: KeyOptions,
    ) -> Result<Self, KeyError> {
        let expected = stores.seals.claim(sealer.fingerprint()).await?;
        if expected != *sealer.fingerprint() {
            return Err(KeyError::WrongMasterKey {
                found: sealer.fingerprint().clone(),
                expected,
            });
        }
        let service = Self {
            stores,
            clock,
            entropy,
            registry: Arc::new(KeyRegistry::new(options.base_audiences)),
            screen: Screen {
                jwks_urls: options.jwks_urls,
            },
            sealers: RwLock::new(Sealers {
                current: Arc::new(sealer),
                next: None,
            }),
            known: Mutex::new(Revision::default()),
        };
        service.catch_up(&mut *service.known.lock().await).await?;
        Ok(service)
    }

    /// Loads what tokens are checked against, for one look: writes nothing and follows no change.
    pub async fn read(
        stores: &Stores,
        sealer: &Sealer,
        options: KeyOptions,
    ) -> Result<Arc<KeyRegistry>, KeyError> {
        let changes = stores.journal.since(Revision::default()).await?;
        if let Some(expected) = &changes.master_key
            && expected != sealer.fingerprint()
        {
            return Err(KeyError::WrongMasterKey {
                found: sealer.fingerprint().clone(),
                expected: expected.clone(),
            });
        }
        let registry = KeyRegistry::new(options.base_audiences);
        registry.apply(changes, sealer);
        Ok(Arc::new(registry))
    }

    /// Makes an app.
    pub async fn create_app(&self, name: AppName, settings: AppSettings) -> Result<App, KeyError> {
        settings.check()?;
        let app = App {
            id: AppId::generate(&*self.entropy),
            name,
            created: self.clock.now(),
            disabled: None,
            longest_life: TokenLife::of(&settings),
            settings,
            signing_key: None,
        };
        self.change(|| {
            if self.registry.find_app_by_name(&app.name).is_some() {
                return Err(KeyError::AppExists {
                    name: app.name.clone(),
                });
            }
            Ok((Some(Change::AddApp(app.clone())), app.clone()))
        })
        .await
    }

    /// Changes an app, all of it at once or nothing, and nothing but what is named. Tokens are
    /// judged by it from now on; what is open already stays open, however much tighter the
    /// settings are, until its token ends or is revoked.
    ///
    /// Settings that are looser than any before also revoke what was issued so long ago that all
    /// of it was dead by then: revocations of that time may be forgotten, and must not come
    /// undone.
    pub async fn update_app(
        &self,
        id: AppId,
        changes: impl Into<AppChanges>,
    ) -> Result<App, KeyError> {
        let changes = changes.into();
        let now = self.clock.now();
        self.change(|| {
            let old = self.app(id)?;
            let settings = changes.applied_to(&old.settings);
            settings.check()?;
            if let Some(key) = changes.signing_key {
                check_signs(&self.lookup(key)?, &old, now)?;
            }
            let new = App {
                signing_key: changes.signing_key.or(old.signing_key),
                ..old.clone().with_settings(settings)
            };
            let change = (new != old).then(|| Change::UpdateApp {
                mark: mark_of_loosening(&old, &new, now),
                app: new.clone(),
            });
            Ok((change, new))
        })
        .await
    }

    /// Refuses every token of an app until [`enable_app`](Self::enable_app). Twice is once.
    pub async fn disable_app(&self, id: AppId) -> Result<App, KeyError> {
        let now = self.clock.now();
        self.update(id, |app| App {
            disabled: app.disabled.or(Some(now)),
            ..app
        })
        .await
    }

    /// Takes an app into use again.
    pub async fn enable_app(&self, id: AppId) -> Result<App, KeyError> {
        self.update(id, |app| App {
            disabled: None,
            ..app
        })
        .await
    }

    /// Lets this key sign what the server mints for its app: an active HMAC key.
    pub async fn set_signing_key(&self, id: KeyId) -> Result<App, KeyError> {
        let now = self.clock.now();
        self.change(|| {
            let key = self.lookup(id)?;
            let old = self.app(key.app)?;
            check_signs(&key, &old, now)?;
            let app = App {
                signing_key: Some(id),
                ..old
            };
            let change = Change::UpdateApp {
                app: app.clone(),
                mark: None,
            };
            Ok((Some(change), app))
        })
        .await
    }

    /// Makes or registers a key. The first HMAC key of an app, and any that is made while none
    /// can sign, becomes its signing key.
    ///
    /// When this returns, the key is on disk: what it hands out may be shown.
    pub async fn create_key(&self, app: AppId, order: NewKey) -> Result<CreatedKey, KeyError> {
        let now = self.clock.now();
        let screened = self.screen.check(order, now, &*self.entropy)?;
        self.change(|| {
            let app = self.app(app)?;
            if let Some(old) = self.registry.key_record(screened.id)
                && (old.released.is_none() || old.app == app.id)
            {
                return Err(KeyError::KeyExists { id: screened.id });
            }
            let mut record = screened.record(app.id, now, &self.sealer());
            if let Some(maker) = screened.made_by {
                let end = self.end_of_maker(maker, &app, now)?;
                record.expires = earlier(record.expires, end);
            }
            let signs = record.may_sign(now) && self.signer(&app, now).is_none();
            let created = CreatedKey {
                record: record.clone(),
                secret: screened.secret().cloned(),
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
        self.change(|| {
            let old = self.lookup(id)?;
            if !matches!(old.material, KeyMaterial::Hmac(_)) {
                return Err(KeyError::NotRotatable {
                    id,
                    kind: old.material.kind(),
                });
            }
            require_active(&old, now)?;
            let app = self.app(old.app)?;
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
        self.change(|| {
            let mut record = self.lookup(id)?;
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
        self.change(|| {
            let mut record = self.lookup(id)?;
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
        self.change(|| {
            let old = self.lookup(id)?;
            let new = KeyRecord {
                label: label.clone(),
                ..old.clone()
            };
            let change = (new != old).then(|| Change::Label(Box::new(new.clone())));
            Ok((change, self.with_last_use(new)))
        })
        .await
    }

    /// Revokes one token. With its `exp` the revocation can be swept as soon as that is over.
    pub async fn revoke_token(
        &self,
        app: AppId,
        jti: &str,
        expires: Option<Timestamp>,
    ) -> Result<Revocation, KeyError> {
        let target = Target::Token {
            jti: TokenId::parse(jti)?,
            expires,
        };
        self.revoke(Revocation {
            app,
            target,
            at: self.clock.now(),
        })
        .await
    }

    /// Revokes every token of a scope whose `iat` is not after `at`, in whole seconds. `at` may
    /// not lie ahead: it could never be taken back, and would refuse every token until then.
    pub async fn revoke_issued_before(
        &self,
        app: AppId,
        scope: Scope,
        at: Timestamp,
    ) -> Result<Revocation, KeyError> {
        let now = self.clock.now();
        if at > now.plus(KeyRegistry::leeway()) {
            return Err(KeyError::Order {
                what: "issued_before",
                found: format!("{at}, which lies ahead"),
                expected: "a time that has come",
            });
        }
        self.revoke(Revocation {
            app,
            target: Target::IssuedBefore(scope),
            at,
        })
        .await
    }

    /// Removes the revocations that name no living token, and the holds that ended long ago. How many
    /// there were.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, KeyError> {
        let mut swept = self.sweep_holds(now).await?;
        let mut known = self.known.lock().await;
        for app in self.registry.apps() {
            swept += self.sweep_app(app.id, now, &mut known).await?;
        }
        Ok(swept)
    }

    /// Writes down when keys were last used, in one batch. How many there were.
    pub async fn flush_last_used(&self) -> Result<usize, KeyError> {
        let used = self.registry.unflushed();
        self.stores.keys.touch(&used).await?;
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

    /// The name of the master key in force.
    pub fn master_key_fingerprint(&self) -> String {
        self.sealer().fingerprint().to_string()
    }

    /// The app with this id or name.
    pub fn find_app(&self, name_or_id: &str) -> Result<App, KeyError> {
        let by_name = || {
            AppName::from_stored(name_or_id)
                .ok()
                .and_then(|name| self.registry.find_app_by_name(&name))
        };
        AppId::parse(name_or_id)
            .ok()
            .and_then(|id| self.registry.app(id))
            .or_else(by_name)
            .ok_or_else(|| KeyError::AppUnknown {
                name: name_or_id.to_owned(),
            })
    }

    /// Every app, by name.
    pub fn list_apps(&self) -> Vec<App> {
        self.registry.apps()
    }

    /// The key with this id.
    pub async fn lookup_key(&self, id: KeyId) -> Result<KeyRecord, KeyError> {
        let stored = self.stores.keys.lookup(id).await?;
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
        self.app(app)?;
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = self.stores.keys.list(app, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(keys);
            };
            after = Some((last.created, last.id));
            keys.extend(page.into_iter().map(|key| self.with_last_use(key)));
        }
    }

    /// Up to `limit` revocations of an app that come after a cursor.
    pub async fn list_revocations(
        &self,
        app: AppId,
        after: Option<&RevocationCursor>,
        limit: u32,
    ) -> Result<Vec<Revocation>, KeyError> {
        self.app(app)?;
        Ok(self.stores.revocations.list(app, after, limit).await?)
    }

    /// The secret of an HMAC key, for whoever may see it. Answers from memory.
    pub fn reveal_secret(&self, id: KeyId) -> Result<Secret<String>, KeyError> {
        let key = self.lookup(id)?;
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
        let app = self.app(app)?;
        let none = KeyError::NoSigningKey { app: app.id };
        let key = self.signer(&app, self.clock.now()).ok_or(none)?;
        self.signing(&app, &key)
    }

    /// A certain HMAC key of an app, for signing what the server mints; refused like an app that
    /// has none if it may not sign now. Answers from memory.
    pub fn signing_key_of(&self, app: AppId, key: KeyId) -> Result<SigningKey, KeyError> {
        let app = self.app(app)?;
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

    async fn update(&self, id: AppId, edit: impl Fn(App) -> App) -> Result<App, KeyError> {
        self.change(|| {
            let old = self.app(id)?;
            let new = edit(old.clone());
            let change = (new != old).then(|| Change::UpdateApp {
                app: new.clone(),
                mark: None,
            });
            Ok((change, new))
        })
        .await
    }

    async fn sweep_app(
        &self,
        id: AppId,
        now: Timestamp,
        known: &mut Revision,
    ) -> Result<u64, KeyError> {
        for _ in 0..ATTEMPTS {
            let horizon = SweepHorizon::at(now, self.app(id)?.longest_life, KeyRegistry::leeway());
            match self.stores.revocations.sweep(id, horizon, *known).await {
                Ok(swept) => {
                    self.registry.sweep(id, horizon);
                    return Ok(swept);
                }
                Err(ChangeError::Stale { .. }) => self.catch_up(known).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(KeyError::Contended)
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Revocation, KeyError> {
        let mut known = self.known.lock().await;
        // The app may have been made by another process a moment ago; the store knows.
        let revision = match self.stores.revocations.add(&revocation).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(KeyError::AppUnknown {
                    name: revocation.app.to_string(),
                });
            }
            result => result?,
        };
        self.take_in(
            &mut known,
            Changes {
                revocations: vec![revocation.clone()],
                ..Changes::none(revision)
            },
        );
        Ok(revocation)
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
        let key = self.lookup(maker)?;
        if key.app != app.id {
            return Err(KeyError::KeyUnknown { id: maker });
        }
        require_active(&key, now)?;
        Ok(key.expires)
    }

    pub(super) fn app(&self, id: AppId) -> Result<App, KeyError> {
        self.registry.app(id).ok_or_else(|| KeyError::AppUnknown {
            name: id.to_string(),
        })
    }

    pub(super) fn lookup(&self, id: KeyId) -> Result<KeyRecord, KeyError> {
        self.registry
            .stored_record(id)
            .ok_or(KeyError::KeyUnknown { id })
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

    pub(super) fn sealer(&self) -> Arc<Sealer> {
        self.sealers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .current
            .clone()
    }

    pub(super) fn sealers_mut(&self, edit: impl FnOnce(&mut Sealers)) {
        edit(&mut self.sealers.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyService({:?})", self.registry)
    }
}

/// What has to be revoked with a change to settings that are looser than any before: everything
/// issued up to where sweeping may have come. All of it is dead by the old settings, and some of
/// it may have been revoked.
fn mark_of_loosening(old: &App, new: &App, now: Timestamp) -> Option<Revocation> {
    if new.longest_life <= old.longest_life {
        return None;
    }
    let horizon = SweepHorizon::at(now, old.longest_life, KeyRegistry::leeway());
    Some(Revocation {
        app: old.id,
        target: Target::IssuedBefore(Scope::App),
        at: horizon.issued_before?,
    })
}

pub(super) fn check_signs(key: &KeyRecord, app: &App, now: Timestamp) -> Result<(), KeyError> {
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
