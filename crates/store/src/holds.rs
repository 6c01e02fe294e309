use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};
use hexline_services::revocations::{HeldOut, Hold, HoldCursor, HoldStore};
use hexline_services::store::{Revision, StoreError};
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;

#[async_trait]
impl HoldStore for Database {
    async fn list(
        &self,
        app: AppId,
        now: Timestamp,
        after: Option<&HoldCursor>,
        limit: u32,
    ) -> Result<Vec<Hold>, StoreError> {
        let (kind, subject) = after.map_or(("", String::new()), |cursor| {
            (cursor.who.kind(), cursor.who.subject())
        });
        let rows = sqlx::query(LIST)
            .bind(app.to_string())
            .bind(now.as_millis())
            .bind(kind)
            .bind(subject)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("hold"))?;
        rows.iter().map(read).collect()
    }

    async fn add(&self, hold: &Hold) -> Result<(Timestamp, Revision), StoreError> {
        let (mut tx, revision) = self.change_any().await?;
        let row = sqlx::query(ADD)
            .bind(hold.app.to_string())
            .bind(hold.who.kind())
            .bind(hold.who.subject())
            .bind(hold.until.as_millis())
            .bind(revision.count())
            .fetch_one(&mut *tx)
            .await
            .map_err(sort("hold"))?;
        let until = row.time("holds.until_ms")?;
        tx.commit().await.map_err(sort("hold"))?;
        Ok((until, revision))
    }

    async fn lift(
        &self,
        app: AppId,
        who: &HeldOut,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let (mut tx, revision) = self.change_any().await?;
        let lifted = sqlx::query(LIFT)
            .bind(app.to_string())
            .bind(who.kind())
            .bind(who.subject())
            .bind(now.as_millis())
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("hold"))?
            .rows_affected();
        if lifted == 0 {
            return Ok(None);
        }
        tx.commit().await.map_err(sort("hold"))?;
        Ok(Some(revision))
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Mostly there is nothing, and that costs no write.
        let row = sqlx::query(SWEPT)
            .bind(before.as_millis())
            .fetch_one(self.reader())
            .await
            .map_err(sort("hold"))?;
        if row.column::<i64>("holds.n")? == 0 {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let swept = sqlx::query(SWEEP)
            .bind(before.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("hold"))?
            .rows_affected();
        tx.commit().await.map_err(sort("hold"))?;
        Ok(swept)
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<Hold, StoreError> {
    let kind: String = row.column("holds.kind")?;
    Ok(Hold {
        app: row.parsed("holds.app", "app id", |t| AppId::parse(t).ok())?,
        who: row.parsed("holds.subject", "subject of its kind", |t| {
            HeldOut::from_parts(&kind, t)
        })?,
        until: row.time("holds.until_ms")?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!("select app, kind, subject, until_ms from holds ", $rest)
    };
}

const LIST: &str = select!(
    "where app = $1 and until_ms > $2 and (kind, subject) > ($3, $4) \
     order by kind, subject limit $5"
);
pub(crate) const SINCE: &str = select!("where revision > $1");
const ADD: &str = "insert into holds (app, kind, subject, until_ms, revision) \
     values ($1, $2, $3, $4, $5) \
     on conflict (app, kind, subject) do update set \
     until_ms = case when excluded.until_ms > holds.until_ms \
         then excluded.until_ms else holds.until_ms end, \
     revision = excluded.revision \
     returning until_ms";
const LIFT: &str = "update holds set until_ms = $4, revision = $5 \
     where app = $1 and kind = $2 and subject = $3 and until_ms > $4";
const SWEPT: &str = "select count(*) as n from holds where until_ms < $1";
const SWEEP: &str = "delete from holds where until_ms < $1";
