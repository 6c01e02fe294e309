use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_model::{ApiKey, AppId, KeyId, Secret, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::keys::{ApiKeyRecord, CreatedKey, KeyRecord, KeyState, NewKey};
use hexline_token::{Algorithm, Grants};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::apps::{key_id, readable, writable};
use super::guard::Signed;
use super::snippets::{self, Snippet};
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids, MaybeBody};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(import))
        .routes(routes!(show, change))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
        .routes(routes!(release))
        .routes(routes!(list_api_keys, create_api_key))
        .routes(routes!(revoke_api_key))
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyView)]
pub(crate) struct KeyView {
    /// The `iss` of its tokens.
    #[schema(value_type = String)]
    id: KeyId,
    label: String,
    /// The one algorithm of its tokens; null for a key set, whose every key has its own.
    algorithm: Option<String>,
    /// `hmac`, `public_pem`, `public_jwk`, `jwks` or `jwks_url`.
    kind: &'static str,
    /// `active`, `retiring`, `expired` or `revoked`.
    state: &'static str,
    /// Until when a key that was rotated still verifies.
    retiring_until_ms: Option<i64>,
    /// What its tokens may grant at most; null is no limit.
    ceiling: Option<Value>,
    created_ms: i64,
    expires_ms: Option<i64>,
    revoked_ms: Option<i64>,
    /// When a token of it was last accepted, to the minute.
    last_used_ms: Option<i64>,
    /// Live connections on this node that stand on it.
    connections: usize,
    /// The key whose token made it; null if no app's server did. A rotation by an operator keeps it.
    #[schema(value_type = Option<String>)]
    made_by: Option<KeyId>,
    /// Since when another app may take its id; only of a revoked key.
    released_ms: Option<i64>,
    /// Whether it signs what the server mints for the app.
    signs: bool,
    /// What was registered: a public key, a key set or its URL; null for a secret.
    public: Option<String>,
}

/// Keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeys)]
pub(crate) struct Keys {
    items: Vec<KeyView>,
    /// Always null: all of them are there.
    next: Option<String>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyMade)]
pub(crate) struct Made {
    key: KeyView,
    /// Its secret, if the server made it. Shown now and never again.
    secret: Option<String>,
    /// Programs that make a token with it and call the server.
    snippets: Vec<Snippet>,
}

/// An order for a key with a secret.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleKeyOrder)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// For people.
    #[serde(default)]
    label: Option<String>,
    /// `HS256` unless set, or `HS384` or `HS512`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    algorithm: Option<Algorithm>,
    /// From when on it verifies nothing.
    #[serde(default)]
    expires_ms: Option<i64>,
    /// What its tokens may grant at most.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
}

/// A key that was made elsewhere.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleKeyImport, example = json!({
    "kind": "jwk",
    "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    kind: Kind,
    #[serde(default)]
    label: Option<String>,
    /// Needed where the kind does not decide it: RS256 or PS256.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    algorithm: Option<Algorithm>,
    #[serde(default)]
    expires_ms: Option<i64>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
    /// With `pem`: a PUBLIC KEY block.
    #[serde(default)]
    pem: Option<String>,
    /// With `jwk`: a public key, as text or as an object.
    #[serde(default)]
    jwk: Option<Value>,
    /// With `jwks`: a key set, as text or as an object.
    #[serde(default)]
    jwks: Option<Value>,
    /// With `jwks_url`: https.
    #[serde(default)]
    url: Option<String>,
    /// With `hmac`: the id that tokens name.
    #[serde(default)]
    id: Option<String>,
    /// With `hmac`: the secret's text.
    #[serde(default)]
    #[schema(format = Password)]
    secret: Option<String>,
}

/// The kinds of key.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = ConsoleKeyKind)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Pem,
    Jwk,
    Jwks,
    JwksUrl,
    Hmac,
}

/// What to change of a key.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleKeyChanges)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    /// For people; may be empty.
    label: String,
}

/// How to rotate.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleKeyRotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// For how long the old key still verifies; 24 hours unless set, at most 365 days.
    #[serde(default)]
    overlap_ms: Option<u64>,
}

/// What a revocation did.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyClosed)]
pub(crate) struct Closed {
    /// How many live connections of this node it closes.
    pub(super) closed: usize,
}

/// How a key is revoked.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = ConsoleKeyRevocation)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Revocation {
    /// Whether the keys that it made stay; unset, they are revoked with it.
    keep_made: bool,
}

/// What the revocation of a key did.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyRevoked)]
pub(crate) struct Revoked {
    /// The keys that it had made, and those that they had made in turn: revoked with it.
    made: Vec<KeyView>,
    /// How many live connections of this node that closes.
    closed: usize,
}

