use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_model::{KeyId, Secret, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::Failure as _;
use hexline_services::keys::{CreatedKey, KeyRecord, KeyState, NewKey};
use hexline_token::{Algorithm, Grants, PlatformArea};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::names::{self, invalid};
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Ids, MaybeBody, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(import))
        .routes(routes!(show, rename))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformKey)]
pub(super) struct KeyShown {
    /// Its id: the `iss` of its tokens.
    id: String,
    /// A word for people.
    label: String,
    /// `hmac`, `public_pem`, `public_jwk`, `jwks` or `jwks_url`
    kind: String,
    /// The one algorithm of its tokens; null where each JWK has its own.
    algorithm: Option<String>,
    /// `active`, `retiring`, `expired` or `revoked`
    state: String,
    /// When it ends, if that is known.
    ends_ms: Option<i64>,
    /// When it was revoked.
    revoked_ms: Option<i64>,
    /// When it was made.
    created_ms: i64,
    /// When a token of it last passed; up to a minute behind.
    last_used_ms: Option<i64>,
    /// What its tokens may grant at most; null is no limit.
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
    /// The key whose token made it; null if no app's server did. A rotation by an operator keeps it.
    made_by: Option<String>,
    /// Whether it signs what the server mints for the app.
    signs: bool,
    /// Its live connections on this node.
    connections: usize,
}

/// A key that was just made. The secret is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformNewKey)]
pub(super) struct NewKeyShown {
    /// The key.
    key: KeyShown,
    /// Its secret; null for a public key, and for a secret that the caller brought.
    secret: Option<String>,
}

/// A key that was ended.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformRevokedKey)]
pub(super) struct RevokedKey {
    /// The key.
    key: KeyShown,
    /// The keys that it had made, and those that they had made in turn: revoked with it.
    made: Vec<KeyShown>,
    /// How many connections on this node that closed.
    closed: usize,
}

/// How a key is ended.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PlatformKeyRevocation)]
pub(super) struct RevokeOrder {
    /// Whether the keys that it made stay; unset, they are revoked with it.
    #[schema(example = false)]
    keep_made: bool,
}

/// An order for a new HMAC key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PlatformKeyOrder)]
pub(super) struct CreateOrder {
    /// A word for people.
    #[schema(example = "backend")]
    label: Option<String>,
    /// `HS256`, unless set; `HS384` or `HS512`.
    #[schema(example = "HS256")]
    algorithm: Option<String>,
    /// From when on it verifies nothing.
    #[schema(example = 4_102_444_800_000_i64)]
    expires_ms: Option<i64>,
    /// What its tokens may grant at most; unset, what the caller may give.
    #[schema(value_type = Option<Object>, example = json!({"signal": true}))]
    ceiling: Option<Value>,
}

/// A key that the caller has already. A URL of a key set is entered at the Console.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformKeyImport, example = json!({
    "kind": "jwk",
    "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
}))]
pub(super) struct ImportOrder {
    /// `pem`, `jwk`, `jwks` or `hmac`
    kind: ImportKind,
    /// A public key.
    pem: Option<String>,
    /// A public key.
    #[schema(value_type = Option<Object>)]
    jwk: Option<Value>,
    /// A set of public keys.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    /// With `hmac`: the id that the secret goes with.
    id: Option<String>,
    /// With `hmac`: at least 256 bits.
    secret: Option<String>,
    /// With `hmac` and for a PEM with RSA; else it follows from the key.
    algorithm: Option<String>,
    /// A word for people.
    label: Option<String>,
    /// From when on it verifies nothing.
    expires_ms: Option<i64>,
    /// What its tokens may grant at most; unset, what the caller may give.
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ImportKind {
    Pem,
    Jwk,
    Jwks,
    Hmac,
}

/// A new word for a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformKeyLabel)]
pub(super) struct LabelOrder {
    /// At most 200 bytes.
    #[schema(example = "backend")]
    label: String,
}

/// How a key is replaced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PlatformKeyRotation)]
pub(super) struct RotateOrder {
    /// How long the old key verifies yet; unset, a day.
    #[schema(example = 60000)]
    overlap_ms: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Query {
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// The keys of the app
#[utoipa::path(
    get,
    path = "/platform/v1/keys",
    tag = "platform",
    security(("platformToken" = [])),
    params(Query),
    responses((status = 200, description = "A page of them", body = Page<KeyShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<Query>,
) -> Result<Json<Page<KeyShown>>, Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let after = query
        .cursor
        .map(|cursor| cursor.read(|key| KeyId::parse(key).ok()));
    let after = after.transpose()?;
    let mut keys = app.keys.list_keys(caller.app).await?;
    keys.retain(|key| after.is_none_or(|after| key.id > after));
    keys.sort_by_key(|key| key.id);
    keys.truncate(query.limit.and_one());
    let show = |key: KeyRecord| shown(&app, &key);
    let id = |key: &KeyRecord| key.id.to_string();
    Ok(Json(Page::cut(keys, query.limit, id, show)))
}

/// Make a key
///
/// The secret is in this answer and nowhere else. The key's ceiling is within the caller's reach.
/// It ends no later than the caller's own key does, as that is now, and is revoked with it. A key
/// that is retiring makes none.
#[utoipa::path(
    post,
    path = "/platform/v1/keys",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = CreateOrder,
    responses((status = 201, description = "The key and its secret", body = NewKeyShown))
)]
async fn create(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<CreateOrder>,
) -> Result<(StatusCode, Json<NewKeyShown>), Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let algorithm = algorithm(order.algorithm.as_deref())?.unwrap_or(Algorithm::Hs256);
    let new = NewKey::generate(algorithm);
    let new = refined(&caller, new, order.label, order.expires_ms, order.ceiling)?;
    let created = app.keys.create_key(caller.app, new).await?;
    let id = created.record.id;
    caller
        .record(&app, "key.create", id, about(&created.record))
        .await;
    Ok((StatusCode::CREATED, Json(newly_made(&app, created))))
}

