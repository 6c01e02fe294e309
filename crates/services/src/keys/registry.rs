use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hexline_model::{ApiKey, AppId, KeyId, Subject, Timestamp};
use hexline_token::{
    Audiences, Claims, KeySet, KeyStatus, Reason, Registry, Rejection, RevocationScope, RevokedBy,
    Rules, kid_fits,
};

use super::api_key::ApiKeyRecord;
use super::authorization::{Authorization, Revoked};
use super::cache::{CachedApp, CachedKey, End, KeyHandle, Verifies};
use super::error::{KeyError, RegistryError};
use super::event::KeyEvent;
use super::jwks::{JwksOrder, Wanted};
use super::key::{KeyMaterial, KeyRecord};
use super::revoked::{RevokedTokens, TokenMarks};
use super::store::{Changes, Stores};
use crate::apps::{App, AppLimits, AppName, UnknownApp};
use crate::revocations::{Holds, SweepHorizon};
use crate::store::Revision;
use crate::vault::{Purpose, Sealer, WrongMasterKey};

/// Every app, key and revocation, in memory: what a token is checked against.
///
/// Reads take a lock for as long as a map lookup takes. Written by the key service alone, after
/// the store acknowledged; the fetched keys of a JWKS URL come from
/// [`install_jwks`](Self::install_jwks).
pub struct KeyRegistry {
    base_audiences: Vec<String>,
    state: RwLock<State>,
    observers: RwLock<Vec<Observer>>,
}

/// Hears of every change, in order. Called on the task that made the change: it has to be quick.
pub type Observer = Box<dyn Fn(&KeyEvent) + Send + Sync>;

#[derive(Default)]
struct State {
    apps: HashMap<AppId, Arc<CachedApp>>,
    names: BTreeMap<AppName, AppId>,
    keys: HashMap<KeyId, Arc<CachedKey>>,
    revoked: HashMap<AppId, RevokedTokens>,
    holds: HashMap<AppId, Holds>,
    api_keys: HashMap<ApiKey, ApiKeyRecord>,
}

impl KeyRegistry {
    pub(crate) fn new(base_audiences: Vec<String>) -> Self {
        Self {
            base_audiences,
            state: RwLock::default(),
            observers: RwLock::default(),
        }
    }

    /// Loads what tokens are checked against, for one look: writes nothing and follows no change.
    pub async fn load(
        stores: &Stores,
        sealer: &Sealer,
        base_audiences: Vec<String>,
    ) -> Result<Arc<Self>, RegistryError> {
        let changes = stores.journal.since(Revision::default()).await?;
        if let Some(expected) = &changes.master_key
            && expected != sealer.fingerprint()
        {
            let (found, expected) = (sealer.fingerprint().clone(), expected.clone());
            return Err(WrongMasterKey { found, expected }.into());
        }
        let registry = Self::new(base_audiences);
        registry.apply(changes, sealer);
        Ok(Arc::new(registry))
    }

    /// Tells this observer of every change from now on.
    pub fn on_event(&self, observer: Observer) {
        self.observers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(observer);
    }

    /// Takes in a fetched JWKS document. Tells observers if a key that was there is gone.
    /// Nothing happens if the key is no JWKS URL (any more).
    pub fn install_jwks(&self, id: KeyId, set: KeySet, now: Timestamp) {
        let Some(key) = self.key_of(id) else { return };
        let Verifies::Fetched(cache) = &key.verifies else {
            return;
        };
        if cache.install(set, now) {
            self.tell(&[KeyEvent::KeyChanged {
                app: key.record.app,
                key: id,
            }]);
        }
    }

    /// Notes that a JWKS document could not be fetched. What was fetched before stays in use.
    pub fn jwks_failed(&self, id: KeyId, now: Timestamp) {
        if let Some(key) = self.key_of(id)
            && let Verifies::Fetched(cache) = &key.verifies
        {
            cache.fail(now);
        }
    }