/// A key whose id is free for another app.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyReleased)]
pub(crate) struct Released {
    /// The app that had it.
    #[schema(value_type = String)]
    app: AppId,
    /// The key.
    key: KeyView,
    /// The keys that it had made, and those that they had made in turn: revoked with it.
    made: Vec<KeyView>,
}

/// The public id of an app at the Auth Service.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyApiKeyView)]
pub(crate) struct ApiKeyView {
    #[schema(value_type = String)]
    id: ApiKey,
    label: String,
    /// The HMAC key that signs for it.
    #[schema(value_type = String)]
    key: KeyId,
    created_ms: i64,
    revoked_ms: Option<i64>,
}

/// API keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleKeyApiKeys)]
pub(crate) struct ApiKeys {
    items: Vec<ApiKeyView>,
    /// Always null: all of them are there.
    next: Option<String>,
}

/// An order for an API key.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleKeyApiKeyOrder)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyOrder {
    #[serde(default)]
    label: Option<String>,
    /// The HMAC key that is to sign; the app's signing key unless set.
    #[serde(default)]
    key: Option<String>,
}

/// List the keys of an app
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/keys",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "All of them, oldest first", body = Keys))
)]
async fn list(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<Keys>, Refusal> {
    let own = readable(&app, &signed, id)?;
    let keys = app.keys.list_keys(id).await?;
    let items = keys.iter().map(|key| view(&app, &own, key)).collect();
    Ok(Json(Keys { items, next: None }))
}

/// Make a key
///
/// The answer alone has the secret.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/keys",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Order,
    responses((status = 201, description = "Made", body = Made))
)]
async fn create(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Order>,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    writable(&app, &signed, id)?;
    let order = NewKey::generate(body.algorithm.unwrap_or_default());
    let order = refined(order, body.label, body.expires_ms, body.ceiling)?;
    let created = app.keys.create_key(id, order).await?;
    let entry = signed.entry("key.create", Some(id), created.record.id);
    app.audit.record(entry.detail(told(&created.record))).await;
    Ok((StatusCode::CREATED, Json(made(&app, id, created)?)))
}

/// Register a key that was made elsewhere
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/keys/import",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Import,
    responses((status = 201, description = "Registered; there is no secret in the answer", body = Made))
)]
async fn import(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Import>,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    writable(&app, &signed, id)?;
    let order = material(&body)?;
    let order = refined(order, body.label, body.expires_ms, body.ceiling)?;
    let mut created = app.keys.create_key(id, order).await?;
    // Whoever imports a secret has it already.
    created.secret = None;
    let entry = signed.entry("key.import", Some(id), created.record.id);
    app.audit.record(entry.detail(told(&created.record))).await;
    Ok((StatusCode::CREATED, Json(made(&app, id, created)?)))
}

/// Show a key
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/keys/{key}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, description = "The key, without its secret", body = KeyView))
)]
async fn show(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, key)): Ids<(AppId, KeyId)>,
) -> Result<Json<KeyView>, Refusal> {
    let own = readable(&app, &signed, id)?;
    let key = key_of(&app, id, key).await?;
    Ok(Json(view(&app, &own, &key)))
}

/// Name a key anew
#[utoipa::path(
    patch,
    path = "/console/api/apps/{app}/keys/{key}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = Changes,
    responses((status = 200, description = "Changed", body = KeyView))
)]
async fn change(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, key)): Ids<(AppId, KeyId)>,
    Body(body): Body<Changes>,
) -> Result<Json<KeyView>, Refusal> {
    let own = writable(&app, &signed, id)?;
    let before = key_of(&app, id, key).await?;
    let after = app.keys.set_label(key, body.label).await?;
    if before.label != after.label {
        let detail = json!({ "before": before.label, "label": after.label });
        let entry = signed.entry("key.update", Some(id), key);
        app.audit.record(entry.detail(detail)).await;
    }
    Ok(Json(view(&app, &own, &after)))
}

/// Rotate a key
///
/// A new one takes its place. The old one verifies for the overlap and signs no more.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/keys/{key}/rotate",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new key", body = Made),
        (status = 409, description = "It is not active, or has no secret to replace", body = ErrorBody),
    )
)]
async fn rotate(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, key)): Ids<(AppId, KeyId)>,
    Body(body): Body<Rotation>,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    writable(&app, &signed, id)?;
    key_of(&app, id, key).await?;
    let overlap = body.overlap_ms.map(Duration::from_millis);
    let created = app.keys.rotate_key(key, overlap).await?;
    let detail = json!({ "new_key": created.record.id, "overlap_ms": body.overlap_ms });
    let entry = signed.entry("key.rotate", Some(id), key);
    app.audit.record(entry.detail(detail)).await;
    Ok((StatusCode::CREATED, Json(made(&app, id, created)?)))
}

