use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{ApiKey, Device, Identity, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::AuthError;
use super::outbound::escaped;
use super::service::{AuthService, Outcome, hash};
use super::settings::{Preset, Provider};
use super::sign_in::outcome;
use super::social;
use super::store::OnceKind;
use crate::failure::Failure as _;
use crate::keys::ApiKeyRecord;

/// An order for a sign-in that goes through this server.
pub struct Authorize {
    /// Where the browser is sent in the end; one of the settings'.
    pub redirect_uri: String,
    /// On which device the user signs in.
    pub device: Device,
    /// The program's PKCE challenge (S256): only who knows its secret gets the token.
    pub code_challenge: String,
    /// Given back with the browser.
    pub state: Option<String>,
}

/// Where a browser has to go.
pub struct Departure {
    /// The provider's page.
    pub url: String,
    /// What the browser comes back with.
    pub state: String,
}

/// With what a browser came back from a provider.
pub struct Arrival {
    /// What it was sent with.
    pub state: String,
    /// The provider's code; without one, the user or the provider said no.
    pub code: Option<Secret<String>>,
    /// Which provider sends it back, if that says so (RFC 9207).
    pub issuer: Option<String>,
}

/// What is kept of a browser that was sent to a provider.
#[derive(Serialize, Deserialize)]
struct Flow {
    api_key: ApiKey,
    strategy: String,
    device: String,
    redirect_uri: String,
    challenge: String,
    state: Option<String>,
}

/// What is kept of one that came back.
#[derive(Serialize, Deserialize)]
struct Login {
    strategy: String,
    identity: String,
    device: String,
    challenge: String,
    profile: Option<Value>,
}

impl AuthService {
    /// Begins a sign-in at a provider that comes back to this server.
    pub async fn authorize(
        &self,
        caller: &ApiKeyRecord,
        strategy: &str,
        order: Authorize,
    ) -> Result<Departure, AuthError> {
        let settings = self.settings(caller.app).await?;
        let provider = settings
            .provider(strategy)
            .ok_or(AuthError::StrategyUnknown)?;
        if !settings.redirect_uris.contains(&order.redirect_uri) {
            return Err(AuthError::Order {
                what: "redirect_uri",
                expected: "one of those in the app's settings, as it is written there",
            });
        }
        let challenge = BASE64_URL_SAFE_NO_PAD.decode(&order.code_challenge);
        if challenge.is_ok_and(|bytes| bytes.len() != 32) || order.code_challenge.len() != 43 {
            return Err(AuthError::Order {
                what: "code_challenge",
                expected: "the SHA-256 of a code_verifier in base64url",
            });
        }
        if order
            .state
            .as_ref()
            .is_some_and(|state| state.len() > MAX_STATE)
        {
            return Err(AuthError::Order {
                what: "state",
                expected: "at most 512 bytes",
            });
        }
        let endpoint = if let Some((endpoint, _)) = social::endpoints(provider) {
            endpoint
        } else {
            let _place = self.enter(caller.app)?;
            let metadata = self.providers.metadata(caller.app, provider).await?;
            metadata.authorization_endpoint.clone().ok_or_else(|| {
                AuthError::unreachable("the provider has no page to sign in at, expected one")
            })?
        };
        let state = self.random();
        let flow = Flow {
            api_key: caller.id,
            strategy: strategy.to_owned(),
            device: order.device.to_string(),
            redirect_uri: order.redirect_uri,
            challenge: order.code_challenge,
            state: order.state,
        };
        let body = serde_json::to_string(&flow).expect("plain data");
        let until = self.clock.now().plus(FLOW_LIFE);
        self.store
            .add_once(
                caller.app,
                &hash(state.expose()),
                OnceKind::Flow,
                &body,
                until,
            )
            .await?;
        let marks = self.marks(state.expose()).await?;
        let url = departure(
            provider,
            &endpoint,
            &self.callback(),
            state.expose(),
            &marks,
        );
        Ok(Departure {
            url,
            state: state.expose().clone(),
        })
    }

    /// Takes a browser back from a provider. Gives where it is sent next: to the app's own page,
    /// with a code for that page or with an error.
    pub async fn arrive(&self, arrival: Arrival) -> Result<String, AuthError> {
        let now = self.clock.now();
        let taken = self
            .store
            .take_once(&hash(&arrival.state), OnceKind::Flow, now)
            .await?;
        let unknown = || {
            let message = "this sign-in is not under way any more, expected one that was begun at \
                           most 10 minutes ago and came back once";
            AuthError::refused("state", message)
        };
        let (app, body) = taken.ok_or_else(unknown)?;
        let flow: Flow = serde_json::from_str(&body).map_err(|_| unknown())?;
        let mut url = flow.redirect_uri.clone();
        let mut add = |name: &str, value: &str| {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(&escaped(value));
        };
        let code = match &arrival.code {
            None => Err("access_denied"),
            Some(code) => match self.land(app, &flow, &arrival, code).await {
                Ok(code) => Ok(code),
                Err(error) => {
                    if !error.is_for_caller() {
                        tracing::error!(%error, "a sign-in failed");
                    }
                    Err(error.reason().unwrap_or("server_error"))
                }
            },
        };
        match &code {
            Ok(code) => add("code", code.expose()),
            Err(reason) => add("error", reason),
        }
        if let Some(state) = &flow.state {
            add("state", state);
        }
        Ok(url)
    }

    async fn land(
        &self,
        app: hexline_model::AppId,
        flow: &Flow,
        arrival: &Arrival,
        code: &Secret<String>,
    ) -> Result<Secret<String>, AuthError> {
        let caller = self.caller(&flow.api_key.to_string())?;
        if caller.app != app {
            return Err(AuthError::StrategyUnknown);
        }
        let settings = self.settings(app).await?;
        let provider = settings
            .provider(&flow.strategy)
            .ok_or(AuthError::StrategyUnknown)?;
        if arrival.issuer.is_some() && arrival.issuer.as_deref() != provider.issuer() {
            let message = "another provider sends the browser back, expected the one it went to";
            return Err(AuthError::refused("issuer", message));
        }
        let _place = self.enter(app)?;
        let Marks { nonce, verifier } = self.marks(&arrival.state).await?;
        let callback = self.callback();
        let nonce = Some(nonce.as_str());
        let claims = self
            .code(&caller, provider, code, &verifier, &callback, nonce)
            .await?;
        let device = Device::parse(&flow.device).map_err(|_| AuthError::StrategyUnknown)?;
        let outcome = outcome(provider, device, &claims)?;
        let login = Login {
            strategy: outcome.strategy,
            identity: outcome.identity.to_string(),
            device: flow.device.clone(),
            challenge: flow.challenge.clone(),
            profile: outcome.profile,
        };
        let body = serde_json::to_string(&login).expect("plain data");
        let login = self.random();
        let until = self.clock.now().plus(LOGIN_LIFE);
        self.store
            .add_once(app, &hash(login.expose()), OnceKind::Login, &body, until)
            .await?;
        Ok(login)
    }

    /// Who came back with this code, if whoever shows it also began.
    pub(super) async fn login(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
        device: Device,
        code: &Secret<String>,
        code_verifier: &Secret<String>,
    ) -> Result<Outcome, AuthError> {
        let now = self.clock.now();
        let taken = self
            .store
            .take_once(&hash(code.expose()), OnceKind::Login, now)
            .await?;
        let refuse = || {
            let message = "the code is used, too old or another program's, expected one that this \
                           program got at most a minute ago";
            AuthError::refused("code", message)
        };
        let (app, body) = taken.ok_or_else(refuse)?;
        let login: Login = serde_json::from_str(&body).map_err(|_| refuse())?;
        let found = digest::digest(&digest::SHA256, code_verifier.expose().as_bytes());
        let found = BASE64_URL_SAFE_NO_PAD.encode(found);
        let fits =
            constant_time::verify_slices_are_equal(found.as_bytes(), login.challenge.as_bytes());
        let same =
            app == caller.app && login.strategy == provider.id && login.device == device.as_str();
        if fits.is_err() || !same {
            return Err(refuse());
        }
        Ok(Outcome {
            strategy: login.strategy,
            identity: Identity::parse(&login.identity).map_err(|_| refuse())?,
            device,
            grants: None,
            ttl: Some(provider.ttl()),
            profile: login.profile,
        })
    }

    /// The nonce and the PKCE secret of a sign-in under way. They follow from its state and from a
    /// secret of this server's, so that they stand in no database; the state alone, which the
    /// browser shows around, gives neither.
    async fn marks(&self, state: &str) -> Result<Marks, AuthError> {
        let secret = if let Some(secret) = self.vault.open_secret(FLOW_SECRET).await? {
            secret
        } else {
            let fresh = self.random();
            self.vault
                .put_secret(FLOW_SECRET, None, fresh.clone())
                .await?;
            // Another node may have been quicker.
            self.vault.open_secret(FLOW_SECRET).await?.unwrap_or(fresh)
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let mark = |purpose: &str| {
            let tag = hmac::sign(&key, format!("{purpose}/{state}").as_bytes());
            BASE64_URL_SAFE_NO_PAD.encode(tag)
        };
        Ok(Marks {
            nonce: mark("nonce"),
            verifier: Secret::new(mark("pkce")),
        })
    }

    /// What is registered at each provider.
    fn callback(&self) -> String {
        let base = self.options.url.trim_end_matches('/');
        format!("{base}/app/auth/v1/callback")
    }
}

struct Marks {
    nonce: String,
    verifier: Secret<String>,
}

fn departure(
    provider: &Provider,
    endpoint: &str,
    callback: &str,
    state: &str,
    marks: &Marks,
) -> String {
    let challenge = digest::digest(&digest::SHA256, marks.verifier.expose().as_bytes());
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(challenge);
    let scope = provider.scope();
    let mut members = vec![
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", callback),
        ("scope", &scope),
        ("state", state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    if social::endpoints(provider).is_none() {
        members.push(("nonce", &marks.nonce));
    }
    // Apple wants it as soon as it is asked for a name or an address.
    if provider.preset == Preset::Apple && scope != "openid" {
        members.push(("response_mode", "form_post"));
    }
    let mut url = endpoint.to_owned();
    for (name, value) in members {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        url.push_str(&escaped(value));
    }
    url
}

const FLOW_SECRET: &str = "auth/flow";
const FLOW_LIFE: Duration = Duration::from_mins(10);
const LOGIN_LIFE: Duration = Duration::from_mins(1);
const MAX_STATE: usize = 512;
