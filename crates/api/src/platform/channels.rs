use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_fanout::{ChannelView, MemberView};
use hexline_gateway::OnNode;
use hexline_model::{ChannelName, Route};
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
use super::users::Delivered;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::{Cursor, Limit, Page, Word};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(members))
        .routes(routes!(publish))
        .routes(routes!(publish_many))
}

/// A channel that has members.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformChannel)]
pub(super) struct ChannelShown {
    /// Its name.
    channel: String,
    /// How many connections are members.
    members: usize,
    /// How many of them the others see.
    visible: usize,
}

/// A member of a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformMember)]
pub(super) struct MemberShown {
    /// `identity/device/route`
    address: String,
    /// Who.
    identity: String,
    /// On which device.
    device: String,
    /// Whether the others see it.
    visible: bool,
}

/// A message on a channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformPublication)]
pub(super) struct Publication {
    /// What the message holds: any members but `to`, `id` and `from`.
    #[schema(value_type = Object, example = json!({"type": "news", "text": "hello"}))]
    message: Box<RawValue>,
    /// For whom of the app the server speaks: an identity or `identity/device`; unset, for itself.
    #[schema(example = "alice")]
    from: Option<String>,
}

/// Messages on channels.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformPublications)]
pub(super) struct Publications {
    /// 1 to 100, carried out in this order, all of them or none.
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<AddressedPublication>,
}

/// A message and its channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformAddressedPublication)]
pub(super) struct AddressedPublication {
    /// The channel.
    #[schema(example = "news")]
    channel: String,
    /// What the message holds: any members but `to`, `id` and `from`.
    #[schema(value_type = Object, example = json!({"type": "news", "text": "hello"}))]
    message: Box<RawValue>,
    /// For whom of the app the server speaks.
    #[schema(example = "alice")]
    from: Option<String>,
}

/// Who took each message.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformDeliveries)]
pub(super) struct Deliveries {
    /// In the order of the messages.
    items: Vec<Delivered>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those whose names begin with it.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    prefix: Option<Word>,
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MembersQuery {
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// The channels that have members, by name
#[utoipa::path(
    get,
    path = "/platform/v1/channels",
    tag = "platform",
    security(("platformToken" = [])),
    params(ListQuery),
    responses((status = 200, description = "A page of them", body = Page<ChannelShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<ChannelShown>>, Refusal> {
    caller.needs(PlatformArea::Channels)?;
    let after = query
        .cursor
        .map(|c| c.read(|key| ChannelName::parse(key).ok()));
    let after = after.transpose()?;
    let prefix = query.prefix.and_then(Word::given).unwrap_or_default();
    let found = app
        .connections
        .channels(caller.app, &prefix, after.as_ref(), query.limit.and_one())
        .await;
    let name = |found: &OnNode<ChannelView>| found.value.name.as_str().to_owned();
    let show = |found: OnNode<ChannelView>| found.value.into();
    Ok(Json(Page::cut(found, query.limit, name, show)))
}

/// One channel
///
/// One without members is no error: it need not be made before it is used.
#[utoipa::path(
    get,
    path = "/platform/v1/channels/{channel}",
    tag = "platform",
    security(("platformToken" = [])),
    params(("channel" = String, Path, description = "The channel")),
    responses((status = 200, description = "Its members, counted", body = ChannelShown))
)]
async fn show(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(channel): Ids<String>,
) -> Result<Json<ChannelShown>, Refusal> {
    caller.needs(PlatformArea::Channels)?;
    let name = names::channel(&channel)?;
    let found = app.connections.channel(caller.app, &name).await;
    let view = found.into_iter().next().map(|found| found.value);
    let view = view.unwrap_or(ChannelView {
        name,
        members: 0,
        visible: 0,
    });
    Ok(Json(view.into()))
}

/// Who is in a channel
///
/// A channel without members has an empty list: it need not be made before it is used.
#[utoipa::path(
    get,
    path = "/platform/v1/channels/{channel}/members",
    tag = "platform",
    security(("platformToken" = [])),
    params(("channel" = String, Path, description = "The channel"), MembersQuery),
    responses((status = 200, description = "A page of them", body = Page<MemberShown>))
)]
async fn members(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(channel): Ids<String>,
    Params(query): Params<MembersQuery>,
) -> Result<Json<Page<MemberShown>>, Refusal> {
    caller.needs(PlatformArea::Channels)?;
    let name = names::channel(&channel)?;
    let after = query.cursor.map(|cursor| cursor.read(Route::parse));
    let limit = query.limit.and_one();
    let found = app
        .connections
        .members(caller.app, &name, after.transpose()?, limit)
        .await;
    let route = |found: &OnNode<MemberView>| found.value.address.route().to_string();
    let show = |found: OnNode<MemberView>| found.value.into();
    Ok(Json(Page::cut(found, query.limit, route, show)))
}

