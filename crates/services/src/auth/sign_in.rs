use hexline_model::{Device, Secret};
use hexline_token::jws;
use hexline_token::{Algorithm, PrivateKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::AuthError;
use super::id_token::{self, Expected};
use super::outbound::Request;
use super::provider::{self, Metadata};
use super::service::{AuthService, Outcome, SignedIn, hash};
use super::settings::{Preset, Provider};
use super::social;
use super::store::OnceKind;
use super::template::Claim;
use crate::keys::ApiKeyRecord;

/// What a program shows to prove who its user is.
pub enum Proof {
    /// An ID token that it got from the provider itself.
    IdToken {
        /// The token.
        token: Secret<String>,
        /// The nonce that it sent along.
        nonce: Option<String>,
        /// The access token that came with it.
        access_token: Option<Secret<String>>,
    },
    /// A code that the provider gave to the program's own page.
    Code {
        /// The code.
        code: Secret<String>,
        /// The program's PKCE secret.
        code_verifier: Secret<String>,
        /// Where the provider sent it.
        redirect_uri: String,
        /// The nonce that it sent along.
        nonce: Option<String>,
    },
    /// An access token, from a provider without ID tokens.
    AccessToken {
        /// The token.
        token: Secret<String>,
        /// Whose it is said to be.
        user: Option<String>,
    },
    /// What this server gave to the program's page when it came back from the provider.
    LoginCode {
        /// The code.
        code: Secret<String>,
        /// The program's PKCE secret.
        code_verifier: Secret<String>,
    },
}

/// What a provider's token endpoint answers.
#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

impl AuthService {
    /// Signs in a user of a provider.
    pub async fn provider(
        &self,
        caller: &ApiKeyRecord,
        strategy: &str,
        device: Device,
        proof: Proof,
    ) -> Result<SignedIn, AuthError> {
        let settings = self.settings(caller.app).await?;
        let provider = settings
            .provider(strategy)
            .ok_or(AuthError::StrategyUnknown)?;
        let outcome = match proof {
            Proof::LoginCode {
                code,
                code_verifier,
            } => {
                self.login(caller, provider, device, &code, &code_verifier)
                    .await?
            }
            proof => {
                let _place = self.enter(caller.app)?;
                let claims = self.prove(caller, provider, proof).await?;
                outcome(provider, device, &claims)?
            }
        };
        self.finish(caller, &settings, outcome).await
    }

    async fn prove(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
        proof: Proof,
    ) -> Result<Map<String, Value>, AuthError> {
        match proof {
            Proof::IdToken {
                token,
                nonce,
                access_token,
            } => {
                let access_token = access_token.as_ref().map(|token| token.expose().as_str());
                self.id_token(
                    caller,
                    provider,
                    token.expose(),
                    nonce.as_deref(),
                    access_token,
                )
                .await
            }
            Proof::Code {
                code,
                code_verifier,
                redirect_uri,
                nonce,
            } => {
                self.code(
                    caller,
                    provider,
                    &code,
                    &code_verifier,
                    &redirect_uri,
                    nonce.as_deref(),
                )
                .await
            }
            Proof::AccessToken { token, user } => {
                let claims = self.access_token(caller, provider, token.expose()).await?;
                if user.is_some_and(|user| claims["sub"] != *user) {
                    let message = "the access token is another user's, expected the one of userID";
                    return Err(AuthError::refused("access_token", message));
                }
                Ok(claims)
            }
            Proof::LoginCode { .. } => unreachable!("taken by the caller"),
        }
    }

    /// Checks an ID token, and takes it once.
    async fn id_token(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
        token: &str,
        nonce: Option<&str>,
        access_token: Option<&str>,
    ) -> Result<Map<String, Value>, AuthError> {
        let signed = self.providers.open(caller.app, provider, token).await?;
        let issuer = provider.issuer().unwrap_or_default();
        let now = self.clock.now();
        let found = id_token::check(
            &signed,
            &Expected {
                provider,
                issuer,
                nonce,
                access_token,
                now,
            },
        )?;
        // By what is signed: a signature may have several spellings.
        let seen = jws::signed_part(token).unwrap_or(token);
        let seen = hash(&format!("{}/{}/{seen}", caller.app, provider.id));
        let until = found.expires.plus(id_token::LEEWAY * 2);
        let is_new = self
            .store
            .add_once(caller.app, &seen, OnceKind::IdToken, "", until)
            .await?;
        if !is_new {
            let message = "the ID token has been used before, expected a fresh one";
            return Err(AuthError::refused("replayed", message));
        }
        Ok(found.claims)
    }

    /// Exchanges a code at the provider, and checks what comes back.
    pub(super) async fn code(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
        code: &Secret<String>,
        code_verifier: &Secret<String>,
        redirect_uri: &str,
        nonce: Option<&str>,
    ) -> Result<Map<String, Value>, AuthError> {
        let social = social::endpoints(provider);
        let metadata = match &social {
            Some(_) => None,
            None => Some(self.providers.metadata(caller.app, provider).await?),
        };
        let endpoint = match (&social, &metadata) {
            (Some((_, endpoint)), _) => Some(endpoint),
            (None, Some(metadata)) => metadata.token_endpoint.as_ref(),
            (None, None) => None,
        };
        let endpoint = endpoint.ok_or_else(|| {
            AuthError::unreachable("the provider has no token endpoint, expected one")
        })?;
        let secret = self.client_secret(caller, provider).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("client_id", &provider.client_id),
            ("code_verifier", code_verifier.expose()),
        ];
        let in_header = metadata
            .as_deref()
            .is_some_and(|m| takes_basic(m, provider));
        if let Some(secret) = &secret
            && !in_header
        {
            form.push(("client_secret", secret.expose()));
        }
        let mut request = Request::form(endpoint.as_str(), &form);
        if let Some(secret) = &secret
            && in_header
        {
            let escaped = super::outbound::escaped;
            request = request.basic(&escaped(&provider.client_id), &escaped(secret.expose()));
        }
        let answer = self.providers.ask(request).await?;
        let body: Value = provider::json(&answer)?;
        if answer.status != 200 || body.get("error").is_some() {
            let error = body["error"].as_str().unwrap_or_default();
            if error == "invalid_client" || error == "unauthorized_client" {
                tracing::warn!(app.id = %caller.app, "a provider refuses the client id or secret");
                let message = "the provider refuses this app's client id or secret";
                return Err(AuthError::unreachable(message));
            }
            let message = "the provider refuses the code, expected one that was not used yet, \
                           with its code_verifier and redirect_uri";
            return Err(AuthError::refused("code", message));
        }
        let tokens: Tokens = provider::json(&answer)?;
        let access_token = tokens.access_token.as_deref();
        if social.is_some() {
            let token = access_token.ok_or_else(|| {
                AuthError::unreachable("the provider gives no access token, expected one")
            })?;
            return self.access_token(caller, provider, token).await;
        }
        let token = tokens.id_token.ok_or_else(|| {
            AuthError::unreachable(
                "the provider gives no ID token, expected one: is the scope \
                                    openid missing?",
            )
        })?;
        self.id_token(caller, provider, &token, nonce, access_token)
            .await
    }

    async fn access_token(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
        token: &str,
    ) -> Result<Map<String, Value>, AuthError> {
        if !matches!(provider.preset, Preset::Facebook | Preset::Github) {
            return Err(AuthError::Order {
                what: "access_token",
                expected: "an id_token or a code: an access token proves nothing at this provider",
            });
        }
        let secret = self.secret(caller.app, &provider.id).await?;
        social::who(&self.providers, provider, secret.as_ref(), token).await
    }

    /// The client secret; for Apple it is made of the private key each time.
    async fn client_secret(
        &self,
        caller: &ApiKeyRecord,
        provider: &Provider,
    ) -> Result<Option<Secret<String>>, AuthError> {
        let secret = self.secret(caller.app, &provider.id).await?;
        let (Some(pem), Preset::Apple) = (&secret, provider.preset) else {
            return Ok(secret);
        };
        let (Some(team), Some(key)) = (&provider.team_id, &provider.key_id) else {
            return Ok(secret);
        };
        let now = self.clock.now().as_secs();
        let header = json!({"alg": "ES256", "kid": key}).to_string();
        let claims = json!({
            "iss": team,
            "iat": now,
            "exp": now + 300,
            "aud": "https://appleid.apple.com",
            "sub": provider.client_id,
        });
        let signed = PrivateKey::from_pkcs8_pem(Algorithm::Es256, pem.expose())
            .ok()
            .and_then(|key| jws::sign_unchecked(&header, claims.to_string().as_bytes(), &key));
        let unusable = || AuthError::unreachable("the provider's private key is of no use");
        Ok(Some(Secret::new(signed.ok_or_else(unusable)?)))
    }
}

