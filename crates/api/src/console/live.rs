use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as Answer, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hexline_gateway::{ConnectionView as Live, Filter, Target};
use hexline_model::{
    AppId, ConsoleSessionId, Device, Identity, KeyId, NodeId, OperatorId, Route, Subject, Timestamp,
};
use hexline_protocol::ErrorCode;
use hexline_services::revocations::HeldOut;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::apps::{readable, writable};
use super::feed::{WatchError, Watcher};
use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::{Cursor, Limit, Page, Word};
use crate::platform::connections::disconnect_and_hold;
use crate::platform::holds::{self, HoldShown};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(disconnect))
        .routes(routes!(list_holds))
        .routes(routes!(lift_hold))
        .routes(routes!(follow_app))
        .routes(routes!(follow_all))
}

/// A live connection.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleLiveConnectionView)]
pub(crate) struct ConnectionView {
    /// `identity/device/route`
    address: String,
    identity: String,
    device: String,
    route: String,
    since_ms: i64,
    /// The server process that holds it.
    #[schema(value_type = String)]
    node: NodeId,
    /// The client's network address.
    remote: String,
    /// The key that verified its token.
    #[schema(value_type = String)]
    key: KeyId,
    /// What its token grants.
    #[schema(value_type = Object)]
    grants: Value,
    /// What its key lets it grant, if it limits that.
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
    /// When its token or key ends.
    expires_ms: Option<i64>,
    bytes_in: u64,
    bytes_out: u64,
    messages_in: u64,
    messages_out: u64,
    /// How many channels it is a member of.
    channels: u32,
}

/// Which connections, and which part of them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// A part of the address or of the remote address.
    #[param(value_type = Option<String>)]
    search: Option<Word>,
    /// The identity, exactly.
    #[param(value_type = Option<String>)]
    identity: Option<Word>,
    /// The device, exactly.
    #[param(value_type = Option<String>)]
    device: Option<Word>,
    /// How many: 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// Which connections to close: one by its route, those of a device, or all of an identity.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleLiveWhich, example = json!({"identity": "alice", "device": "web1"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    #[serde(default)]
    identity: Option<String>,
    /// With an identity.
    #[serde(default)]
    device: Option<String>,
    /// One connection; identity and device may be said besides.
    #[serde(default)]
    route: Option<String>,
    /// For so many seconds the identity, or the device of it, stays out, with whatever token. Not
    /// with a route.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86400)]
    hold_s: u32,
}

/// Who may come in again.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConsoleHoldName)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    identity: String,
    /// If the hold is on one.
    #[serde(default)]
    device: Option<String>,
}

/// Whether there was a hold.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleLifted)]
pub(crate) struct Lifted {
    /// Whether there was one.
    lifted: bool,
}

/// A part of the holds.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HoldListing {
    /// How many: 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// What was closed.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleLiveDisconnected)]
pub(crate) struct Disconnected {
    /// How many connections there were.
    disconnected: usize,
    /// Until when it stays out; null without a hold.
    held_until_ms: Option<i64>,
}

/// List live connections
///
/// Those of this node, in an order that means nothing.
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/connections",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id"), Listing),
    responses((status = 200, description = "Connections", body = Page<ConnectionView>))
)]
async fn list(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Params(params): Params<Listing>,
) -> Result<Json<Page<ConnectionView>>, Refusal> {
    readable(&app, &signed, id)?;
    let cursor = params.cursor.as_ref();
    let after = cursor.map(|c| c.read(Route::parse));
    let filter = Filter {
        identity: params.identity.and_then(Word::given),
        device: params.device.and_then(Word::given),
        search: params.search.and_then(Word::given),
    };
    let limit = params.limit;
    let found = app
        .connections
        .list(id, &filter, after.transpose()?, limit.and_one())
        .await;
    let route = |live: &Live| live.address.route().to_string();
    let show = ConnectionView::new;
    Ok(Json(Page::cut(found, limit, route, show)))
}

