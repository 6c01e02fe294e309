use async_trait::async_trait;
use hexline_model::Timestamp;
use hexline_services::idempotency::{IdempotencyStore, Record, Reservation};
use hexline_services::keys::{Sealed, StoreError};

use crate::database::Database;
use crate::error::sort;
use crate::operators::run;
use crate::row::Columns as _;

#[async_trait]
impl IdempotencyStore for Database {
    async fn begin(&self, new: &Reservation, abandoned: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(BEGIN)
            .bind(&new.id)
            .bind(new.app.to_string())
            .bind(&new.request)
            .bind(&new.turn)
            .bind(new.started.as_millis())
            .bind(new.expires.as_millis())
            .bind(abandoned.as_millis());
        let taken = run(&mut tx, query).await?;
        tx.commit().await.map_err(sort(DEED))?;
        Ok(taken > 0)
    }

    async fn lookup(&self, id: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id)
            .bind(now.as_millis())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(DEED))?;
        let Some(row) = row else { return Ok(None) };
        let answer: Option<Vec<u8>> = row.column("idempotency.answer")?;
        Ok(Some(Record {
            request: row.column("idempotency.request")?,
            answer: answer.map(Sealed::from_stored),
        }))
    }

    async fn finish(&self, id: &str, turn: &str, answer: &Sealed) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(FINISH)
            .bind(id)
            .bind(turn)
            .bind(answer.as_bytes().to_vec());
        let kept = run(&mut tx, query).await?;
        tx.commit().await.map_err(sort(DEED))?;
        Ok(kept > 0)
    }

    async fn give_up(&self, id: &str, turn: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let gone = run(&mut tx, sqlx::query(GIVE_UP).bind(id).bind(turn)).await?;
        tx.commit().await.map_err(sort(DEED))?;
        Ok(gone > 0)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let swept = run(&mut tx, sqlx::query(SWEEP).bind(now.as_millis())).await?;
        tx.commit().await.map_err(sort(DEED))?;
        Ok(swept)
    }
}

const DEED: &str = "idempotency key";
const BEGIN: &str = "insert into idempotency \
     (id, app, request, turn, started_ms, expires_ms, answer) \
     values ($1, $2, $3, $4, $5, $6, null) \
     on conflict (id) do update set request = $3, turn = $4, started_ms = $5, expires_ms = $6, \
     answer = null \
     where idempotency.expires_ms <= $5 \
     or (idempotency.answer is null and idempotency.started_ms <= $7)";
const LOOKUP: &str = "select request, answer from idempotency where id = $1 and expires_ms > $2";
const FINISH: &str =
    "update idempotency set answer = $3 where id = $1 and turn = $2 and answer is null";
const GIVE_UP: &str = "delete from idempotency where id = $1 and turn = $2 and answer is null";
const SWEEP: &str = "delete from idempotency where expires_ms <= $1";
