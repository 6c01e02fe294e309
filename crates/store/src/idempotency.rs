use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};
use hexline_services::idempotency::{IdempotencyStore, REQUEST_BYTES, Record, Reservation};
use hexline_services::store::StoreError;
use hexline_services::vault::Sealed;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::statement::run;
use crate::usage::{self, Changes, Kept};

#[async_trait]
impl IdempotencyStore for Database {
    async fn begin(&self, new: &Reservation, abandoned: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let stale = sqlx::query(DROP_STALE)
            .bind(&new.id)
            .bind(new.started.as_millis())
            .bind(abandoned.as_millis())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(REQUEST))?;
        let query = sqlx::query(BEGIN)
            .bind(&new.id)
            .bind(new.app.to_string())
            .bind(&new.request)
            .bind(&new.turn)
            .bind(new.started.as_millis())
            .bind(new.expires.as_millis());
        let taken = run(&mut tx, REQUEST, query).await?;
        let mut changes = removed(&stale)?;
        if taken > 0 {
            changes.add_requests(new.app.to_string(), 1, ROW);
        }
        changes.count(&mut tx, Kept::Idempotency).await?;
        tx.commit().await.map_err(sort(REQUEST))?;
        Ok(taken > 0)
    }

    async fn lookup(&self, id: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id)
            .bind(now.as_millis())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(REQUEST))?;
        let Some(row) = row else { return Ok(None) };
        let answer: Option<Vec<u8>> = row.column("idempotency.answer")?;
        Ok(Some(Record {
            request: row.column("idempotency.request")?,
            answer: answer.map(Sealed::from_stored),
        }))
    }

    async fn finish(&self, id: &str, turn: &str, answer: &Sealed) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let kept = sqlx::query(FINISH)
            .bind(id)
            .bind(turn)
            .bind(answer.as_bytes().to_vec())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort(REQUEST))?;
        if let Some(row) = &kept {
            let bytes = i64::try_from(answer.as_bytes().len()).unwrap_or(i64::MAX);
            let mut changes = Changes::default();
            changes.add(row.column("idempotency.app")?, bytes);
            changes.count(&mut tx, Kept::Idempotency).await?;
        }
        tx.commit().await.map_err(sort(REQUEST))?;
        Ok(kept.is_some())
    }

    async fn give_up(&self, id: &str, turn: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let gone = sqlx::query(GIVE_UP)
            .bind(id)
            .bind(turn)
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(REQUEST))?;
        removed(&gone)?.count(&mut tx, Kept::Idempotency).await?;
        tx.commit().await.map_err(sort(REQUEST))?;
        Ok(!gone.is_empty())
    }

    async fn used(&self, app: AppId) -> Result<u64, StoreError> {
        usage::of(self.reader(), app, Kept::Idempotency).await
    }

    async fn make_room(&self, app: AppId, most: u64) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let used = usage::of(&mut *tx, app, Kept::Idempotency).await?;
        let over = i64::try_from(used.saturating_sub(most)).unwrap_or(i64::MAX);
        let requests = usage::requests_of(&mut *tx, app).await?;
        let half = most / 2 / REQUEST_BYTES;
        let spare = i64::try_from(requests.saturating_sub(half)).unwrap_or(i64::MAX);
        let steps = [
            (OLDEST_DONE, DROP_DONE, over.min(spare.saturating_mul(ROW))),
            (OLDEST_ANSWERS, DROP_ANSWER, over),
            (OLDEST_DONE, DROP_DONE, over),
        ];
        let (mut freed, mut forgotten) = (0, 0);
        for (oldest, drop_one, wanted) in steps {
            while freed < wanted {
                let rows = sqlx::query(oldest)
                    .bind(app.to_string())
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(sort(REQUEST))?;
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    if freed >= wanted {
                        break;
                    }
                    let id: String = row.column("idempotency.id")?;
                    let bytes: i64 = row.column("idempotency.bytes")?;
                    // Another node may have dropped it meanwhile.
                    if run(&mut tx, REQUEST, sqlx::query(drop_one).bind(id)).await? > 0 {
                        freed += bytes;
                        forgotten += i64::from(drop_one == DROP_DONE);
                    }
                }
            }
        }
        let mut changes = Changes::default();
        changes.add_requests(app.to_string(), -forgotten, -freed);
        changes.count(&mut tx, Kept::Idempotency).await?;
        tx.commit().await.map_err(sort(REQUEST))?;
        Ok(freed >= over)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let gone = sqlx::query(SWEEP)
            .bind(now.as_millis())
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(REQUEST))?;
        removed(&gone)?.count(&mut tx, Kept::Idempotency).await?;
        tx.commit().await.map_err(sort(REQUEST))?;
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }
}

/// What is no longer kept with rows that were deleted.
fn removed(rows: &[AnyRow]) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for row in rows {
        let bytes: i64 = row.column("idempotency.bytes")?;
        changes.add_requests(row.column("idempotency.app")?, -1, -bytes);
    }
    Ok(changes)
}

const REQUEST: &str = "idempotency key";
/// [`REQUEST_BYTES`], as a row counts it.
const ROW: i64 = REQUEST_BYTES.cast_signed();

macro_rules! deleted {
    ($condition:literal) => {
        concat!(
            "delete from idempotency where ",
            $condition,
            " returning app, cast(256 + coalesce(length(answer), 0) as bigint) as bytes"
        )
    };
}

const DROP_STALE: &str =
    deleted!("id = $1 and (expires_ms <= $2 or (answer is null and started_ms <= $3))");
const BEGIN: &str = "insert into idempotency \
     (id, app, request, turn, started_ms, expires_ms, answer) \
     values ($1, $2, $3, $4, $5, $6, null) on conflict (id) do nothing";
const LOOKUP: &str = "select request, answer from idempotency where id = $1 and expires_ms > $2";
const FINISH: &str = "update idempotency set answer = $3 \
     where id = $1 and turn = $2 and answer is null returning app";
const GIVE_UP: &str = deleted!("id = $1 and turn = $2 and answer is null");
const SWEEP: &str = deleted!("expires_ms <= $1");
const OLDEST_ANSWERS: &str = "select id, cast(length(answer) as bigint) as bytes from idempotency \
     where app = $1 and length(answer) > 0 order by started_ms, id limit 100";
const DROP_ANSWER: &str = "update idempotency set answer = substr(answer, 1, 0) \
     where id = $1 and length(answer) > 0";
const OLDEST_DONE: &str = "select id, cast(256 as bigint) as bytes from idempotency \
     where app = $1 and length(answer) = 0 order by started_ms, id limit 100";
const DROP_DONE: &str = "delete from idempotency where id = $1 and length(answer) = 0";
