//! What the stores of all services have in common: how they fail, and how the changes of a database are counted.

use std::error::Error;

/// Why a store did not do as it was asked. Its text may reach a log, never a caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database can't be reached, is busy for too long, or went away; worth another try.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It was opened for reading alone.
    #[error("the database was opened for reading alone")]
    ReadOnly,
    /// Something with this name or id exists.
    #[error("there is such a {what} already")]
    Conflict {
        /// What clashed: `app`, `key`, …
        what: &'static str,
    },
    /// The row that was to be changed, or the one that it belongs to, does not exist.
    #[error("there is no such {what}")]
    NotFound {
        /// What is missing: `app`, `key`, …
        what: &'static str,
    },
    /// A row holds what no release wrote.
    #[error("column {column} of the database holds no {wanted}")]
    Corrupt {
        /// `table.column`.
        column: &'static str,
        /// What should stand there.
        wanted: &'static str,
    },
    /// A defect of this program or its database.
    #[error("the database refused a statement")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

/// How many changes of apps, keys, revocations and seals a database has seen. 0 is an empty one.
///
/// A write that follows from what is in memory names the revision that it was decided on and is
/// refused with [`ChangeError::Stale`] if there was another change since, in this process or any
/// other. So two writers never build on the same state.
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
