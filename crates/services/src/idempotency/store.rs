use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};

use crate::store::StoreError;
use crate::vault::Sealed;

/// What was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The deed: a hash of app, signing key, route and idempotency key.
    pub id: String,
    /// With which it is forgotten.
    pub app: AppId,
    /// A hash of what was asked.
    pub request: String,
    /// Who does it: random, new for each try.
    pub turn: String,
    /// Since when.
    pub started: Timestamp,
    /// From when on the deed is forgotten.
    pub expires: Timestamp,
}

/// What is known of a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// A hash of what was asked.
    pub request: String,
    /// What was answered; `None` while it is being done, empty if it was dropped.
    pub answer: Option<Sealed>,
}

/// How many bytes a request counts, besides its answer.
pub const REQUEST_BYTES: u64 = 256;

/// Deeds of the last day. Every write is durable and atomic.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Takes a deed on; `false`, and nothing changed, if another has it. One that has expired, or
    /// was begun at or before `abandoned` and never finished, is taken over.
    async fn begin(&self, new: &Reservation, abandoned: Timestamp) -> Result<bool, StoreError>;

    /// What is known of a deed that has not expired.
    async fn lookup(&self, id: &str, now: Timestamp) -> Result<Option<Record>, StoreError>;

    /// Keeps the answer of a deed, if this turn still has it.
    async fn finish(&self, id: &str, turn: &str, answer: &Sealed) -> Result<bool, StoreError>;

    /// Forgets a deed that came to nothing, if this turn still has it.
    async fn give_up(&self, id: &str, turn: &str) -> Result<bool, StoreError>;

    /// How many bytes an app's requests take: [`REQUEST_BYTES`] for each, and its answer.
    async fn used(&self, app: AppId) -> Result<u64, StoreError>;

    /// Lets an app's requests take at most so many bytes: drops the oldest answers, then forgets
    /// the oldest requests without one; these come first while the requests alone, without their
    /// answers, take more than half. What is being done stays; `false` if that alone is more.
    async fn make_room(&self, app: AppId, most: u64) -> Result<bool, StoreError>;

    /// Forgets what has expired. How many those were.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;
}
