use async_trait::async_trait;
use hexline_model::{AppId, KeyId, Timestamp};
use hexline_services::keys::{KeyMaterial, KeyRecord, KeyState, KeyStore};
use hexline_services::store::{ChangeError, Revision, StoreError};
use hexline_services::vault::Sealed;
use hexline_token::{Algorithm, Grants};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use crate::api_keys;
use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;

#[async_trait]
impl KeyStore for Database {
    async fn lookup(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort("key"))?;
        row.as_ref().map(read).transpose()
    }

    async fn list(
        &self,
        app: AppId,
        after: Option<(Timestamp, KeyId)>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        let (created, id) = match after {
            Some((created, id)) => (created.as_millis(), id.to_string()),
            None => (i64::MIN, String::new()),
        };
        let rows = sqlx::query(LIST)
            .bind(app.to_string())
            .bind(created)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort("key"))?;
        rows.iter().map(read).collect()
    }

    async fn add(
        &self,
        key: &KeyRecord,
        signs: bool,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        for statement in MAKE_ROOM {
            sqlx::query(*statement)
                .bind(key.id.to_string())
                .bind(key.app.to_string())
                .execute(&mut *tx)
                .await
                .map_err(sort("key"))?;
        }
        insert(&mut tx, key, signs, revision).await?;
        tx.commit().await.map_err(sort("key"))?;
        Ok(revision)
    }

    async fn rotate(
        &self,
        old: KeyId,
        until: Timestamp,
        new: &KeyRecord,
        signs: bool,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        insert(&mut tx, new, signs, revision).await?;
        update_state(&mut tx, old, KeyState::Retiring { until }, revision).await?;
        sqlx::query(api_keys::MOVE)
            .bind(old.to_string())
            .bind(new.id.to_string())
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("API key"))?;
        tx.commit().await.map_err(sort("key"))?;
        Ok(revision)
    }

    async fn set_state(
        &self,
        ids: &[KeyId],
        state: KeyState,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        for id in ids {
            update_state(&mut tx, *id, state, revision).await?;
        }
        tx.commit().await.map_err(sort("key"))?;
        Ok(revision)
    }

    async fn release(
        &self,
        key: &KeyRecord,
        made: &[KeyRecord],
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        for key in made.iter().chain([key]) {
            update_state(&mut tx, key.id, key.state, revision).await?;
        }
        sqlx::query(RELEASE)
            .bind(key.id.to_string())
            .bind(key.released.map(Timestamp::as_millis))
            .execute(&mut *tx)
            .await
            .map_err(sort("key"))?;
        tx.commit().await.map_err(sort("key"))?;
        Ok(revision)
    }

    async fn set_label(
        &self,
        id: KeyId,
        label: &str,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
        let (mut tx, revision) = self.change(expected).await?;
        let done = sqlx::query(SET_LABEL)
            .bind(id.to_string())
            .bind(label)
            .bind(revision.count())
            .execute(&mut *tx)
            .await
            .map_err(sort("key"))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "key" }.into());
        }
        tx.commit().await.map_err(sort("key"))?;
        Ok(revision)
    }

    async fn touch(&self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        // One order for everyone, so that two nodes that touch the same keys never deadlock.
        let mut used = used.to_vec();
        used.sort_unstable();
        let mut tx = self.write().await?;
        for (id, at) in used {
            sqlx::query(TOUCH)
                .bind(id.to_string())
                .bind(at.as_millis())
                .execute(&mut *tx)
                .await
                .map_err(sort("key"))?;
        }
        tx.commit().await.map_err(sort("key"))
    }
}

async fn insert(
    tx: &mut Transaction<'static, Any>,
    key: &KeyRecord,
    signs: bool,
    revision: Revision,
) -> Result<(), StoreError> {
    let (retiring_until, revoked) = state_columns(key.state);
    let sealed = match &key.material {
        KeyMaterial::Hmac(sealed) => Some(sealed.as_bytes().to_vec()),
        _ => None,
    };
    let ceiling = key
        .ceiling
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|e| StoreError::Other(Box::new(e)))?;
    sqlx::query(ADD)
        .bind(key.id.to_string())
        .bind(key.app.to_string())
        .bind(key.label.as_str())
        .bind(key.algorithm.map(|a| a.to_string()))
        .bind(key.created.as_millis())
        .bind(key.expires.map(Timestamp::as_millis))
        .bind(retiring_until)
        .bind(revoked)
        .bind(key.last_used.map(Timestamp::as_millis))
        .bind(ceiling)
        .bind(key.material.kind())
        .bind(sealed)
        .bind(key.material.text().map(str::to_owned))
        .bind(revision.count())
        .bind(key.made_by.map(|id| id.to_string()))
        .bind(key.released.map(Timestamp::as_millis))
        .execute(&mut **tx)
        .await
        .map_err(sort("key"))?;
    if signs {
        sqlx::query(SET_SIGNING_KEY)
            .bind(key.app.to_string())
            .bind(key.id.to_string())
            .bind(revision.count())
            .execute(&mut **tx)
            .await
            .map_err(sort("app"))?;
    }
    Ok(())
}

