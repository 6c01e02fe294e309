use async_trait::async_trait;
use hexline_model::{ApiKey, AppId, Device, Identity, Timestamp};
use hexline_services::auth::{AuthStore, Family, OnceKind, SignIn};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::settings;
use crate::statement::run;

#[async_trait]
impl AuthStore for Database {
    async fn settings(&self, app: AppId) -> Result<Option<SignIn>, StoreError> {
        let row = sqlx::query(SETTINGS)
            .bind(app.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort("app"))?;
        let read = |row: &AnyRow| {
            row.parsed("auth_settings.settings", "settings of sign-in", |text| {
                serde_json::from_str(text).ok()
            })
        };
        row.as_ref().map(read).transpose()
    }

    async fn put_settings(
        &self,
        app: AppId,
        settings: &SignIn,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        // Two that change them at once take turns.
        run(
            &mut tx,
            "app",
            sqlx::query(LOCK_SETTINGS).bind(app.to_string()),
        )
        .await?;
        let row = sqlx::query(SETTINGS)
            .bind(app.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort("app"))?;
        let stored: Option<String> = row
            .map(|row| row.column("auth_settings.settings"))
            .transpose()?;
        let text = settings::changed(stored.as_deref(), settings)?;
        sqlx::query(PUT_SETTINGS)
            .bind(app.to_string())
            .bind(text)
            .bind(at.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("app"))?;
        tx.commit().await.map_err(sort("app"))
    }

    async fn add_anonymous(
        &self,
        app: AppId,
        identity: &Identity,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(ADD_ANONYMOUS)
            .bind(app.to_string())
            .bind(identity.as_str())
            .bind(created.as_millis())
            .bind(expires.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("user"))?;
        tx.commit().await.map_err(sort("user"))
    }

