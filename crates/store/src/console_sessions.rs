use async_trait::async_trait;
use hexline_model::{ConsoleSessionId, OperatorId, Timestamp};
use hexline_services::operators::{
    ConsoleSession, ConsoleSessionStore, Operator, PasswordHash, TokenHash,
};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::operators::{self, of_operator, operator_columns};
use crate::row::Columns as _;
use crate::statement::run;

#[async_trait]
impl ConsoleSessionStore for Database {
    async fn add(
        &self,
        session: &ConsoleSession,
        password: Option<&PasswordHash>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(HOLD)
            .bind(session.operator.to_string())
            .bind(password.map_or("", PasswordHash::as_str));
        if run(&mut tx, SESSION, query).await? == 0 {
            return Ok(false);
        }
        let query = sqlx::query(ADD)
            .bind(session.id.to_string())
            .bind(session.hash.as_bytes())
            .bind(session.operator.to_string())
            .bind(session.created.as_millis())
            .bind(session.seen.as_millis())
            .bind(session.confirmed.map(Timestamp::as_millis))
            .bind(session.peer.as_str())
            .bind(session.agent.as_str());
        run(&mut tx, SESSION, query).await.map_err(of_operator)?;
        tx.commit().await.map_err(sort(SESSION))?;
        Ok(true)
    }

    async fn find(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<(ConsoleSession, Operator)>, StoreError> {
        let row = sqlx::query(FIND)
            .bind(hash.as_bytes())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(SESSION))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((read(&row)?, operators::read(&row)?)))
    }

    async fn list(&self, operator: OperatorId) -> Result<Vec<ConsoleSession>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(operator.to_string())
            .fetch_all(self.reader())
            .await
            .map_err(sort(SESSION))?;
        rows.iter().map(read).collect()
    }

    async fn touch(&self, id: ConsoleSessionId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(TOUCH).bind(id.to_string()).bind(at.as_millis());
        run(&mut tx, SESSION, query).await?;
        tx.commit().await.map_err(sort(SESSION))
    }

    async fn confirm(&self, id: ConsoleSessionId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(CONFIRM)
            .bind(id.to_string())
            .bind(at.as_millis());
        run(&mut tx, SESSION, query).await?;
        tx.commit().await.map_err(sort(SESSION))
    }

    async fn end(&self, operator: OperatorId, id: ConsoleSessionId) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(END)
            .bind(operator.to_string())
            .bind(id.to_string());
        let ended = run(&mut tx, SESSION, query).await?;
        tx.commit().await.map_err(sort(SESSION))?;
        Ok(ended > 0)
    }

    async fn sweep(&self, created: Timestamp, seen: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SWEEP)
            .bind(created.as_millis())
            .bind(seen.as_millis());
        let swept = run(&mut tx, SESSION, query).await?;
        tx.commit().await.map_err(sort(SESSION))?;
        Ok(swept)
    }
}

fn read(row: &AnyRow) -> Result<ConsoleSession, StoreError> {
    let hash: Vec<u8> = row.column("operator_sessions.hash")?;
    Ok(ConsoleSession {
        id: row.parsed("operator_sessions.session_id", "session id", |t| {
            ConsoleSessionId::parse(t).ok()
        })?,
        hash: TokenHash::from_stored(&hash).ok_or(StoreError::Corrupt {
            column: "operator_sessions.hash",
            wanted: "hash",
        })?,
        operator: row.parsed("operator_sessions.operator", "operator id", |t| {
            OperatorId::parse(t).ok()
        })?,
        created: row.time("operator_sessions.created_ms")?,
        seen: row.time("operator_sessions.seen_ms")?,
        confirmed: row.time_if_any("operator_sessions.confirmed_ms")?,
        peer: row.column("operator_sessions.peer")?,
        agent: row.column("operator_sessions.agent")?,
    })
}

macro_rules! session_columns {
    () => {
        "s.id as session_id, s.hash, s.operator, s.created_ms, s.seen_ms, s.confirmed_ms, s.peer, s.agent"
    };
}

const SESSION: &str = "session";
// Whoever changes the operator waits until the session is there to be ended, or was first.
const HOLD: &str = "update operators set last_sign_in_ms = last_sign_in_ms \
     where id = $1 and disabled_ms is null and ($2 = '' or password = $2)";
const ADD: &str = "insert into operator_sessions \
     (id, hash, operator, created_ms, seen_ms, confirmed_ms, peer, agent) \
     values ($1, $2, $3, $4, $5, $6, $7, $8)";
const FIND: &str = concat!(
    "select ",
    session_columns!(),
    ", ",
    operator_columns!(),
    " from operator_sessions s join operators on operators.id = s.operator where s.hash = $1"
);
const LIST: &str = concat!(
    "select ",
    session_columns!(),
    " from operator_sessions s where s.operator = $1 order by s.created_ms desc, s.id"
);
const TOUCH: &str = "update operator_sessions set seen_ms = $2 where id = $1 and seen_ms < $2";
const CONFIRM: &str = "update operator_sessions set confirmed_ms = $2 \
     where id = $1 and (confirmed_ms is null or confirmed_ms < $2)";
const END: &str = "delete from operator_sessions where operator = $1 and id = $2";
const SWEEP: &str = "delete from operator_sessions where created_ms <= $1 or seen_ms <= $2";
