use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_fanout::DeviceView;
use hexline_gateway::OnNode;
use hexline_model::{Destination, Identity, Subject};
use hexline_services::signal::Outlet;
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::message::Message;
use super::names::{self, invalid};
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(presence))
        .routes(routes!(presences))
        .routes(routes!(send))
}

/// Whether somebody is connected, and with what.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformPresence)]
pub(super) struct Presence {
    /// Who.
    identity: String,
    /// Whether there is a connection.
    online: bool,
    /// The devices, in the order of their names: a page of them.
    devices: Vec<DevicePresence>,
    /// The `cursor` of the next page; null after the last.
    next: Option<String>,
}

/// A device that is connected.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformDevice)]
pub(super) struct DevicePresence {
    /// Its name.
    device: String,
    /// How many connections it has.
    connections: usize,
}

/// Whose presence is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformPresenceQuestion)]
pub(super) struct Question {
    /// 1 to 100 identities.
    #[schema(min_items = 1, max_items = 100, example = json!(["alice", "bob"]))]
    identities: Vec<String>,
}

/// The presence of each, in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformPresences)]
pub(super) struct Presences {
    /// One for each identity, with at most 20 devices.
    items: Vec<Presence>,
}

/// A message to a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformDirectMessage)]
pub(super) struct DirectMessage {
    /// What the message holds: any members but `to`, `id` and `from`.
    #[schema(value_type = Object, example = json!({"type": "greeting", "text": "hello"}))]
    message: Box<RawValue>,
    /// Only to this device.
    device: Option<String>,
    /// Only to this connection of the device.
    #[schema(example = json!(null))]
    route: Option<String>,
    /// For whom of the app the server speaks: an identity or `identity/device`; unset, for itself.
    #[schema(example = "alice")]
    from: Option<String>,
}

/// Who took a message.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformDelivered)]
pub(super) struct Delivered {
    /// How many connections it was queued for.
    delivered: usize,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Query {
    /// How many devices at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// Whether a user is connected, and with which devices
#[utoipa::path(
    get,
    path = "/platform/v1/users/{identity}/presence",
    tag = "platform",
    security(("platformToken" = [])),
    params(("identity" = String, Path, description = "Who"), Query),
    responses((status = 200, description = "The presence", body = Presence))
)]
async fn presence(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(identity): Ids<String>,
    Params(query): Params<Query>,
) -> Result<Json<Presence>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let identity = names::identity(&identity)?;
    let after = query.cursor.as_ref().map(Cursor::key);
    let presence = Presence::look(&app, &caller, &identity, after, query.limit);
    Ok(Json(presence.await))
}

/// The presence of many users
#[utoipa::path(
    post,
    path = "/platform/v1/users/presence",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = Question,
    responses((status = 200, description = "The presence of each", body = Presences))
)]
async fn presences(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(question): Body<Question>,
) -> Result<Json<Presences>, Refusal> {
    caller.needs(PlatformArea::Users)?;
    let found = question.identities.len();
    if !(1..=MOST_AT_ONCE).contains(&found) {
        let message = format!("found {found} identities, expected 1 to {MOST_AT_ONCE}");
        return Err(invalid(message));
    }
    let limit = Limit::try_from(DEVICES_OF_MANY).expect("within its bounds");
    let identities = question.identities.iter().map(|text| names::identity(text));
    let identities = identities.collect::<Result<Vec<_>, Refusal>>()?;
    let mut items = Vec::with_capacity(found);
    for identity in &identities {
        items.push(Presence::look(&app, &caller, identity, None, limit).await);
    }
    Ok(Json(Presences { items }))
}

/// Send a user a message
///
/// It arrives as `signal.send`. Its `from` is `//server`, or, for whom the server speaks,
/// `identity/device/server` with an empty device if none is given.
#[utoipa::path(
    post,
    path = "/platform/v1/users/{identity}/messages",
    tag = "platform",
    security(("platformToken" = [])),
    params(("identity" = String, Path, description = "To whom")),
    request_body = DirectMessage,
    responses((status = 200, description = "How many connections it was queued for", body = Delivered))
)]
async fn send(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(identity): Ids<String>,
    Body(order): Body<DirectMessage>,
) -> Result<Json<Delivered>, Refusal> {
    let (signal, server) = (&app.signal, caller.caller());
    signal.may_send(&server)?;
    let identity = names::identity(&identity)?;
    let message = Message::read(&order.message, order.from.as_deref(), server)?;
    let to = match (&order.device, &order.route) {
        (None, None) => Destination::Identity(identity),
        (Some(device), None) => Destination::Device(Subject {
            identity,
            device: names::device(device)?,
        }),
        (Some(device), Some(route)) => {
            let subject = Subject {
                identity,
                device: names::device(device)?,
            };
            let route = names::route(route)?;
            Destination::Connection(subject, route.to_string().into())
        }
        (None, Some(_)) => return Err(invalid("route goes with device")),
    };
    let target = text_of(&to);
    let outlet = Outlet::Node(&app.fanout);
    let delivered = signal.send(&message.caller, outlet, &to, || message.to(&target))?;
    let detail = json!({"delivered": delivered, "from": order.from});
    caller.record(&app, "message.send", target, detail).await;
    Ok(Json(Delivered { delivered }))
}

impl Delivered {
    pub(super) fn new(delivered: usize) -> Self {
        Self { delivered }
    }
}

impl Presence {
    async fn look(
        app: &App,
        caller: &Platform,
        identity: &Identity,
        after: Option<&str>,
        limit: Limit,
    ) -> Self {
        let found = app
            .connections
            .devices(caller.app, identity, after, limit.and_one())
            .await;
        let name = |found: &OnNode<DeviceView>| found.value.device.to_string();
        let page = Page::cut(found, limit, name, |found| DevicePresence {
            device: found.value.device.into(),
            connections: found.value.connections,
        });
        Self {
            identity: identity.to_string(),
            online: !app
                .connections
                .online(caller.app, identity)
                .await
                .is_empty(),
            devices: page.items,
            next: page.next,
        }
    }
}

fn text_of(to: &Destination) -> String {
    match to {
        Destination::Identity(identity) => identity.to_string(),
        Destination::Device(subject) => subject.to_string(),
        Destination::Connection(subject, route) => format!("{subject}/{route}"),
    }
}

const MOST_AT_ONCE: usize = 100;
const DEVICES_OF_MANY: u32 = 20;
