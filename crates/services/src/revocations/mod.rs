//! Revocations and holds: which tokens are refused though their key is good, and who stays out.
//!
//! **What.** A [`Revocation`] is for tokens that exist: one by its `jti`, or all of a scope that were
//! issued up to a moment. A [`Hold`] keeps an identity or a device out for a while, whatever token it has.
//!
//! **Methods.** [`RevocationService`]: revoke, list, hold, lift, sweep.
//!
//! **Invariants.** A revocation is forgotten only when every token that it names is dead for good. A hold
//! that was lifted stays in the store as one that has ended until every node must have heard of it.
//!
//! **To add** a scope: a variant of [`Scope`] and its [`TargetKind`], then follow the compiler.

mod error;
mod hold;
mod revocation;
mod service;
mod store;

pub use error::RevocationError;
pub(crate) use hold::Holds;
pub use hold::{HeldOut, Hold, HoldCursor};
pub use revocation::{Revocation, Scope, SweepHorizon, Target, TargetKind, TokenId, TokenIdError};
pub use service::RevocationService;
pub use store::{HoldStore, RevocationCursor, RevocationStore};
