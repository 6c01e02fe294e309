use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};

use super::app::{App, AppName};
use crate::revocations::Revocation;
use crate::store::{ChangeError, Revision, StoreError};

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