/// Revoke a key
///
/// It cannot be undone. What it opened is closed, and the keys that it made are revoked with it, unless
/// `keep_made` is true.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/keys/{key}/revoke",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = Revocation,
    responses((status = 200, description = "Revoked", body = Revoked))
)]
async fn revoke(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, key)): Ids<(AppId, KeyId)>,
    MaybeBody(body): MaybeBody<Revocation>,
) -> Result<Json<Revoked>, Refusal> {
    let own = writable(&app, &signed, id)?;
    let record = key_of(&app, id, key).await?;
    let (revoked, closed) = app.revoke_key(&record, body.keep_made).await?;
    let made: Vec<_> = revoked.made.iter().map(|key| key.id).collect();
    let entry = signed.entry("key.revoke", Some(id), key);
    app.audit
        .record(entry.detail(json!({ "closed": closed, "made": made })))
        .await;
    let made = revoked.made.iter();
    Ok(Json(Revoked {
        made: made.map(|key| view(&app, &own, key)).collect(),
        closed,
    }))
}

/// Release the id of a key
///
/// For an id that an app has registered and tokens of another one name: the key is revoked with the
/// keys that it made, and another app may register the id. Takes an owner.
#[utoipa::path(
    post,
    path = "/console/api/keys/{key}/release",
    tag = "console",
    security(("consoleSession" = [])),
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The app that had it, and the key", body = Released))
)]
async fn release(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(key): Ids<KeyId>,
) -> Result<Json<Released>, Refusal> {
    signed.may_administer()?;
    let missing = || Refusal::new(ErrorCode::NotFound, "there is no such key");
    let known = app.keys.registry().key_record(key).ok_or_else(missing)?;
    let released = app.keys.release_key(known.id).await?;
    let made: Vec<_> = released.made.iter().map(|key| key.id).collect();
    let record = released.record;
    let entry = signed.entry("key.release", Some(record.app), key);
    app.audit
        .record(entry.detail(json!({ "made": made })))
        .await;
    let own = app.keys.registry().app(record.app).ok_or_else(missing)?;
    let made = released.made.iter();
    Ok(Json(Released {
        app: own.id,
        key: view(&app, &own, &record),
        made: made.map(|key| view(&app, &own, key)).collect(),
    }))
}

/// List the API keys of an app
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/api-keys",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "All of them, oldest first", body = ApiKeys))
)]
async fn list_api_keys(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<ApiKeys>, Refusal> {
    readable(&app, &signed, id)?;
    let found = app.keys.list_api_keys(id)?;
    let items = found.into_iter().map(ApiKeyView::from).collect();
    Ok(Json(ApiKeys { items, next: None }))
}

/// Make an API key
///
/// The public id by which an app without a server of its own uses the Auth Service.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/api-keys",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = ApiKeyOrder,
    responses(
        (status = 201, description = "Made", body = ApiKeyView),
        (status = 409, description = "No key can sign", body = ErrorBody),
    )
)]
async fn create_api_key(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<ApiKeyOrder>,
) -> Result<(StatusCode, Json<ApiKeyView>), Refusal> {
    writable(&app, &signed, id)?;
    let key = match body.key.as_deref().map(key_id).transpose()? {
        // Another app's key is as unknown as none.
        Some(key) => Some(key_of(&app, id, key).await?.id),
        None => None,
    };
    let label = body.label.unwrap_or_default();
    let made = app.keys.create_api_key(id, key, label).await?;
    let detail = json!({ "key": made.key, "label": made.label });
    let entry = signed.entry("api_key.create", Some(id), made.id);
    app.audit.record(entry.detail(detail)).await;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Revoke an API key
///
/// For ever. Tokens that were made with it stay good.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/api-keys/{key}/revoke",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("key" = String, Path, description = "The API key"),
    ),
    responses((status = 200, description = "Revoked", body = ApiKeyView))
)]
async fn revoke_api_key(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, key)): Ids<(AppId, ApiKey)>,
) -> Result<Json<ApiKeyView>, Refusal> {
    writable(&app, &signed, id)?;
    let own = app.keys.list_api_keys(id)?;
    if !own.iter().any(|record| record.id == key) {
        return Err(Refusal::new(
            ErrorCode::NotFound,
            "the app has no such API key",
        ));
    }
    let revoked = app.keys.revoke_api_key(key).await?;
    let entry = signed.entry("api_key.revoke", Some(id), key);
    app.audit.record(entry).await;
    Ok(Json(revoked.into()))
}

/// A key of this app; another's does not exist.
pub(super) async fn key_of(app: &App, id: AppId, key: KeyId) -> Result<KeyRecord, Refusal> {
    let missing = || Refusal::new(ErrorCode::NotFound, "the app has no such key");
    let known = app.keys.registry().key_record(key);
    known.filter(|key| key.app == id).ok_or_else(missing)?;
    Ok(app.keys.lookup_key(key).await?)
}

