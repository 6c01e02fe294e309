//! Keys, and the registry of everything that a token is checked against: the part of the server that says no.
//!
//! **What.** An app owns keys. A key verifies tokens (a secret, a public key, a JWKS document or
//! the URL of one) and may sign what the server mints. A key is active, then retiring after
//! [`rotate_key`](KeyService::rotate_key), or revoked. An API key is a public id that names a key.
//!
//! **Methods.** [`KeyService`] is for operators and an app's server: create, list, show, rotate,
//! revoke. [`KeyRegistry`] is for the door: it implements [`hexline_token::Registry`] and
//! checks live connections again ([`reauthorize`](KeyRegistry::reauthorize)). [`RegistryWriter`] makes
//! the changes of this service and of those for apps and revocations. None knows HTTP.
//!
//! **Events.** [`KeyEvent`], told in order, after the store acknowledged and the registry shows
//! the change.
//!
//! **Invariants.**
//! * A token check touches no database: keys, apps and revocations are all in memory, and an
//!   `iss` that is not there does not exist.
//! * Store first, then registry, then observers. What was handed out is on disk.
//! * A key's material never changes, only its seal. An HMAC secret is in the database only sealed
//!   ([`Sealer`](crate::vault::Sealer)); in memory it stands as the cipher's key, and sealed for minting.
//! * A revocation is forgotten only when every token that it names is dead for good, whatever
//!   the app's settings become ([`App::longest_life`](crate::apps::App::longest_life)).
//! * A key that an app's server made ends no later than the key whose token asked for it, and is
//!   revoked with it.
//! * Changes take turns across processes by the store's [`Revision`](crate::store::Revision).
//!
//! **To add** something to remember: a method on the trait in `store.rs` with its promise, both
//! migrations and the SQL in the store crate, a case in its shared suite; then a rule in
//! `service.rs`. A new kind of key: a constructor in `key.rs`, then follow the compiler through
//! `validate.rs` and `registry.rs`. A new error: a variant, and its word in `error.rs`.

mod api_key;
mod authorization;
mod cache;
mod change;
mod error;
mod event;
mod jwks;
mod key;
mod registry;
mod revoked;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod validate;
mod writer;

pub use api_key::ApiKeyRecord;
pub use authorization::{Authorization, AuthorizedJwk, Revoked};
pub use cache::KeyHandle;
pub(crate) use change::Change;
pub use error::{KeyError, RegistryError};
pub use event::KeyEvent;
pub use jwks::JwksOrder;
pub use key::{CreatedKey, KeyMaterial, KeyRecord, KeyState, NewKey, RevokedKey, SigningKey};
pub use registry::{KeyRegistry, Observer};
pub(crate) use service::check_signs;
pub use service::{KeyOptions, KeyService};
pub use store::{ApiKeyStore, Changes, Journal, KeyStore, Stores};
pub(crate) use writer::ATTEMPTS;
pub use writer::RegistryWriter;
