//! Webhooks and their deliveries as the Console's API and the platform API show them.

use hexline_model::{AppId, DeliveryId, EventId, Timestamp, WebhookId};
use hexline_services::webhooks::{
    Attempt, Delivery, DeliveryState, NewWebhook, Webhook, WebhookChanges,
};
use hexline_token::webhook::{EventKind, MEDIA_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::kit::error::Refusal;
use crate::kit::paging::{Cursor, Limit, Page};

/// A webhook: where an app is told of its events, and of which.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookView {
    #[schema(value_type = String)]
    id: WebhookId,
    #[schema(value_type = String)]
    app: AppId,
    url: String,
    /// The names of the events that it wants.
    events: Vec<&'static str>,
    label: String,
    created_ms: i64,
    /// Since when it is switched off; null if it is on.
    disabled_ms: Option<i64>,
    /// How many deliveries wait.
    pending: u64,
    /// How many events were dropped because too many waited.
    dropped: u64,
}

/// Webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct Webhooks {
    items: Vec<WebhookView>,
    /// Always null: all of them are here.
    next: Option<String>,
    /// Every event that a webhook can ask for.
    known_events: Vec<&'static str>,
}

/// A webhook to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookOrder {
    /// An absolute https URL; docs/webhooks.md says what else may be allowed.
    #[schema(example = "https://example.com/hexline", max_length = 2048)]
    url: String,
    /// The names of the events; `*` is all of them.
    #[schema(example = json!(["user.online", "user.offline"]))]
    events: Vec<String>,
    /// For people.
    #[serde(default)]
    label: Option<String>,
}

/// What is to be different about a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    label: Option<String>,
    /// Whether it is on. One that is off is told nothing new, and what waits goes on waiting.
    #[serde(default)]
    enabled: Option<bool>,
}

/// Which deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// `pending`, `delivered` or `parked`.
    #[serde(default)]
    #[param(inline)]
    state: Option<StateName>,
    /// How many at most, 1 to 200; unset 50.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `next` of the part before.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateName {
    /// It waits for its turn, or for the next attempt.
    Pending,
    /// It has arrived.
    Delivered,
    /// It was given up.
    Parked,
}

/// An event on its way to a webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    #[schema(value_type = String)]
    id: DeliveryId,
    #[schema(value_type = String)]
    webhook: WebhookId,
    /// The event's id, the same in a redelivery.
    #[schema(value_type = String)]
    event: EventId,
    /// The event's kind.
    #[serde(rename = "type")]
    kind: String,
    /// `pending`, `delivered` or `parked`.
    state: &'static str,
    queued_ms: i64,
    /// When the next attempt is due; null while an earlier event of the same subject is under way.
    next_ms: Option<i64>,
    /// When it arrived or was given up.
    done_ms: Option<i64>,
    attempts: u32,
    /// Of which delivery it is a repetition.
    #[schema(value_type = Option<String>)]
    repeats: Option<DeliveryId>,
}

/// A delivery with all that was sent and answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryView,
    request: RequestView,
    /// Each attempt, oldest first.
    log: Vec<AttemptView>,
}

/// What is sent. The signature is made anew for each attempt and kept nowhere.
#[derive(Serialize, ToSchema)]
pub(crate) struct RequestView {
    method: &'static str,
    content_type: &'static str,
    /// The event, byte for byte.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

/// An attempt.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptView {
    at_ms: i64,
    duration_ms: u64,
    url: String,
    /// The status of the answer; null if none came.
    status: Option<u16>,
    /// Why none came.
    error: Option<String>,
    /// The first 4 KiB of the answer's body, of the last attempt.
    answer: Option<String>,
}

impl Webhooks {
    pub(crate) fn of(webhooks: Vec<Webhook>) -> Self {
        Self {
            items: webhooks.into_iter().map(WebhookView::from).collect(),
            next: None,
            known_events: EventKind::ALL.iter().map(|kind| kind.text()).collect(),
        }
    }
}

impl WebhookOrder {
    pub(crate) fn into_new(self) -> NewWebhook {
        NewWebhook {
            url: self.url,
            events: self.events,
            label: self.label.unwrap_or_default(),
        }
    }
}

impl WebhookPatch {
    pub(crate) fn into_changes(self) -> WebhookChanges {
        WebhookChanges {
            url: self.url,
            events: self.events,
            label: self.label,
            enabled: self.enabled,
        }
    }
}

impl DeliveryQuery {
    pub(crate) fn state(&self) -> Option<DeliveryState> {
        self.state.map(|state| match state {
            StateName::Pending => DeliveryState::Pending,
            StateName::Delivered => DeliveryState::Delivered,
            StateName::Parked => DeliveryState::Parked,
        })
    }

    /// Before which place in the queue.
    pub(crate) fn before(&self) -> Result<Option<i64>, Refusal> {
        let cursor = self.cursor.as_ref();
        cursor.map(|c| c.read(|key| key.parse().ok())).transpose()
    }

    /// How many to ask for.
    pub(crate) fn wanted(&self) -> u32 {
        u32::try_from(self.limit.and_one()).unwrap_or(u32::MAX)
    }

    pub(crate) fn page(&self, found: Vec<Delivery>) -> Page<DeliveryView> {
        Page::cut(
            found,
            self.limit,
            |one| one.seq.to_string(),
            DeliveryView::from,
        )
    }
}

impl DeliveryDetail {
    pub(crate) fn of(delivery: Delivery, attempts: Vec<Attempt>) -> Self {
        let body = RawValue::from_string(delivery.body.clone());
        Self {
            request: RequestView {
                method: "POST",
                content_type: MEDIA_TYPE,
                body: body.unwrap_or_else(|_| RawValue::NULL.to_owned()),
            },
            log: attempts.into_iter().map(AttemptView::from).collect(),
            delivery: delivery.into(),
        }
    }
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            app: webhook.app,
            url: webhook.url.as_str().to_owned(),
            events: webhook.events.iter().map(EventKind::text).collect(),
            label: webhook.label,
            created_ms: webhook.created.as_millis(),
            disabled_ms: webhook.disabled.map(Timestamp::as_millis),
            pending: webhook.pending,
            dropped: webhook.dropped,
        }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook: delivery.webhook,
            event: delivery.event,
            kind: delivery.kind,
            state: delivery.state.text(),
            queued_ms: delivery.queued.as_millis(),
            next_ms: delivery.next.map(Timestamp::as_millis),
            done_ms: delivery.done.map(Timestamp::as_millis),
            attempts: delivery.attempts,
            repeats: delivery.repeats,
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            at_ms: attempt.at.as_millis(),
            duration_ms: attempt.duration_ms,
            url: attempt.url,
            status: attempt.status,
            error: attempt.error,
            answer: attempt.answer,
        }
    }
}
