//! Writes that may be sent again: an app's server that lost the answer repeats the request with the
//! same key, and gets the answer of the first time instead of a second deed.
//!
//! **What.** A deed is named by app, signing key, route and the caller's own idempotency key. It is
//! [begun](IdempotencyService::begin) before it is done and [finished](IdempotencyService::finish)
//! with its answer, or [given up](IdempotencyService::give_up) if nothing was done.
//!
//! **Invariants.**
//! * Of two that begin the same deed at once, on whichever nodes, one does it.
//! * What was begun with other words is never answered with the first answer.
//! * An answer may hold a secret: it is stored sealed, under a key of the vault that is re-sealed
//!   with the master key, and opens as the answer of its own deed only.
//! * The caller's key is stored as a hash.
//! * What an app keeps is bounded. The oldest answers go first, and what was done stays known as long
//!   as that takes no more than half; from then on the oldest requests are forgotten, so that the
//!   youngest have their answers.
//!
//! **To add** something to remember: a method in `store.rs` with its promise, both migrations, the
//! SQL in the store crate and a case in its suite.

mod service;
mod store;

pub use service::{Answer, Begun, Deed, IdempotencyService, Turn};
pub use store::{IdempotencyStore, REQUEST_BYTES, Record, Reservation};
