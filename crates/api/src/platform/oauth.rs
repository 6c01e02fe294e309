//! What the OAuth standards ask for: introspection (RFC 7662), revocation (RFC 7009), exchange (RFC
//! 8693). Their times are in seconds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_model::Timestamp;
use hexline_protocol::ErrorCode;
use hexline_services::revocations::Scope;
use hexline_services::tokens::{Narrower, Signer};
use hexline_token::{Access, Grants, KeyEntry as _, PlatformArea, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::form::{Form, seconds};
use super::names::invalid;
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(introspect))
        .routes(routes!(revoke))
        .routes(routes!(exchange))
}

/// A token to look at or to revoke.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformShownToken)]
pub(super) struct Shown {
    /// The token.
    token: String,
    /// What the caller takes it for; not needed.
    #[expect(dead_code, reason = "the standard has it, and lets servers do without")]
    token_type_hint: Option<String>,
}

/// What a token says, if it is good; else `active` alone.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = PlatformIntrospection)]
pub(super) struct Introspection {
    /// Whether the token is one of this app's, and would be accepted now.
    active: bool,
    /// The granted services.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// What the token grants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    grants: Option<Value>,
    /// What its key lets it grant, if that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
    /// `client` or `platform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    /// `Bearer`
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
    /// The app.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// `identity/device`
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// When it was issued, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// When it ends, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// From when on it is good, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

/// What was revoked, or nothing: the same for a token that nobody knows.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformRevokedToken)]
pub(super) struct Revoked {}

/// An order for a narrower token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformExchange, example = json!({
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "scope": "signal",
    "ttl_s": 60,
    "jti": "b2c7f1"
}))]
pub(super) struct Exchange {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    #[schema(example = "urn:ietf:params:oauth:grant-type:token-exchange")]
    grant_type: String,
    /// The client token that is to be narrowed.
    subject_token: String,
    /// `urn:ietf:params:oauth:token-type:jwt` or `…:access_token`
    #[schema(example = "urn:ietf:params:oauth:token-type:jwt")]
    subject_token_type: String,
    /// The same two.
    #[schema(example = "urn:ietf:params:oauth:token-type:jwt")]
    requested_token_type: Option<String>,
    /// The services to keep, with a space between them. Not together with `grants`.
    #[schema(example = "signal")]
    scope: Option<String>,
    /// What the new token grants, as in the claim; in a form, as JSON. Nothing that the old one
    /// does not.
    #[schema(value_type = Option<Object>, example = json!(null))]
    grants: Option<Value>,
    /// How many seconds the new one lives, at most as long as the old one.
    #[serde(default, deserialize_with = "seconds")]
    #[schema(minimum = 1, example = 60)]
    ttl_s: Option<u64>,
    /// The new one's name; unset, the old one's, so that who revokes the one revokes both.
    #[schema(example = "b2c7f1")]
    jti: Option<String>,
}

/// A narrower token.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformExchanged)]
pub(super) struct Exchanged {
    /// The token.
    access_token: String,
    /// `urn:ietf:params:oauth:token-type:jwt`
    issued_token_type: String,
    /// `Bearer`
    token_type: String,
    /// How many seconds it lives.
    expires_in: i64,
    /// The granted services.
    scope: String,
    /// What it grants.
    #[schema(value_type = Object)]
    grants: Value,
}

/// Whether a token is good, and what it says (RFC 7662)
///
/// A token that is unknown, another app's, ended or revoked is `{"active":false}` and no more.
#[utoipa::path(
    post,
    path = "/platform/v1/tokens/introspect",
    tag = "platform",
    security(("platformToken" = [])),
    request_body(content((Shown = "application/x-www-form-urlencoded"), (Shown = "application/json"))),
    responses((status = 200, description = "What it says", body = Introspection))
)]
async fn introspect(
    State(app): State<Arc<App>>,
    caller: Platform,
    Form(shown): Form<Shown>,
) -> Result<Json<Introspection>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    let Some((access, verified)) = app.authenticator.examine(&shown.token, caller.app).await?
    else {
        return Ok(Json(Introspection::default()));
    };
    let (entry, claims) = (&verified.entry, &verified.claims);
    let json = |grants: &Grants| serde_json::to_value(grants).expect("grants are JSON");
    Ok(Json(Introspection {
        active: true,
        scope: Some(scope_of(claims.grants())),
        grants: Some(json(claims.grants())),
        ceiling: entry.ceiling().map(|ceiling| json(ceiling)),
        access: Some(access.name().to_owned()),
        token_type: Some("Bearer".to_owned()),
        client_id: Some(entry.app().to_string()),
        sub: claims.subject().map(ToString::to_string),
        username: claims.subject().map(|subject| subject.identity.to_string()),
        iss: Some(claims.issuer().to_owned()),
        iat: Some(claims.issued().as_secs()),
        exp: claims.expires().map(Timestamp::as_secs),
        nbf: claims.not_before().map(Timestamp::as_secs),
        jti: claims.token_id().map(str::to_owned),
    }))
}

