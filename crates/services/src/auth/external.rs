use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{Device, Identity, Secret};
use hexline_token::PrivateKey;
use hexline_token::jws;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::AuthError;
use super::outbound::Request;
use super::provider::unreachable;
use super::service::{AuthService, Outcome, SignedIn, hash};
use super::settings::{EXTERNAL, External, SignIn};
use crate::keys::ApiKeyRecord;

/// With what a user is signed in to the app itself.
#[derive(Default)]
pub struct Credentials {
    /// A token, of whatever kind the app has.
    pub bearer: Option<Secret<String>>,
    /// Cookies by name; only those that the settings name are passed on.
    pub cookies: BTreeMap<String, Secret<String>>,
}

/// What the app's sign-in answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    identity: String,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    grants: Option<Value>,
    #[serde(default)]
    profile: Option<Value>,
    /// Seconds.
    #[serde(default)]
    ttl: Option<u64>,
}

impl AuthService {
    /// Asks the app's existing sign-in who a user is.
    pub async fn external(
        &self,
        caller: &ApiKeyRecord,
        device: Device,
        credentials: Credentials,
    ) -> Result<SignedIn, AuthError> {
        let settings = self.settings(caller.app).await?;
        let external = settings.external.as_ref().filter(|e| e.enabled);
        let external = external.ok_or(AuthError::StrategyUnknown)?;
        let cookies: BTreeMap<&str, &str> = credentials
            .cookies
            .iter()
            .filter(|(name, _)| external.cookies.contains(name))
            .map(|(name, value)| (name.as_str(), value.expose().as_str()))
            .collect();
        let bearer = credentials.bearer.as_ref().map(Secret::expose);
        if bearer.is_none() && cookies.is_empty() {
            let message = "nothing shows who the user is, expected Authorization: Bearer or a \
                           cookie of the app";
            return Err(AuthError::refused("credentials", message));
        }
        let body = json!({
            "app": caller.app,
            "device": device.as_str(),
            "bearer": bearer,
            "cookies": cookies,
        })
        .to_string();
        let signature = self.sign_for(caller, &external.url, &body)?;
        let request = Request::json(external.url.as_str(), body).bearer(&signature);
        let answer = {
            let _place = self.enter(caller.app)?;
            let answer = self.outbound.send(request).await;
            answer.map_err(|error| unreachable(&error))?
        };
        match answer.status {
            200 => {}
            401 | 403 => {
                let message = "the app's sign-in does not know the user, expected one that is \
                               signed in there";
                return Err(AuthError::refused("credentials", message));
            }
            status => {
                let message = format!(
                    "the app's sign-in answers with status {status}, expected \
                                       200, 401 or 403"
                );
                return Err(AuthError::unreachable(message));
            }
        }
        let answer: Answer = serde_json::from_str(&answer.body).map_err(|_| senseless())?;
        let outcome = read(&settings, external, device, answer)?;
        self.finish(caller, &settings, outcome).await
    }

    /// Signs a request with the app's own key: a JWT with the body's hash, good for a minute.
    fn sign_for(&self, caller: &ApiKeyRecord, url: &str, body: &str) -> Result<String, AuthError> {
        let key = self.keys.signing_key_of(caller.app, caller.key)?;
        let now = self.clock.now().as_secs();
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let sha256 = digest::digest(&digest::SHA256, body.as_bytes());
        let header = json!({"typ": TYPE, "alg": key.algorithm.name()}).to_string();
        let claims = json!({
            "iss": key.id,
            "aud": url,
            "iat": now,
            "exp": now + 60,
            "jti": &hash(&BASE64_URL_SAFE_NO_PAD.encode(id))[..32],
            "sha256": BASE64_URL_SAFE_NO_PAD.encode(sha256),
        })
        .to_string();
        let signed = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .ok()
            .and_then(|key| jws::sign_unchecked(&header, claims.as_bytes(), &key));
        signed.ok_or_else(|| AuthError::unreachable("the request cannot be signed"))
    }
}

fn read(
    settings: &SignIn,
    external: &External,
    device: Device,
    answer: Answer,
) -> Result<Outcome, AuthError> {
    let name = format!("{}{}", external.prefix, answer.identity);
    let identity = Identity::parse(&name).map_err(|_| senseless())?;
    if answer.identity.is_empty() {
        return Err(senseless());
    }
    if !external.shares_identities && settings.is_of_a_provider(identity.as_str()) {
        let message = "the app's sign-in names a user of another strategy, expected one of its \
                       own, or shares_identities in the settings";
        return Err(AuthError::refused("identity", message));
    }
    let device = match &answer.device {
        Some(device) => Device::parse(device).map_err(|_| senseless())?,
        None => device,
    };
    if answer
        .profile
        .as_ref()
        .is_some_and(|p| p.to_string().len() > MAX_PROFILE)
    {
        return Err(senseless());
    }
    let ttl = match answer.ttl.map(Duration::from_secs) {
        Some(Duration::ZERO) => return Err(senseless()),
        Some(ttl) => ttl.min(external.ttl()),
        None => external.ttl(),
    };
    Ok(Outcome {
        strategy: EXTERNAL.to_owned(),
        identity,
        device,
        grants: answer.grants,
        ttl: Some(ttl),
        profile: answer.profile,
    })
}

fn senseless() -> AuthError {
    AuthError::unreachable(
        "the app's sign-in answers something else than {identity, device?, grants?, profile?, \
         ttl?}, each as it has to be",
    )
}

/// Not `JWT`: it is no access token.
const TYPE: &str = "hexline-sign-in+jwt";
const MAX_PROFILE: usize = 4096;
