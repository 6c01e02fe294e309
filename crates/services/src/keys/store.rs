//! What the key service asks of a database: one trait per aggregate.
//!
//! Two promises hold for every method of every trait here:
//!
//! * *Durable:* when a method that writes returns `Ok`, what it wrote survives a power cut.
//! * *Atomic:* it wrote all that it says, or nothing. After [`StoreError::Unavailable`] it may
//!   have done either; [`Journal::since`] tells.
//!
//! **Revisions.** See [`Revision`]; a reader catches up by asking what came after the one that it knows.

use std::sync::Arc;

use async_trait::async_trait;
use hexline_model::{ApiKey, AppId, KeyId, Timestamp};

use super::api_key::ApiKeyRecord;
use super::key::{KeyRecord, KeyState};
use crate::apps::{App, AppStore};
use crate::revocations::{Hold, HoldStore, Revocation, RevocationStore};
use crate::store::{ChangeError, Revision, StoreError};
use crate::vault::{Fingerprint, SealStore, VaultStore};

/// Everything that came after a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The state of the database that this is a consistent view of.
    pub revision: Revision,
    /// The master key in force; `None` in a database that has never sealed anything.
    pub master_key: Option<Fingerprint>,
    /// Apps that were added or changed.
    pub apps: Vec<App>,
    /// Keys that were added or changed, last use apart.
    pub keys: Vec<KeyRecord>,
    /// Revocations that were added or made stricter. Sweeping leaves no trace here.
    pub revocations: Vec<Revocation>,
    /// Holds that were added, made longer or lifted. Sweeping leaves no trace here.
    pub holds: Vec<Hold>,
    /// Public ids that were added or changed.
    pub api_keys: Vec<ApiKeyRecord>,
    /// Apps that were deleted, with all that they had.
    pub deleted: Vec<AppId>,
}

/// Every store that the key service needs; usually one database behind all of them.
#[derive(Clone)]
pub struct Stores {
    /// Apps.
    pub apps: Arc<dyn AppStore>,
    /// Keys.
    pub keys: Arc<dyn KeyStore>,
    /// Revocations.
    pub revocations: Arc<dyn RevocationStore>,
    /// Holds.
    pub holds: Arc<dyn HoldStore>,
    /// Seals.
    pub seals: Arc<dyn SealStore>,
    /// Public ids.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// Secrets that are no keys.
    pub vault: Arc<dyn VaultStore>,
    /// What changed since.
    pub journal: Arc<dyn Journal>,
}

/// Keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The key with this id, of whichever app.
    async fn lookup(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// Up to `limit` keys of an app that come after `after`, oldest first, by id within one
    /// millisecond.
    async fn list(
        &self,
        app: AppId,
        after: Option<(Timestamp, KeyId)>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, StoreError>;

    /// Adds a key and, if it `signs`, makes it its app's signing key in the same transaction. A
    /// released key of another app with its id makes room, with the public ids that named it.
    /// Conflicts if its id exists in any app otherwise. `NotFound` if its app does not exist.
    async fn add(
        &self,
        key: &KeyRecord,
        signs: bool,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Adds `new` and lets `old` retire at `until`, lets the public ids that named `old` name `new`,
    /// and, if it `signs`, makes `new` its app's signing key, all in one transaction.
    async fn rotate(
        &self,
        old: KeyId,
        until: Timestamp,
        new: &KeyRecord,
        signs: bool,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Changes the state of some keys, in one transaction. `NotFound`, and nothing changed, if one
    /// does not exist.
    async fn set_state(
        &self,
        ids: &[KeyId],
        state: KeyState,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Writes the state of a key and since when it is released, and the states of the keys that it
    /// made, as they are in these records, all in one transaction.
    async fn release(
        &self,
        key: &KeyRecord,
        made: &[KeyRecord],
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Changes the label of a key.
    async fn set_label(
        &self,
        id: KeyId,
        label: &str,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Notes when keys were last used, in one transaction. Keeps the latest time; unknown keys
    /// are skipped. No change in the sense of [`Journal`].
    async fn touch(&self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;
}

/// Public ids.
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Adds a public id. Conflicts if it exists. `NotFound` if its app or key does not.
    async fn add(&self, record: &ApiKeyRecord, expected: Revision)
    -> Result<Revision, ChangeError>;

    /// Notes since when a public id names nothing.
    async fn revoke(
        &self,
        id: ApiKey,
        at: Timestamp,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;
}

/// What changed since.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The current revision; reads one row.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// What came after `revision`, as one consistent view; everything after revision 0. Apps by
    /// name, keys and revocations in no order.
    async fn since(&self, revision: Revision) -> Result<Changes, StoreError>;
}

impl Changes {
    /// Nothing yet, up to a revision.
    pub fn none(revision: Revision) -> Self {
        Self {
            revision,
            master_key: None,
            apps: Vec::new(),
            keys: Vec::new(),
            revocations: Vec::new(),
            holds: Vec::new(),
            api_keys: Vec::new(),
            deleted: Vec::new(),
        }
    }
}