    /// For a token that was refused with `key_unknown`: if that cannot be said, because its `kid`
    /// is not here and the JWKS document could not be fetched, how long until it is tried again.
    pub fn jwks_undecided(
        &self,
        issuer: &str,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Option<Duration> {
        let key = self.key_of(KeyId::parse(issuer).ok()?)?;
        match &key.verifies {
            Verifies::Fetched(cache) => cache.undecided(kid, now),
            _ => None,
        }
    }

    /// Which JWKS document to fetch so that a token with this `iss` and `kid` may be known; for
    /// one that was refused with `key_unknown`. At most one order per key in half a minute, or in
    /// five seconds after a failure.
    pub fn jwks_wanted(
        &self,
        issuer: &str,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Option<JwksOrder> {
        let key = self.key_of(KeyId::parse(issuer).ok()?)?;
        key.order(Wanted::Kid(kid), now)
    }

    /// Which JWKS documents have grown old (ten minutes) or were never fetched.
    pub fn jwks_due(&self, now: Timestamp) -> Vec<JwksOrder> {
        let keys: Vec<_> = self
            .read()
            .keys
            .values()
            .filter(|key| matches!(key.verifies, Verifies::Fetched(_)))
            .cloned()
            .collect();
        keys.iter()
            .filter_map(|key| key.order(Wanted::Freshness, now))
            .collect()
    }

    /// Notes that a token of this key was accepted.
    pub fn touch(&self, id: KeyId, now: Timestamp) {
        if let Some(key) = self.read().keys.get(&id) {
            key.used.note(now);
        }
    }

    /// Checks again, after an event, what a token allowed. The answer is when that ends by itself,
    /// if it does: the earlier of `exp` + leeway and the end of the key.
    pub fn reauthorize(
        &self,
        authorization: &Authorization,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Revoked> {
        let state = self.read();
        let cached = state
            .keys
            .get(&authorization.key)
            .zip(state.apps.get(&authorization.app));
        let Some((key, app)) = cached else {
            return Err(unknown_key().into());
        };
        let mut key_end = key.record.end();
        for key in std::iter::once(Some(key)).chain(state.sources(authorization)) {
            let key = key.ok_or_else(unknown_key)?;
            if let Some(end) = key.end(now) {
                return Err(ended_key(&end).into());
            }
            key_end = earlier(key_end, key.record.end());
        }
        if let (Verifies::Fetched(cache), Some(jwk)) = (&key.verifies, &authorization.jwk)
            && cache.lost(jwk.kid.as_deref(), &jwk.key)
        {
            return Err(unknown_key().into());
        }
        let expires = authorization.expires.map(|exp| exp.plus(app.rules.leeway));
        if let Some(end) = expires.filter(|end| *end <= now) {
            return Err(Rejection::new(
                Reason::TokenExpired,
                format!("a token that ended at {end}"),
                format!("one that lives at {now}"),
            )
            .into());
        }
        let marks = TokenMarks {
            subject: authorization.subject.as_ref(),
            token_id: authorization.token_id.as_deref(),
            sources: &authorization.sources,
            issued: authorization.issued,
        };
        match state.revocation(app, marks) {
            None => {}
            Some(RevokedBy::AppDisabled) => return Err(Revoked::AppDisabled),
            Some(revoked) => return Err(refusal(revoked).into()),
        }
        if let Some(RevokedBy::Held { until, .. }) = state.hold(app, marks, now) {
            return Err(Revoked::Held { until });
        }
        Ok(earlier(expires, key_end))
    }

    /// Whether what somebody was given then is revoked by who they are or when it was; also if
    /// their app is disabled or gone. A hold is none: it ends.
    pub fn is_revoked(&self, app: AppId, subject: &Subject, issued: Timestamp) -> bool {
        let state = self.read();
        let marks = TokenMarks {
            subject: Some(subject),
            token_id: None,
            sources: &[],
            issued,
        };
        let app = state.apps.get(&app);
        app.is_none_or(|app| state.revocation(app, marks).is_some())
    }

    /// The app with this id.
    pub fn app(&self, id: AppId) -> Option<App> {
        self.read().apps.get(&id).map(|cached| cached.app.clone())
    }

    /// The app with this name.
    pub fn find_app_by_name(&self, name: &AppName) -> Option<App> {
        let state = self.read();
        state
            .names
            .get(name)
            .and_then(|id| state.apps.get(id))
            .map(|cached| cached.app.clone())
    }

    /// The app with this name or id.
    pub fn find_app(&self, name_or_id: &str) -> Result<App, UnknownApp> {
        let by_name = || {
            AppName::from_stored(name_or_id)
                .ok()
                .and_then(|name| self.find_app_by_name(&name))
        };
        AppId::parse(name_or_id)
            .ok()
            .and_then(|id| self.app(id))
            .or_else(by_name)
            .ok_or_else(|| UnknownApp {
                name: name_or_id.to_owned(),
            })
    }

    /// Every app, by name.
    pub fn apps(&self) -> Vec<App> {
        let state = self.read();
        state
            .names
            .values()
            .filter_map(|id| state.apps.get(id))
            .map(|cached| cached.app.clone())
            .collect()
    }

    /// The key with this id, with its last use as known here.
    pub fn key_record(&self, id: KeyId) -> Option<KeyRecord> {
        self.key_of(id).map(|key| key.shown())
    }

    /// The keys that these ones made, and those that they made in turn, oldest first.
    pub(super) fn made_by(&self, app: AppId, makers: &[KeyId]) -> Vec<KeyRecord> {
        let state = self.read();
        let made_here =
            |key: &&Arc<CachedKey>| key.record.app == app && key.record.made_by.is_some();
        let candidates: Vec<_> = state.keys.values().filter(made_here).collect();
        let (mut made, mut makers) = (Vec::<KeyRecord>::new(), makers.to_vec());
        while let Some(maker) = makers.pop() {
            for key in &candidates {
                let is_its = key.record.made_by == Some(maker);
                if is_its && !made.iter().any(|known| known.id == key.record.id) {
                    makers.push(key.record.id);
                    made.push(key.shown());
                }
            }
        }
        made.sort_by_key(|key| (key.created, key.id));
        made
    }

    /// The app with this id, for a change of it.
    pub(crate) fn known_app(&self, id: AppId) -> Result<App, UnknownApp> {
        self.app(id).ok_or_else(|| id.into())
    }

    /// The key with this id as it is stored, for a change of it.
    pub(crate) fn known_key(&self, id: KeyId) -> Result<KeyRecord, KeyError> {
        let known = self.key_of(id).map(|key| key.record.clone());
        known.ok_or(KeyError::KeyUnknown { id })
    }

    /// The key that signs what the server mints for an app, if it may sign now. Copies nothing.
    pub fn signer(&self, app: &AppName, now: Timestamp) -> Option<KeyId> {
        let state = self.read();
        let app = state.apps.get(state.names.get(app)?)?;
        let key = &state.keys.get(&app.app.signing_key?)?.record;
        (key.app == app.app.id && key.may_sign(now)).then_some(key.id)
    }

    pub(super) fn api_key(&self, id: ApiKey) -> Option<ApiKeyRecord> {
        self.read().api_keys.get(&id).cloned()
    }

    /// The public ids of an app, in no order.
    pub(super) fn api_keys_of(&self, app: AppId) -> Vec<ApiKeyRecord> {
        let state = self.read();
        let of_app = state.api_keys.values().filter(|record| record.app == app);
        of_app.cloned().collect()
    }

    /// The limits that an app has set itself.
    pub fn limits(&self, id: AppId) -> AppLimits {
        let state = self.read();
        let cached = state.apps.get(&id);
        cached.map_or_else(AppLimits::default, |cached| cached.app.settings.limits)
    }

    /// Whether browsers on this origin may connect for this app. Compared without regard to case.
    pub fn allows_origin(&self, id: AppId, origin: &str) -> bool {
        self.read().apps.get(&id).is_some_and(|cached| {
            let origins = &cached.app.settings.origins;
            origins.is_empty() || origins.iter().any(|o| o.eq_ignore_ascii_case(origin))
        })
    }

    /// Takes in what the store has acknowledged and tells observers what is different now.
    pub(super) fn apply(&self, changes: Changes, sealer: &Sealer) {
        // Parsing keys and opening secrets happens outside the lock; there is one writer.
        let keys: Vec<_> = changes
            .keys
            .into_iter()
            .map(|record| Arc::new(self.cache(record, sealer)))
            .collect();
        let mut events = Vec::new();
        let mut state = self.write();
        // First, for another app may have the name by now.
        for id in changes.deleted {
            if state.forget(id) {
                events.push(KeyEvent::AppDeleted { app: id });
            }
        }
        for app in changes.apps {
            let id = app.id;
            let cached = Arc::new(CachedApp {
                rules: self.rules(&app),
                app,
            });
            state.names.insert(cached.app.name.clone(), id);
            let old = state.apps.insert(id, cached.clone());
            if let Some(old) = &old
                && old.app.name != cached.app.name
                && state.names.get(&old.app.name) == Some(&id)
            {
                state.names.remove(&old.app.name);
            }
            if old.is_none_or(|old| old.app != cached.app) {
                events.push(KeyEvent::AppChanged { app: id });
            }
        }
        for key in keys {
            let (app, id) = (key.record.app, key.record.id);
            let old = state.keys.insert(id, key.clone());
            if old.as_ref().is_some_and(|old| old.record.app != app) {
                // The app that had the id lost the API keys that name it as well.
                let stays = |api_key: &ApiKeyRecord| api_key.key != id || api_key.app == app;
                state.api_keys.retain(|_, api_key| stays(api_key));
            }
            if old.is_none_or(|old| old.record.state != key.record.state) {
                events.push(KeyEvent::KeyChanged { app, key: id });
            }
        }
        for record in changes.api_keys {
            state.api_keys.insert(record.id, record);
        }
        for revocation in &changes.revocations {
            let event = KeyEvent::TokensRevoked {
                app: revocation.app,
            };
            if state
                .revoked
                .entry(revocation.app)
                .or_default()
                .add(revocation)
                && !events.contains(&event)
            {
                events.push(event);
            }
        }
        for hold in &changes.holds {
            let event = KeyEvent::HoldChanged { app: hold.app };
            let holds = state.holds.entry(hold.app).or_default();
            if holds.set(hold) && !events.contains(&event) {
                events.push(event);
            }
        }
        drop(state);
        self.tell(&events);
    }

    pub(crate) fn sweep_holds(&self, before: Timestamp) {
        self.write().holds.retain(|_, holds| {
            holds.sweep(before);
            !holds.is_empty()
        });
    }

    pub(crate) fn sweep(&self, app: AppId, horizon: SweepHorizon) {
        let mut state = self.write();
        if let Some(revoked) = state.revoked.get_mut(&app) {
            revoked.sweep(horizon);
            if revoked.is_empty() {
                state.revoked.remove(&app);
            }
        }
    }

    /// Uses that were noted since they were last reported as flushed.
    pub(super) fn unflushed(&self) -> Vec<(KeyId, Timestamp)> {
        self.read()
            .keys
            .iter()
            .filter_map(|(id, key)| key.used.unflushed().map(|at| (*id, at)))
            .collect()
    }

    pub(super) fn mark_flushed(&self, used: &[(KeyId, Timestamp)]) {
        let state = self.read();
        for (id, at) in used {
            if let Some(key) = state.keys.get(id) {
                key.used.flushed(*at);
            }
        }
    }

    fn cache(&self, mut record: KeyRecord, sealer: &Sealer) -> CachedKey {
        let purpose = Purpose::HmacSecret {
            app: record.app,
            key: record.id,
        };
        // A released id names another key by now.
        let known = self.key_of(record.id);
        let known = known.filter(|known| known.record.app == record.app);
        // A seal that only another master key opens is of no use here; the old one is.
        if let Some(known) = &known
            && let KeyMaterial::Hmac(old) = &known.record.material
            && let KeyMaterial::Hmac(new) = &mut record.material
            && new != old
            && sealer.open(purpose, new).is_err()
        {
            new.clone_from(old);
        }
        let used = known
            .as_ref()
            .map_or_else(Arc::default, |known| known.used.clone());
        let verifies = match known.as_ref().map(|known| &known.verifies) {
            None | Some(Verifies::Nothing) => Verifies::from_record(&record, sealer),
            Some(known) => known.clone(),
        };
        if let Some(at) = record.last_used {
            used.stored(at);
        }
        let ceiling = record.ceiling.clone().map(Arc::new);
        CachedKey {
            record,
            ceiling,
            verifies,
            used,
        }
    }

    /// How far clocks may be apart; the same for every app.
    pub(crate) fn leeway() -> Duration {
        Rules::new(Audiences::default()).leeway
    }

    fn rules(&self, app: &App) -> Rules {
        let bases = self.base_audiences.iter().chain(&app.settings.audiences);
        Rules {
            longest_ttl: app.settings.longest_ttl,
            exp_required: app.settings.exp_required,
            ..Rules::new(Audiences::new(bases))
        }
    }

    fn key_of(&self, id: KeyId) -> Option<Arc<CachedKey>> {
        self.read().keys.get(&id).cloned()
    }

    fn tell(&self, events: &[KeyEvent]) {
        let observers = self
            .observers
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for event in events {
            for observer in observers.iter() {
                observer(event);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry for KeyRegistry {
    type Entry = KeyHandle;

    fn key(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> KeyStatus<KeyHandle> {
        let Ok(id) = KeyId::parse(issuer) else {
            return KeyStatus::Unknown;
        };
        let state = self.read();
        let Some(key) = state.keys.get(&id).cloned() else {
            return KeyStatus::Unknown;
        };
        let Some(app) = state.apps.get(&key.record.app).cloned() else {
            return KeyStatus::Unknown;
        };
        drop(state);
        match key.end(now) {
            Some(End::Revoked(at)) => return KeyStatus::Revoked { at },
            Some(End::Expired(at)) => return KeyStatus::Expired { at },
            None => {}
        }
        let verifying = match &key.verifies {
            Verifies::One(only) => Some(only).filter(|_| kid_fits(issuer, kid)).cloned(),
            Verifies::Set(set) => set.select(kid).cloned(),
            Verifies::Fetched(cache) => cache.select(kid),
            Verifies::Nothing => None,
        };
        let Some(verifying) = verifying else {
            return KeyStatus::Unknown;
        };
        let kid = match key.verifies {
            Verifies::Set(_) | Verifies::Fetched(_) => kid.map(Box::from),
            Verifies::One(_) | Verifies::Nothing => None,
        };
        KeyStatus::Usable(KeyHandle {
            key,
            app,
            verifying,
            kid,
        })
    }

    fn source(&self, entry: &KeyHandle, issuer: &str, now: Timestamp) -> KeyStatus<()> {
        let state = self.read();
        let key = KeyId::parse(issuer).ok().and_then(|id| state.keys.get(&id));
        match key.filter(|key| key.record.app == entry.app()) {
            None => KeyStatus::Unknown,
            Some(key) => match key.end(now) {
                None => KeyStatus::Usable(()),
                Some(End::Revoked(at)) => KeyStatus::Revoked { at },
                Some(End::Expired(at)) => KeyStatus::Expired { at },
            },
        }
    }

    fn revocation(&self, entry: &KeyHandle, claims: &Claims, now: Timestamp) -> Option<RevokedBy> {
        let marks = TokenMarks {
            subject: claims.subject(),
            token_id: claims.token_id(),
            sources: claims.sources(),
            issued: claims.issued(),
        };
        // The app as it is now: it may have been disabled since the handle was made.
        let state = self.read();
        match state.apps.get(&entry.app()) {
            Some(app) => state
                .revocation(app, marks)
                .or_else(|| state.hold(app, marks, now)),
            // Deleted since.
            None => Some(RevokedBy::AppDisabled),
        }
    }
}

impl State {
    /// Strikes out a deleted app with all that it had; `false` if it was not here.
    fn forget(&mut self, id: AppId) -> bool {
        let Some(gone) = self.apps.remove(&id) else {
            return false;
        };
        if self.names.get(&gone.app.name) == Some(&id) {
            self.names.remove(&gone.app.name);
        }
        self.keys.retain(|_, key| key.record.app != id);
        self.api_keys.retain(|_, record| record.app != id);
        self.revoked.remove(&id);
        self.holds.remove(&id);
        true
    }

    /// The keys of the tokens that a token was exchanged for.
    fn sources<'a>(
        &'a self,
        authorization: &'a Authorization,
    ) -> impl Iterator<Item = Option<&'a Arc<CachedKey>>> {
        authorization.sources.iter().map(|source| {
            let key = self.keys.get(&KeyId::parse(source.issuer()).ok()?)?;
            (key.record.app == authorization.app).then_some(key)
        })
    }

    fn revocation(&self, app: &CachedApp, token: TokenMarks<'_>) -> Option<RevokedBy> {
        if app.app.disabled.is_some() {
            return Some(RevokedBy::AppDisabled);
        }
        self.revoked
            .get(&app.app.id)
            .and_then(|revoked| revoked.find(token))
    }

    fn hold(&self, app: &CachedApp, token: TokenMarks<'_>, now: Timestamp) -> Option<RevokedBy> {
        self.holds.get(&app.app.id)?.find(token.subject?, now)
    }
}

impl fmt::Debug for KeyRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        write!(
            f,
            "KeyRegistry({} apps, {} keys)",
            state.apps.len(),
            state.keys.len()
        )
    }
}

fn refusal(revoked: RevokedBy) -> Rejection {
    let found = match revoked {
        RevokedBy::Token => "a token that was revoked".to_owned(),
        RevokedBy::Source => "a token exchanged for one that was revoked".to_owned(),
        RevokedBy::AppDisabled => "an app that is disabled".to_owned(),
        RevokedBy::Held { until, .. } => format!("a user who is held out until {until}"),
        RevokedBy::IssuedBefore { scope, at } => {
            let scope = match scope {
                RevocationScope::App => "app",
                RevocationScope::Identity => "identity",
                RevocationScope::Device => "device",
            };
            format!("a token of a {scope} whose tokens were revoked at {at}")
        }
    };
    Rejection::new(Reason::TokenRevoked, found, "a token that was not revoked")
}

/// The earlier of two ends; `None` is no end.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn ended_key(end: &End) -> Rejection {
    let (reason, found) = match end {
        End::Revoked(at) => (
            Reason::KeyRevoked,
            format!("a key that was revoked at {at}"),
        ),
        End::Expired(at) => (Reason::KeyExpired, format!("a key that ended at {at}")),
    };
    Rejection::new(reason, found, "a key that is in use")
}

fn unknown_key() -> Rejection {
    Rejection::new(
        Reason::KeyUnknown,
        "a key that is gone",
        "a key that is in use",
    )
}
