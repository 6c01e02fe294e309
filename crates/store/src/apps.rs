use std::time::Duration;

use async_trait::async_trait;
use hexline_model::{AppId, KeyId, Timestamp};
use hexline_services::apps::{App, AppName, AppSettings, AppStore, TokenLife};
use hexline_services::revocations::Revocation;
use hexline_services::store::{ChangeError, Revision, StoreError};
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::revocations;
use crate::row::Columns as _;
use crate::settings;

#[async_trait]
impl AppStore for Database {
    async fn lookup(&self, id: AppId) -> Result<Option<App>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort("app"))?;
        row.as_ref().map(read).transpose()
    }

    async fn find_by_name(&self, name: &AppName) -> Result<Option<App>, StoreError> {
        let row = sqlx::query(FIND_BY_NAME)
            .bind(name.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(sort("app"))?;
        row.as_ref().map(read).transpose()
    }

    async fn list(&self, after: Option<&AppName>, limit: u32) -> Result<Vec<App>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(after.map_or("", AppName::as_str))
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("app"))?;
        rows.iter().map(read).collect()
    }

    async fn add(&self, app: &App, expected: Revision) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        sqlx::query(ADD)
            .bind(app.id.to_string())
            .bind(app.name.as_str())
            .bind(app.created.as_millis())
            .bind(app.disabled.map(Timestamp::as_millis))
            .bind(settings::changed(None, &app.settings)?)
            .bind(app.signing_key.map(|k| k.to_string()))
            .bind(revision.count())
            .bind(seconds(app.longest_life))
            .execute(&mut *tx)
            .await
            .map_err(sort("app"))?;
        tx.commit().await.map_err(sort("app"))?;
        Ok(revision)
    }

    async fn update(
        &self,
        app: &App,
        mark: Option<&Revocation>,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        let row = sqlx::query(STORED_SETTINGS)
            .bind(app.id.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort("app"))?;
        let Some(row) = row else {
            return Err(StoreError::NotFound { what: "app" }.into());
        };
        let stored: String = row.column("apps.settings")?;
        let settings = settings::changed(Some(&stored), &app.settings)?;
        sqlx::query(UPDATE)
            .bind(app.id.to_string())
            .bind(app.disabled.map(Timestamp::as_millis))
            .bind(settings)
            .bind(app.signing_key.map(|k| k.to_string()))
            .bind(revision.count())
            .bind(seconds(app.longest_life))
            .bind(app.name.as_str())
            .execute(&mut *tx)
            .await
            .map_err(sort("app"))?;
        if let Some(mark) = mark {
            revocations::put(&mut tx, mark, revision).await?;
        }
        tx.commit().await.map_err(sort("app"))?;
        Ok(revision)
    }

    async fn remove(
        &self,
        id: AppId,
        at: Timestamp,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        let mut gone = 0;
        for statement in OWNED {
            let done = sqlx::query(*statement)
                .bind(id.to_string())
                .execute(&mut *tx)
                .await
                .map_err(sort("app"))?;
            gone = done.rows_affected();
        }
        // The last statement is that of the app itself.
        if gone == 0 {
            return Err(StoreError::NotFound { what: "app" }.into());
        }
        sqlx::query(BURY)
            .bind(id.to_string())
            .bind(at.as_millis())
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("app"))?;
        tx.commit().await.map_err(sort("app"))?;
        Ok(revision)
    }
}

/// What belongs to an app and goes with it, in an order that breaks no reference: every table with
/// a column `app`, but those that a test names as outliving it.
const OWNED: &[&str] = &[
    "delete from auth_families where app = $1",
    "delete from auth_once where app = $1",
    "delete from auth_anonymous where app = $1",
    "delete from auth_settings where app = $1",
    "delete from webhooks where app = $1",
    "delete from webhook_deliveries where app = $1",
    "delete from api_keys where app = $1",
    "delete from idempotency where app = $1",
    "delete from app_usage where app = $1",
    "delete from vault where app = $1",
    "delete from holds where app = $1",
    "delete from revocations where app = $1",
    "delete from keys where app = $1",
    "delete from apps where id = $1",
];

pub(crate) fn read(row: &AnyRow) -> Result<App, StoreError> {
    Ok(App {
        id: row.parsed("apps.id", "app id", |t| AppId::parse(t).ok())?,
        name: row.parsed("apps.name", "app name", |t| AppName::from_stored(t).ok())?,
        created: row.time("apps.created_ms")?,
        disabled: row.time_if_any("apps.disabled_ms")?,
        settings: row.parsed("apps.settings", "app settings", |t| {
            serde_json::from_str::<AppSettings>(t).ok()
        })?,
        longest_life: life(row.column("apps.longest_life_s")?),
        signing_key: row.parsed_if_any("apps.signing_key", "key id", |t| KeyId::parse(t).ok())?,
    })
}

/// `None` is for ever.
fn seconds(life: TokenLife) -> Option<i64> {
    match life {
        TokenLife::AtMost(ttl) => Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
        TokenLife::Unlimited => None,
    }
}

fn life(seconds: Option<i64>) -> TokenLife {
    seconds.map_or(TokenLife::Unlimited, |seconds| {
        TokenLife::AtMost(Duration::from_secs(seconds.max(0).cast_unsigned()))
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, name, created_ms, disabled_ms, settings, signing_key, longest_life_s \
             from apps ",
            $rest
        )
    };
}

const LOOKUP: &str = select!("where id = $1");
const FIND_BY_NAME: &str = select!("where name = $1");
const STORED_SETTINGS: &str = "select settings from apps where id = $1";
const LIST: &str = select!("where name > $1 order by name limit $2");
pub(crate) const SINCE: &str = select!("where revision > $1 order by name");
const ADD: &str = "insert into apps \
     (id, name, created_ms, disabled_ms, settings, signing_key, revision, longest_life_s) \
     values ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(crate) const DELETED_SINCE: &str = "select id from deleted_apps where revision > $1";
const BURY: &str = "insert into deleted_apps (id, deleted_ms, revision) values ($1, $2, $3)";
const UPDATE: &str = "update apps \
     set disabled_ms = $2, settings = $3, signing_key = $4, revision = $5, longest_life_s = $6, \
     name = $7 where id = $1";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hexline_model::SystemClock;
    use sqlx::Row as _;

    use super::*;
    use crate::database::DatabaseConfig;

    /// What tells of an app when that is gone.
    const OUTLIVES: &[&str] = &["audit"];

    #[tokio::test]
    async fn what_belongs_to_an_app_goes_with_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = DatabaseConfig::parse(None, dir.path()).expect("SQLite");
        let database = Database::open(&config, Arc::new(SystemClock::new()));
        let database = database.await.expect("opens");
        let tables = sqlx::query(
            "select t.name as name from sqlite_master t join pragma_table_info(t.name) c \
             where t.type = 'table' and c.name in ('app', 'app_id') order by t.name",
        )
        .fetch_all(database.reader())
        .await
        .expect("reads");
        for table in tables {
            let table: String = table.get("name");
            let removed = format!("delete from {table} where");
            assert!(
                OWNED.iter().any(|sql| sql.starts_with(&removed))
                    || OUTLIVES.contains(&table.as_str()),
                "table {table} has a column `app`: add it to OWNED"
            );
        }
        database.close().await;
    }
}
