use async_trait::async_trait;
use hexline_model::{AppId, Timestamp};
use hexline_services::revocations::{
    Revocation, RevocationCursor, RevocationStore, SweepHorizon, Target, TargetKind,
};
use hexline_services::store::{ChangeError, Revision, StoreError};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;

#[async_trait]
impl RevocationStore for Database {
    async fn list(
        &self,
        app: AppId,
        after: Option<&RevocationCursor>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        let (kind, subject) = after.map_or(("", ""), |c| (c.kind.as_str(), c.subject.as_str()));
        let rows = sqlx::query(LIST)
            .bind(app.to_string())
            .bind(kind)
            .bind(subject)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("revocation"))?;
        rows.iter().map(read).collect()
    }

    async fn add(&self, revocation: &Revocation) -> Result<Revision, StoreError> {
        let (mut tx, revision) = self.change_any().await?;
        put(&mut tx, revocation, revision).await?;
        tx.commit().await.map_err(sort("revocation"))?;
        Ok(revision)
    }

    async fn sweep(
        &self,
        app: AppId,
        horizon: SweepHorizon,
        expected: Revision,
    ) -> Result<u64, ChangeError> {
        let issued_before = horizon.issued_before.map_or(i64::MIN, Timestamp::as_millis);
        // Mostly there is nothing, and that costs no write.
        let row = sqlx::query(SWEPT)
            .bind(app.to_string())
            .bind(horizon.expired_before.as_millis())
            .bind(issued_before)
            .fetch_one(self.reader())
            .await
            .map_err(sort("revocation"))?;
        if row.column::<i64>("revocations.n")? == 0 {
            return Ok(0);
        }
        let mut tx = self.unchanged(expected).await?;
        let swept = sqlx::query(SWEEP)
            .bind(app.to_string())
            .bind(horizon.expired_before.as_millis())
            .bind(issued_before)
            .execute(&mut *tx)
            .await
            .map_err(sort("revocation"))?
            .rows_affected();
        tx.commit().await.map_err(sort("revocation"))?;
        Ok(swept)
    }
}

/// Adds a revocation or makes the one of the same target stricter.
pub(crate) async fn put(
    tx: &mut Transaction<'static, Any>,
    revocation: &Revocation,
    revision: Revision,
) -> Result<(), StoreError> {
    let expires = match revocation.target {
        Target::Token { expires, .. } => expires,
        Target::IssuedBefore(_) => None,
    };
    sqlx::query(ADD)
        .bind(revocation.app.to_string())
        .bind(revocation.target.kind().as_str())
        .bind(revocation.target.subject())
        .bind(revocation.at.as_millis())
        .bind(expires.map(Timestamp::as_millis))
        .bind(revision.count())
        .execute(&mut **tx)
        .await
        .map(|_| ())
        .map_err(sort("revocation"))
}

pub(crate) fn read(row: &AnyRow) -> Result<Revocation, StoreError> {
    let kind = row.parsed("revocations.kind", "kind of revocation", TargetKind::parse)?;
    let expires = row.time_if_any("revocations.expires_ms")?;
    Ok(Revocation {
        app: row.parsed("revocations.app", "app id", |t| AppId::parse(t).ok())?,
        target: row.parsed("revocations.subject", "subject of its kind", |t| {
            Target::from_parts(kind, t, expires)
        })?,
        at: row.time("revocations.at_ms")?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select app, kind, subject, at_ms, expires_ms from revocations ",
            $rest
        )
    };
}

const LIST: &str =
    select!("where app = $1 and (kind, subject) > ($2, $3) order by kind, subject limit $4");
pub(crate) const SINCE: &str = select!("where revision > $1");
const ADD: &str = "insert into revocations (app, kind, subject, at_ms, expires_ms, revision) \
     values ($1, $2, $3, $4, $5, $6) \
     on conflict (app, kind, subject) do update set \
     at_ms = case when excluded.at_ms > revocations.at_ms \
         then excluded.at_ms else revocations.at_ms end, \
     expires_ms = case \
         when excluded.expires_ms is null or revocations.expires_ms is null then null \
         when excluded.expires_ms > revocations.expires_ms then excluded.expires_ms \
         else revocations.expires_ms end, \
     revision = excluded.revision";
macro_rules! behind_the_horizon {
    ($verb:literal) => {
        concat!(
            $verb,
            " from revocations where app = $1 and ((expires_ms is not null and expires_ms < $2) \
             or (expires_ms is null and at_ms < $3))"
        )
    };
}

const SWEPT: &str = behind_the_horizon!("select count(*) as n");
const SWEEP: &str = behind_the_horizon!("delete");
