use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{
    ApiKey, AppId, Clock, Device, Entropy, Identity, Monotonic, Secret, Timestamp,
};
use hexline_token::Grants;
use serde_json::Value;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::error::AuthError;
use super::outbound::Outbound;
use super::provider::Providers;
use super::settings::{ANONYMOUS, ANONYMOUS_PREFIX, EXTERNAL, SignIn};
use super::social::hex;
use super::store::AuthStore;
use crate::keys::{ApiKeyRecord, KeyService};
use crate::reach::UrlRule;
use crate::tokens::{Order, Signer, TokenService};
use crate::vault::VaultService;

/// The rules of the Auth Service.
pub struct AuthService {
    pub(super) store: Arc<dyn AuthStore>,
    pub(super) keys: Arc<KeyService>,
    pub(super) vault: Arc<VaultService>,
    tokens: Arc<TokenService>,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) providers: Providers,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) options: AuthOptions,
    gates: Mutex<HashMap<AppId, Arc<Semaphore>>>,
    /// When each app's minute began, and how many have come without a name since.
    nameless: Mutex<HashMap<AppId, (Monotonic, u32)>>,
    gone: RwLock<Vec<Gone>>,
    /// What the seeds of all lines of refresh tokens follow from.
    pub(super) seed_key: OnceCell<hmac::Key>,
}

/// What a server decides for all apps.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// The server's public URL.
    pub url: String,
    /// Where providers and apps' own sign-ins may be.
    pub urls: UrlRule,
    /// Whether Facebook's and GitHub's doors may be elsewhere. For development and tests.
    pub dev: bool,
}

/// Told of a user without a name who is no more, before the last trace of them is removed. Those
/// who keep something of them remove it now.
pub type Gone = Box<dyn Fn(AppId, &Identity) + Send + Sync>;

/// Who signed in, and what they get.
pub(super) struct Outcome {
    pub(super) strategy: String,
    pub(super) identity: Identity,
    pub(super) device: Device,
    /// What is asked for; unset, all that may be had.
    pub(super) grants: Option<Value>,
    pub(super) ttl: Option<Duration>,
    pub(super) profile: Option<Value>,
}

/// What a sign-in ends with.
pub struct SignedIn {
    /// The access token.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Who.
    pub identity: Identity,
    /// On which device.
    pub device: Device,
    /// What gets the next one, and until when.
    pub refresh: Option<(Secret<String>, Timestamp)>,
}

/// New settings, and the secrets that go with them.
#[derive(Default)]
pub struct NewSettings {
    /// All settings.
    pub settings: SignIn,
    /// Client secrets, or Apple's private keys, by provider: a new one, or none any more. Those
    /// that are not named stay.
    pub secrets: BTreeMap<String, Option<Secret<String>>>,
}

impl AuthService {
    /// Puts the service together.
    pub fn new(
        store: Arc<dyn AuthStore>,
        (keys, vault): (Arc<KeyService>, Arc<VaultService>),
        tokens: Arc<TokenService>,
        outbound: Arc<dyn Outbound>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: AuthOptions,
    ) -> Self {
        Self {
            providers: Providers::new(Arc::clone(&outbound), Arc::clone(&clock), options.urls),
            store,
            keys,
            vault,
            tokens,
            outbound,
            clock,
            entropy,
            options,
            gates: Mutex::default(),
            nameless: Mutex::default(),
            seed_key: OnceCell::new(),
            gone: RwLock::default(),
        }
    }

    /// Tells this observer of every user without a name who is no more.
    pub fn on_gone(&self, observer: Gone) {
        let mut gone = self.gone.write().unwrap_or_else(PoisonError::into_inner);
        gone.push(observer);
    }

    /// The API key that a request names, if its app may be used.
    pub fn caller(&self, api_key: &str) -> Result<ApiKeyRecord, AuthError> {
        let id = ApiKey::parse(api_key).map_err(|_| AuthError::Order {
            what: "apikey",
            expected: "32 lower-case hex digits",
        })?;
        let caller = self.keys.find_api_key(id)?;
        let app = self.keys.registry().app(caller.app);
        if app.is_none_or(|app| app.disabled.is_some()) {
            return Err(AuthError::AppDisabled);
        }
        Ok(caller)
    }

    /// What is switched on, as `GET strategies` shows it.
    pub async fn strategies(&self, caller: &ApiKeyRecord) -> Result<Value, AuthError> {
        Ok(self.settings(caller.app).await?.strategies())
    }