async fn update_state(
    tx: &mut Transaction<'static, Any>,
    id: KeyId,
    state: KeyState,
    revision: Revision,
) -> Result<(), StoreError> {
    let (retiring_until, revoked) = state_columns(state);
    let done = sqlx::query(SET_STATE)
        .bind(id.to_string())
        .bind(retiring_until)
        .bind(revoked)
        .bind(revision.count())
        .execute(&mut **tx)
        .await
        .map_err(sort("key"))?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound { what: "key" });
    }
    Ok(())
}

fn state_columns(state: KeyState) -> (Option<i64>, Option<i64>) {
    match state {
        KeyState::Active => (None, None),
        KeyState::Retiring { until } => (Some(until.as_millis()), None),
        KeyState::Revoked { at } => (None, Some(at.as_millis())),
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<KeyRecord, StoreError> {
    let state = match (
        row.time_if_any("keys.retiring_until_ms")?,
        row.time_if_any("keys.revoked_ms")?,
    ) {
        (_, Some(at)) => KeyState::Revoked { at },
        (Some(until), None) => KeyState::Retiring { until },
        (None, None) => KeyState::Active,
    };
    Ok(KeyRecord {
        id: row.parsed("keys.id", "key id", |t| KeyId::parse(t).ok())?,
        app: row.parsed("keys.app", "app id", |t| AppId::parse(t).ok())?,
        label: row.column("keys.label")?,
        algorithm: row
            .parsed_if_any("keys.algorithm", "algorithm", |t| Algorithm::parse(t).ok())?,
        state,
        created: row.time("keys.created_ms")?,
        expires: row.time_if_any("keys.expires_ms")?,
        last_used: row.time_if_any("keys.last_used_ms")?,
        ceiling: row.parsed_if_any("keys.ceiling", "grants", |t| Grants::parse(t).ok())?,
        made_by: row.parsed_if_any("keys.made_by", "key id", |t| KeyId::parse(t).ok())?,
        released: row.time_if_any("keys.released_ms")?,
        material: material(row)?,
    })
}

fn material(row: &AnyRow) -> Result<KeyMaterial, StoreError> {
    let kind: String = row.column("keys.kind")?;
    match kind.as_str() {
        "hmac" => row
            .column("keys.sealed")
            .map(Sealed::from_stored)
            .map(KeyMaterial::Hmac),
        "public_pem" => row.column("keys.document").map(KeyMaterial::PublicPem),
        "public_jwk" => row.column("keys.document").map(KeyMaterial::PublicJwk),
        "jwks" => row.column("keys.document").map(KeyMaterial::Jwks),
        "jwks_url" => row.column("keys.document").map(KeyMaterial::JwksUrl),
        _ => Err(StoreError::Corrupt {
            column: "keys.kind",
            wanted: "kind of key",
        }),
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, app, label, algorithm, created_ms, expires_ms, retiring_until_ms, \
             revoked_ms, last_used_ms, ceiling, kind, sealed, document, made_by, released_ms \
             from keys ",
            $rest
        )
    };
}

const LOOKUP: &str = select!("where id = $1");
const LIST: &str =
    select!("where app = $1 and (created_ms, id) > ($2, $3) order by created_ms, id limit $4");
pub(crate) const SINCE: &str = select!("where revision > $1");
const ADD: &str = "insert into keys \
     (id, app, label, algorithm, created_ms, expires_ms, retiring_until_ms, revoked_ms, \
     last_used_ms, ceiling, kind, sealed, document, revision, made_by, released_ms) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
/// What is in the way of a key whose id was released by another app.
const MAKE_ROOM: &[&str] = &[
    "delete from api_keys where signs_with in \
     (select id from keys where id = $1 and app <> $2 and released_ms is not null)",
    "delete from keys where id = $1 and app <> $2 and released_ms is not null",
];
const RELEASE: &str = "update keys set released_ms = $2 where id = $1";
const SET_SIGNING_KEY: &str = "update apps set signing_key = $2, revision = $3 where id = $1";
const SET_STATE: &str =
    "update keys set retiring_until_ms = $2, revoked_ms = $3, revision = $4 where id = $1";
const SET_LABEL: &str = "update keys set label = $2, revision = $3 where id = $1";
const TOUCH: &str = "update keys set last_used_ms = $2 \
     where id = $1 and (last_used_ms is null or last_used_ms < $2)";
