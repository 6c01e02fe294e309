use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::Secret;
use hexline_protocol::ErrorCode;
use hexline_services::auth::{Credentials, Proof};
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{AnonymousTry, Caller, SignInTokens, Try, device};
use crate::app::App;
use crate::kit::authenticator::bearer_of;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Ids};

/// A way to sign in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what the service writes")]
pub(super) struct Strategy {
    /// Its name.
    #[schema(example = "facebook")]
    id: String,
    /// What a page needs for it, if anything: `client_id`, `scope`, `issuer`.
    #[schema(required = false, value_type = Object)]
    params: Option<Value>,
}

/// The ways to sign in that an app has
#[utoipa::path(
    get,
    path = "/app/auth/v1/strategies",
    tag = "auth",
    security(("apikey" = [])),
    responses((status = 200, description = "What is switched on", body = Vec<Strategy>))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(app.auth.strategies(&caller).await?))
}

/// Which device signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceOnly {
    /// The device, by a name of the program's own.
    #[schema(example = "web1")]
    device: String,
}

/// Sign in without a name
///
/// The server makes a name that nobody had before. It ends with the token.
#[utoipa::path(
    post,
    path = "/app/auth/v1/strategies/anonymous/token",
    tag = "auth",
    security(("apikey" = [])),
    request_body = DeviceOnly,
    responses((status = 200, description = "Signed in", body = SignInTokens))
)]
pub(super) async fn anonymous(
    State(app): State<Arc<App>>,
    AnonymousTry(caller): AnonymousTry,
    Body(body): Body<DeviceOnly>,
) -> Result<Json<SignInTokens>, Refusal> {
    let device = device(&body.device)?;
    Ok(Json(app.auth.anonymous(&caller, device).await?.into()))
}

/// Sign in by the app's own sign-in
///
/// Whoever is signed in to the app shows it: `Authorization: Bearer`, or those cookies that the
/// app's settings name. The app's server is asked whose they are.
#[utoipa::path(
    post,
    path = "/app/auth/v1/strategies/external/token",
    tag = "auth",
    security(("apikey" = [])),
    request_body = DeviceOnly,
    responses((status = 200, description = "Signed in", body = SignInTokens))
)]
pub(super) async fn external(
    State(app): State<Arc<App>>,
    Try(caller): Try,
    headers: HeaderMap,
    Body(body): Body<DeviceOnly>,
) -> Result<Json<SignInTokens>, Refusal> {
    let device = device(&body.device)?;
    let bearer = headers.contains_key(AUTHORIZATION);
    let bearer = bearer.then(|| bearer_of(&headers)).transpose()?;
    let credentials = Credentials {
        bearer: bearer.map(Secret::new),
        cookies: cookies(&headers),
    };
    let signed_in = app.auth.external(&caller, device, credentials).await?;
    Ok(Json(signed_in.into()))
}

/// What proves who the user is: an ID token, a code with its secret, an access token of a provider
/// that has no ID tokens, or the code that this server gave. Exactly one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"device": "web1", "id_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}))]
pub(super) struct ProviderToken {
    /// The device, by a name of the program's own.
    #[schema(example = "web1")]
    device: String,
    /// An ID token of the provider.
    id_token: Option<String>,
    /// The nonce that was sent to the provider.
    nonce: Option<String>,
    /// The access token that came with the ID token; Facebook and GitHub: the proof itself.
    access_token: Option<String>,
    /// A code of the provider.
    code: Option<String>,
    /// The secret that belongs to the code (PKCE).
    code_verifier: Option<String>,
    /// Where the provider sent the code.
    redirect_uri: Option<String>,
    /// The code that the app's page got from this server.
    login_code: Option<String>,
    /// Facebook: the answer of its log-in, `{accessToken, userID, …}`.
    #[schema(value_type = Option<Object>)]
    provider: Option<Value>,
}

/// Sign in at a provider
#[utoipa::path(
    post,
    path = "/app/auth/v1/strategies/{strategy}/token",
    tag = "auth",
    security(("apikey" = [])),
    params(("strategy" = String, Path, description = "The strategy's name")),
    request_body = ProviderToken,
    responses((status = 200, description = "Signed in", body = SignInTokens))
)]
pub(super) async fn token(
    State(app): State<Arc<App>>,
    Ids(strategy): Ids<String>,
    Try(caller): Try,
    Body(body): Body<ProviderToken>,
) -> Result<Json<SignInTokens>, Refusal> {
    let device = device(&body.device)?;
    let proof = body.proof()?;
    let signed_in = app.auth.provider(&caller, &strategy, device, proof).await?;
    Ok(Json(signed_in.into()))
}

impl ProviderToken {
    fn proof(self) -> Result<Proof, Refusal> {
        let texts = [
            &self.id_token,
            &self.nonce,
            &self.access_token,
            &self.code,
            &self.code_verifier,
            &self.redirect_uri,
            &self.login_code,
        ];
        if texts.into_iter().flatten().any(|text| text.len() > LONGEST) {
            return Err(invalid("a member is too long, expected at most 8192 bytes"));
        }
        let verifier = verifier(self.code_verifier);
        let (token, code, login) = (self.id_token, self.code, self.login_code);
        match (token, code, login, self.provider, self.access_token) {
            (Some(token), None, None, None, access_token) => Ok(Proof::IdToken {
                token: Secret::new(token),
                nonce: self.nonce,
                access_token: access_token.map(Secret::new),
            }),
            (None, Some(code), None, None, None) => Ok(Proof::Code {
                code: Secret::new(code),
                code_verifier: verifier?,
                redirect_uri: self
                    .redirect_uri
                    .ok_or_else(|| invalid("redirect_uri: expected where the code was sent"))?,
                nonce: self.nonce,
            }),
            (None, None, Some(code), None, None) => Ok(Proof::LoginCode {
                code: Secret::new(code),
                code_verifier: verifier?,
            }),
            (None, None, None, Some(answer), None) => facebook(&answer),
            (None, None, None, None, Some(token)) => Ok(Proof::AccessToken {
                token: Secret::new(token),
                user: None,
            }),
            _ => Err(invalid(
                "expected exactly one proof: id_token, code with code_verifier and redirect_uri, \
                 login_code with code_verifier, access_token, or provider",
            )),
        }
    }
}

/// What Facebook's log-in answers a page, handed on as it is.
fn facebook(answer: &Value) -> Result<Proof, Refusal> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let token = text("accessToken").filter(|token| token.len() <= LONGEST);
    let expected = "provider.accessToken: expected the provider's access token";
    Ok(Proof::AccessToken {
        token: Secret::new(token.ok_or_else(|| invalid(expected))?.to_owned()),
        user: text("userID").map(str::to_owned),
    })
}

fn verifier(text: Option<String>) -> Result<Secret<String>, Refusal> {
    let fits = |text: &String| {
        (43..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    let expected = "code_verifier: expected 43 to 128 letters, digits and - . _ ~";
    let found = text.filter(fits).map(Secret::new);
    found.ok_or_else(|| invalid(expected))
}

fn cookies(headers: &HeaderMap) -> BTreeMap<String, Secret<String>> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
        .collect()
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

const LONGEST: usize = 8192;
