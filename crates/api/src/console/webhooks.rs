//! Webhooks of an app, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{AppId, DeliveryId, WebhookId};
use hexline_services::actor::Actor;
use hexline_services::audit::Entry;
use hexline_services::webhooks::Webhook;
use http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids, Params};
use crate::kit::paging::Page;
use crate::kit::webhooks::{
    DeliveryDetail, DeliveryQuery, DeliveryView, WebhookOrder, WebhookPatch, WebhookView, Webhooks,
};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, remove))
        .routes(routes!(try_out))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(redeliver))
}

/// The webhooks of an app
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/webhooks",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "All of them", body = Webhooks), (status = 404, description = "There is no such app", body = ErrorBody))
)]
async fn list(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<Webhooks>, Refusal> {
    signed.may_read(id)?;
    Ok(Json(Webhooks::of(app.webhooks.list(id).await?)))
}

/// Make a webhook
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/webhooks",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = WebhookOrder,
    responses(
        (status = 201, description = "It was made", body = WebhookView),
        (status = 400, description = "The URL, an event or the label is refused", body = ErrorBody),
        (status = 409, description = "The app has as many as it may", body = ErrorBody),
        (status = 404, description = "There is no such app", body = ErrorBody),
        (status = 403, description = "The role does not allow it", body = ErrorBody)
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(order): Body<WebhookOrder>,
) -> Result<(StatusCode, Json<WebhookView>), Refusal> {
    signed.may_write(id)?;
    let webhook = app.webhooks.create(id, order.into_new()).await?;
    note(&app, &signed, "webhook.create", &webhook).await;
    Ok((StatusCode::CREATED, Json(webhook.into())))
}

/// A webhook
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/webhooks/{webhook}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("webhook" = String, Path, description = "The webhook's id")
    ),
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        (status = 404, description = "There is none", body = ErrorBody)
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, webhook)): Ids<(AppId, WebhookId)>,
) -> Result<Json<WebhookView>, Refusal> {
    signed.may_read(id)?;
    Ok(Json(app.webhooks.lookup(id, webhook).await?.into()))
}

/// Change a webhook
#[utoipa::path(
    patch,
    path = "/console/api/apps/{app}/webhooks/{webhook}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("webhook" = String, Path, description = "The webhook's id")
    ),
    request_body = WebhookPatch,
    responses(
        (status = 200, description = "As it is now", body = WebhookView),
        (status = 400, description = "The URL, an event or the label is refused", body = ErrorBody),
        (status = 404, description = "There is none", body = ErrorBody),
        (status = 403, description = "The role does not allow it", body = ErrorBody)
    )
)]
async fn update(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, webhook)): Ids<(AppId, WebhookId)>,
    Body(patch): Body<WebhookPatch>,
) -> Result<Json<WebhookView>, Refusal> {
    signed.may_write(id)?;
    let webhook = app
        .webhooks
        .update(id, webhook, patch.into_changes())
        .await?;
    note(&app, &signed, "webhook.update", &webhook).await;
    Ok(Json(webhook.into()))
}

/// Remove a webhook with its queue and its log
#[utoipa::path(
    delete,
    path = "/console/api/apps/{app}/webhooks/{webhook}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("webhook" = String, Path, description = "The webhook's id")
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = ErrorBody),
        (status = 403, description = "The role does not allow it", body = ErrorBody)
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, webhook)): Ids<(AppId, WebhookId)>,
) -> Result<StatusCode, Refusal> {
    signed.may_write(id)?;
    let gone = app.webhooks.lookup(id, webhook).await?;
    app.webhooks.remove(id, webhook).await?;
    note(&app, &signed, "webhook.delete", &gone).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a webhook an event that means nothing
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/webhooks/{webhook}/test",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("webhook" = String, Path, description = "The webhook's id")
    ),
    responses(
        (status = 202, description = "It is queued", body = DeliveryView),
        (status = 404, description = "There is none", body = ErrorBody),
        (status = 429, description = "Too many deliveries wait", body = ErrorBody),
        (status = 403, description = "The role does not allow it", body = ErrorBody)
    )
)]
async fn try_out(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, webhook)): Ids<(AppId, WebhookId)>,
) -> Result<(StatusCode, Json<DeliveryView>), Refusal> {
    signed.may_write(id)?;
    let tried = app.webhooks.lookup(id, webhook).await?;
    let delivery = app.webhooks.test(id, webhook).await?;
    note(&app, &signed, "webhook.test", &tried).await;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}

/// The deliveries of a webhook, newest first
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/webhooks/{webhook}/deliveries",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("webhook" = String, Path, description = "The webhook's id"),
        DeliveryQuery),
    responses(
        (status = 200, description = "A part of them", body = Page<DeliveryView>),
        (status = 400, description = "The query is refused", body = ErrorBody),
        (status = 404, description = "There is no such webhook", body = ErrorBody)
    )
)]
async fn deliveries(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, webhook)): Ids<(AppId, WebhookId)>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<Page<DeliveryView>>, Refusal> {
    signed.may_read(id)?;
    let found =
        app.webhooks
            .deliveries(id, webhook, query.state(), query.before()?, query.wanted());
    Ok(Json(query.page(found.await?)))
}

/// A delivery: request, answer, attempts
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/deliveries/{delivery}",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("delivery" = String, Path, description = "The delivery's id")
    ),
    responses(
        (status = 200, description = "The delivery", body = DeliveryDetail),
        (status = 404, description = "There is none", body = ErrorBody)
    )
)]
async fn delivery(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, delivery)): Ids<(AppId, DeliveryId)>,
) -> Result<Json<DeliveryDetail>, Refusal> {
    signed.may_read(id)?;
    let (delivery, attempts) = app.webhooks.delivery(id, delivery).await?;
    Ok(Json(DeliveryDetail::of(delivery, attempts)))
}

/// Send a delivery again, whatever came of it
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/deliveries/{delivery}/redeliver",
    tag = "console",
    security(("consoleSession" = [])),
    params(
        ("app" = String, Path, description = "The app's id"),
        ("delivery" = String, Path, description = "The delivery's id")
    ),
    responses(
        (status = 202, description = "The new delivery of the same event", body = DeliveryView),
        (status = 404, description = "There is none", body = ErrorBody),
        (status = 429, description = "Too many deliveries wait", body = ErrorBody),
        (status = 403, description = "The role does not allow it", body = ErrorBody)
    )
)]
async fn redeliver(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids((id, delivery)): Ids<(AppId, DeliveryId)>,
) -> Result<(StatusCode, Json<DeliveryView>), Refusal> {
    signed.may_write(id)?;
    let repeated = app.webhooks.redeliver(id, delivery).await?;
    let webhook = app.webhooks.lookup(id, repeated.webhook).await?;
    note(&app, &signed, "webhook.redeliver", &webhook).await;
    Ok((StatusCode::ACCEPTED, Json(repeated.into())))
}

/// The URL stays out of the audit log but for its host: the rest may hold a secret.
async fn note(app: &App, signed: &Signed, action: &str, webhook: &Webhook) {
    let actor = Actor::Operator {
        id: signed.operator.id,
        email: signed.operator.email.to_string(),
    };
    let host = webhook.url.host();
    let entry = Entry::new(actor, action, Some(webhook.app), webhook.id)
        .detail(json!({ "host": host, "events": webhook.events.to_stored() }))
        .from(&signed.origin.peer);
    app.audit.record(entry).await;
}