/// Who the claims name.
pub(super) fn outcome(
    provider: &Provider,
    device: Device,
    claims: &Map<String, Value>,
) -> Result<Outcome, AuthError> {
    let template = provider.template();
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or("");
    let named = match template.claim() {
        Claim::Sub => text("sub").to_owned(),
        Claim::Email => {
            let verified = [Some(&json!(true)), Some(&json!("true"))];
            if !verified.contains(&claims.get("email_verified")) {
                let message = "the provider has not verified the e-mail address, expected it to";
                return Err(AuthError::refused("claim", message));
            }
            // Letters of ASCII alone: others have small letters in common, as the Kelvin sign and K.
            text("email").to_ascii_lowercase()
        }
    };
    let identity = template.identity(&named).ok_or_else(|| {
        let message = "the provider names nobody, or by too long a name, expected 1 to 256 bytes";
        AuthError::refused("claim", message)
    })?;
    let mut profile = Map::new();
    for (member, claim) in &provider.profile {
        match claims.get(claim) {
            Some(Value::String(text)) if text.len() <= MAX_PROFILE_TEXT => {
                profile.insert(member.clone(), text.clone().into());
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                profile.insert(member.clone(), value.clone());
            }
            _ => {}
        }
    }
    Ok(Outcome {
        strategy: provider.id.clone(),
        identity,
        device,
        grants: None,
        ttl: Some(provider.ttl()),
        profile: (!profile.is_empty()).then(|| profile.into()),
    })
}

/// How a client shows its secret: in the header unless the provider says that it takes the form
/// alone (Discovery §3). Apple takes the form.
fn takes_basic(metadata: &Metadata, provider: &Provider) -> bool {
    if provider.preset == Preset::Apple {
        return false;
    }
    let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
    methods.is_none_or(|methods| methods.iter().any(|m| m == "client_secret_basic"))
}

const MAX_PROFILE_TEXT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_are_one_user_only_if_nothing_but_their_case_differs() {
        let provider = json!({
            "id": "p", "issuer": "https://p.example", "client_id": "c",
            "identity_template": "p-{email}",
        });
        let provider: Provider = serde_json::from_value(provider).expect("settings");
        let identity = |email: &str| {
            let claims = json!({"sub": "1", "email": email, "email_verified": true});
            let claims = claims.as_object().expect("an object");
            let device = Device::parse("web1").expect("a device");
            let outcome = outcome(&provider, device, claims).expect("somebody");
            outcome.identity.to_string()
        };
        let kate = identity("kate@example.org");
        assert_eq!(kate, "p-kate@example.org");
        assert_eq!(identity("Kate@Example.ORG"), kate);
        assert_ne!(identity("\u{212a}ate@example.org"), kate);
    }
}
