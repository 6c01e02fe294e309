use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{AppId, Device, Identity, KeyId, Subject, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::keys::{Authorization, KeyHandle, KeyRegistry};
use hexline_services::revocations::{Revocation, RevocationCursor, Scope, Target, TargetKind};
use hexline_services::tokens::TokenError;
use hexline_token::{
    Access, BuildError, Claims, KeyStatus, Outcome, PrivateKey, Registry, RevokedBy, Service,
    TokenBuilder, UnverifiedToken, explain,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::apps::{key_id, readable, writable};
use super::guard::Signed;
use super::keys::Closed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(build))
        .routes(routes!(inspect))
        .routes(routes!(list_revocations, revoke))
}

/// An order for a token. It is made as it is ordered, whatever a door would say of it.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleTokenOrder, example = json!({
    "access": "client", "identity": "alice", "device": "web1", "grants": {"signal": true}
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// `client` unless set, or `platform`.
    #[serde(default)]
    access: Option<AccessName>,
    /// Who; in a client token.
    #[serde(default)]
    identity: Option<String>,
    /// On which device; in a client token.
    #[serde(default)]
    device: Option<String>,
    /// What it grants.
    #[schema(value_type = Object)]
    grants: Value,
    /// How long it lives; an hour if neither this nor `exp` is set.
    #[serde(default)]
    ttl_s: Option<u64>,
    /// Until when it lives, in seconds.
    #[serde(default)]
    exp: Option<i64>,
    /// From when on it lives, in seconds.
    #[serde(default)]
    nbf: Option<i64>,
    /// By which it can be revoked.
    #[serde(default)]
    jti: Option<String>,
    /// What it says of the user.
    #[serde(default)]
    profile: Option<Value>,
    /// Another audience than this server.
    #[serde(default)]
    aud: Option<String>,
    /// The HMAC key that signs; the app's signing key unless set.
    #[serde(default)]
    key: Option<String>,
}

/// The kinds of token.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsoleTokenAccessName)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessName {
    /// Of a user's device.
    Client,
    /// Of an app's server.
    Platform,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleTokenBuilt)]
pub(crate) struct Built {
    token: String,
}

/// A token to look at.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleTokenSpecimen)]
#[serde(deny_unknown_fields)]
pub(crate) struct Specimen {
    token: String,
    /// As which kind it is checked; unset, its own look decides.
    #[serde(default)]
    access: Option<AccessName>,
    /// A service that it should grant.
    #[serde(default)]
    grant: Option<GrantName>,
}

/// The services.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = ConsoleTokenGrantName)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrantName {
    Signal,
    Chat,
    Push,
    Video,
    Platform,
}

/// A token taken apart.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleTokenInspection)]
pub(crate) struct Inspection {
    /// As which kind it was checked.
    access: &'static str,
    /// The header, if it can be read.
    #[schema(value_type = Option<Object>)]
    header: Option<Box<RawValue>>,
    /// The claims, if they can be read.
    #[schema(value_type = Option<Object>)]
    claims: Option<Box<RawValue>>,
    /// Every check, in order; the first that fails decides.
    checks: Vec<CheckView>,
    /// When it ends, if it says so.
    expires_ms: Option<i64>,
    /// The app whose key signed, if the operator sees it.
    #[schema(value_type = Option<String>)]
    app: Option<AppId>,
}

/// A check.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleTokenCheckView)]
pub(crate) struct CheckView {
    number: u8,
    /// What is checked, in a word.
    check: &'static str,
    /// The code of the refusal, if it failed.
    #[schema(value_type = Option<String>)]
    reason: Option<hexline_token::Reason>,
    outcome: OutcomeName,
    /// What was found.
    found: String,
    /// What was wanted.
    expected: String,
}

/// What a check came to.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleTokenOutcomeName)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutcomeName {
    Pass,
    Fail,
    NotReached,
}

