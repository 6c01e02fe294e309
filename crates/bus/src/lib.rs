//! What the nodes of a cluster tell and ask each other.
//!
//! A [`Broker`] is one node's end. `broker.rs` is the contract, `topic.rs` what a message is about,
//! `local.rs` the nodes of one process: usually one, for which nothing is to do; in tests several.
//!
//! Promises, held by `tests/conformance`:
//!
//! * **Order.** What one node publishes reaches each other node in the order published, across all
//!   topics.
//! * **Once.** No message is doubled. What a link can't carry is lost, counted, and told in its
//!   place: received and lost together are what was sent. Losses in very many topics at once are told
//!   to all sinks as one count, which then is the most that each has lost.
//! * **Never to itself.** A node hears nothing of its own: it has delivered that before it publishes.
//! * **Silence.** Once a subscription is dropped no delivery to its sink begins.
//! * **One dispatcher.** The sinks of a node are called one after the other, never at the same time.
//!   One that panics stops none of the others.
//! * **Answers in time.** A request is answered, or fails within its timeout. Requests and messages
//!   have no order between them, and a slow answer holds up no message.
//! * **Bounds.** What waits for a node is bounded in messages and bytes, and so are questions and
//!   answers.
//!
//! To add an implementation: implement [`Broker`], run the conformance suite on it.

mod broker;
mod inbox;
mod local;
mod topic;

pub use broker::{Broker, BrokerError, REQUEST_BYTES, Responder, Sink, Subscription};
pub use inbox::InboxLimits;
pub use local::{LocalBroker, LocalNetwork};
pub use topic::Topic;