/// Close live connections
///
/// With a code that tells a client not to come back by itself. Their tokens stay good; with `hold_s`
/// the identity or device stays out for so long all the same.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/connections/disconnect",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Which,
    responses((status = 200, description = "Closed", body = Disconnected))
)]
async fn disconnect(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Which>,
) -> Result<Json<Disconnected>, Refusal> {
    writable(&app, &signed, id)?;
    let target = target(&body)?;
    let hold = Duration::from_secs(body.hold_s.into());
    let (disconnected, until) = disconnect_and_hold(&app, id, &target, hold).await?;
    let entry = signed.entry("connection.disconnect", Some(id), target.to_string());
    let detail = json!({ "disconnected": disconnected, "hold_s": body.hold_s });
    app.audit.record(entry.detail(detail)).await;
    Ok(Json(Disconnected {
        disconnected,
        held_until_ms: until.map(Timestamp::as_millis),
    }))
}

/// List who is held out
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/holds",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id"), HoldListing),
    responses((status = 200, description = "Holds", body = Page<HoldShown>))
)]
async fn list_holds(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Params(params): Params<HoldListing>,
) -> Result<Json<Page<HoldShown>>, Refusal> {
    readable(&app, &signed, id)?;
    let after = params
        .cursor
        .as_ref()
        .map(|cursor| cursor.read(holds::read));
    let limit = u32::try_from(params.limit.and_one()).expect("it is small");
    let found = app
        .revocations
        .list_holds(id, after.transpose()?.as_ref(), limit)
        .await?;
    let page = Page::cut(found, params.limit, holds::key, HoldShown::from);
    Ok(Json(page))
}

/// Lift a hold
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/holds/lift",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = Held,
    responses((status = 200, description = "Lifted, or there was none", body = Lifted))
)]
async fn lift_hold(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<Held>,
) -> Result<Json<Lifted>, Refusal> {
    writable(&app, &signed, id)?;
    let who = named(&body.identity, body.device.as_deref())?;
    let entry = signed.entry("hold.lift", Some(id), who.subject());
    let lifted = app.revocations.lift_hold(id, who).await?;
    let detail = json!({ "lifted": lifted });
    app.audit.record(entry.detail(detail)).await;
    Ok(Json(Lifted { lifted }))
}

/// Follow the figures of an app
///
/// Server-Sent Events, each second one `stats`: `at_ms`, `connections`, and what was counted since
/// the start, `messages_in`, `messages_out`, `bytes_in`, `bytes_out`; and `connections` when one
/// has come or gone. It ends with the operator's session.
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/live",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 429, description = "The session follows 8 streams already", body = ErrorBody),
        (status = 503, description = "Too many watch already", body = ErrorBody),
    )
)]
async fn follow_app(
    State(state): State<ConsoleState>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Response, Refusal> {
    readable(&state.app, &signed, id)?;
    follow(state, &signed, Some(id))
}

/// Follow the figures of all apps that the operator sees
///
/// The same events as of one app, added up.
#[utoipa::path(
    get,
    path = "/console/api/live",
    tag = "console",
    security(("consoleSession" = [])),
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 429, description = "The session follows 8 streams already", body = ErrorBody),
        (status = 503, description = "Too many watch already", body = ErrorBody),
    )
)]
async fn follow_all(
    State(state): State<ConsoleState>,
    signed: Signed,
) -> Result<Response, Refusal> {
    follow(state, &signed, None)
}

fn follow(state: ConsoleState, signed: &Signed, only: Option<AppId>) -> Result<Response, Refusal> {
    let busy = |error: WatchError| {
        let code = match error {
            WatchError::Session => ErrorCode::RateLimited,
            WatchError::Server => ErrorCode::Unavailable,
        };
        Refusal::new(code, error.to_string()).retry_after(5).told()
    };
    let follower = Follower {
        watcher: state.feed.watch(signed.session.id).map_err(busy)?,
        app: state.app,
        operator: signed.operator.id,
        session: signed.session.id,
        only,
        turns: None,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok::<_, io::Error>(Bytes::from(text)), follower))
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Answer::from_stream(events)).into_response())
}

/// Somebody who follows.
struct Follower {
    app: Arc<App>,
    watcher: Watcher,
    operator: OperatorId,
    session: ConsoleSessionId,
    only: Option<AppId>,
    /// How often a connection had come or gone when it was last looked; `None` at first.
    turns: Option<u64>,
}