/// Which tokens to revoke: one by its `jti`, those of a user, of one device, or all.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleTokenWhich, example = json!({"identity": "alice", "device": "web1"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    #[serde(default)]
    jti: Option<String>,
    /// With a `jti`: when the token ends, in milliseconds, after which the revocation is forgotten.
    #[serde(default)]
    expires_ms: Option<i64>,
    #[serde(default)]
    identity: Option<String>,
    /// One device of the identity.
    #[serde(default)]
    device: Option<String>,
    /// Every token of the app.
    #[serde(default)]
    all: Option<bool>,
    /// Those issued up to then, in milliseconds; now unless set. Not with a `jti`.
    #[serde(default)]
    issued_before_ms: Option<i64>,
}

/// Tokens that are refused.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleTokenRevocationView)]
pub(crate) struct RevocationView {
    /// The one token.
    jti: Option<String>,
    /// All of a user.
    identity: Option<String>,
    /// All of one device.
    device: Option<String>,
    /// Every token of the app.
    all: bool,
    /// Those issued up to then.
    issued_before_ms: Option<i64>,
    /// When a single token was revoked.
    revoked_ms: Option<i64>,
    /// When a single token ends by itself.
    until_ms: Option<i64>,
}

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// How many: 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// Make a token
///
/// With any claims, for trying things out.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/tokens/build",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Order,
    responses(
        (status = 200, description = "The token", body = Built),
        (status = 409, description = "No key can sign", body = ErrorBody),
    )
)]
async fn build(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(order): Body<Order>,
) -> Result<Json<Built>, Refusal> {
    writable(&app, &signed, id)?;
    let key = match order.key.as_deref().map(key_id).transpose()? {
        Some(key) => app.keys.signing_key_of(id, key)?,
        None => app.keys.signing_key(id)?,
    };
    let access = order.access.map_or(Access::Client, Access::from);
    let target = match (access, &order.identity, &order.device) {
        (Access::Client, Some(identity), Some(device)) => format!("{identity}/{device}"),
        _ => access.name().to_owned(),
    };
    let detail =
        json!({ "access": access.name(), "key": key.id, "jti": order.jti, "grants": order.grants });
    let signer = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes());
    let signer = signer.map_err(|e| refusal(BuildError::from(e)))?;
    let mut builder = TokenBuilder::create()
        .signing_key(key.id.to_string(), signer)
        .access(access.name())
        .api(&app.url)
        .grants(order.grants);
    if let Some(identity) = order.identity {
        builder = builder.identity(identity);
    }
    if let Some(device) = order.device {
        builder = builder.device(device);
    }
    if let Some(jti) = order.jti {
        builder = builder.jti(jti);
    }
    if let Some(audience) = order.aud {
        builder = builder.aud(audience);
    }
    if let Some(profile) = order.profile {
        builder = builder.profile(profile);
    }
    if let Some(ttl) = order.ttl_s {
        builder = builder.ttl(ttl);
    }
    if let Some(exp) = order.exp {
        builder = builder.exp(exp);
    }
    if let Some(nbf) = order.nbf {
        builder = builder.nbf(nbf);
    }
    let token = builder.build_at(app.clock.now()).map_err(refusal)?;
    let entry = signed.entry("token.build", Some(id), target);
    app.audit.record(entry.detail(detail)).await;
    Ok(Json(Built { token }))
}