/// Reads what tokens may be granted, as strictly as a key's ceiling.
pub(super) fn grants(value: &Value) -> Result<Grants, Refusal> {
    Grants::parse_ceiling(&value.to_string())
        .map_err(|e| Refusal::new(ErrorCode::InvalidRequest, format!("the grants: {e}")))
}

fn refined(
    order: NewKey,
    label: Option<String>,
    expires_ms: Option<i64>,
    ceiling: Option<Value>,
) -> Result<NewKey, Refusal> {
    let mut order = order.label(label.unwrap_or_default());
    if let Some(ms) = expires_ms {
        order = order.expires(Timestamp::from_millis(ms));
    }
    if let Some(ceiling) = ceiling {
        order = order.ceiling(grants(&ceiling)?);
    }
    Ok(order)
}

fn material(body: &Import) -> Result<NewKey, Refusal> {
    let missing = |what: &str| {
        Refusal::new(
            ErrorCode::InvalidRequest,
            format!("{what} is missing, which this kind of key needs"),
        )
    };
    let text = |value: &Option<Value>, what| match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(missing(what)),
    };
    Ok(match body.kind {
        Kind::Pem => {
            let pem = body.pem.clone().ok_or_else(|| missing("pem"))?;
            NewKey::public_pem(pem, body.algorithm)
        }
        Kind::Jwk => NewKey::public_jwk(text(&body.jwk, "jwk")?),
        Kind::Jwks => NewKey::jwks(text(&body.jwks, "jwks")?),
        Kind::JwksUrl => NewKey::jwks_url(body.url.clone().ok_or_else(|| missing("url"))?),
        Kind::Hmac => {
            let id = body.id.as_deref().ok_or_else(|| missing("id"))?;
            let secret = body.secret.clone().ok_or_else(|| missing("secret"))?;
            let algorithm = body.algorithm.unwrap_or_default();
            NewKey::hmac(key_id(id)?, algorithm, Secret::new(secret))
        }
    })
}

fn made(app: &App, id: AppId, created: CreatedKey) -> Result<Made, Refusal> {
    let own = app.keys.registry().app(id);
    let own = own.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "there is no such app"))?;
    let record = &created.record;
    let snippets = match (&created.secret, record.algorithm) {
        (Some(secret), Some(algorithm)) => snippets::of(&snippets::Facts {
            url: &app.url,
            key: &record.id.to_string(),
            secret: secret.expose(),
            algorithm,
            ttl_s: own.settings.longest_ttl.as_secs().min(3600),
        }),
        _ => Vec::new(),
    };
    Ok(Made {
        key: view(app, &own, record),
        secret: created.secret.map(|secret| secret.expose().clone()),
        snippets,
    })
}

fn view(app: &App, own: &hexline_services::apps::App, key: &KeyRecord) -> KeyView {
    let now = app.clock.now();
    let (mut state, retiring, revoked) = match key.state {
        KeyState::Active => ("active", None, None),
        KeyState::Retiring { until } => ("retiring", Some(until), None),
        KeyState::Revoked { at } => ("revoked", None, Some(at)),
    };
    if revoked.is_none() && key.end().is_some_and(|end| end <= now) {
        state = "expired";
    }
    KeyView {
        id: key.id,
        label: key.label.clone(),
        algorithm: key.algorithm.map(|algorithm| algorithm.to_string()),
        kind: key.material.kind(),
        state,
        retiring_until_ms: retiring.map(Timestamp::as_millis),
        ceiling: key.ceiling.as_ref().map(|ceiling| json!(ceiling)),
        created_ms: key.created.as_millis(),
        expires_ms: key.expires.map(Timestamp::as_millis),
        revoked_ms: revoked.map(Timestamp::as_millis),
        last_used_ms: key.last_used.map(Timestamp::as_millis),
        connections: app.hub.count_by_key(key.id),
        made_by: key.made_by,
        released_ms: key.released.map(Timestamp::as_millis),
        signs: own.signing_key == Some(key.id),
        public: key.material.text().map(ToOwned::to_owned),
    }
}

/// What the audit log is told of a new key.
fn told(key: &KeyRecord) -> Value {
    json!({
        "label": key.label,
        "kind": key.material.kind(),
        "algorithm": key.algorithm,
        "expires_ms": key.expires.map(Timestamp::as_millis),
        "ceiling": key.ceiling,
    })
}

impl From<ApiKeyRecord> for ApiKeyView {
    fn from(record: ApiKeyRecord) -> Self {
        Self {
            id: record.id,
            label: record.label,
            key: record.key,
            created_ms: record.created.as_millis(),
            revoked_ms: record.revoked.map(Timestamp::as_millis),
        }
    }
}
