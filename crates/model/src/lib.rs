//! The nouns of Hexline: who, where, which key, which channel, and what time it is.
//!
//! Everything here is a value that cannot be wrong: private fields, one `parse`, one `Display`.
//! Untrusted text becomes one of these types once, at the door, and is never checked again.
//!
//! Invariants: no I/O, no async, no global state. Time and randomness are arguments
//! ([`Clock`], [`Entropy`]); only [`SystemClock`] and [`SystemEntropy`] ask the machine.
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

pub use address::{Address, AddressError, Destination, Route};
pub use channel::{ChannelError, ChannelKind, ChannelName};
pub use clock::{Clock, ManualClock, Monotonic, SystemClock, Timestamp};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use id::{
    ApiKey, AppId, AuditId, ConsoleSessionId, DeliveryId, EventId, IdError, KeyId, NodeId,
    OperatorId, WebhookId,
};
pub use identity::{Device, Identity, IdentityError, Subject};
pub use secret::Secret;
