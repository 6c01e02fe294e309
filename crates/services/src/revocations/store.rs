use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};

use super::hold::{HeldOut, Hold, HoldCursor};
use super::revocation::{Revocation, SweepHorizon, TargetKind};
use crate::store::{ChangeError, Revision, StoreError};

/// Where a page of revocations ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationCursor {
    /// The kind of the last one.
    pub kind: TargetKind,
    /// The subject of the last one.
    pub subject: String,
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
    /// No change in the sense of [`Journal`](crate::keys::Journal), but refused like one if there was another since:
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
    /// sense of [`Journal`](crate::keys::Journal).
    async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError>;
}

impl From<&Revocation> for RevocationCursor {
    fn from(last: &Revocation) -> Self {
        Self {
            kind: last.target.kind(),
            subject: last.target.subject(),
        }
    }
}
