//! The vault: secrets at rest, under one master key.
//!
//! **What.** A [`Sealer`] seals and opens. Secrets of other parties, such as a provider's client secret,
//! are kept under a name; those of keys stand with the keys. Both are re-sealed together when the master
//! key is replaced.
//!
//! **Methods.** [`VaultService`]: put, put once, open, remove.
//!
//! **Invariants.** A sealed secret opens only under its master key and only as what it was sealed for. No
//! secret is written under a master key that is not the database's.
//!
//! **To add** a purpose: a variant of [`Purpose`].

mod error;
mod seal;
mod service;
mod store;

pub use error::{VaultError, WrongMasterKey};
pub use seal::{Fingerprint, MasterKey, MasterKeyError, Purpose, SealError, Sealed, Sealer};
pub use service::VaultService;
pub use store::{Reseal, SealStore, SealStoreError, VaultEntry, VaultStore};