/// Register a key that the caller has already
#[utoipa::path(
    post,
    path = "/platform/v1/keys/import",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = ImportOrder,
    responses((status = 201, description = "The key", body = NewKeyShown))
)]
async fn import(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<ImportOrder>,
) -> Result<(StatusCode, Json<NewKeyShown>), Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let algorithm = algorithm(order.algorithm.as_deref())?;
    let new = match (order.kind, &order) {
        (ImportKind::Pem, ImportOrder { pem: Some(pem), .. }) => {
            NewKey::public_pem(pem.as_str(), algorithm)
        }
        (ImportKind::Jwk, ImportOrder { jwk: Some(jwk), .. }) => {
            NewKey::public_jwk(jwk.to_string())
        }
        (
            ImportKind::Jwks,
            ImportOrder {
                jwks: Some(jwks), ..
            },
        ) => NewKey::jwks(jwks.to_string()),
        (
            ImportKind::Hmac,
            ImportOrder {
                id: Some(id),
                secret: Some(secret),
                ..
            },
        ) => {
            let id = KeyId::parse(id).map_err(|error| invalid(format!("id {error}")))?;
            let algorithm = algorithm.unwrap_or(Algorithm::Hs256);
            NewKey::hmac(id, algorithm, Secret::new(secret.clone()))
        }
        _ => {
            return Err(invalid(
                "the member that the kind names is missing: pem, jwk, jwks, or id and secret",
            ));
        }
    };
    let new = refined(&caller, new, order.label, order.expires_ms, order.ceiling)?;
    let mut created = app.keys.create_key(caller.app, new).await?;
    // Who brought it has it.
    created.secret = None;
    let id = created.record.id;
    caller
        .record(&app, "key.import", id, about(&created.record))
        .await;
    Ok((StatusCode::CREATED, Json(newly_made(&app, created))))
}

/// One key
#[utoipa::path(
    get,
    path = "/platform/v1/keys/{key}",
    tag = "platform",
    security(("platformToken" = [])),
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = KeyShown))
)]
async fn show(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(key): Ids<String>,
) -> Result<Json<KeyShown>, Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let key = own(&app, &caller, &key).await?;
    Ok(Json(shown(&app, &key)))
}

/// Name a key anew
#[utoipa::path(
    patch,
    path = "/platform/v1/keys/{key}",
    tag = "platform",
    security(("platformToken" = [])),
    params(("key" = String, Path, description = "The key's id")),
    request_body = LabelOrder,
    responses((status = 200, description = "The key", body = KeyShown))
)]
async fn rename(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(key): Ids<String>,
    Body(order): Body<LabelOrder>,
) -> Result<Json<KeyShown>, Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let key = own(&app, &caller, &key).await?;
    let key = app.keys.set_label(key.id, order.label).await?;
    let detail = json!({"label": key.label});
    caller.record(&app, "key.update", key.id, detail).await;
    Ok(Json(shown(&app, &key)))
}

/// Replace a key by a new one with a new id
///
/// The old one verifies for the overlap yet. Only a key within the caller's reach can be replaced:
/// the answer holds the new secret.
#[utoipa::path(
    post,
    path = "/platform/v1/keys/{key}/rotate",
    tag = "platform",
    security(("platformToken" = [])),
    params(("key" = String, Path, description = "The key's id")),
    request_body = RotateOrder,
    responses((status = 201, description = "The new key and its secret", body = NewKeyShown))
)]
async fn rotate(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(key): Ids<String>,
    MaybeBody(order): MaybeBody<RotateOrder>,
) -> Result<(StatusCode, Json<NewKeyShown>), Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let old = own(&app, &caller, &key).await?;
    if let Some(reach) = caller.reach() {
        let beyond = match &old.ceiling {
            Some(ceiling) => ceiling.within(&reach).err(),
            None => Some("everything"),
        };
        if let Some(beyond) = beyond {
            return Err(out_of_reach(beyond));
        }
    }
    let overlap = order.overlap_ms.map(Duration::from_millis);
    let created = app.keys.rotate_key_by(old.id, overlap, caller.key).await?;
    let detail = json!({"key": created.record.id, "overlap_ms": order.overlap_ms});
    caller.record(&app, "key.rotate", old.id, detail).await;
    Ok((StatusCode::CREATED, Json(newly_made(&app, created))))
}

