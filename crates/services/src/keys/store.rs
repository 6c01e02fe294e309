//! What the key service asks of a database: one trait per aggregate.
//!
//! Two promises hold for every method of every trait here:
//!
//! * *Durable:* when a method that writes returns `Ok`, what it wrote survives a power cut.
//! * *Atomic:* it wrote all that it says, or nothing. After [`StoreError::Unavailable`] it may
//!   have done either; [`Journal::since`] tells.
//!
//! **Revisions.** The database counts changes of apps, keys, revocations and seals. A write that
//! follows from what is in memory names the revision that it was decided on and is refused with
//! [`ChangeError::Stale`] if there was another change since, in this process or any other. So two
//! writers never build on the same state, and a reader catches up by asking what came after.

use std::sync::Arc;

use async_trait::async_trait;
use hexline_model::{ApiKey, AppId, KeyId, Timestamp};

use super::api_key::ApiKeyRecord;
use super::app::{App, AppName};
use super::hold::{HeldOut, Hold, HoldCursor};
use super::key::{KeyRecord, KeyState};
use super::revocation::{Revocation, SweepHorizon, TargetKind};
use super::seal::{Fingerprint, Purpose, SealError, Sealed};
use super::vault::VaultEntry;
use crate::store::StoreError;

/// How many changes a database has seen. 0 is an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(i64);

/// Why a change that names a revision was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Decided on an older revision than the database has.
    #[error("the database has changed since revision {}", expected.0)]
    Stale {
        /// The revision that was named.
        expected: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Where a page of revocations ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationCursor {
    /// The kind of the last one.
    pub kind: TargetKind,
    /// The subject of the last one.
    pub subject: String,
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

/// Apps.
#[async_trait]
pub trait AppStore: Send + Sync {
    /// The app with this id.
    async fn lookup(&self, id: AppId) -> Result<Option<App>, StoreError>;

    /// The app with this name.
    async fn find_by_name(&self, name: &AppName) -> Result<Option<App>, StoreError>;

    /// Up to `limit` apps whose name comes after `after`, in order of their names' bytes.
    async fn list(&self, after: Option<&AppName>, limit: u32) -> Result<Vec<App>, StoreError>;

    /// Adds an app. Conflicts if its id or name exists.
    async fn add(&self, app: &App, expected: Revision) -> Result<Revision, ChangeError>;

    /// Replaces `name`, `disabled`, `settings`, `longest_life` and `signing_key` of an app; the rest
    /// never changes. Adds `mark`, a revocation that has to come with it, in the same transaction.
    /// Conflicts if another app has the name.
    async fn update(
        &self,
        app: &App,
        mark: Option<&Revocation>,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;

    /// Removes an app and every row of every service that belongs to it, and notes that it is gone.
    async fn remove(
        &self,
        id: AppId,
        at: Timestamp,
        expected: Revision,
    ) -> Result<Revision, ChangeError>;
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

/// Revocations.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Up to `limit` revocations of an app after the cursor, ordered by kind, then subject.
    async fn list(
        &self,
        app: AppId,
        after: Option<&RevocationCursor>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Adds a revocation, or makes the one of the same target stricter: the later `at` stays,
    /// and the later `expires` (unknown counts as latest). Needs no revision, for it takes
    /// nothing back.
    async fn add(&self, revocation: &Revocation) -> Result<Revision, StoreError>;

    /// Removes the revocations of an app that are behind the horizon; how many there were.
    /// No change in the sense of [`Journal`], but refused like one if there was another since:
    /// the horizon follows from the app's settings.
    async fn sweep(
        &self,
        app: AppId,
        horizon: SweepHorizon,
        expected: Revision,
    ) -> Result<u64, ChangeError>;
}

/// Who is held out, and until when.
#[async_trait]
pub trait HoldStore: Send + Sync {
    /// Up to `limit` holds of an app that end after `now` and come after the cursor, ordered by
    /// kind, then subject.
    async fn list(
        &self,
        app: AppId,
        now: Timestamp,
        after: Option<&HoldCursor>,
        limit: u32,
    ) -> Result<Vec<Hold>, StoreError>;

    /// Adds a hold, or makes the one of the same name longer: the later end stays, and is
    /// returned. Needs no revision, for it takes nothing back. `NotFound` if its app does not exist.
    async fn add(&self, hold: &Hold) -> Result<(Timestamp, Revision), StoreError>;

    /// Ends a hold now; `None` if there is none that ends later.
    async fn lift(
        &self,
        app: AppId,
        who: &HeldOut,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError>;

    /// Removes the holds of all apps that ended before then; how many there were. No change in the
    /// sense of [`Journal`].
    async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError>;
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

impl Revision {
    /// A revision as it was stored.
    pub fn from_stored(count: i64) -> Self {
        Self(count)
    }

    /// The count.
    pub fn count(self) -> i64 {
        self.0
    }

    /// The revision that the next change makes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl From<&Revocation> for RevocationCursor {
    fn from(last: &Revocation) -> Self {
        Self {
            kind: last.target.kind(),
            subject: last.target.subject(),
        }
    }
}