    /// Lets a user without a name in, under a name that nobody had before. The name ends with the
    /// token, and what is kept of it soon after.
    pub async fn anonymous(
        &self,
        caller: &ApiKeyRecord,
        device: Device,
    ) -> Result<SignedIn, AuthError> {
        let settings = self.settings(caller.app).await?.anonymous;
        if !settings.enabled {
            return Err(AuthError::StrategyUnknown);
        }
        self.count_nameless(caller.app, settings.per_minute)?;
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let name = format!("{ANONYMOUS_PREFIX}{}", hex(&bytes));
        let identity = Identity::parse(&name).expect("letters, digits and a dash");
        let outcome = Outcome {
            strategy: ANONYMOUS.to_owned(),
            identity: identity.clone(),
            device,
            grants: Some(settings.grants),
            ttl: Some(Duration::from_secs(settings.ttl_s)),
            profile: None,
        };
        let signed_in = self.mint(caller, outcome, None)?;
        let (app, now) = (caller.app, self.clock.now());
        self.store
            .add_anonymous(app, &identity, now, signed_in.expires)
            .await?;
        Ok(signed_in)
    }

    /// Counts those without a name, by the minute and app.
    fn count_nameless(&self, app: AppId, per_minute: u32) -> Result<(), AuthError> {
        let now = self.clock.monotonic();
        let mut nameless = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = nameless.entry(app).or_insert((now, 0));
        let passed = now.since(*since);
        if passed >= MINUTE {
            (*since, *count) = (now, 0);
        }
        if *count >= per_minute {
            let left = MINUTE.saturating_sub(passed).as_secs();
            let retry_after_s = u32::try_from(left).unwrap_or(1).max(1);
            return Err(AuthError::Throttled { retry_after_s });
        }
        *count += 1;
        Ok(())
    }

    /// Makes the access token, and begins a line of refresh tokens if the app has them.
    pub(super) async fn finish(
        &self,
        caller: &ApiKeyRecord,
        settings: &SignIn,
        outcome: Outcome,
    ) -> Result<SignedIn, AuthError> {
        let ceiling = ceiling(settings, &outcome.strategy)?;
        let family = settings
            .refresh
            .enabled
            .then(|| self.new_family(caller, settings, &outcome));
        let mut signed_in = self.mint(caller, outcome, Some(ceiling))?;
        if let Some((family, token)) = family {
            self.store.add_family(&family).await?;
            signed_in.refresh = Some((token, family.expires));
        }
        Ok(signed_in)
    }

    /// Makes an access token, within what the strategy may grant.
    pub(super) fn mint(
        &self,
        caller: &ApiKeyRecord,
        outcome: Outcome,
        ceiling: Option<Value>,
    ) -> Result<SignedIn, AuthError> {
        let grants = outcome.grants.or_else(|| ceiling.clone());
        let within = ceiling.map(|ceiling| Grants::parse_ceiling(&ceiling.to_string()));
        let within = within
            .transpose()
            .map_err(crate::tokens::TokenError::from)?;
        // What was set long ago is no reason to refuse somebody: the app's longest holds.
        let app = self.keys.registry().app(caller.app);
        let longest = app.map(|app| app.settings.longest_ttl);
        let order = Order {
            identity: outcome.identity.clone(),
            device: outcome.device.clone(),
            grants: grants.unwrap_or_default(),
            within,
            ttl: match (outcome.ttl, longest) {
                (Some(ttl), Some(longest)) => Some(ttl.min(longest)),
                (ttl, _) => ttl,
            },
            until: None,
            profile: outcome.profile,
            jti: None,
        };
        let minted = self
            .tokens
            .mint(caller.app, Signer::Key(caller.key), order)?;
        Ok(SignedIn {
            token: minted.token,
            expires: minted.expires,
            identity: outcome.identity,
            device: outcome.device,
            refresh: None,
        })
    }

    /// How an app's users sign in.
    pub async fn settings(&self, app: AppId) -> Result<SignIn, AuthError> {
        Ok(self.store.settings(app).await?.unwrap_or_default())
    }

    /// Which providers have a secret.
    pub async fn secrets(&self, app: AppId) -> Result<BTreeMap<String, bool>, AuthError> {
        let mut found = BTreeMap::new();
        for provider in self.settings(app).await?.oidc {
            let is_there = self.secret(app, &provider.id).await?.is_some();
            found.insert(provider.id, is_there);
        }
        Ok(found)
    }

