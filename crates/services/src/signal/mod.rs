//! Signalling: direct messages, channels and presence between live connections.
//!
//! Methods: `signal.send`, `signal.join`, `signal.leave`, `signal.publish`. Events: `signal.join`,
//! `signal.join_back`, `signal.leave`, told by fan-out. `docs/protocol.md` has the wire shapes.
//!
//! Invariants: nothing is stored; a message reaches connections of the caller's app only; `from`
//! is the caller's own; the caller's connection hears nothing of its own; whoever may
//! join an open channel may also publish to it without joining, unless `publish` is limited.
//! Conversation and session channels are for members, as the services that own them tell. A caller
//! need not have a connection: what it says goes out by an [`Outlet`]. An app's server says what its
//! token's `platform` grant allows, on open channels and to users.
//!
//! To add a method: its row and types in `protocol::signal`, a fn in `rpc.rs`, the rule in
//! `service.rs`, an arm of `dispatch`, a behaviour test.

mod error;
mod event;
mod outlet;
pub mod rpc;
mod service;
#[cfg(test)]
mod tests;

pub use error::SignalError;
pub use event::Announcements;
pub use outlet::Outlet;
pub use service::SignalService;
