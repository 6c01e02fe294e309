//! What the webhook service asks of a database.
//!
//! Every method that writes is durable and atomic. What changes one webhook's queue takes turns,
//! between processes too, so that its order is that of the commits.

use async_trait::async_trait;
use hexline_model::{AppId, DeliveryId, Timestamp, WebhookId};

use super::delivery::{Attempt, Claimed, Delivery, DeliveryState, Outcome, Queued};
use super::webhook::Webhook;
use crate::store::StoreError;

/// What became of what was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Deliveries that were queued.
    pub queued: u64,
    /// Events that were dropped because the webhook's queue is full or the webhook is gone.
    pub dropped: u64,
}

/// What is to be different about a webhook.
pub type WebhookChange<'a> = &'a (dyn Fn(&mut Webhook) + Send + Sync);

/// Webhooks, their queues, and the log of deliveries.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Adds a webhook. `Conflict` if its app has `most` already, `NotFound` if the app is gone.
    async fn add(&self, webhook: &Webhook, most: u32) -> Result<(), StoreError>;

    /// Every webhook of every app.
    async fn all(&self) -> Result<Vec<Webhook>, StoreError>;

    /// The webhooks of an app, oldest first.
    async fn list(&self, app: AppId) -> Result<Vec<Webhook>, StoreError>;

    /// A webhook of an app.
    async fn lookup(&self, app: AppId, id: WebhookId) -> Result<Option<Webhook>, StoreError>;

    /// Changes URL, events, label and `disabled` of a webhook as it is then: of two changes at
    /// once both stay. `None` if it is gone.
    async fn update(
        &self,
        app: AppId,
        id: WebhookId,
        change: WebhookChange<'_>,
    ) -> Result<Option<Webhook>, StoreError>;

    /// Removes a webhook with its queue and its log; `false` if it was gone.
    async fn remove(&self, app: AppId, id: WebhookId) -> Result<bool, StoreError>;

    /// Queues events, of which at most `most` wait at any webhook, and notes what came of attempts,
    /// all in one transaction. Outcomes first. One whose lease was lost is passed over.
    async fn write(
        &self,
        queued: &[Queued],
        outcomes: &[Outcome],
        most: u64,
        now: Timestamp,
    ) -> Result<Written, StoreError>;

    /// Webhooks that are on and have a delivery due, at most `limit`.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<WebhookId>, StoreError>;

    /// When the next delivery after `now` is due.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Takes at most `limit` due deliveries of a webhook under a lease: of each subject the first
    /// that is pending, and no other. Until `until` nobody else gets them.
    async fn claim(
        &self,
        webhook: WebhookId,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Gives back what is claimed under leases that begin so; all of them if it is empty.
    async fn release(&self, lease_prefix: &str, now: Timestamp) -> Result<u64, StoreError>;

    /// The deliveries of a webhook before `before`, newest first.
    async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// A delivery of an app and its attempts, oldest first.
    async fn delivery(
        &self,
        app: AppId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError>;

    /// Queues a delivery of an app once more, under a new id, behind what waits. `None` if there is
    /// none, `Conflict` if `most` wait.
    async fn repeat(
        &self,
        app: AppId,
        id: DeliveryId,
        new: DeliveryId,
        most: u64,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Forgets deliveries that were done before `before`, and of every webhook all done ones but
    /// the last `most`. How many.
    async fn sweep(&self, before: Timestamp, most: u32) -> Result<u64, StoreError>;
}
