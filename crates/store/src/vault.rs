use async_trait::async_trait;
use hexline_model::AppId;
use hexline_services::store::StoreError;
use hexline_services::vault::{Fingerprint, SealStoreError, Sealed, VaultEntry, VaultStore};
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::seals::in_force;

#[async_trait]
impl VaultStore for Database {
    async fn put(
        &self,
        entry: &VaultEntry,
        under: &Fingerprint,
        replaces: bool,
    ) -> Result<(), SealStoreError> {
        let mut tx = self.write().await?;
        // Locks the row that a re-sealing locks: none can happen between this look and the commit.
        sqlx::query(HOLD)
            .execute(&mut *tx)
            .await
            .map_err(sort("meta"))?;
        match in_force(&mut tx).await? {
            Some(found) if found == *under => {}
            Some(found) => {
                return Err(SealStoreError::MasterKey {
                    found,
                    expected: under.clone(),
                });
            }
            None => return Err(StoreError::NotFound { what: "master key" }.into()),
        }
        sqlx::query(if replaces { PUT } else { PUT_NEW })
            .bind(entry.name.as_str())
            .bind(entry.app.map(|app| app.to_string()))
            .bind(entry.sealed.as_bytes().to_vec())
            .execute(&mut *tx)
            .await
            .map_err(sort("secret"))?;
        Ok(tx.commit().await.map_err(sort("secret"))?)
    }

    async fn lookup(&self, name: &str) -> Result<Option<VaultEntry>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(name)
            .fetch_optional(self.reader())
            .await
            .map_err(sort("secret"))?;
        row.as_ref().map(read).transpose()
    }

    async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(REMOVE)
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(sort("secret"))?;
        tx.commit().await.map_err(sort("secret"))?;
        Ok(done.rows_affected() > 0)
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<VaultEntry, StoreError> {
    Ok(VaultEntry {
        name: row.column("vault.name")?,
        app: row.parsed_if_any("vault.app", "app id", |t| AppId::parse(t).ok())?,
        sealed: Sealed::from_stored(row.column("vault.sealed")?),
    })
}

const HOLD: &str = "update meta set revision = revision where id = 1";
const PUT: &str = "insert into vault (name, app, sealed) values ($1, $2, $3) \
     on conflict (name) do update set app = excluded.app, sealed = excluded.sealed";
const PUT_NEW: &str = "insert into vault (name, app, sealed) values ($1, $2, $3) \
     on conflict (name) do nothing";
const LOOKUP: &str = "select name, app, sealed from vault where name = $1";
const REMOVE: &str = "delete from vault where name = $1";
