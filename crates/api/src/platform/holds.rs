use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_services::revocations::{HeldOut, Hold, HoldCursor};
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::names;
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(lift))
}

/// An identity or device that stays out, with whatever token.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformHold)]
pub(crate) struct HoldShown {
    /// Who.
    identity: String,
    /// Which device of theirs; null for all.
    device: Option<String>,
    /// Until when.
    until_ms: i64,
}

/// Who may come in again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformHoldName, example = json!({"identity": "alice", "device": "web1"}))]
pub(super) struct Order {
    /// The identity.
    identity: String,
    /// The device, if the hold is on one.
    device: Option<String>,
}

/// Whether there was a hold.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformLifted)]
pub(super) struct Lifted {
    /// Whether there was one.
    lifted: bool,
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

/// List who is held out
///
/// A hold is made by `POST /platform/v1/connections/disconnect` with `hold_s`.
#[utoipa::path(
    get,
    path = "/platform/v1/holds",
    tag = "platform",
    security(("platformToken" = [])),
    params(Query),
    responses((status = 200, description = "A page of them", body = Page<HoldShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<Query>,
) -> Result<Json<Page<HoldShown>>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let after = query.cursor.as_ref().map(|cursor| cursor.read(read));
    let limit = u32::try_from(query.limit.and_one()).expect("it is small");
    let found = app
        .revocations
        .list_holds(caller.app, after.transpose()?.as_ref(), limit)
        .await?;
    Ok(Json(Page::cut(found, query.limit, key, HoldShown::from)))
}

/// Lift a hold
///
/// The same identity, or the same device, may come in again at once.
#[utoipa::path(
    post,
    path = "/platform/v1/holds/lift",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = Order,
    responses((status = 200, description = "Lifted, or there was none", body = Lifted))
)]
async fn lift(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<Order>,
) -> Result<Json<Lifted>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let who = match &order.device {
        Some(device) => HeldOut::Device(names::subject(&order.identity, device)?),
        None => HeldOut::Identity(names::identity(&order.identity)?),
    };
    let target = who.subject();
    let lifted = app.revocations.lift_hold(caller.app, who).await?;
    let detail = json!({ "lifted": lifted });
    caller.record(&app, "hold.lift", target, detail).await;
    Ok(Json(Lifted { lifted }))
}

/// What a page of holds goes by.
pub(crate) fn key(hold: &Hold) -> String {
    format!("{} {}", hold.who.kind(), hold.who.subject())
}

/// The reverse.
pub(crate) fn read(key: &str) -> Option<HoldCursor> {
    let (kind, subject) = key.split_once(' ')?;
    let who = HeldOut::from_parts(kind, subject)?;
    Some(HoldCursor { who })
}

impl From<Hold> for HoldShown {
    fn from(hold: Hold) -> Self {
        let (identity, device) = match &hold.who {
            HeldOut::Identity(identity) => (identity.to_string(), None),
            HeldOut::Device(subject) => (
                subject.identity.to_string(),
                Some(subject.device.to_string()),
            ),
        };
        Self {
            identity,
            device,
            until_ms: hold.until.as_millis(),
        }
    }
}