/// Publish on a channel
///
/// It arrives as `signal.publish`. Its `from` is `//server`, or, for whom the server speaks,
/// `identity/device/server` with an empty device if none is given.
#[utoipa::path(
    post,
    path = "/platform/v1/channels/{channel}/messages",
    tag = "platform",
    security(("platformToken" = [])),
    params(("channel" = String, Path, description = "The channel")),
    request_body = Publication,
    responses((status = 200, description = "How many connections it was queued for", body = Delivered))
)]
async fn publish(
    State(app): State<Arc<App>>,
    caller: Platform,
    Ids(channel): Ids<String>,
    Body(order): Body<Publication>,
) -> Result<Json<Delivered>, Refusal> {
    let (signal, server) = (&app.signal, caller.caller());
    signal.may_publish_somewhere(&server)?;
    let channel = names::channel(&channel)?;
    signal.may_publish(&server, &channel)?;
    let message = Message::read(&order.message, order.from.as_deref(), server)?;
    let outlet = Outlet::Node(&app.fanout);
    let encode = |_| message.on(&channel);
    let published = signal.publish(&message.caller, outlet, &channel, encode)?;
    let delivered = published.delivered;
    let detail = json!({"delivered": delivered, "from": order.from});
    caller
        .record(&app, "message.publish", channel.as_str(), detail)
        .await;
    Ok(Json(Delivered::new(delivered)))
}

/// Publish several messages
#[utoipa::path(
    post,
    path = "/platform/v1/channels/messages",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = Publications,
    responses((status = 200, description = "For how many connections each was queued", body = Deliveries))
)]
async fn publish_many(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<Publications>,
) -> Result<Json<Deliveries>, Refusal> {
    let (signal, server) = (&app.signal, caller.caller());
    signal.may_publish_somewhere(&server)?;
    let found = order.messages.len();
    if !(1..=MOST_AT_ONCE).contains(&found) {
        let message = format!("found {found} messages, expected 1 to {MOST_AT_ONCE}");
        return Err(invalid(message));
    }
    // All of them are read before the first is said.
    let read = order.messages.iter().map(|one| {
        let channel = names::channel(&one.channel)?;
        signal.may_publish(&server, &channel)?;
        let message = Message::read(&one.message, one.from.as_deref(), server.clone())?;
        Ok((channel, message))
    });
    let read = read.collect::<Result<Vec<_>, Refusal>>()?;
    let items = read.iter().map(|(channel, message)| {
        let outlet = Outlet::Node(&app.fanout);
        let published =
            signal.publish(&message.caller, outlet, channel, |_| message.on(channel))?;
        Ok(Delivered::new(published.delivered))
    });
    let items = items.collect::<Result<Vec<_>, Refusal>>()?;
    let channels: Vec<&str> = read.iter().map(|(channel, _)| channel.as_str()).collect();
    let detail = json!({"channels": channels});
    caller.record(&app, "message.publish", "", detail).await;
    Ok(Json(Deliveries { items }))
}

impl From<ChannelView> for ChannelShown {
    fn from(view: ChannelView) -> Self {
        Self {
            channel: view.name.as_str().to_owned(),
            members: view.members,
            visible: view.visible,
        }
    }
}

impl From<MemberView> for MemberShown {
    fn from(view: MemberView) -> Self {
        Self {
            address: view.address.as_str().to_owned(),
            identity: view.address.identity().to_owned(),
            device: view.address.device().to_owned(),
            visible: view.visible,
        }
    }
}

const MOST_AT_ONCE: usize = 100;
