use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::Timestamp;
use hexline_token::Algorithm;
use hexline_token::jws::Signed;
use serde_json::{Map, Value};

use super::error::AuthError;
use super::settings::{Preset, Provider};

/// What an ID token has to say (OpenID Connect Core §3.1.3.7).
pub(super) struct Expected<'a> {
    pub(super) provider: &'a Provider,
    pub(super) issuer: &'a str,
    /// The nonce that was sent along; a token with one that nobody sent is refused.
    pub(super) nonce: Option<&'a str>,
    /// The access token that came with it.
    pub(super) access_token: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// What a provider says of a user.
pub(super) struct Claims {
    pub(super) claims: Map<String, Value>,
    /// Until when the ID token could be shown again.
    pub(super) expires: Timestamp,
}

/// Judges the claims of an ID token whose signature was checked.
pub(super) fn check(signed: &Signed, expected: &Expected<'_>) -> Result<Claims, AuthError> {
    let claims: Map<String, Value> = serde_json::from_str(&signed.payload).map_err(|_| {
        refused(
            "token_malformed",
            "the ID token's payload is no JSON object",
        )
    })?;
    let issuer = claims.get("iss").and_then(Value::as_str);
    let old_google = expected.provider.preset == Preset::Google
        && issuer == Some("accounts.google.com")
        && expected.issuer == "https://accounts.google.com";
    if issuer != Some(expected.issuer) && !old_google {
        let message = "the ID token's iss is another one, expected the provider's issuer";
        return Err(refused("issuer", message));
    }
    check_audience(&claims, expected.provider)?;
    let expires = check_times(&claims, expected.now)?;
    match (claims.get("nonce"), expected.nonce) {
        (None, None) => {}
        (Some(Value::String(found)), Some(wanted)) if same(found, wanted) => {}
        (Some(_), None) => {
            let message = "the ID token has a nonce, expected the same nonce in the request";
            return Err(refused("nonce", message));
        }
        _ => {
            let message = "the ID token's nonce is missing or another one, expected the one of \
                           the request";
            return Err(refused("nonce", message));
        }
    }
    if let (Some(found), Some(token)) = (claims.get("at_hash"), expected.access_token)
        && found.as_str() != Some(&half_hash(signed.algorithm, token))
    {
        let message = "the ID token's at_hash is not that of the access token";
        return Err(refused("at_hash", message));
    }
    Ok(Claims { claims, expires })
}

fn check_audience(claims: &Map<String, Value>, provider: &Provider) -> Result<(), AuthError> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().map_while(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences
        .iter()
        .any(|audience| provider.is_client(audience))
    {
        let message = "the ID token's aud names another client, expected this app's client id";
        return Err(refused("audience", message));
    }
    let party = claims.get("azp");
    let several = audiences.len() > 1
        && !audiences
            .iter()
            .all(|audience| provider.is_client(audience));
    match party.map(|party| party.as_str().is_some_and(|id| provider.is_client(id))) {
        Some(false) => {
            let message = "the ID token's azp names another client, expected this app's client id";
            Err(refused("audience", message))
        }
        None if several => {
            let message = "the ID token is for several clients, expected an azp that names this \
                           app's client id";
            Err(refused("audience", message))
        }
        _ => Ok(()),
    }
}

fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, AuthError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and so far off is far enough"
    )]
    let time = |name: &str| {
        let seconds = claims.get(name)?.as_f64()?;
        Some(Timestamp::from_millis((seconds * 1000.0).round() as i64))
    };
    let (Some(issued), Some(expires)) = (time("iat"), time("exp")) else {
        let message = "the ID token has no iat or exp, expected both, in seconds";
        return Err(refused("claim", message));
    };
    if expires.plus(LEEWAY) <= now {
        return Err(refused(
            "expired",
            "the ID token has expired, expected a fresh one",
        ));
    }
    let starts = time("nbf").map_or(issued, |nbf| nbf.max(issued));
    if starts > now.plus(LEEWAY) {
        let message = "the ID token is from the future, expected one that holds now";
        return Err(refused("not_yet_valid", message));
    }
    if expires > now.plus(LONGEST) {
        let message = "the ID token lives for more than a day, expected a shorter one";
        return Err(refused("too_long", message));
    }
    Ok(expires)
}

/// `at_hash`: the left half of the hash that goes with the signature's algorithm.
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let hash = match algorithm {
        Algorithm::EdDsa => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let hash = digest::digest(hash, token.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

fn same(found: &str, wanted: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(found.as_bytes(), wanted.as_bytes()).is_ok()
}

fn refused(reason: &'static str, message: &str) -> AuthError {
    AuthError::refused(reason, message)
}

/// How far clocks may stand apart.
pub(super) const LEEWAY: Duration = Duration::from_mins(1);
/// How long an ID token may live: each is remembered until its end.
const LONGEST: Duration = Duration::from_hours(24);
