use async_trait::async_trait;
use hexline_model::{AppId, AuditId, Timestamp};
use hexline_services::actor::Actor;
use hexline_services::audit::{Actions, AuditCursor, AuditStore, Entry, Filter, Recorded};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::usage::{self, Changes, Kept};

#[async_trait]
impl AuditStore for Database {
    async fn add(&self, entries: &[Recorded]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let mut changes = Changes::default();
        for Recorded { id, at, entry } in entries {
            let bytes = i64::try_from(entry.bytes()).unwrap_or(i64::MAX);
            let added = sqlx::query(ADD)
                .bind(id.to_string())
                .bind(at.as_millis())
                .bind(entry.actor.kind())
                .bind(entry.actor.id())
                .bind(entry.actor.name())
                .bind(entry.action.as_str())
                .bind(entry.app.map(|app| app.to_string()))
                .bind(entry.target.as_str())
                .bind(entry.peer.as_deref())
                .bind(entry.detail.as_ref().map(ToString::to_string))
                .bind(bytes)
                .execute(&mut *tx)
                .await
                .map_err(sort(ENTRY))?;
            if let Some(app) = entry.app.filter(|_| added.rows_affected() > 0) {
                changes.add(app.to_string(), bytes);
            }
        }
        changes.count(&mut tx, Kept::Audit).await?;
        tx.commit().await.map_err(sort(ENTRY))
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<AuditCursor>,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        // Before which pair of time and id; the empty id comes before all.
        let (at, id) = match after {
            Some(cursor) => (cursor.at.as_millis(), cursor.id.to_string()),
            None => (i64::MAX, String::new()),
        };
        let until = filter.until.map_or(i64::MAX, Timestamp::as_millis);
        let from = filter.from.map_or(i64::MIN, Timestamp::as_millis);
        let (first, last) = match &filter.action {
            None => (String::new(), HIGHEST.to_owned()),
            Some(Actions::One(action)) => (action.clone(), action.clone()),
            Some(Actions::Starting(start)) => (start.clone(), format!("{start}{HIGHEST}")),
        };
        let visible = filter.visible.as_ref().map_or_else(String::new, |apps| {
            let ids = apps.iter().map(|app| format!("{app} "));
            format!("- {}", ids.collect::<String>())
        });
        let rows = sqlx::query(LIST)
            .bind(at)
            .bind(id)
            .bind(until)
            .bind(from)
            .bind(filter.app.map_or_else(String::new, |app| app.to_string()))
            .bind(visible)
            .bind(first)
            .bind(last)
            .bind(filter.actor.as_deref().unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort(ENTRY))?;
        rows.iter().map(read).collect()
    }

    async fn remove_before(&self, at: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let gone = sqlx::query(REMOVE)
            .bind(at.as_millis())
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(ENTRY))?;
        let mut changes = Changes::default();
        for row in &gone {
            let app: Option<String> = row.column("audit.about")?;
            let bytes: i64 = row.column("audit.bytes")?;
            if let Some(app) = app {
                changes.add(app, -bytes);
            }
        }
        changes.count(&mut tx, Kept::Audit).await?;
        tx.commit().await.map_err(sort(ENTRY))?;
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }

    async fn used(&self, app: AppId) -> Result<u64, StoreError> {
        usage::of(self.reader(), app, Kept::Audit).await
    }
}

fn read(row: &AnyRow) -> Result<Recorded, StoreError> {
    let kind: String = row.column("audit.actor_kind")?;
    let id: Option<String> = row.column("audit.actor_id")?;
    let name: Option<String> = row.column("audit.actor_name")?;
    let actor = Actor::from_parts(&kind, id.as_deref(), name.as_deref());
    Ok(Recorded {
        id: row.parsed("audit.id", "entry id", |t| AuditId::parse(t).ok())?,
        at: row.time("audit.at_ms")?,
        entry: Entry {
            actor: actor.ok_or(StoreError::Corrupt {
                column: "audit.actor_kind",
                wanted: "actor",
            })?,
            action: row.column("audit.action")?,
            app: row.parsed_if_any("audit.about", "app id", |t| AppId::parse(t).ok())?,
            target: row.column("audit.target")?,
            peer: row.column("audit.peer")?,
            detail: row.parsed_if_any("audit.detail", "JSON", |t| serde_json::from_str(t).ok())?,
        },
    })
}

const ENTRY: &str = "audit entry";
/// After every action's name.
const HIGHEST: &str = "\u{7f}";
const ADD: &str = "insert into audit \
     (id, at_ms, actor_kind, actor_id, actor_name, action, about, target, peer, detail, bytes) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (id) do nothing";
// Ids are hex: they have no wildcard.
const LIST: &str = "select id, at_ms, actor_kind, actor_id, actor_name, action, about, target, \
     peer, detail from audit \
     where (at_ms, id) < ($1, $2) and at_ms < $3 and at_ms >= $4 \
     and ($5 = '' or about = $5) and ($6 = '' or $6 like '%' || about || '%') \
     and action >= $7 and action <= $8 \
     and ($9 = '' or actor_id = $9 or actor_name = $9 or actor_kind = $9) \
     order by at_ms desc, id desc limit $10";
const REMOVE: &str = "delete from audit where id in \
     (select id from audit where at_ms < $1 order by at_ms, id limit $2) returning about, bytes";