/// Inspect a token
///
/// Its parts and every check. It is neither stored nor logged; a key of an app that the operator
/// does not see is an unknown one.
#[utoipa::path(
    post,
    path = "/console/api/tokens/inspect",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = Specimen,
    responses((status = 200, description = "What it is", body = Inspection))
)]
async fn inspect(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<Specimen>,
) -> Result<Json<Inspection>, Refusal> {
    let token = body.token.trim();
    let registry = Seen {
        registry: app.keys.registry(),
        signed: &signed,
    };
    let access = body.access.map(Access::from);
    let grant = body.grant.map(Service::from);
    let found = explain(token, access, &registry, grant, app.clock.now());
    let issuer = UnverifiedToken::parse(token).ok();
    let issuer = issuer.and_then(|token| registry.app_of(token.issuer()));
    Ok(Json(Inspection {
        access: found.access.name(),
        header: found.header,
        claims: found.claims,
        checks: found
            .checks
            .into_iter()
            .map(|check| CheckView {
                number: check.number,
                check: check.name,
                reason: check.reason,
                outcome: match check.outcome {
                    Outcome::Pass => OutcomeName::Pass,
                    Outcome::Fail => OutcomeName::Fail,
                    Outcome::NotReached => OutcomeName::NotReached,
                },
                found: check.found,
                expected: check.wanted,
            })
            .collect(),
        expires_ms: found.expires.map(Timestamp::as_millis),
        app: issuer.filter(|app| signed.sees(*app)),
    }))
}

/// List the revocations of an app
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/revocations",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id"), Listing),
    responses((status = 200, description = "Those that may still matter", body = Page<RevocationView>))
)]
async fn list_revocations(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Params(Listing { limit, cursor }): Params<Listing>,
) -> Result<Json<Page<RevocationView>>, Refusal> {
    readable(&app, &signed, id)?;
    let after = cursor.as_ref().map(|c| c.read(read_cursor)).transpose()?;
    let most = u32::try_from(limit.and_one()).unwrap_or(u32::MAX);
    let found = app.revocations.list(id, after.as_ref(), most).await?;
    let key = |revocation: &Revocation| {
        let target = &revocation.target;
        format!("{} {}", target.kind().as_str(), target.subject())
    };
    Ok(Json(Page::cut(found, limit, key, RevocationView::from)))
}

/// Revoke tokens of an app
///
/// What they opened is closed.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/revocations",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Which,
    responses((status = 200, description = "Revoked", body = Closed))
)]
async fn revoke(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Which>,
) -> Result<Json<Closed>, Refusal> {
    writable(&app, &signed, id)?;
    let scope = match (&body.jti, &body.identity, &body.device, body.all) {
        (Some(_), None, None, None | Some(false)) => None,
        (None, Some(identity), device, None | Some(false)) => {
            Some(scope(identity, device.as_deref())?)
        }
        (None, None, None, Some(true)) => Some(Scope::App),
        _ => {
            return Err(invalid(
                "expected one of jti, identity with or without device, and all",
            ));
        }
    };
    if scope.is_none() && body.issued_before_ms.is_some()
        || scope.is_some() && body.expires_ms.is_some()
    {
        return Err(invalid(
            "expires_ms goes with a jti, issued_before_ms with the others",
        ));
    }
    let (revoked, target, closed) = match (scope, body.jti) {
        (Some(scope), _) => {
            let at = body.issued_before_ms.map(Timestamp::from_millis);
            let at = at.unwrap_or_else(|| app.clock.now());
            let closed = app
                .connections
                .count_authorized(id, |authorization| is_of(authorization, &scope, at))
                .await
                .total();
            let target = match &scope {
                Scope::App => "all".to_owned(),
                Scope::Identity(identity) => identity.to_string(),
                Scope::Device(subject) => subject.to_string(),
            };
            let revoked = app.revocations.revoke_issued_before(id, scope, at).await?;
            (revoked, target, closed)
        }
        (None, jti) => {
            let jti = jti.unwrap_or_default();
            let closed = app
                .connections
                .count_authorized(id, |authorization| authorization.depends_on_token(&jti))
                .await
                .total();
            let expires = body.expires_ms.map(Timestamp::from_millis);
            let revoked = app.revocations.revoke_token(id, &jti, expires).await?;
            (revoked, format!("jti {jti}"), closed)
        }
    };
    let detail = json!({
        "kind": revoked.target.kind().as_str(), "at_ms": revoked.at.as_millis(), "closed": closed,
    });
    let entry = signed.entry("token.revoke", Some(id), target);
    app.audit.record(entry.detail(detail)).await;
    Ok(Json(Closed { closed }))
}

