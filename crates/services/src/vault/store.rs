use async_trait::async_trait;
use hexline_model::{AppId, KeyId};

use super::seal::{Fingerprint, Purpose, SealError, Sealed};
use crate::store::StoreError;

/// A secret of the vault as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultEntry {
    /// By which it is found.
    pub name: String,
    /// The app with which it goes.
    pub app: Option<AppId>,
    /// The secret.
    pub sealed: Sealed,
}

/// Why sealed secrets were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealStoreError {
    /// The database is sealed under another master key than the one named.
    #[error("the database is sealed under master key {found}, expected {expected}")]
    MasterKey {
        /// The fingerprint in the database.
        found: Fingerprint,
        /// The fingerprint that was named.
        expected: Fingerprint,
    },
    /// The secret of a key does not open.
    #[error("the secret of key {key} can't be re-sealed")]
    Key {
        /// Whose secret.
        key: KeyId,
        /// Why.
        source: SealError,
    },
    /// A secret of the vault does not open.
    #[error("a secret of the vault can't be re-sealed")]
    Vault(#[source] SealError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Secrets that are no keys, sealed.
#[async_trait]
pub trait VaultStore: Send + Sync {
    /// Keeps a secret, in the place of the one of the same name, or, unless it `replaces`, beside
    /// none: then one that stands there stays. Refused with
    /// [`SealStoreError::MasterKey`] if the database is not under the master key that sealed it.
    /// `NotFound` if its app does not exist.
    async fn put(
        &self,
        entry: &VaultEntry,
        under: &Fingerprint,
        replaces: bool,
    ) -> Result<(), SealStoreError>;

    /// The secret of a name.
    async fn lookup(&self, name: &str) -> Result<Option<VaultEntry>, StoreError>;

    /// Removes the secret of a name; `false` if there was none.
    async fn remove(&self, name: &str) -> Result<bool, StoreError>;
}

/// Re-seals one secret: what it is for, the seal that stands. May be called many times.
pub type Reseal<'a> = &'a (dyn Fn(Purpose<'_>, &Sealed) -> Result<Sealed, SealError> + Send + Sync);

/// Seals and the master key that they are under.
#[async_trait]
pub trait SealStore: Send + Sync {
    /// The master key in force; `None` if none was ever claimed.
    async fn master_key(&self) -> Result<Option<Fingerprint>, StoreError>;

    /// Puts a database under this master key unless it is under one. Answers which is in force.
    /// Of two that claim at once, both learn of the same.
    async fn claim(&self, fingerprint: &Fingerprint) -> Result<Fingerprint, StoreError>;

    /// Re-seals every secret, of keys and of the vault, and the master key's fingerprint in one
    /// transaction, in which none can be added. If one secret can't be re-sealed, nothing changes. How many there were.
    async fn reseal(
        &self,
        from: &Fingerprint,
        to: &Fingerprint,
        reseal: Reseal<'_>,
    ) -> Result<u64, SealStoreError>;
}
