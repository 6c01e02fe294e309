use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_model::Timestamp;
use hexline_protocol::ErrorCode;
use hexline_services::apps::{AppChanges, AppLimits};
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::names;
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::Body;

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new().routes(routes!(show, update))
}

/// The app and what it decides for itself.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformSettings)]
pub(super) struct Settings {
    /// The app's id.
    app: String,
    /// Its name.
    name: String,
    /// When it was made.
    created_ms: i64,
    /// Since when its tokens are refused; null while it is in use.
    disabled_ms: Option<i64>,
    /// The longest life of a token, in seconds.
    longest_ttl_s: u64,
    /// Whether a token must have an `exp`.
    exp_required: bool,
    /// Base URLs that tokens may name in `aud`, beside the server's own.
    audiences: Vec<String>,
    /// Origins from which browsers may connect; empty means any.
    origins: Vec<String>,
    /// Where the app is stricter with itself than the server is.
    limits: Limits,
    /// The key that signs what the server mints for the app.
    signing_key: Option<String>,
}

/// Limits below those of the server; null leaves the server's.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[schema(as = PlatformLimits)]
pub(super) struct Limits {
    /// Connections at once, on each node.
    #[schema(minimum = 1)]
    connections: Option<u32>,
    /// Devices of one identity that are connected at once.
    #[schema(minimum = 1)]
    devices_per_identity: Option<u32>,
    /// Calls of one connection in a second.
    #[schema(minimum = 1)]
    messages_per_second: Option<u32>,
}

/// What to change; an absent member stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PlatformSettingsChange)]
pub(super) struct Change {
    /// The longest life of a token, in seconds.
    #[schema(example = 86400)]
    longest_ttl_s: Option<u64>,
    /// Whether a token must have an `exp`.
    #[schema(example = true)]
    exp_required: Option<bool>,
    /// All base URLs that tokens may name in `aud`, beside the server's own.
    #[schema(example = json!(["https://api.example.org"]))]
    audiences: Option<Vec<String>>,
    /// All origins from which browsers may connect.
    #[schema(example = json!(["https://app.example.org"]))]
    origins: Option<Vec<String>>,
    /// All limits.
    limits: Option<Limits>,
    /// The key that signs from now on: an active HMAC key of the app.
    #[schema(example = json!(null))]
    signing_key: Option<String>,
}

/// The app's settings
#[utoipa::path(
    get,
    path = "/platform/v1/settings",
    tag = "platform",
    security(("platformToken" = [])),
    responses((status = 200, description = "As they are", body = Settings))
)]
async fn show(State(app): State<Arc<App>>, caller: Platform) -> Result<Json<Settings>, Refusal> {
    caller.needs(PlatformArea::Settings)?;
    let found = app.keys.registry().app(caller.app);
    let gone = || Refusal::new(ErrorCode::NotFound, "there is no such app");
    Ok(Json(found.ok_or_else(gone)?.into()))
}

/// Change the app's settings
///
/// All at once or nothing. Tokens are judged by them from now on; what is open stays open.
#[utoipa::path(
    patch,
    path = "/platform/v1/settings",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = Change,
    responses((status = 200, description = "As they are now", body = Settings))
)]
async fn update(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(change): Body<Change>,
) -> Result<Json<Settings>, Refusal> {
    caller.needs(PlatformArea::Settings)?;
    let signing_key = match &change.signing_key {
        None => None,
        Some(text) => {
            let key = names::key(text)?;
            let record = app.keys.registry().key_record(key);
            // Another app's key does not exist.
            let own = record.is_some_and(|record| record.app == caller.app);
            let unknown = || Refusal::new(ErrorCode::NotFound, "there is no such key");
            Some(own.then_some(key).ok_or_else(unknown)?)
        }
    };
    let detail = json!({
        "longest_ttl_s": change.longest_ttl_s,
        "exp_required": change.exp_required,
        "audiences": change.audiences,
        "origins": change.origins,
        "limits": change.limits,
        "signing_key": change.signing_key,
    });
    let changes = AppChanges {
        longest_ttl: change.longest_ttl_s.map(Duration::from_secs),
        exp_required: change.exp_required,
        audiences: change.audiences,
        origins: change.origins,
        limits: change.limits.map(|limits| AppLimits {
            connections: limits.connections,
            devices_per_identity: limits.devices_per_identity,
            messages_per_second: limits.messages_per_second,
        }),
        signing_key,
    };
    let updated = app.apps.update(caller.app, changes).await?;
    caller.record(&app, "app.update", caller.app, detail).await;
    Ok(Json(updated.into()))
}

impl From<hexline_services::apps::App> for Settings {
    fn from(app: hexline_services::apps::App) -> Self {
        let settings = app.settings;
        Self {
            app: app.id.to_string(),
            name: app.name.to_string(),
            created_ms: app.created.as_millis(),
            disabled_ms: app.disabled.map(Timestamp::as_millis),
            longest_ttl_s: settings.longest_ttl.as_secs(),
            exp_required: settings.exp_required,
            audiences: settings.audiences,
            origins: settings.origins,
            limits: Limits {
                connections: settings.limits.connections,
                devices_per_identity: settings.limits.devices_per_identity,
                messages_per_second: settings.limits.messages_per_second,
            },
            signing_key: app.signing_key.map(|key| key.to_string()),
        }
    }
}
