use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hexline_gateway::{ConnectionView, Filter, Target};
use hexline_model::{AppId, Route, Timestamp};
use hexline_services::revocations::HeldOut;
use hexline_services::revocations::RevocationService;
use hexline_token::PlatformArea;
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
use crate::kit::json::{Body, Params};
use crate::kit::paging::{Cursor, Limit, Page, Word};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(disconnect))
        .routes(routes!(stats))
}

/// A live connection.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformConnection)]
pub(super) struct ConnectionShown {
    /// `identity/device/route`
    address: String,
    /// Who.
    identity: String,
    /// On which device.
    device: String,
    /// Which connection of it.
    route: String,
    /// Since when.
    since_ms: i64,
    /// The client's network address.
    remote: String,
    /// The node that it is connected to.
    node: String,
    /// The key that signed its token.
    key: String,
    /// What its token grants.
    #[schema(value_type = Object)]
    grants: Value,
    /// When its token or key ends; null if never.
    expires_ms: Option<i64>,
    /// What arrived.
    bytes_in: u64,
    /// What was sent.
    bytes_out: u64,
    /// How many messages arrived.
    messages_in: u64,
    /// How many messages were sent.
    messages_out: u64,
    /// How many channels it is a member of.
    channels: u32,
}

/// Which connections to close: one of `route`, `identity`, or `identity` with `device`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformDisconnect, example = json!({"identity": "alice", "device": "web1"}))]
pub(super) struct DisconnectOrder {
    /// One connection: the last part of its address.
    route: Option<String>,
    /// Everything of an identity.
    identity: Option<String>,
    /// Everything of this device of it.
    device: Option<String>,
    /// For so many seconds the identity, or the device of it, stays out, with whatever token: 0 (as
    /// if it were not there) to 86400. Not with `route`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86400)]
    hold_s: u32,
}

/// What was closed.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformDisconnected)]
pub(super) struct Disconnected {
    /// How many connections.
    closed: usize,
    /// Until when it stays out; null without a hold.
    held_until_ms: Option<i64>,
}

/// What the app does on this node.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformStats)]
pub(super) struct Stats {
    /// When this was so.
    at_ms: i64,
    /// Live connections.
    connections: usize,
    /// Messages that arrived since the server started.
    messages_in: u64,
    /// Messages that were sent since then.
    messages_out: u64,
    /// Bytes that arrived since then.
    bytes_in: u64,
    /// Bytes that were sent since then.
    bytes_out: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Query {
    /// Only those of this identity.
    #[param(value_type = Option<String>)]
    identity: Option<Word>,
    /// Only those of this device.
    #[param(value_type = Option<String>)]
    device: Option<Word>,
    /// Only those with this in their address or network address, in any case.
    #[param(value_type = Option<String>)]
    search: Option<Word>,
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// The live connections of the app
#[utoipa::path(
    get,
    path = "/platform/v1/connections",
    tag = "platform",
    security(("platformToken" = [])),
    params(Query),
    responses((status = 200, description = "A page of them", body = Page<ConnectionShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<Query>,
) -> Result<Json<Page<ConnectionShown>>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let after = query.cursor.map(|cursor| cursor.read(Route::parse));
    let filter = Filter {
        identity: query.identity.and_then(Word::given),
        device: query.device.and_then(Word::given),
        search: query.search.and_then(Word::given),
    };
    let found = app.connections.list(
        caller.app,
        &filter,
        after.transpose()?,
        query.limit.and_one(),
    );
    let found = found.await;
    let route = |view: &ConnectionView| view.address.route().to_string();
    let show = |view| ConnectionShown::new(&view);
    Ok(Json(Page::cut(found, query.limit, route, show)))
}

/// Close connections
///
/// With 4503, after which clients do not come back by themselves. Their tokens stay good: to keep a
/// user out for a while, whatever token comes, give `hold_s`; to end tokens, revoke. Holds are listed
/// and lifted at `/platform/v1/holds`.
#[utoipa::path(
    post,
    path = "/platform/v1/connections/disconnect",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = DisconnectOrder,
    responses((status = 200, description = "How many there were", body = Disconnected))
)]
async fn disconnect(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<DisconnectOrder>,
) -> Result<Json<Disconnected>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let target = match (&order.route, &order.identity, &order.device) {
        (Some(route), None, None) => Target::Route(names::route(route)?),
        (None, Some(identity), None) => Target::Identity(names::identity(identity)?),
        (None, Some(identity), Some(device)) => Target::Device(names::subject(identity, device)?),
        _ => {
            return Err(invalid(
                "expected route, or identity with or without device",
            ));
        }
    };
    let hold = Duration::from_secs(order.hold_s.into());
    let (closed, until) = disconnect_and_hold(&app, caller.app, &target, hold).await?;
    let detail = json!({"closed": closed, "hold_s": order.hold_s});
    caller
        .record(&app, "connection.disconnect", target.to_string(), detail)
        .await;
    Ok(Json(Disconnected {
        closed,
        held_until_ms: until.map(Timestamp::as_millis),
    }))
}

/// Closes connections, and keeps whom they belong to out for a while. How many there were on this
/// node, and until when.
///
/// Closed first, so that they can be counted: the hold closes what comes in between.
pub(crate) async fn disconnect_and_hold(
    app: &App,
    id: AppId,
    target: &Target,
    hold: Duration,
) -> Result<(usize, Option<Timestamp>), Refusal> {
    let who = match target {
        _ if hold.is_zero() => None,
        Target::Identity(identity) => Some(HeldOut::Identity(identity.clone())),
        Target::Device(subject) => Some(HeldOut::Device(subject.clone())),
        Target::Route(_) => {
            return Err(invalid(
                "a hold is on an identity or a device of it, found a route",
            ));
        }
    };
    RevocationService::check_hold(hold)?;
    let closed = app.connections.disconnect(id, target).await.total();
    let Some(who) = who else {
        return Ok((closed, None));
    };
    let held = app.revocations.hold(id, who, hold).await?;
    Ok((closed, Some(held.until)))
}

/// How many connections there are, and what they carry
#[utoipa::path(
    get,
    path = "/platform/v1/stats",
    tag = "platform",
    security(("platformToken" = [])),
    responses((status = 200, description = "On this node", body = Stats))
)]
async fn stats(State(app): State<Arc<App>>, caller: Platform) -> Result<Json<Stats>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let stats = app.hub.stats(caller.app);
    Ok(Json(Stats {
        at_ms: app.clock.now().as_millis(),
        connections: stats.connections,
        messages_in: stats.traffic.messages_in,
        messages_out: stats.traffic.messages_out,
        bytes_in: stats.traffic.bytes_in,
        bytes_out: stats.traffic.bytes_out,
    }))
}

impl ConnectionShown {
    fn new(view: &ConnectionView) -> Self {
        let address = &view.address;
        Self {
            address: address.as_str().to_owned(),
            identity: address.identity().to_owned(),
            device: address.device().to_owned(),
            route: address.route().to_string(),
            since_ms: view.since.as_millis(),
            remote: view.remote.to_string(),
            node: view.node.to_string(),
            key: view.key.to_string(),
            grants: serde_json::to_value(&view.grants).expect("grants are JSON"),
            expires_ms: view.expires.map(Timestamp::as_millis),
            bytes_in: view.traffic.bytes_in,
            bytes_out: view.traffic.bytes_out,
            messages_in: view.traffic.messages_in,
            messages_out: view.traffic.messages_out,
            channels: view.channels,
        }
    }
}
