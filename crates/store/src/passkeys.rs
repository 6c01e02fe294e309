use async_trait::async_trait;
use hexline_model::{OperatorId, Timestamp};
use hexline_services::operators::{Passkey, PasskeyStore, TokenHash};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::operators::of_operator;
use crate::row::Columns as _;
use crate::statement::run;

#[async_trait]
impl PasskeyStore for Database {
    async fn add(&self, passkey: &Passkey) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(ADD)
            .bind(passkey.id.as_slice())
            .bind(passkey.operator.to_string())
            .bind(passkey.label.as_str())
            .bind(passkey.public_key.as_slice())
            .bind(i64::from(passkey.sign_count))
            .bind(passkey.created.as_millis());
        run(&mut tx, PASSKEY, query)
            .await
            .map_err(|error| match error {
                StoreError::Conflict { .. } => StoreError::Conflict { what: PASSKEY },
                error => of_operator(error),
            })?;
        tx.commit().await.map_err(sort(PASSKEY))
    }

    async fn find(&self, id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let row = sqlx::query(FIND)
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(sort(PASSKEY))?;
        row.as_ref().map(read).transpose()
    }

    async fn list(&self, operator: OperatorId) -> Result<Vec<Passkey>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(operator.to_string())
            .fetch_all(self.reader())
            .await
            .map_err(sort(PASSKEY))?;
        rows.iter().map(read).collect()
    }

    async fn used(&self, id: &[u8], count: u32, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(USED)
            .bind(id)
            .bind(i64::from(count))
            .bind(at.as_millis());
        let used = run(&mut tx, PASSKEY, query).await?;
        tx.commit().await.map_err(sort(PASSKEY))?;
        Ok(used > 0)
    }

    async fn remove(&self, operator: OperatorId, id: &[u8]) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(REMOVE).bind(operator.to_string()).bind(id);
        let removed = run(&mut tx, PASSKEY, query).await?;
        tx.commit().await.map_err(sort(PASSKEY))?;
        Ok(removed > 0)
    }

    async fn use_challenge(&self, hash: &TokenHash, until: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(USE_CHALLENGE)
            .bind(hash.as_bytes())
            .bind(until.as_millis());
        let used = run(&mut tx, PASSKEY, query).await?;
        tx.commit().await.map_err(sort(PASSKEY))?;
        Ok(used > 0)
    }

    async fn sweep_challenges(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SWEEP).bind(now.as_millis());
        let swept = run(&mut tx, PASSKEY, query).await?;
        tx.commit().await.map_err(sort(PASSKEY))?;
        Ok(swept)
    }
}

fn read(row: &AnyRow) -> Result<Passkey, StoreError> {
    let count: i64 = row.column("operator_passkeys.sign_count")?;
    Ok(Passkey {
        id: row.column("operator_passkeys.id")?,
        operator: row.parsed("operator_passkeys.operator", "operator id", |t| {
            OperatorId::parse(t).ok()
        })?,
        label: row.column("operator_passkeys.label")?,
        public_key: row.column("operator_passkeys.public_key")?,
        sign_count: u32::try_from(count).map_err(|_| StoreError::Corrupt {
            column: "operator_passkeys.sign_count",
            wanted: "count",
        })?,
        created: row.time("operator_passkeys.created_ms")?,
        last_used: row.time_if_any("operator_passkeys.last_used_ms")?,
    })
}

const PASSKEY: &str = "passkey";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, operator, label, public_key, sign_count, created_ms, last_used_ms \
             from operator_passkeys ",
            $rest
        )
    };
}

const ADD: &str = "insert into operator_passkeys \
     (id, operator, label, public_key, sign_count, created_ms) values ($1, $2, $3, $4, $5, $6)";
const FIND: &str = select!("where id = $1");
const LIST: &str = select!("where operator = $1 order by created_ms, id");
const USED: &str = "update operator_passkeys set sign_count = $2, last_used_ms = $3 \
     where id = $1 and (sign_count < $2 or (sign_count = 0 and $2 = 0))";
const REMOVE: &str = "delete from operator_passkeys where operator = $1 and id = $2";
const USE_CHALLENGE: &str = "insert into operator_challenges (hash, until_ms) values ($1, $2) \
     on conflict (hash) do nothing";
const SWEEP: &str = "delete from operator_challenges where until_ms <= $1";
