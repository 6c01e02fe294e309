use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_model::{AppId, KeyId, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::apps::{AppChanges, AppLimits, AppName, AppSettings};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(delete))
        .routes(routes!(disable))
        .routes(routes!(enable))
}

/// An app.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleAppView)]
pub(crate) struct AppView {
    #[schema(value_type = String)]
    id: AppId,
    name: String,
    created_ms: i64,
    /// Since when every token of it is refused; null while it is in use.
    disabled_ms: Option<i64>,
    settings: Settings,
    /// The HMAC key that signs what the server mints for the app.
    #[schema(value_type = Option<String>)]
    signing_key: Option<KeyId>,
    /// Its live connections on this node.
    connections: usize,
    /// Its keys, those that verify nothing any more too.
    keys: usize,
}

/// What an app decides for itself.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = ConsoleAppSettings)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The longest `exp` − `iat` of a token, in seconds.
    longest_ttl_s: u64,
    /// Whether a token must have an `exp`.
    exp_required: bool,
    /// Base URLs that tokens may name in `aud`, beside the server's own.
    audiences: Vec<String>,
    /// Origins from which browsers may connect; empty means any.
    origins: Vec<String>,
    limits: Limits,
}

/// Limits of an app below those of the server; null leaves the server's.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = ConsoleAppLimits)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Connections at once, on each node.
    connections: Option<u32>,
    /// Devices of one identity that are connected at once.
    devices_per_identity: Option<u32>,
    /// Calls of one connection in a second; twice as many at once.
    messages_per_second: Option<u32>,
}

/// Some settings; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleAppSomeSettings)]
#[serde(deny_unknown_fields)]
pub(crate) struct SomeSettings {
    longest_ttl_s: Option<u64>,
    exp_required: Option<bool>,
    audiences: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    /// Replaces all limits.
    limits: Option<Limits>,
}

/// What to change of an app; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleAppChanges)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    name: Option<String>,
    settings: Option<SomeSettings>,
    /// The HMAC key that signs from now on.
    signing_key: Option<String>,
}

/// A new app.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleAppNewApp)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApp {
    /// 1 to 64 of `a`-`z`, `0`-`9` and `-`.
    name: String,
}

/// What is asked of whoever deletes an app.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleAppDeletion)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deletion {
    /// The app's name, once more.
    confirm: String,
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

/// List the apps that the operator sees
#[utoipa::path(
    get,
    path = "/console/api/apps",
    tag = "console",
    security(("consoleSession" = [])),
    params(Listing),
    responses((status = 200, description = "The apps, by name", body = Page<AppView>))
)]
async fn list(
    State(app): State<Arc<App>>,
    signed: Signed,
    Params(Listing { limit, cursor }): Params<Listing>,
) -> Result<Json<Page<AppView>>, Refusal> {
    let after = cursor.as_ref().map(Cursor::key);
    let mut found = app.apps.list();
    found.retain(|own| signed.sees(own.id) && after.is_none_or(|after| own.name.as_str() > after));
    found.truncate(limit.and_one());
    let mut views = Vec::new();
    for own in found {
        views.push(view(&app, own).await?);
    }
    Ok(Json(Page::cut(
        views,
        limit,
        |own| own.name.clone(),
        |own| own,
    )))
}

/// Make an app
#[utoipa::path(
    post,
    path = "/console/api/apps",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = NewApp,
    responses(
        (status = 201, description = "Made", body = AppView),
        (status = 409, description = "There is an app of this name", body = ErrorBody),
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<NewApp>,
) -> Result<(StatusCode, Json<AppView>), Refusal> {
    signed.may_make_apps()?;
    let name = app_name(&body.name)?;
    let made = app.apps.create(name, AppSettings::default()).await?;
    let entry = signed.entry("app.create", Some(made.id), &made.name);
    app.audit.record(entry).await;
    Ok((StatusCode::CREATED, Json(view(&app, made).await?)))
}

/// Show an app
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "The app", body = AppView))
)]
async fn show(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<AppView>, Refusal> {
    let own = readable(&app, &signed, id)?;
    Ok(Json(view(&app, own).await?))
}

/// Change an app
///
/// Its name, its settings, the key that signs: all that is named, or nothing.
#[utoipa::path(
    patch,
    path = "/console/api/apps/{app}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Changes,
    responses(
        (status = 200, description = "Changed", body = AppView),
        (status = 409, description = "There is an app of this name, or the key may not sign", body = ErrorBody),
    )
)]
async fn change(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Changes>,
) -> Result<Json<AppView>, Refusal> {
    let mut own = writable(&app, &signed, id)?;
    let name = body.name.as_deref().map(app_name).transpose()?;
    let signing_key = body.signing_key.as_deref().map(key_id).transpose()?;
    if body.settings.is_some() || signing_key.is_some() {
        let changes = AppChanges {
            signing_key,
            ..body.settings.map(AppChanges::from).unwrap_or_default()
        };
        let before = own.clone();
        own = app.apps.update(id, changes).await?;
        if own != before {
            let detail = json!({
                "before": Settings::from(&before.settings),
                "after": Settings::from(&own.settings),
                "signing_key": own.signing_key,
            });
            let entry = signed.entry("app.update", Some(id), &own.name);
            app.audit.record(entry.detail(detail)).await;
        }
    }
    if let Some(name) = name.filter(|name| *name != own.name) {
        let before = own.name.to_string();
        own = app.apps.rename(id, name).await?;
        let entry = signed.entry("app.rename", Some(id), &own.name);
        app.audit
            .record(entry.detail(json!({ "before": before })))
            .await;
    }
    Ok(Json(view(&app, own).await?))
}

