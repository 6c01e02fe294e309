//! The audit log: who changed what, when, and from where.
//!
//! **Methods.** [`AuditService::record`] writes an entry, [`AuditService::list`] reads them, the
//! newest first, [`AuditService::sweep`] removes the old ones.
//!
//! **Invariants.**
//! * An entry is written after the change that it tells of, by whoever asked for the change.
//! * An entry that the store does not take is kept in memory and written later: the change has
//!   happened, and refusing it afterwards would be a lie.
//! * No entry holds a secret. Only the retention removes one; the end of an app does not.
//!
//! **To add** an action: a word `thing.verb` where the change is made, and a row in
//! docs/console.md.

mod entry;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Recorded};
pub use service::AuditService;
pub use store::{Actions, AuditCursor, AuditStore, Filter};
