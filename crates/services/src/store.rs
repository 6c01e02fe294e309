//! How stores fail: the one error that every store of every service has in common.

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
