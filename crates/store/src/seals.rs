use async_trait::async_trait;
use hexline_model::{AppId, KeyId};
use hexline_services::store::StoreError;
use hexline_services::vault::{Fingerprint, Purpose, Reseal, SealStore, SealStoreError, Sealed};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::vault;

#[async_trait]
impl SealStore for Database {
    async fn master_key(&self) -> Result<Option<Fingerprint>, StoreError> {
        let row = sqlx::query(MASTER_KEY)
            .fetch_one(self.reader())
            .await
            .map_err(sort("meta"))?;
        read(&row)
    }

    async fn claim(&self, fingerprint: &Fingerprint) -> Result<Fingerprint, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(CLAIM)
            .bind(fingerprint.as_str())
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        let found = in_force(&mut tx).await?;
        tx.commit().await.map_err(sort("meta"))?;
        found.ok_or(StoreError::NotFound { what: "master key" })
    }

    async fn reseal(
        &self,
        from: &Fingerprint,
        to: &Fingerprint,
        reseal: Reseal<'_>,
    ) -> Result<u64, SealStoreError> {
        // Counting the change first locks the one row that every change of a key locks.
        let (mut tx, revision) = self.change_any().await?;
        match in_force(&mut tx).await? {
            Some(found) if found == *from => {}
            Some(found) => {
                return Err(SealStoreError::MasterKey {
                    found,
                    expected: from.clone(),
                });
            }
            None => return Err(StoreError::NotFound { what: "master key" }.into()),
        }
        let rows = sqlx::query(SEALED)
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("key"))?;
        let mut count = 0;
        for row in &rows {
            let key = row.parsed("keys.id", "key id", |t| KeyId::parse(t).ok())?;
            let app = row.parsed("keys.app", "app id", |t| AppId::parse(t).ok())?;
            let sealed = Sealed::from_stored(row.column("keys.sealed")?);
            let sealed = reseal(Purpose::HmacSecret { app, key }, &sealed)
                .map_err(|source| SealStoreError::Key { key, source })?;
            sqlx::query(RESEAL)
                .bind(key.to_string())
                .bind(sealed.as_bytes())
                .bind(revision.count())
                .execute(&mut *tx)
                .await
                .map_err(sort("key"))?;
            count += 1;
        }
        let entries = sqlx::query(VAULT)
            .fetch_all(&mut *tx)
            .await
            .map_err(sort("secret"))?;
        for row in &entries {
            let entry = vault::read(row)?;
            let (name, app) = (entry.name.as_str(), entry.app);
            let sealed = reseal(Purpose::Vault { name, app }, &entry.sealed)
                .map_err(SealStoreError::Vault)?;
            sqlx::query(RESEAL_VAULT)
                .bind(name)
                .bind(sealed.as_bytes())
                .execute(&mut *tx)
                .await
                .map_err(sort("secret"))?;
            count += 1;
        }
        sqlx::query(REPLACE)
            .bind(to.as_str())
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        tx.commit().await.map_err(sort("meta"))?;
        Ok(count)
    }
}

pub(crate) async fn in_force(
    tx: &mut Transaction<'static, Any>,
) -> Result<Option<Fingerprint>, StoreError> {
    let row = sqlx::query(MASTER_KEY)
        .fetch_one(&mut **tx)
        .await
        .map_err(sort("meta"))?;
    read(&row)
}

fn read(row: &AnyRow) -> Result<Option<Fingerprint>, StoreError> {
    let text: Option<String> = row.column("meta.master_key")?;
    Ok(text.map(Fingerprint::from_stored))
}

const MASTER_KEY: &str = "select master_key from meta where id = 1";
const CLAIM: &str = "update meta set master_key = $1 where id = 1 and master_key is null";
const REPLACE: &str = "update meta set master_key = $1 where id = 1";
const SEALED: &str = "select id, app, sealed from keys where sealed is not null";
const RESEAL: &str = "update keys set sealed = $2, revision = $3 where id = $1";
const VAULT: &str = "select name, app, sealed from vault";
const RESEAL_VAULT: &str = "update vault set sealed = $2 where name = $1";
