use std::fmt;

use hexline_model::{AppId, DeliveryId, EventId, Timestamp, WebhookId};

/// An event that is to be put into a webhook's queue.
#[derive(Clone, PartialEq, Eq)]
pub struct Queued {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The webhook.
    pub webhook: WebhookId,
    /// Its app.
    pub app: AppId,
    /// The event.
    pub event: EventId,
    /// The event's kind, by its name.
    pub kind: String,
    /// What it concerns: what has the same subject is delivered in order.
    pub subject: String,
    /// What is sent.
    pub body: String,
    /// When it happened.
    pub at: Timestamp,
    /// Of what several processes see, all but the first with the same mark are passed over.
    pub once: Option<String>,
}

/// A delivery that is this process's to make, for as long as the lease lasts.
#[derive(Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its place in the queue.
    pub seq: i64,
    /// The webhook.
    pub webhook: WebhookId,
    /// The lease.
    pub lease: String,
    /// The event's kind, by its name.
    pub kind: String,
    /// What it concerns.
    pub subject: String,
    /// What is sent.
    pub body: String,
    /// When it was queued.
    pub queued: Timestamp,
    /// How many attempts have failed.
    pub attempts: u32,
}

/// What came of an attempt.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was claimed.
    pub claimed: Claimed,
    /// The attempt.
    pub attempt: Attempt,
    /// What follows from it.
    pub verdict: Verdict,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// It is tried again.
    Retry(Timestamp),
    /// It is given up.
    Parked,
}

/// One attempt to deliver.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Where to.
    pub url: String,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// Why none came.
    pub error: Option<String>,
    /// The beginning of the answer's body. Kept for the last attempt only.
    pub answer: Option<String>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its turn, or for the next attempt.
    Pending,
    /// It has arrived.
    Delivered,
    /// It was given up.
    Parked,
}

/// A delivery as the log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the queue.
    pub seq: i64,
    /// Its id.
    pub id: DeliveryId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The event.
    pub event: EventId,
    /// The event's kind, by its name.
    pub kind: String,
    /// What is sent.
    pub body: String,
    /// How far it is.
    pub state: DeliveryState,
    /// When it was queued.
    pub queued: Timestamp,
    /// When the next attempt is due; none while an earlier event of the subject is under way.
    pub next: Option<Timestamp>,
    /// When it arrived or was given up.
    pub done: Option<Timestamp>,
    /// How many attempts there were.
    pub attempts: u32,
    /// Of which delivery it is a repetition.
    pub repeats: Option<DeliveryId>,
}

impl DeliveryState {
    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Parked => "parked",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Delivered, Self::Parked];
        all.into_iter().find(|state| state.text() == text)
    }
}

impl Verdict {
    /// The state that a delivery is in afterwards.
    pub fn state(self) -> DeliveryState {
        match self {
            Self::Delivered => DeliveryState::Delivered,
            Self::Retry(_) => DeliveryState::Pending,
            Self::Parked => DeliveryState::Parked,
        }
    }
}

// Bodies and subjects name people, answers may hold anything.
macro_rules! terse {
    ($($name:ident: $($field:ident),*;)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

terse! {
    Queued: id, webhook, kind;
    Claimed: seq, webhook, lease, kind, attempts;
    Outcome: claimed, verdict;
    Attempt: at, duration_ms, status;
    Delivery: seq, id, webhook, kind, state, attempts;
}