/// End a key at once, with everything that it opened
///
/// The keys that it made are revoked with it, unless `keep_made` is true.
#[utoipa::path(
    post,
    path = "/platform/v1/keys/{key}/revoke",
    tag = "platform",
    security(("platformToken" = [])),
    params(("key" = String, Path, description = "The key's id")),
    request_body = RevokeOrder,
    responses(
        (status = 200, description = "The key, and how many connections it closed", body = RevokedKey)
    )
)]
async fn revoke(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(key): Ids<String>,
    MaybeBody(order): MaybeBody<RevokeOrder>,
) -> Result<Json<RevokedKey>, Refusal> {
    caller.needs(PlatformArea::Keys)?;
    let key = own(&app, &caller, &key).await?;
    let (revoked, closed) = app.revoke_key(&key, order.keep_made).await?;
    let made: Vec<_> = revoked.made.iter().map(|key| key.id).collect();
    let detail = json!({"closed": closed, "made": made});
    caller.record(&app, "key.revoke", key.id, detail).await;
    Ok(Json(RevokedKey {
        key: shown(&app, &revoked.record),
        made: revoked.made.iter().map(|key| shown(&app, key)).collect(),
        closed,
    }))
}

/// A key of the caller's app; another's does not exist.
async fn own(app: &App, caller: &Platform, key: &str) -> Result<KeyRecord, Refusal> {
    let id = names::key(key)?;
    let unknown = || Refusal::new(ErrorCode::NotFound, "there is no such key");
    match app.keys.lookup_key(id).await {
        Ok(key) if key.app == caller.app => Ok(key),
        Ok(_) => Err(unknown()),
        Err(error) if error.code() == ErrorCode::NotFound => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

/// The order with what the caller wrote besides, within its reach.
fn refined(
    caller: &Platform,
    mut new: NewKey,
    label: Option<String>,
    expires_ms: Option<i64>,
    ceiling: Option<Value>,
) -> Result<NewKey, Refusal> {
    new = new.made_by(caller.key);
    if let Some(label) = label {
        new = new.label(label);
    }
    if let Some(at) = expires_ms {
        new = new.expires(Timestamp::from_millis(at));
    }
    let ceiling = ceiling.map(|ceiling| {
        Grants::parse_ceiling(&ceiling.to_string())
            .map_err(|error| invalid(format!("ceiling: {error}")))
    });
    let ceiling = match (ceiling.transpose()?, caller.reach()) {
        (Some(ceiling), Some(reach)) => {
            ceiling.within(&reach).map_err(out_of_reach)?;
            Some(ceiling)
        }
        (ceiling, reach) => ceiling.or(reach),
    };
    Ok(match ceiling {
        Some(ceiling) => new.ceiling(ceiling),
        None => new,
    })
}

fn out_of_reach(beyond: &str) -> Refusal {
    let message = format!(
        "found a key that may grant {beyond}, expected no more than the caller's own key and \
         token may"
    );
    Refusal::new(ErrorCode::GrantMissing, message)
}

fn algorithm(name: Option<&str>) -> Result<Option<Algorithm>, Refusal> {
    let unknown = |_| invalid("algorithm, expected HS256, HS384, HS512 or that of the public key");
    name.map(|name| Algorithm::parse(name).map_err(unknown))
        .transpose()
}

fn newly_made(app: &App, created: CreatedKey) -> NewKeyShown {
    NewKeyShown {
        key: shown(app, &created.record),
        secret: created.secret.map(|secret| secret.expose().clone()),
    }
}

fn about(key: &KeyRecord) -> Value {
    json!({
        "label": key.label,
        "kind": key.material.kind(),
        "algorithm": key.algorithm.map(|algorithm| algorithm.to_string()),
        "ceiling": key.ceiling,
    })
}

fn shown(app: &App, key: &KeyRecord) -> KeyShown {
    let now = app.clock.now();
    let (state, revoked) = match key.state {
        KeyState::Revoked { at } => ("revoked", Some(at)),
        _ if key.end().is_some_and(|end| end <= now) => ("expired", None),
        KeyState::Retiring { .. } => ("retiring", None),
        KeyState::Active => ("active", None),
    };
    let owner = app.keys.registry().app(key.app);
    KeyShown {
        id: key.id.to_string(),
        label: key.label.clone(),
        kind: key.material.kind().to_owned(),
        algorithm: key.algorithm.map(|algorithm| algorithm.to_string()),
        state: state.to_owned(),
        ends_ms: key.end().map(Timestamp::as_millis),
        revoked_ms: revoked.map(Timestamp::as_millis),
        created_ms: key.created.as_millis(),
        last_used_ms: key.last_used.map(Timestamp::as_millis),
        ceiling: key
            .ceiling
            .as_ref()
            .map(|ceiling| serde_json::to_value(ceiling).expect("grants are JSON")),
        made_by: key.made_by.map(|id| id.to_string()),
        signs: owner.is_some_and(|owner| owner.signing_key == Some(key.id)),
        connections: app.hub.count_by_key(key.id),
    }
}