    async fn ended_anonymous(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AppId, Identity)>, StoreError> {
        let rows = sqlx::query(ENDED_ANONYMOUS)
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("user"))?;
        let read = |row: &AnyRow| {
            Ok((
                row.parsed("auth_anonymous.app", "app id", |t| AppId::parse(t).ok())?,
                row.parsed("auth_anonymous.identity", "identity", |t| {
                    Identity::parse(t).ok()
                })?,
            ))
        };
        rows.iter().map(read).collect()
    }

    async fn remove_anonymous(&self, app: AppId, identity: &Identity) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for statement in [REMOVE_FAMILIES, REMOVE_ANONYMOUS] {
            sqlx::query(statement)
                .bind(app.to_string())
                .bind(identity.as_str())
                .execute(&mut *tx)
                .await
                .map_err(sort("user"))?;
        }
        tx.commit().await.map_err(sort("user"))
    }

    async fn add_once(
        &self,
        app: AppId,
        hash: &str,
        kind: OnceKind,
        body: &str,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(ADD_ONCE)
            .bind(hash)
            .bind(app.to_string())
            .bind(kind.as_str())
            .bind(body)
            .bind(expires.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("code"))?;
        tx.commit().await.map_err(sort("code"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn take_once(
        &self,
        hash: &str,
        kind: OnceKind,
        now: Timestamp,
    ) -> Result<Option<(AppId, String)>, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query(TAKE_ONCE)
            .bind(hash)
            .bind(kind.as_str())
            .bind(now.as_millis())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort("code"))?;
        tx.commit().await.map_err(sort("code"))?;
        let read = |row: &AnyRow| {
            Ok((
                row.parsed("auth_once.app", "app id", |t| AppId::parse(t).ok())?,
                row.column("auth_once.body")?,
            ))
        };
        row.as_ref().map(read).transpose()
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let mut swept = 0;
        for statement in [SWEEP_ONCE, SWEEP_FAMILIES] {
            let done = sqlx::query(statement)
                .bind(now.as_millis())
                .execute(&mut *tx)
                .await
                .map_err(sort("code"))?;
            swept += done.rows_affected();
        }
        tx.commit().await.map_err(sort("code"))?;
        Ok(swept)
    }

    async fn add_family(&self, family: &Family) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(ADD_FAMILY)
            .bind(&family.id)
            .bind(family.app.to_string())
            .bind(family.api_key.to_string())
            .bind(&family.strategy)
            .bind(family.identity.as_str())
            .bind(family.device.as_str())
            .bind(&family.body)
            .bind(family.created.as_millis())
            .bind(family.expires.as_millis())
            .bind(&family.current)
            .bind(family.previous.as_deref())
            .bind(family.rotated.as_millis())
            .bind(family.revoked.map(Timestamp::as_millis))
            .execute(&mut *tx)
            .await
            .map_err(sort("line of refresh tokens"))?;
        tx.commit().await.map_err(sort("line of refresh tokens"))
    }

    async fn lookup_family(&self, id: &str) -> Result<Option<Family>, StoreError> {
        let row = sqlx::query(LOOKUP_FAMILY)
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(sort("line of refresh tokens"))?;
        row.as_ref().map(family).transpose()
    }

    async fn rotate_family(&self, next: &Family, current: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(ROTATE_FAMILY)
            .bind(&next.id)
            .bind(current)
            .bind(&next.current)
            .bind(next.previous.as_deref())
            .bind(next.rotated.as_millis())
            .bind(next.expires.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("line of refresh tokens"))?;
        tx.commit().await.map_err(sort("line of refresh tokens"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn revoke_family(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(REVOKE_FAMILY)
            .bind(id)
            .bind(at.as_millis())
            .execute(&mut *tx)
            .await
            .map_err(sort("line of refresh tokens"))?;
        tx.commit().await.map_err(sort("line of refresh tokens"))
    }

    async fn list_families(
        &self,
        app: Option<AppId>,
        identity: Option<&Identity>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Family>, StoreError> {
        // An empty text stands for any: neither is ever empty.
        let rows = sqlx::query(LIST_FAMILIES)
            .bind(app.map(|app| app.to_string()).unwrap_or_default())
            .bind(identity.map_or("", Identity::as_str))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("line of refresh tokens"))?;
        rows.iter().map(family).collect()
    }
}

fn family(row: &AnyRow) -> Result<Family, StoreError> {
    Ok(Family {
        id: row.column("auth_families.id")?,
        app: row.parsed("auth_families.app", "app id", |t| AppId::parse(t).ok())?,
        api_key: row.parsed("auth_families.api_key", "API key", |t| {
            ApiKey::parse(t).ok()
        })?,
        strategy: row.column("auth_families.strategy")?,
        identity: row.parsed("auth_families.identity", "identity", |t| {
            Identity::parse(t).ok()
        })?,
        device: row.parsed("auth_families.device", "device", |t| Device::parse(t).ok())?,
        body: row.column("auth_families.body")?,
        created: row.time("auth_families.created_ms")?,
        expires: row.time("auth_families.expires_ms")?,
        current: row.column("auth_families.current_hash")?,
        previous: row.column("auth_families.previous_hash")?,
        rotated: row.time("auth_families.rotated_ms")?,
        revoked: row.time_if_any("auth_families.revoked_ms")?,
    })
}

macro_rules! families {
    ($rest:literal) => {
        concat!(
            "select id, app, api_key, strategy, identity, device, body, created_ms, expires_ms, \
             current_hash, previous_hash, rotated_ms, revoked_ms from auth_families ",
            $rest
        )
    };
}

const SETTINGS: &str = "select settings from auth_settings where app = $1";
const LOCK_SETTINGS: &str = "update auth_settings set app = app where app = $1";
const PUT_SETTINGS: &str = "insert into auth_settings (app, settings, updated_ms) \
     values ($1, $2, $3) \
     on conflict (app) do update set settings = excluded.settings, updated_ms = excluded.updated_ms";
const ADD_ANONYMOUS: &str = "insert into auth_anonymous (app, identity, created_ms, expires_ms) \
     values ($1, $2, $3, $4)";
const ENDED_ANONYMOUS: &str = "select app, identity from auth_anonymous where expires_ms < $1 \
     order by expires_ms, app, identity limit $2";
const REMOVE_ANONYMOUS: &str = "delete from auth_anonymous where app = $1 and identity = $2";
const REMOVE_FAMILIES: &str = "delete from auth_families where app = $1 and identity = $2";
const ADD_ONCE: &str = "insert into auth_once (hash, app, kind, body, expires_ms) \
     values ($1, $2, $3, $4, $5) on conflict (hash) do nothing";
const TAKE_ONCE: &str = "delete from auth_once where hash = $1 and kind = $2 and expires_ms >= $3 \
     returning app, body";
const SWEEP_ONCE: &str = "delete from auth_once where expires_ms < $1";
const SWEEP_FAMILIES: &str = "delete from auth_families where expires_ms < $1";
const ADD_FAMILY: &str = "insert into auth_families (id, app, api_key, strategy, identity, device, \
     body, created_ms, expires_ms, current_hash, previous_hash, rotated_ms, revoked_ms) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const LOOKUP_FAMILY: &str = families!("where id = $1");
const LIST_FAMILIES: &str = families!(
    "where ($1 = '' or app = $1) and ($2 = '' or identity = $2) and id > $3 \
     and revoked_ms is null order by id limit $4"
);
const ROTATE_FAMILY: &str = "update auth_families \
     set current_hash = $3, previous_hash = $4, rotated_ms = $5, expires_ms = $6 \
     where id = $1 and current_hash = $2 and revoked_ms is null";
const REVOKE_FAMILY: &str = "update auth_families set revoked_ms = $2 \
     where id = $1 and revoked_ms is null";
