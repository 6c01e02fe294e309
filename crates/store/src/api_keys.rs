use async_trait::async_trait;
use hexline_model::{ApiKey, AppId, KeyId, Timestamp};
use hexline_services::keys::{ApiKeyRecord, ApiKeyStore};
use hexline_services::store::{ChangeError, Revision, StoreError};
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;

#[async_trait]
impl ApiKeyStore for Database {
    async fn add(
        &self,
        record: &ApiKeyRecord,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        sqlx::query(ADD)
            .bind(record.id.to_string())
            .bind(record.app.to_string())
            .bind(record.key.to_string())
            .bind(record.label.as_str())
            .bind(record.created.as_millis())
            .bind(record.revoked.map(Timestamp::as_millis))
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("API key"))?;
        tx.commit().await.map_err(sort("API key"))?;
        Ok(revision)
    }

    async fn revoke(
        &self,
        id: ApiKey,
        at: Timestamp,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        let done = sqlx::query(REVOKE)
            .bind(id.to_string())
            .bind(at.as_millis())
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("API key"))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "API key" }.into());
        }
        tx.commit().await.map_err(sort("API key"))?;
        Ok(revision)
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<ApiKeyRecord, StoreError> {
    Ok(ApiKeyRecord {
        id: row.parsed("api_keys.id", "API key", |t| ApiKey::parse(t).ok())?,
        app: row.parsed("api_keys.app", "app id", |t| AppId::parse(t).ok())?,
        key: row.parsed("api_keys.signs_with", "key id", |t| KeyId::parse(t).ok())?,
        label: row.column("api_keys.label")?,
        created: row.time("api_keys.created_ms")?,
        revoked: row.time_if_any("api_keys.revoked_ms")?,
    })
}

pub(crate) const SINCE: &str = "select id, app, signs_with, label, created_ms, revoked_ms \
     from api_keys where revision > $1";
const ADD: &str = "insert into api_keys \
     (id, app, signs_with, label, created_ms, revoked_ms, revision) \
     values ($1, $2, $3, $4, $5, $6, $7)";
const REVOKE: &str = "update api_keys set revoked_ms = $2, revision = $3 where id = $1";
/// The public ids of a key move to the one that replaces it.
pub(crate) const MOVE: &str =
    "update api_keys set signs_with = $2, revision = $3 where signs_with = $1";
