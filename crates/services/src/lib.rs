//! The rules of Hexline: who may do what, and what follows from it.
//!
//! One folder per service, all of the same shape: `mod.rs` (what it is, its methods, events and
//! invariants), `rpc.rs` (wire in, wire out), `service.rs` (the rules), `store.rs` (a trait and
//! its records), `event.rs` (what it tells others), `error.rs`, `tests.rs`.
//!
//! Invariants: stores are traits; no sockets, no SQL, no clock of its own; every rule
//! stands here once, and neither a handler nor a store has one.
//!
//! To add a service: copy the shape of one that is there, never an exception to it.

pub mod actor;
pub mod apps;
pub mod audit;
pub mod auth;
mod caller;
pub mod failure;
pub mod idempotency;
pub mod keys;
pub mod operators;
mod outcome;
pub mod reach;
mod registry_services;
pub mod revocations;
pub mod session;
pub mod signal;
pub mod store;
pub mod tokens;
pub mod vault;
pub mod webhooks;

pub use caller::Caller;
pub use failure::Failure;
pub use outcome::{Effect, Effects, Join, Outcome};
pub use registry_services::RegistryServices;
