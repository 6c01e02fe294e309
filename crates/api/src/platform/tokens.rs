use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_services::tokens::{Order, Signer};
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    OpenApiRouter::new().routes(routes!(mint))
}

/// An order for a client token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformTokenOrder)]
pub(super) struct MintOrder {
    /// Whose it is.
    #[schema(example = "alice")]
    identity: String,
    /// On which device.
    #[schema(example = "web1")]
    device: String,
    /// What it grants: `signal`, `chat`, `push`, `video`.
    #[schema(value_type = Object, example = json!({"signal": true}))]
    grants: Value,
    /// How many seconds it lives: at most the app's longest; unset, an hour.
    #[schema(minimum = 1, example = 3600)]
    ttl_s: Option<u64>,
    /// A name by which it can be revoked.
    #[schema(example = "b2c7f0")]
    jti: Option<String>,
    /// Something about the user, for whoever reads the token.
    #[schema(value_type = Option<Object>, example = json!({"name": "Alice"}))]
    profile: Option<Value>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformToken)]
pub(super) struct MintedToken {
    /// The token.
    token: String,
    /// When it ends.
    expires_ms: i64,
    /// What it grants.
    #[schema(value_type = Object)]
    grants: Value,
    /// The key that signed it.
    key: String,
}

/// Make a token for a user's device
///
/// It grants no more than the ceiling of the caller's own key lets it, and is signed with the key
/// that the app names for that, or else with the caller's.
#[utoipa::path(
    post,
    path = "/platform/v1/tokens",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = MintOrder,
    responses((status = 200, description = "The token", body = MintedToken))
)]
async fn mint(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<MintOrder>,
) -> Result<Json<MintedToken>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    let subject = names::subject(&order.identity, &order.device)?;
    let target = subject.to_string();
    let minted = app.tokens.mint(
        caller.app,
        Signer::AppOr(caller.key),
        Order {
            identity: subject.identity,
            device: subject.device,
            grants: order.grants,
            within: caller.permissions.ceiling().cloned(),
            ttl: order.ttl_s.map(Duration::from_secs),
            until: caller.key_ends,
            profile: order.profile,
            jti: order.jti.clone(),
        },
    )?;
    let detail =
        json!({"key": minted.key, "expires_ms": minted.expires.as_millis(), "jti": order.jti});
    caller.record(&app, "token.mint", target, detail).await;
    Ok(Json(MintedToken {
        token: minted.token,
        expires_ms: minted.expires.as_millis(),
        grants: serde_json::to_value(&minted.grants).expect("grants are JSON"),
        key: minted.key.to_string(),
    }))
}