/// End a token (RFC 7009)
///
/// By its `jti`. A token without one is ended with every other that its device was given until
/// then. What it opened is closed. The answer is the same for a token that nobody knows.
#[utoipa::path(
    post,
    path = "/platform/v1/tokens/revoke",
    tag = "platform",
    security(("platformToken" = [])),
    request_body(content((Shown = "application/x-www-form-urlencoded"), (Shown = "application/json"))),
    responses((status = 200, description = "It is not good, or not good any more", body = Revoked))
)]
async fn revoke(
    State(app): State<Arc<App>>,
    caller: Platform,
    Form(shown): Form<Shown>,
) -> Result<Json<Revoked>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    let examined = app
        .authenticator
        .examine_ahead(&shown.token, caller.app)
        .await?;
    let Some((_, verified)) = examined else {
        return Ok(Json(Revoked {}));
    };
    let claims = &verified.claims;
    let detail = match (claims.token_id(), claims.subject()) {
        (Some(jti), _) => {
            app.revocations
                .revoke_token(caller.app, jti, claims.expires())
                .await?;
            json!({"jti": jti})
        }
        (None, Some(subject)) => {
            let scope = Scope::Device(subject.clone());
            let issued = claims.issued();
            app.revocations
                .revoke_issued_before(caller.app, scope, issued)
                .await?;
            json!({"issued_before_ms": issued.as_millis()})
        }
        (None, None) => {
            return Err(invalid(
                "a platform token without jti cannot be ended alone; revoke its key",
            ));
        }
    };
    let target = claims.subject().map(ToString::to_string);
    let target = target.unwrap_or_default();
    caller.record(&app, "token.revoke", target, detail).await;
    Ok(Json(Revoked {}))
}

/// Exchange a token for a narrower one (RFC 8693)
///
/// Same user, same device, no grant and no life that the old one has not.
#[utoipa::path(
    post,
    path = "/platform/v1/tokens/exchange",
    tag = "platform",
    security(("platformToken" = [])),
    request_body(content((Exchange = "application/x-www-form-urlencoded"), (Exchange = "application/json"))),
    responses((status = 200, description = "The narrower token", body = Exchanged))
)]
async fn exchange(
    State(app): State<Arc<App>>,
    caller: Platform,
    Form(order): Form<Exchange>,
) -> Result<Json<Exchanged>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    if order.grant_type != GRANT_TYPE {
        return Err(invalid(format!("grant_type, expected {GRANT_TYPE}")));
    }
    let kinds = [
        Some(&order.subject_token_type),
        order.requested_token_type.as_ref(),
    ];
    if !kinds.into_iter().flatten().all(|kind| is_our_kind(kind)) {
        return Err(invalid(format!(
            "the type of a token, expected {JWT_KIND} or {ACCESS_KIND}"
        )));
    }
    let examined = app
        .authenticator
        .examine(&order.subject_token, caller.app)
        .await?;
    let Some((Access::Client, old)) = examined else {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "subject_token is no good client token of this app",
        ));
    };
    let grants = wanted(&order, old.claims.grants())?;
    let narrower = Narrower {
        grants,
        ttl: order.ttl_s.map(Duration::from_secs),
        until: caller.key_ends,
        jti: order.jti.clone(),
    };
    let minted = app
        .tokens
        .exchange(caller.app, Signer::AppOr(caller.key), &old, narrower)?;
    let target = old.claims.subject().map(ToString::to_string);
    let target = target.unwrap_or_default();
    let detail = json!({"key": minted.key, "expires_ms": minted.expires.as_millis()});
    caller.record(&app, "token.exchange", target, detail).await;
    let left = minted.expires.since(app.clock.now()).as_secs();
    Ok(Json(Exchanged {
        access_token: minted.token,
        issued_token_type: JWT_KIND.to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: i64::try_from(left).unwrap_or(i64::MAX),
        scope: scope_of(&minted.grants),
        grants: serde_json::to_value(&minted.grants).expect("grants are JSON"),
    }))
}

/// The grants that are asked for; `None` is those of the old token.
fn wanted(order: &Exchange, old: &Grants) -> Result<Option<Value>, Refusal> {
    match (&order.scope, &order.grants) {
        (Some(_), Some(_)) => Err(invalid("both scope and grants, expected one of them")),
        (None, None) => Ok(None),
        // A form has nothing but text.
        (None, Some(Value::String(text))) => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| invalid("grants is not valid JSON")),
        (None, Some(grants)) => Ok(Some(grants.clone())),
        (Some(scope), None) => {
            let mut all = serde_json::to_value(old).expect("grants are JSON");
            let mut kept = Map::new();
            for word in scope.split_ascii_whitespace() {
                if Service::parse(word).is_none() {
                    return Err(invalid("scope names no service that there is"));
                }
                let grant = all.as_object_mut().and_then(|all| all.remove(word));
                // What the old one does not grant is asked for all the same, and so refused.
                let grant = grant.unwrap_or(Value::Bool(!kept.contains_key(word)));
                kept.entry(word.to_owned()).or_insert(grant);
            }
            if kept.is_empty() {
                return Err(invalid("scope is empty, expected the services to keep"));
            }
            Ok(Some(kept.into()))
        }
    }
}

fn scope_of(grants: &Grants) -> String {
    let granted = Service::ALL.into_iter().filter(|s| grants.has(*s));
    granted.map(Service::name).collect::<Vec<_>>().join(" ")
}

fn is_our_kind(kind: &str) -> bool {
    [JWT_KIND, ACCESS_KIND].contains(&kind)
}

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_KIND: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_KIND: &str = "urn:ietf:params:oauth:token-type:access_token";
