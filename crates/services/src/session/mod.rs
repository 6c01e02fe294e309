//! What a caller may know of its own access: who it is for the server, what it may do, which limits
//! hold.
//!
//! Methods: `session.info`. Events: none.
//!
//! Invariants: nothing is said of anybody but the caller; nothing of a token but what it grants and
//! when it ends.
//!
//! To add a method: its row and types in `protocol::session`, a fn in `rpc.rs`, the rule in
//! `service.rs`, an arm of `dispatch`, a behaviour test.

mod error;
pub mod rpc;
mod service;
#[cfg(test)]
mod tests;

pub use error::SessionError;
pub use service::{SessionService, SessionSettings};
