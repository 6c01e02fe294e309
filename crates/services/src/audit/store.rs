use async_trait::async_trait;
use hexline_model::{AppId, AuditId, Timestamp};

use super::entry::Recorded;
use crate::store::StoreError;

/// Where the audit log is kept.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Writes entries, all or none. On return they are on disk. One that is there already stays.
    async fn add(&self, entries: &[Recorded]) -> Result<(), StoreError>;

    /// Up to `limit` entries that pass a filter, the newest first, that come after a cursor.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<AuditCursor>,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// How many bytes the entries about an app take, those apart that only wait for being written.
    async fn used(&self, app: AppId) -> Result<u64, StoreError>;

    /// Removes up to `limit` entries from before a time. How many there were.
    async fn remove_before(&self, at: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Which entries to list; every absent member lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one app.
    pub app: Option<AppId>,
    /// Of one of these apps: what the reader sees. With `None`, entries of no app too.
    pub visible: Option<Vec<AppId>>,
    /// By an actor of this id, e-mail address or kind.
    pub actor: Option<String>,
    /// Of these actions.
    pub action: Option<Actions>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Some actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actions {
    /// This one.
    One(String),
    /// All that start with this.
    Starting(String),
}

/// Where a page of entries ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    /// The time of its last entry.
    pub at: Timestamp,
    /// The id of its last entry.
    pub id: AuditId,
}

impl Filter {
    /// The texts in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let action = self.action.as_ref().map(|action| match action {
            Actions::One(text) | Actions::Starting(text) => text.as_str(),
        });
        self.actor.as_deref().into_iter().chain(action)
    }
}

impl Actions {
    /// Reads one action, or with a `*` at the end all that start so.
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(start) => Self::Starting(start.to_owned()),
            None => Self::One(text.to_owned()),
        }
    }
}

impl AuditCursor {
    /// The cursor behind an entry.
    pub fn behind(entry: &Recorded) -> Self {
        Self {
            at: entry.at,
            id: entry.id,
        }
    }
}
