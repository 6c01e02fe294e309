//! The schema's history: files that never change once they have shipped.
//!
//! To change the schema: the next number in both folders, and a line in [`of`] for each.

use std::cmp::Ordering;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row as _, SqlSafeStr as _};

use crate::database::Backend;
use crate::error::DatabaseError;

/// Brings the schema up to date. `before` is called ahead of the first change to a database that
/// has a schema, with the version of that.
///
/// Nodes that start together take turns on PostgreSQL, by an advisory lock that the connection
/// holds until this returns `Ok` or the connection closes.
pub(crate) async fn run(
    connection: &mut AnyConnection,
    backend: Backend,
    before: impl AsyncFnOnce(&mut AnyConnection, i64) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let mut migrator = Migrator::with_migrations(of(backend));
    // The lock is taken here, around the look at what is there.
    migrator.set_locking(false);
    connection.lock().await.map_err(DatabaseError::Migrate)?;

    connection
        .ensure_migrations_table(TABLE)
        .await
        .map_err(DatabaseError::Migrate)?;
    let applied = connection
        .list_applied_migrations(TABLE)
        .await
        .map_err(DatabaseError::Migrate)?;
    let found = applied.iter().map(|m| m.version).max();
    let supported = newest(backend);
    match found {
        Some(found) if found > supported => {
            connection.unlock().await.map_err(DatabaseError::Migrate)?;
            return Err(DatabaseError::SchemaTooNew { found, supported });
        }
        Some(found) if found < supported => before(connection, found).await?,
        _ => {}
    }
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMismatch(version) | MigrateError::VersionMissing(version) => {
                DatabaseError::SchemaDiffers { version }
            }
            error => DatabaseError::Migrate(error),
        })?;
    connection.unlock().await.map_err(DatabaseError::Migrate)
}

/// Whether the schema is the one that this release knows. Changes nothing.
pub(crate) async fn check(
    connection: &mut AnyConnection,
    backend: Backend,
) -> Result<(), DatabaseError> {
    let is_there = match backend {
        Backend::Sqlite => {
            "select count(*) as n from sqlite_master where name = '_sqlx_migrations'"
        }
        Backend::Postgres => "select count(to_regclass('_sqlx_migrations')) as n",
    };
    let count = async |connection: &mut AnyConnection, sql: &'static str| -> Result<i64, _> {
        let row = sqlx::query(sql).fetch_one(connection).await;
        row.and_then(|row| row.try_get("n"))
            .map_err(DatabaseError::Connect)
    };
    let found = if count(connection, is_there).await? == 0 {
        0
    } else {
        count(connection, VERSION).await?
    };
    let supported = newest(backend);
    match found.cmp(&supported) {
        Ordering::Less => Err(DatabaseError::SchemaTooOld { found, supported }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(DatabaseError::SchemaTooNew { found, supported }),
    }
}

/// The newest schema version that this release knows.
pub(crate) fn newest(backend: Backend) -> i64 {
    of(backend).iter().map(|m| m.version).max().unwrap_or(0)
}

fn of(backend: Backend) -> Vec<Migration> {
    macro_rules! read {
        ($backend:literal: $($version:literal $name:literal,)*) => {
            vec![$(Migration::new(
                $version,
                $name.into(),
                MigrationType::Simple,
                include_str!(concat!("../migrations/", $backend, "/", $name, ".sql"))
                    .into_sql_str(),
                false,
            )),*]
        };
    }
    match backend {
        Backend::Sqlite => read! { "sqlite":
            1 "0001_keys",
            2 "0002_revocations",
            3 "0003_token_life",
            4 "0004_vault",
            5 "0005_audit",
            6 "0006_operators",
            7 "0007_auth",
            8 "0008_webhooks",
            9 "0009_idempotency",
            10 "0010_sign_in",
            11 "0011_key_parentage",
            12 "0012_app_usage",
            13 "0013_holds",
            14 "0014_nodes",
        },
        Backend::Postgres => read! { "postgres":
            1 "0001_keys",
            2 "0002_revocations",
            3 "0003_token_life",
            4 "0004_vault",
            5 "0005_audit",
            6 "0006_operators",
            7 "0007_auth",
            8 "0008_webhooks",
            9 "0009_idempotency",
            10 "0010_sign_in",
            11 "0011_key_parentage",
            12 "0012_app_usage",
            13 "0013_holds",
            14 "0014_nodes",
        },
    }
}

const TABLE: &str = "_sqlx_migrations";
const VERSION: &str = "select coalesce(max(version), 0) as n from _sqlx_migrations";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_backends_have_the_same_history() {
        let history = |backend| {
            of(backend)
                .into_iter()
                .map(|m| (m.version, m.description))
                .collect::<Vec<_>>()
        };
        assert_eq!(history(Backend::Sqlite), history(Backend::Postgres));
        let versions: Vec<i64> = history(Backend::Sqlite).into_iter().map(|m| m.0).collect();
        assert!(versions.is_sorted_by(|a, b| a + 1 == *b), "{versions:?}");
    }
}
