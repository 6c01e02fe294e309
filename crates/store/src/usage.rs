//! How many bytes each app keeps of a sort, counted in the transaction that writes or removes them.

use std::collections::BTreeMap;

use hexline_model::AppId;
use hexline_services::store::StoreError;
use sqlx::{Any, Executor, Transaction};

use crate::error::sort;
use crate::row::Columns as _;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// Entries of the audit log about the app.
    Audit,
    /// Answers under idempotency keys.
    Idempotency,
}

/// What a transaction changes, by app.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<String, Change>);

#[derive(Debug, Default)]
struct Change {
    bytes: i64,
    requests: i64,
}

impl Changes {
    pub(crate) fn add(&mut self, app: String, bytes: i64) {
        self.0.entry(app).or_default().bytes += bytes;
    }

    /// The same for requests with an idempotency key, and the bytes that they take.
    pub(crate) fn add_requests(&mut self, app: String, requests: i64, bytes: i64) {
        let change = self.0.entry(app).or_default();
        change.bytes += bytes;
        change.requests += requests;
    }

    /// Counts them. In the order of the apps, so that two nodes never deadlock. An app that is gone
    /// is not counted.
    pub(crate) async fn count(
        self,
        tx: &mut Transaction<'static, Any>,
        kept: Kept,
    ) -> Result<(), StoreError> {
        let statement = match kept {
            Kept::Audit => COUNT_AUDIT,
            Kept::Idempotency => COUNT_IDEMPOTENCY,
        };
        for (app, Change { bytes, requests }) in self.0 {
            if bytes == 0 && requests == 0 {
                continue;
            }
            let query = sqlx::query(statement).bind(app).bind(bytes);
            let query = match kept {
                Kept::Audit => query,
                Kept::Idempotency => query.bind(requests),
            };
            query.execute(&mut **tx).await.map_err(sort("app"))?;
        }
        Ok(())
    }
}

/// How many bytes an app keeps.
pub(crate) async fn of(
    executor: impl Executor<'_, Database = Any>,
    app: AppId,
    kept: Kept,
) -> Result<u64, StoreError> {
    let row = sqlx::query(OF)
        .bind(app.to_string())
        .fetch_optional(executor)
        .await
        .map_err(sort("app"))?;
    let column = match kept {
        Kept::Audit => "app_usage.audit_bytes",
        Kept::Idempotency => "app_usage.idempotency_bytes",
    };
    let bytes: Option<i64> = row.map(|row| row.column(column)).transpose()?;
    Ok(bytes.map_or(0, |bytes| bytes.max(0).cast_unsigned()))
}

/// How many requests with an idempotency key an app keeps.
pub(crate) async fn requests_of(
    executor: impl Executor<'_, Database = Any>,
    app: AppId,
) -> Result<u64, StoreError> {
    let row = sqlx::query(OF)
        .bind(app.to_string())
        .fetch_optional(executor)
        .await
        .map_err(sort("app"))?;
    let requests: Option<i64> = row
        .map(|row| row.column("app_usage.idempotency_requests"))
        .transpose()?;
    Ok(requests.map_or(0, |requests| requests.max(0).cast_unsigned()))
}

const OF: &str =
    "select audit_bytes, idempotency_bytes, idempotency_requests from app_usage where app = $1";
const COUNT_AUDIT: &str = "insert into app_usage (app, audit_bytes, idempotency_bytes, idempotency_requests) \
     select id, cast($2 as bigint), 0, 0 from apps where id = $1 \
     on conflict (app) do update set audit_bytes = app_usage.audit_bytes + $2";
const COUNT_IDEMPOTENCY: &str = "insert into app_usage (app, audit_bytes, idempotency_bytes, idempotency_requests) \
     select id, 0, cast($2 as bigint), cast($3 as bigint) from apps where id = $1 \
     on conflict (app) do update set idempotency_bytes = app_usage.idempotency_bytes + $2, \
     idempotency_requests = app_usage.idempotency_requests + $3";
