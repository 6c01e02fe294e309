use async_trait::async_trait;
use hexline_model::Timestamp;
use hexline_services::operators::AttemptStore;
use hexline_services::store::StoreError;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::statement::run;

#[async_trait]
impl AttemptStore for Database {
    async fn forgiven_at(&self, subject: &str) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(subject)
            .fetch_optional(self.reader())
            .await
            .map_err(sort(ATTEMPT))?;
        row.map(|row| row.time("operator_attempts.forgiven_ms"))
            .transpose()
    }

    async fn charge(
        &self,
        subject: &str,
        period_ms: i64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(CHARGE)
            .bind(subject)
            .bind(now.as_millis().saturating_add(period_ms))
            .bind(period_ms)
            .bind(latest.as_millis());
        let charged = run(&mut tx, ATTEMPT, query).await?;
        tx.commit().await.map_err(sort(ATTEMPT))?;
        Ok(charged > 0)
    }

    async fn refund(&self, subject: &str, period_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        run(
            &mut tx,
            ATTEMPT,
            sqlx::query(REFUND).bind(subject).bind(period_ms),
        )
        .await?;
        tx.commit().await.map_err(sort(ATTEMPT))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let swept = run(&mut tx, ATTEMPT, sqlx::query(SWEEP).bind(now.as_millis())).await?;
        tx.commit().await.map_err(sort(ATTEMPT))?;
        Ok(swept)
    }
}

const ATTEMPT: &str = "attempt";
const LOOKUP: &str = "select forgiven_ms from operator_attempts where subject = $1";
// $2 is now and one period more.
const CHARGE: &str = "insert into operator_attempts (subject, forgiven_ms) values ($1, $2) \
     on conflict (subject) do update set forgiven_ms = \
     case when operator_attempts.forgiven_ms + $3 > $2 \
     then operator_attempts.forgiven_ms + $3 else $2 end \
     where operator_attempts.forgiven_ms + $3 <= $4";
const REFUND: &str = "update operator_attempts set forgiven_ms = forgiven_ms - $2 \
     where subject = $1";
const SWEEP: &str = "delete from operator_attempts where forgiven_ms <= $1";