impl Follower {
    /// What to tell next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        // The first figures come at once.
        if self.turns.is_some() && !self.watcher.next().await {
            return None;
        }
        let apps = self.apps().await?;
        let mut sum = Sum::default();
        for app in apps {
            for found in self.app.connections.stats(app).await {
                let stats = found.value;
                sum.connections += stats.connections;
                sum.turns = sum.turns.wrapping_add(stats.turns);
                sum.messages_in += stats.traffic.messages_in;
                sum.messages_out += stats.traffic.messages_out;
                sum.bytes_in += stats.traffic.bytes_in;
                sum.bytes_out += stats.traffic.bytes_out;
            }
        }
        let mut text = String::new();
        let before = self.turns.replace(sum.turns);
        if before.is_some_and(|before| before != sum.turns) {
            let told = json!({ "connections": sum.connections });
            let _ = write!(text, "event: connections\ndata: {told}\n\n");
        }
        let stats = json!({
            "at_ms": self.app.clock.now().as_millis(),
            "connections": sum.connections,
            "messages_in": sum.messages_in,
            "messages_out": sum.messages_out,
            "bytes_in": sum.bytes_in,
            "bytes_out": sum.bytes_out,
        });
        let _ = write!(text, "event: stats\ndata: {stats}\n\n");
        Some(text)
    }

    /// The apps whose figures it may see, if its session stands. To follow is not to use: a
    /// session that does nothing else ends of its idleness.
    async fn apps(&self) -> Option<Vec<AppId>> {
        let operators = &self.app.operators;
        let sessions = operators.list_sessions(self.operator).await.ok()?;
        if !sessions.iter().any(|session| session.id == self.session) {
            return None;
        }
        let operator = operators.lookup(self.operator).await.ok()?;
        let registry = self.app.keys.registry();
        if let Some(only) = self.only {
            let is_there = operator.sees(only) && registry.app(only).is_some();
            return is_there.then(|| vec![only]);
        }
        let apps = registry.apps().into_iter().map(|app| app.id);
        Some(apps.filter(|app| operator.sees(*app)).collect())
    }
}

#[derive(Default)]
struct Sum {
    connections: usize,
    turns: u64,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What to close.
fn target(which: &Which) -> Result<Target, Refusal> {
    if let Some(route) = &which.route {
        let route = Route::parse(route).ok_or_else(|| invalid("the route is none"))?;
        return Ok(Target::Route(route));
    }
    let expected = || invalid("expected a route, or an identity with or without a device");
    let identity = which.identity.as_deref().ok_or_else(expected)?;
    Ok(match named(identity, which.device.as_deref())? {
        HeldOut::Identity(identity) => Target::Identity(identity),
        HeldOut::Device(subject) => Target::Device(subject),
    })
}

fn named(identity: &str, device: Option<&str>) -> Result<HeldOut, Refusal> {
    let identity = Identity::parse(identity).map_err(|e| invalid(format!("the identity {e}")))?;
    let Some(device) = device else {
        return Ok(HeldOut::Identity(identity));
    };
    let device = Device::parse(device).map_err(|e| invalid(format!("the device {e}")))?;
    Ok(HeldOut::Device(Subject { identity, device }))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

impl ConnectionView {
    fn new(live: Live) -> Self {
        Self {
            identity: live.address.identity().to_owned(),
            device: live.address.device().to_owned(),
            route: live.address.route().to_string(),
            address: live.address.to_string(),
            since_ms: live.since.as_millis(),
            node: live.node,
            remote: live.remote.to_string(),
            key: live.key,
            grants: json!(live.grants),
            ceiling: live.ceiling.map(|ceiling| json!(ceiling)),
            expires_ms: live.expires.map(Timestamp::as_millis),
            bytes_in: live.traffic.bytes_in,
            bytes_out: live.traffic.bytes_out,
            messages_in: live.traffic.messages_in,
            messages_out: live.traffic.messages_out,
            channels: live.channels,
        }
    }
}
