//! Providers that speak OAuth 2 alone: they are asked whose access token it is, and for whom it
//! was made. A token that another client was given proves nothing.

use aws_lc_rs::hmac;
use hexline_model::Secret;
use serde_json::{Map, Value, json};

use super::error::AuthError;
use super::outbound::{Request, escaped};
use super::provider::{self, Providers};
use super::settings::{Preset, Provider};

/// Where a browser is sent to, and where its code is taken.
pub(super) fn endpoints(provider: &Provider) -> Option<(String, String)> {
    let base = |given: &str| {
        let own = provider.base_url.as_deref().unwrap_or(given);
        own.trim_end_matches('/').to_owned()
    };
    match provider.preset {
        Preset::Facebook => Some((
            format!("{}/dialog/oauth", base("https://www.facebook.com")),
            format!("{}/oauth/access_token", base(FACEBOOK)),
        )),
        Preset::Github => {
            let base = base("https://github.com");
            Some((
                format!("{base}/login/oauth/authorize"),
                format!("{base}/login/oauth/access_token"),
            ))
        }
        Preset::Oidc | Preset::Google | Preset::Apple => None,
    }
}

/// Asks whose access token it is. The claims are named as in an ID token.
pub(super) async fn who(
    providers: &Providers,
    provider: &Provider,
    secret: Option<&Secret<String>>,
    access_token: &str,
) -> Result<Map<String, Value>, AuthError> {
    let secret = secret.ok_or_else(|| {
        AuthError::unreachable("the provider's client secret is not set, expected one")
    })?;
    match provider.preset {
        Preset::Facebook => facebook(providers, provider, secret, access_token).await,
        _ => github(providers, provider, secret, access_token).await,
    }
}

async fn facebook(
    providers: &Providers,
    provider: &Provider,
    secret: &Secret<String>,
    access_token: &str,
) -> Result<Map<String, Value>, AuthError> {
    let base = provider.base_url.as_deref().unwrap_or(FACEBOOK);
    let base = base.trim_end_matches('/');
    let url = format!("{base}/debug_token?input_token={}", escaped(access_token));
    let ours = Secret::new(format!("{}|{}", provider.client_id, secret.expose()));
    let answer = providers
        .ask(Request::get(url).bearer(ours.expose()))
        .await?;
    let found: Value = provider::json(&answer)?;
    let data = &found["data"];
    if answer.status != 200 || data["is_valid"] != true {
        return Err(not_valid());
    }
    if !provider.is_client(&id_text(&data["app_id"]).unwrap_or_default()) {
        return Err(foreign());
    }
    let user = id_text(&data["user_id"]).ok_or_else(not_valid)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let proof = hex(hmac::sign(&key, access_token.as_bytes()).as_ref());
    let url = format!("{base}/me?fields=id,name,email&appsecret_proof={proof}");
    let answer = providers
        .ask(Request::get(url).bearer(access_token))
        .await?;
    if answer.status != 200 {
        return Err(not_valid());
    }
    let mut claims: Map<String, Value> = provider::json(&answer)?;
    if claims.get("id").and_then(id_text) != Some(user.clone()) {
        return Err(not_valid());
    }
    claims.insert("sub".to_owned(), user.into());
    Ok(claims)
}

async fn github(
    providers: &Providers,
    provider: &Provider,
    secret: &Secret<String>,
    access_token: &str,
) -> Result<Map<String, Value>, AuthError> {
    let base = provider.base_url.as_deref().unwrap_or(GITHUB);
    let base = base.trim_end_matches('/');
    let url = format!("{base}/applications/{}/token", escaped(&provider.client_id));
    let body = json!({"access_token": access_token}).to_string();
    let request = Request::json(url, body).basic(&provider.client_id, secret.expose());
    let answer = providers.ask(request).await?;
    if answer.status != 200 {
        return Err(not_valid());
    }
    let found: Value = provider::json(&answer)?;
    if found["app"]["client_id"].as_str() != Some(&provider.client_id) {
        return Err(foreign());
    }
    let user = id_text(&found["user"]["id"]).ok_or_else(not_valid)?;
    let request = Request::get(format!("{base}/user")).bearer(access_token);
    let answer = providers.ask(request).await?;
    if answer.status != 200 {
        return Err(not_valid());
    }
    let mut claims: Map<String, Value> = provider::json(&answer)?;
    if claims.get("id").and_then(id_text) != Some(user.clone()) {
        return Err(not_valid());
    }
    claims.insert("sub".to_owned(), user.into());
    // GitHub shows an address that its owner has chosen to show, not one that names them.
    claims.remove("email_verified");
    Ok(claims)
}

/// An id, which one writes as a text and the other as a number.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.as_u64()?.to_string()),
        _ => None,
    }
}

fn not_valid() -> AuthError {
    let message = "the provider does not know the access token, expected one that holds";
    AuthError::refused("access_token", message)
}

fn foreign() -> AuthError {
    let message = "the access token was made for another client, expected this app's client id";
    AuthError::refused("audience", message)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const FACEBOOK: &str = "https://graph.facebook.com";
const GITHUB: &str = "https://api.github.com";
