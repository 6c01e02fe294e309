use async_trait::async_trait;
use hexline_model::AppId;
use hexline_services::keys::{Changes, Journal};
use hexline_services::store::{ChangeError, Revision, StoreError};
use hexline_services::vault::Fingerprint;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::{api_keys, apps, holds, keys, revocations};

#[async_trait]
impl Journal for Database {
    async fn revision(&self) -> Result<Revision, StoreError> {
        let row = sqlx::query(REVISION)
            .fetch_one(self.reader())
            .await
            .map_err(sort("meta"))?;
        row.column("meta.revision").map(Revision::from_stored)
    }

    async fn since(&self, revision: Revision) -> Result<Changes, StoreError> {
        let mut tx = self.snapshot().await?;
        let meta = sqlx::query(META)
            .fetch_one(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        let master_key: Option<String> = meta.column("meta.master_key")?;
        let apps = sqlx::query(apps::SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("app"))?;
        let keys = sqlx::query(keys::SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("key"))?;
        let revocations = sqlx::query(revocations::SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("revocation"))?;
        let holds = sqlx::query(holds::SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("hold"))?;
        let api_keys = sqlx::query(api_keys::SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("API key"))?;
        let deleted = sqlx::query(apps::DELETED_SINCE)
            .bind(revision.count())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("app"))?;
        tx.commit().await.map_err(sort("meta"))?;
        Ok(Changes {
            revision: meta.column("meta.revision").map(Revision::from_stored)?,
            master_key: master_key.map(Fingerprint::from_stored),
            apps: apps.iter().map(apps::read).collect::<Result<_, _>>()?,
            keys: keys.iter().map(keys::read).collect::<Result<_, _>>()?,
            revocations: revocations
                .iter()
                .map(revocations::read)
                .collect::<Result<_, _>>()?,
            holds: holds.iter().map(holds::read).collect::<Result<_, _>>()?,
            api_keys: api_keys
                .iter()
                .map(api_keys::read)
                .collect::<Result<_, _>>()?,
            deleted: deleted
                .iter()
                .map(|row| row.parsed("deleted_apps.id", "app id", |t| AppId::parse(t).ok()))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Database {
    /// Starts a change that was decided on `expected`: whoever starts another one waits until
    /// this one ends.
    pub(crate) async fn change(
        &self,
        expected: Revision,
    ) -> Result<(Transaction<'static, Any>, Revision), ChangeError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(COUNT_IF)
            .bind(expected.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        if done.rows_affected() == 0 {
            return Err(ChangeError::Stale { expected });
        }
        Ok((tx, expected.next()))
    }

    /// Starts what is no change itself and right only if there was none since `expected`.
    pub(crate) async fn unchanged(
        &self,
        expected: Revision,
    ) -> Result<Transaction<'static, Any>, ChangeError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(HOLD_IF)
            .bind(expected.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        if done.rows_affected() == 0 {
            return Err(ChangeError::Stale { expected });
        }
        Ok(tx)
    }

    /// Starts a change that is right whatever came before it.
    pub(crate) async fn change_any(
        &self,
    ) -> Result<(Transaction<'static, Any>, Revision), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(COUNT)
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        let row = sqlx::query(REVISION)
            .fetch_one(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        let revision = row.column("meta.revision").map(Revision::from_stored)?;
        Ok((tx, revision))
    }
}

const REVISION: &str = "select revision from meta where id = 1";
const META: &str = "select revision, master_key from meta where id = 1";
const COUNT: &str = "update meta set revision = revision + 1 where id = 1";
const HOLD_IF: &str = "update meta set revision = revision where id = 1 and revision = $1";
const COUNT_IF: &str = "update meta set revision = revision + 1 where id = 1 and revision = $1";
