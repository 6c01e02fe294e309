//! The nouns of Hexline: who, where, which key, which channel, and what time it is.
//!
//! Everything here is a value that cannot be wrong: private fields, one `parse`, one `Display`.
//! Untrusted text becomes one of these types once, at the door, and is never checked again.
//!
//! Invariants: no I/O, no global state, no async but what waits for a [`Clock`]. Time and randomness
//! are arguments ([`Clock`], [`Entropy`]); only [`SystemClock`] and [`SystemEntropy`] ask the machine.
//! Without the feature `timers` the machine's clock tells the time and waits for nothing, so that who
//! only makes or checks tokens needs no runtime.
//!
//! To add a noun: a file named after it, a newtype with a private field, `parse`, `Display`,
//! and a test at the bottom for every rule that `parse` enforces.

mod address;
mod channel;
mod clock;
mod entropy;
mod id;
mod identity;
mod secret;
mod service;
mod time;

pub use address::{Address, AddressError, Destination, Route};
pub use channel::{ChannelError, ChannelKind, ChannelName};
pub use clock::{Clock, Elapsed, ManualClock, Sleep, Stopwatch, SystemClock, Timeout, Timer};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use id::{
    ApiKey, AppId, AuditId, ConsoleSessionId, DeliveryId, EventId, IdError, KeyId, NodeId,
    OperatorId, WebhookId,
};
pub use identity::{Device, Identity, IdentityError, Subject};
pub use secret::Secret;
pub use service::Service;
pub use time::{Monotonic, Timestamp};
