use hexline_services::store::StoreError;
use sqlx::{Any, Transaction};

use crate::error::sort;

/// A statement with what is bound to it.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Any, <Any as sqlx::Database>::Arguments>;

/// Runs a statement of a transaction and returns how many rows it changed. `what` names the thing that
/// a failure is about.
pub(crate) async fn run(
    tx: &mut Transaction<'static, Any>,
    what: &'static str,
    query: Query<'_>,
) -> Result<u64, StoreError> {
    let done = query.execute(&mut **tx).await.map_err(sort(what))?;
    Ok(done.rows_affected())
}
