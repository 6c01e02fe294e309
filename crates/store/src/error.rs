use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use hexline_services::store::StoreError;
use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;

/// Why a database could not be opened, probed or described.
///
/// No text of it holds the database's URL, for that may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Neither a path nor a URL of a kind that is known.
    #[error("the database is given by no URL that is known: expected postgres://…")]
    Url,
    /// The path can't be handed to SQLite.
    #[error("the database path {} is not UTF-8", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The database file or its backup can't be made.
    #[error("can't {doing} {}", path.display())]
    File {
        /// What was tried, e.g. `create`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody there, wrong credentials, not a database, disk full.
    #[error("can't open the database")]
    Connect(#[source] sqlx::Error),
    /// The file system can't do what write-ahead logging needs.
    #[error(
        "the database is in journal mode {found:?}, expected \"wal\"; is it on a network drive?"
    )]
    JournalMode {
        /// The mode that SQLite chose.
        found: String,
    },
    /// A PostgreSQL that is too old.
    #[error("the PostgreSQL server has version {found}, expected 14 or newer")]
    ServerTooOld {
        /// Its version.
        found: String,
    },
    /// A later release was here.
    #[error(
        "the database has schema version {found}, this release knows versions up to {supported}; \
         start the newer release again, or restore a backup made before it"
    )]
    SchemaTooNew {
        /// The version in the database.
        found: i64,
        /// The newest that this release knows.
        supported: i64,
    },
    /// An earlier release wrote it, and this one was asked only to look.
    #[error(
        "the database has schema version {found}, this release reads version {supported}: start \
         the server, which brings it up to date"
    )]
    SchemaTooOld {
        /// The version in the database; 0 if it has none.
        found: i64,
        /// The newest that this release knows.
        supported: i64,
    },
    /// A migration that has run is not the one of this release.
    #[error("schema version {version} of the database is not the one of this release")]
    SchemaDiffers {
        /// The version.
        version: i64,
    },
    /// A migration failed; the database is as it was before it.
    #[error("migrating the database failed")]
    Migrate(#[source] MigrateError),
    /// The backup before a migration failed; nothing was migrated.
    #[error("can't back the database up to {} before migrating it", path.display())]
    Backup {
        /// Where to.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was written was not read.
    #[error("the database gave back {found}, expected the {expected} just written")]
    Probe {
        /// What came back.
        found: i64,
        /// What was written.
        expected: i64,
    },
}

/// Sorts a failure by who must act. `what` names the thing that a conflict is about.
pub(crate) fn sort(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| match &error {
        sqlx::Error::Database(cause) => match cause.kind() {
            ErrorKind::UniqueViolation => StoreError::Conflict { what },
            ErrorKind::ForeignKeyViolation => StoreError::NotFound { what: "app" },
            _ if passes(cause.as_ref()) => unavailable(error),
            _ => StoreError::Other(Box::new(error)),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => unavailable(error),
        _ => StoreError::Other(Box::new(error)),
    }
}

/// Whether a later try may succeed without a change to this program.
fn passes(cause: &(dyn sqlx::error::DatabaseError + 'static)) -> bool {
    let Some(code) = cause.code() else {
        return false;
    };
    if cause.try_downcast_ref::<SqliteError>().is_some() {
        // The low byte of an extended code is the plain code: BUSY, LOCKED, READONLY, IOERR,
        // FULL, CANTOPEN.
        return code
            .parse::<u32>()
            .is_ok_and(|c| [5, 6, 8, 10, 13, 14].contains(&(c & 0xff)));
    }
    // PostgreSQL: connection, resources, operator intervention and system errors by class;
    // serialization failure, deadlock, lock not available, read-only (a standby) by code.
    ["08", "53", "57", "58"]
        .iter()
        .any(|class| code.starts_with(class))
        || ["40001", "40P01", "55P03", "25006"].contains(&code.as_ref())
}

fn unavailable(error: impl StdError + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_gives_no_connection_is_worth_another_try() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::WorkerCrashed] {
            assert!(matches!(sort("app")(error), StoreError::Unavailable(_)));
        }
        assert!(matches!(
            sort("app")(sqlx::Error::RowNotFound),
            StoreError::Other(_)
        ));
    }
}
