//! Webhooks: telling an app's server what happens in its app.
//!
//! A [`Webhook`] is a URL of an app and the kinds of event that it wants. What happens is handed to
//! [`WebhookService::publish`], which costs one atomic load if nobody wants to know, and waits for
//! nothing: it goes through bounded memory to a writer that puts many events into one transaction.
//! From then on it survives a restart. How it is signed: `hexline_token::webhook`.
//!
//! Invariants:
//! * What concerns one subject (a user, a key, a channel, the app) reaches a webhook in the order in
//!   which it happened. One that fails holds up the later ones of its subject at that webhook, and
//!   nothing else.
//! * An event is delivered at least once, or parked after [`Backoff::give_up_after`], where it is
//!   seen and can be sent again.
//! * Of several processes on one database one delivers: a claim is a lease, and what was claimed by
//!   a process that died is claimed again when the lease is over.
//! * A hook never blocks. What does not fit is dropped and counted, in memory and in the database.
//!
//! To add an event: `hexline_token::webhook` says how, and a call of `publish` where it happens.

mod backoff;
mod delivery;
mod error;
mod interest;
mod places;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod webhook;

pub use backoff::Backoff;
pub use delivery::{Attempt, Claimed, Delivery, DeliveryState, Outcome, Queued, Verdict};
pub use error::WebhookError;
pub use service::{Entry, Post, Subject, WebhookOptions, WebhookService};
pub use store::{WebhookChange, WebhookStore, Written};
pub use webhook::{EventSet, NewWebhook, Webhook, WebhookChanges, WebhookUrl};