    /// Replaces an app's settings. The secrets of providers that are no more go with them, and so
    /// does that of one which is another now: nobody else is shown it.
    pub async fn put_settings(&self, app: AppId, new: NewSettings) -> Result<SignIn, AuthError> {
        new.settings.check(self.options.urls, self.options.dev)?;
        let is_there = |id: &str| new.settings.oidc.iter().any(|provider| provider.id == id);
        for (id, secret) in &new.secrets {
            if !is_there(id) {
                return Err(AuthError::Order {
                    what: "client_secret",
                    expected: "a provider of the settings",
                });
            }
            if let Some(secret) = secret {
                check_secret(&new.settings, id, secret)?;
            }
        }
        let old = self.settings(app).await?;
        let renewed: Vec<String> = new.secrets.keys().cloned().collect();
        for (id, secret) in new.secrets {
            let name = secret_name(app, &id);
            match secret {
                Some(secret) => self.vault.put_secret(&name, Some(app), secret).await?,
                None => {
                    self.vault.remove_secret(&name).await?;
                }
            }
        }
        let now = self.clock.now();
        self.store.put_settings(app, &new.settings, now).await?;
        for provider in old.oidc {
            let kept = new.settings.oidc.iter().find(|p| p.id == provider.id);
            let is_same = kept.is_some_and(|kept| kept.is_same_client(&provider));
            if !is_same && !renewed.contains(&provider.id) {
                self.vault
                    .remove_secret(&secret_name(app, &provider.id))
                    .await?;
            }
        }
        Ok(new.settings)
    }

    pub(super) async fn secret(
        &self,
        app: AppId,
        provider: &str,
    ) -> Result<Option<Secret<String>>, AuthError> {
        Ok(self.vault.open_secret(&secret_name(app, provider)).await?)
    }

    /// A place among those of an app who wait for somebody outside; the others are turned away, so
    /// that one app's provider holds up no other's users.
    pub(super) fn enter(&self, app: AppId) -> Result<OwnedSemaphorePermit, AuthError> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates
            .entry(app)
            .or_insert_with(|| Arc::new(Semaphore::new(WAITING_PER_APP)));
        let gate = Arc::clone(gate);
        gate.try_acquire_owned()
            .map_err(|_| AuthError::Throttled { retry_after_s: 5 })
    }

    /// Removes what is over: users without a name and all that is known of them, what was good
    /// once, lines of refresh tokens that ended or were revoked with their user.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), AuthError> {
        self.end_revoked_families(now).await?;
        let ended = now.minus(GRACE);
        loop {
            let gone = self.store.ended_anonymous(ended, PAGE).await?;
            let Some(_) = gone.first() else { break };
            for (app, identity) in gone {
                for observer in &*self.gone.read().unwrap_or_else(PoisonError::into_inner) {
                    observer(app, &identity);
                }
                self.store.remove_anonymous(app, &identity).await?;
            }
        }
        self.store.sweep(now).await?;
        Ok(())
    }

    /// 256 random bits as text.
    pub(super) fn random(&self) -> Secret<String> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *bytes);
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes))
    }
}

impl std::fmt::Debug for AuthService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthService")
    }
}

/// The most that a strategy grants. Without one it is no strategy any more.
pub(super) fn ceiling(settings: &SignIn, strategy: &str) -> Result<Value, AuthError> {
    let external = settings.external.as_ref().filter(|e| e.enabled);
    let grants = match (settings.provider(strategy), external) {
        (Some(provider), _) => &provider.grants,
        (None, Some(external)) if strategy == EXTERNAL => &external.grants,
        _ => return Err(AuthError::StrategyUnknown),
    };
    Ok(grants.clone())
}

/// Whether a secret is of the sort that its provider wants.
fn check_secret(settings: &SignIn, id: &str, secret: &Secret<String>) -> Result<(), AuthError> {
    let text = secret.expose();
    let is_key = settings
        .oidc
        .iter()
        .any(|provider| provider.id == id && provider.key_id.is_some());
    let fits = if is_key {
        hexline_token::PrivateKey::from_pkcs8_pem(hexline_token::Algorithm::Es256, text).is_ok()
    } else {
        (1..=2048).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    if fits {
        return Ok(());
    }
    Err(AuthError::Order {
        what: "client_secret",
        expected: "1 to 2048 printable characters, or with key_id Apple's private key in PEM",
    })
}

/// What is stored of something random: its hash, in hex.
pub(super) fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn secret_name(app: AppId, provider: &str) -> String {
    format!("oidc/{app}/{provider}")
}

const WAITING_PER_APP: usize = 32;
const MINUTE: Duration = Duration::from_mins(1);
const PAGE: u32 = 200;
/// The door's own leeway: until then a token of a user without a name may still enter.
const GRACE: Duration = Duration::from_secs(10);
