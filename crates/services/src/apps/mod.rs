//! Apps: the tenants of a server, their settings and limits.
//!
//! **What.** An app owns keys, identities and channels; nothing crosses apps. It can be disabled, renamed
//! and deleted with all that it has.
//!
//! **Methods.** [`AppService`]: create, update, rename, disable, enable, delete, find, list. They take turns
//! with the changes of keys by the same [`RegistryWriter`](crate::keys::RegistryWriter).
//!
//! **Invariants.** Settings are strict at the doors and tolerant when they are read from the store, which
//! keeps what this release does not know. Loosened settings never bring a revoked token back.
//!
//! **To add** a setting: a member of [`AppSettings`] with a default, its bounds in `check`, and the doors'
//! views of it.

mod app;
mod error;
mod service;
mod store;

pub use app::{
    App, AppChanges, AppLimits, AppName, AppNameError, AppSettings, AppSettingsError, TokenLife,
    UnknownApp,
};
pub use error::AppError;
pub use service::AppService;
pub use store::AppStore;
