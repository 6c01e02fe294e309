//! SQLite and PostgreSQL behind the store traits of the services.
//!
//! One [`Database`] serves both: one SQL text per query over sqlx's `Any` pools, two folders of
//! migrations (docs/adr/0002-sql-once.md says why). The traits and their promises stand in the
//! services; here is only how they are kept.
//!
//! Invariants:
//! * What a write acknowledged is on disk: `synchronous = full` on SQLite, at least
//!   `synchronous_commit = local` on PostgreSQL, whatever the server's default is.
//! * Every change of apps, keys, revocations, holds and seals counts up `meta.revision` in its own
//!   transaction, before anything else in it. That row is the lock that puts changes in order.
//! * SQLite has one writer connection; readers can't write (`query_only`).
//! * A migration that has shipped never changes; sqlx compares its checksum.
//!
//! To remember something new: the trait and its promise in the service, both migrations, a file
//! here named after the aggregate, a case in the shared suite (`tests/`), which runs on both.

mod api_keys;
mod apps;
mod attempts;
mod audit;
mod auth;
mod console_sessions;
mod database;
mod error;
mod holds;
mod idempotency;
mod journal;
mod keys;
mod migrations;
mod nodes;
mod operators;
mod owner;
mod passkeys;
mod revocations;
mod row;
mod seals;
mod settings;
mod sqlite;
mod statement;
mod usage;
mod vault;
mod webhooks;

pub use database::{Backend, Database, DatabaseConfig, Health};
pub use error::DatabaseError;
pub use nodes::{NodeError, NodeLock, NodeMode, NodeRecord};
pub use owner::Owner;