/// The keys of the apps that an operator sees.
struct Seen<'a> {
    registry: &'a KeyRegistry,
    signed: &'a Signed,
}

impl Seen<'_> {
    fn app_of(&self, issuer: &str) -> Option<AppId> {
        let key = KeyId::parse(issuer).ok()?;
        Some(self.registry.key_record(key)?.app)
    }
}

impl Registry for Seen<'_> {
    type Entry = KeyHandle;

    fn key(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> KeyStatus<KeyHandle> {
        match self.app_of(issuer) {
            Some(app) if self.signed.sees(app) => self.registry.key(issuer, kid, now),
            _ => KeyStatus::Unknown,
        }
    }

    fn source(&self, entry: &KeyHandle, issuer: &str, now: Timestamp) -> KeyStatus<()> {
        self.registry.source(entry, issuer, now)
    }

    fn revocation(&self, entry: &KeyHandle, claims: &Claims, now: Timestamp) -> Option<RevokedBy> {
        self.registry.revocation(entry, claims, now)
    }
}

fn is_of(authorization: &Authorization, scope: &Scope, at: Timestamp) -> bool {
    let concerns = match (scope, &authorization.subject) {
        (Scope::App, _) => true,
        (Scope::Identity(identity), Some(subject)) => subject.identity == *identity,
        (Scope::Device(device), Some(subject)) => subject == device,
        (_, None) => false,
    };
    concerns && authorization.issued.as_secs() <= at.as_secs()
}

fn scope(identity: &str, device: Option<&str>) -> Result<Scope, Refusal> {
    let wrong = |part, error| invalid(&format!("the {part} {error}"));
    let identity = Identity::parse(identity).map_err(|e| wrong("identity", e))?;
    let Some(device) = device else {
        return Ok(Scope::Identity(identity));
    };
    let device = Device::parse(device).map_err(|e| wrong("device", e))?;
    Ok(Scope::Device(Subject { identity, device }))
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn refusal(error: BuildError) -> Refusal {
    TokenError::from(error).into()
}

fn read_cursor(text: &str) -> Option<RevocationCursor> {
    let (kind, subject) = text.split_once(' ')?;
    Some(RevocationCursor {
        kind: TargetKind::parse(kind)?,
        subject: Some(subject)
            .filter(|text| !text.contains('\0'))?
            .to_owned(),
    })
}

impl From<Revocation> for RevocationView {
    fn from(Revocation { target, at, .. }: Revocation) -> Self {
        let mut view = Self {
            jti: None,
            identity: None,
            device: None,
            all: false,
            issued_before_ms: Some(at.as_millis()),
            revoked_ms: None,
            until_ms: None,
        };
        match target {
            Target::Token { jti, expires } => {
                view.jti = Some(jti.as_str().to_owned());
                view.issued_before_ms = None;
                view.revoked_ms = Some(at.as_millis());
                view.until_ms = expires.map(Timestamp::as_millis);
            }
            Target::IssuedBefore(Scope::App) => view.all = true,
            Target::IssuedBefore(Scope::Identity(identity)) => {
                view.identity = Some(identity.to_string());
            }
            Target::IssuedBefore(Scope::Device(subject)) => {
                view.identity = Some(subject.identity.to_string());
                view.device = Some(subject.device.to_string());
            }
        }
        view
    }
}

impl From<AccessName> for Access {
    fn from(name: AccessName) -> Self {
        match name {
            AccessName::Client => Self::Client,
            AccessName::Platform => Self::Platform,
        }
    }
}

impl From<GrantName> for Service {
    fn from(name: GrantName) -> Self {
        match name {
            GrantName::Signal => Self::Signal,
            GrantName::Chat => Self::Chat,
            GrantName::Push => Self::Push,
            GrantName::Video => Self::Video,
            GrantName::Platform => Self::Platform,
        }
    }
}