/// Delete an app
///
/// With everything that it has, for ever. What its keys opened is closed.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/delete",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Deletion,
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "Nothing was deleted: the name is another", body = ErrorBody),
    )
)]
async fn delete(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Deletion>,
) -> Result<StatusCode, Refusal> {
    let own = writable(&app, &signed, id)?;
    if body.confirm != own.name.as_str() {
        let message = "nothing was deleted: confirm is not the app's name";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let closed = app.connections.count(id).await.total();
    app.apps.delete(id).await?;
    let entry = signed.entry("app.delete", Some(id), &own.name);
    app.audit
        .record(entry.detail(json!({ "closed": closed })))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Disable an app
///
/// Every token of it is refused and every connection closed, until it is enabled.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/disable",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "Disabled", body = AppView))
)]
async fn disable(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<AppView>, Refusal> {
    writable(&app, &signed, id)?;
    let own = app.apps.disable(id).await?;
    let entry = signed.entry("app.disable", Some(id), &own.name);
    app.audit.record(entry).await;
    Ok(Json(view(&app, own).await?))
}

/// Enable an app
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/enable",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "Enabled", body = AppView))
)]
async fn enable(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<AppView>, Refusal> {
    writable(&app, &signed, id)?;
    let own = app.apps.enable(id).await?;
    let entry = signed.entry("app.enable", Some(id), &own.name);
    app.audit.record(entry).await;
    Ok(Json(view(&app, own).await?))
}

/// The app, if there is one and the operator sees it. No answer tells the two apart.
pub(super) fn readable(
    app: &App,
    signed: &Signed,
    id: AppId,
) -> Result<hexline_services::apps::App, Refusal> {
    signed.may_read(id)?;
    let found = app.keys.registry().app(id);
    found.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "there is no such app"))
}

/// The app, if the operator may change it.
pub(super) fn writable(
    app: &App,
    signed: &Signed,
    id: AppId,
) -> Result<hexline_services::apps::App, Refusal> {
    let found = readable(app, signed, id)?;
    signed.may_write(id)?;
    Ok(found)
}

/// Reads the id of a key in a body.
pub(super) fn key_id(text: &str) -> Result<KeyId, Refusal> {
    KeyId::parse(text)
        .map_err(|error| Refusal::new(ErrorCode::InvalidRequest, format!("the key's id {error}")))
}

fn app_name(text: &str) -> Result<AppName, Refusal> {
    AppName::parse(text).map_err(|e| Refusal::new(ErrorCode::InvalidRequest, e.to_string()))
}

async fn view(app: &App, own: hexline_services::apps::App) -> Result<AppView, Refusal> {
    let keys = app.keys.list_keys(own.id).await?.len();
    Ok(AppView {
        id: own.id,
        name: own.name.to_string(),
        created_ms: own.created.as_millis(),
        disabled_ms: own.disabled.map(Timestamp::as_millis),
        settings: Settings::from(&own.settings),
        signing_key: own.signing_key,
        connections: app.connections.count(own.id).await.total(),
        keys,
    })
}

impl From<&AppSettings> for Settings {
    fn from(settings: &AppSettings) -> Self {
        Self {
            longest_ttl_s: settings.longest_ttl.as_secs(),
            exp_required: settings.exp_required,
            audiences: settings.audiences.clone(),
            origins: settings.origins.clone(),
            limits: Limits {
                connections: settings.limits.connections,
                devices_per_identity: settings.limits.devices_per_identity,
                messages_per_second: settings.limits.messages_per_second,
            },
        }
    }
}

impl From<SomeSettings> for AppChanges {
    fn from(settings: SomeSettings) -> Self {
        Self {
            longest_ttl: settings.longest_ttl_s.map(Duration::from_secs),
            exp_required: settings.exp_required,
            audiences: settings.audiences,
            origins: settings.origins,
            limits: settings.limits.map(|limits| AppLimits {
                connections: limits.connections,
                devices_per_identity: limits.devices_per_identity,
                messages_per_second: limits.messages_per_second,
            }),
            signing_key: None,
        }
    }
}
