use std::sync::Arc;

use async_trait::async_trait;
use hexline_model::{AppId, ConsoleSessionId, OperatorId, Timestamp};
use hexline_services::operators::{
    AddressHash, Email, Invitation, Operator, OperatorChanges, OperatorStore, OperatorStores,
    PasswordHash, PersonName, Role, TokenHash,
};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::statement::run;

impl Database {
    /// This database as every store that the operator service wants.
    pub fn operator_stores(&self) -> OperatorStores {
        let database = Arc::new(self.clone());
        OperatorStores {
            operators: database.clone(),
            sessions: database.clone(),
            passkeys: database.clone(),
            attempts: database,
        }
    }

    /// A transaction in which nobody else changes who may do everything.
    async fn change_operators(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let mut tx = self.write().await?;
        run(&mut tx, OPERATOR, sqlx::query(TURN)).await?;
        Ok(tx)
    }
}

#[async_trait]
impl OperatorStore for Database {
    async fn lookup(&self, id: OperatorId) -> Result<Option<Operator>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        row.as_ref().map(read).transpose()
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<Operator>, StoreError> {
        let row = sqlx::query(FIND_BY_EMAIL)
            .bind(email.as_str())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        row.as_ref().map(read).transpose()
    }

    async fn list(&self, after: Option<&Email>, limit: u32) -> Result<Vec<Operator>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(after.map_or("", Email::as_str))
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        rows.iter().map(read).collect()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let row = sqlx::query(COUNT)
            .fetch_one(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        Ok(row.column::<i64>("operators.n")? == 0)
    }

    async fn add_first(
        &self,
        operator: &Operator,
        password: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let mut tx = self.change_operators().await?;
        let row = sqlx::query(COUNT)
            .fetch_one(&mut *tx)
            .await
            .map_err(sort(OPERATOR))?;
        if row.column::<i64>("operators.n")? > 0 {
            return Ok(false);
        }
        insert(&mut tx, operator, Some(password)).await?;
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(true)
    }

    async fn add(
        &self,
        operator: &Operator,
        password: Option<&PasswordHash>,
        invitation: Option<&Invitation>,
    ) -> Result<(), StoreError> {
        let mut tx = self.change_operators().await?;
        insert(&mut tx, operator, password).await?;
        if let Some(invitation) = invitation {
            invite(&mut tx, invitation).await?;
        }
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn update(
        &self,
        id: OperatorId,
        changes: &OperatorChanges,
        at: Timestamp,
    ) -> Result<Operator, StoreError> {
        let mut tx = self.change_operators().await?;
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort(OPERATOR))?;
        let row = row.ok_or(StoreError::NotFound { what: OPERATOR })?;
        let operator = changes.apply(read(&row)?, at);
        let had_owner = has_owner(&mut tx).await?;
        let query = sqlx::query(UPDATE)
            .bind(operator.id.to_string())
            .bind(operator.name.as_str())
            .bind(operator.role.as_str())
            .bind(apps(&operator)?)
            .bind(operator.disabled.map(Timestamp::as_millis));
        run(&mut tx, OPERATOR, query).await?;
        if had_owner && !has_owner(&mut tx).await? {
            return Err(StoreError::Conflict { what: OWNER });
        }
        if operator.disabled.is_some() {
            end_sessions(&mut tx, operator.id, None).await?;
        }
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(operator)
    }

    async fn remove(&self, id: OperatorId) -> Result<(), StoreError> {
        let mut tx = self.change_operators().await?;
        let had_owner = has_owner(&mut tx).await?;
        if run(&mut tx, OPERATOR, sqlx::query(REMOVE).bind(id.to_string())).await? == 0 {
            return Err(StoreError::NotFound { what: OPERATOR });
        }
        if had_owner && !has_owner(&mut tx).await? {
            return Err(StoreError::Conflict { what: OWNER });
        }
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn password(&self, id: OperatorId) -> Result<Option<PasswordHash>, StoreError> {
        let row = sqlx::query(PASSWORD)
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        let Some(row) = row else { return Ok(None) };
        let password: Option<String> = row.column("operators.password")?;
        Ok(password.map(PasswordHash::from_stored))
    }

    async fn set_password(
        &self,
        id: OperatorId,
        password: &PasswordHash,
        keep: Option<ConsoleSessionId>,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SET_PASSWORD)
            .bind(id.to_string())
            .bind(password.as_str());
        if run(&mut tx, OPERATOR, query).await? == 0 {
            return Err(StoreError::NotFound { what: OPERATOR });
        }
        end_sessions(&mut tx, id, keep).await?;
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(UNINVITE).bind(id.to_string()),
        )
        .await?;
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn rehash_password(
        &self,
        id: OperatorId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(REHASH)
            .bind(id.to_string())
            .bind(old.as_str())
            .bind(new.as_str());
        run(&mut tx, OPERATOR, query).await?;
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn signed_in(
        &self,
        id: OperatorId,
        address: &AddressHash,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SIGNED_IN)
            .bind(id.to_string())
            .bind(at.as_millis());
        run(&mut tx, OPERATOR, query).await?;
        let query = sqlx::query(SEEN_AT)
            .bind(id.to_string())
            .bind(address.as_bytes())
            .bind(at.as_millis());
        run(&mut tx, OPERATOR, query).await.map_err(of_operator)?;
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn knows(&self, address: &AddressHash, since: Timestamp) -> Result<bool, StoreError> {
        let row = sqlx::query(KNOWS)
            .bind(address.as_bytes())
            .bind(since.as_millis())
            .fetch_one(self.reader())
            .await
            .map_err(sort(OPERATOR))?;
        Ok(row.column::<i64>("operator_addresses.n")? > 0)
    }

    async fn sweep_addresses(&self, seen: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SWEEP_ADDRESSES).bind(seen.as_millis());
        let swept = run(&mut tx, OPERATOR, query).await?;
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(swept)
    }

    async fn set_totp(
        &self,
        id: OperatorId,
        at: Timestamp,
        step: i64,
        recovery: &[TokenHash],
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(SET_TOTP)
            .bind(id.to_string())
            .bind(at.as_millis())
            .bind(step);
        if run(&mut tx, OPERATOR, query).await? == 0 {
            return Ok(false);
        }
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(FORGET_CODES).bind(id.to_string()),
        )
        .await?;
        for code in recovery {
            let query = sqlx::query(ADD_CODE)
                .bind(id.to_string())
                .bind(code.as_bytes());
            run(&mut tx, OPERATOR, query).await?;
        }
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(true)
    }

    async fn clear_totp(&self, id: OperatorId) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(CLEAR_TOTP).bind(id.to_string()),
        )
        .await?;
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(FORGET_CODES).bind(id.to_string()),
        )
        .await?;
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn use_totp_step(&self, id: OperatorId, step: i64) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(USE_STEP).bind(id.to_string()).bind(step);
        let used = run(&mut tx, OPERATOR, query).await?;
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(used > 0)
    }

    async fn use_recovery_code(
        &self,
        id: OperatorId,
        code: &TokenHash,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(USE_CODE)
            .bind(id.to_string())
            .bind(code.as_bytes());
        let used = run(&mut tx, OPERATOR, query).await?;
        tx.commit().await.map_err(sort(OPERATOR))?;
        Ok(used > 0)
    }

    async fn invite(&self, invitation: &Invitation) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        invite(&mut tx, invitation).await?;
        tx.commit().await.map_err(sort(OPERATOR))
    }

    async fn invitation(&self, hash: &TokenHash) -> Result<Option<Invitation>, StoreError> {
        let row = sqlx::query(INVITATION)
            .bind(hash.as_bytes())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(INVITED))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Invitation {
            hash: hash.clone(),
            operator: row.parsed("operator_invitations.operator", "operator id", |t| {
                OperatorId::parse(t).ok()
            })?,
            expires: row.time("operator_invitations.expires_ms")?,
        }))
    }

    async fn accept(
        &self,
        hash: &TokenHash,
        name: &str,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query(USE_UP)
            .bind(hash.as_bytes())
            .bind(now.as_millis())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort(INVITED))?;
        let Some(row) = row else { return Ok(false) };
        let id = row.parsed("operator_invitations.operator", "operator id", |t| {
            OperatorId::parse(t).ok()
        })?;
        let query = sqlx::query(ACCEPT)
            .bind(id.to_string())
            .bind(name)
            .bind(password.as_str());
        run(&mut tx, OPERATOR, query).await?;
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(FORGET_CODES).bind(id.to_string()),
        )
        .await?;
        run(
            &mut tx,
            OPERATOR,
            sqlx::query(FORGET_PASSKEYS).bind(id.to_string()),
        )
        .await?;
        end_sessions(&mut tx, id, None).await?;
        tx.commit().await.map_err(sort(INVITED))?;
        Ok(true)
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<Operator, StoreError> {
    Ok(Operator {
        id: row.parsed("operators.id", "operator id", |t| OperatorId::parse(t).ok())?,
        email: row.parsed("operators.email", "e-mail address", |t| {
            Email::parse(t).ok()
        })?,
        name: row.parsed("operators.name", "name", |t| PersonName::parse(t).ok())?,
        role: row.parsed("operators.role", "role", Role::parse)?,
        apps: row.parsed_if_any("operators.apps", "list of apps", |t| {
            serde_json::from_str::<Vec<AppId>>(t).ok()
        })?,
        created: row.time("operators.operator_created_ms")?,
        disabled: row.time_if_any("operators.disabled_ms")?,
        last_sign_in: row.time_if_any("operators.last_sign_in_ms")?,
        totp: row.time_if_any("operators.totp_ms")?,
        has_password: row.column::<i64>("operators.has_password")? == 1,
        passkeys: u32::try_from(row.column::<i64>("operators.passkeys")?).unwrap_or(0),
    })
}

async fn insert(
    tx: &mut Transaction<'static, Any>,
    operator: &Operator,
    password: Option<&PasswordHash>,
) -> Result<(), StoreError> {
    let query = sqlx::query(ADD)
        .bind(operator.id.to_string())
        .bind(operator.email.as_str())
        .bind(operator.name.as_str())
        .bind(operator.role.as_str())
        .bind(apps(operator)?)
        .bind(password.map(PasswordHash::as_str))
        .bind(operator.created.as_millis())
        .bind(operator.disabled.map(Timestamp::as_millis));
    run(tx, OPERATOR, query).await.map(|_| ())
}

async fn invite(
    tx: &mut Transaction<'static, Any>,
    invitation: &Invitation,
) -> Result<(), StoreError> {
    let query = sqlx::query(INVITE)
        .bind(invitation.operator.to_string())
        .bind(invitation.hash.as_bytes())
        .bind(invitation.expires.as_millis());
    run(tx, OPERATOR, query)
        .await
        .map(|_| ())
        .map_err(of_operator)
}

/// The row that is referred to is that of an operator.
pub(crate) fn of_operator(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound { .. } => StoreError::NotFound { what: OPERATOR },
        error => error,
    }
}

async fn has_owner(tx: &mut Transaction<'static, Any>) -> Result<bool, StoreError> {
    let row = sqlx::query(OWNERS)
        .fetch_one(&mut **tx)
        .await
        .map_err(sort(OPERATOR))?;
    Ok(row.column::<i64>("operators.n")? > 0)
}

async fn end_sessions(
    tx: &mut Transaction<'static, Any>,
    operator: OperatorId,
    keep: Option<ConsoleSessionId>,
) -> Result<(), StoreError> {
    let query = sqlx::query(END_SESSIONS)
        .bind(operator.to_string())
        .bind(keep.map_or(String::new(), |keep| keep.to_string()));
    run(tx, OPERATOR, query).await.map(|_| ())
}

fn apps(operator: &Operator) -> Result<Option<String>, StoreError> {
    let apps = operator.apps.as_ref().map(serde_json::to_string);
    apps.transpose().map_err(|e| StoreError::Other(Box::new(e)))
}

const OPERATOR: &str = "operator";
const OWNER: &str = "owner";
const INVITED: &str = "invitation";

/// The columns of an operator; a join has other times of its own.
macro_rules! operator_columns {
    () => {
        "operators.id, operators.email, operators.name, operators.role, operators.apps, \
         operators.created_ms as operator_created_ms, operators.disabled_ms, \
         operators.last_sign_in_ms, operators.totp_ms, \
         case when operators.password is null then 0 else 1 end as has_password, \
         (select count(*) from operator_passkeys where operator = operators.id) as passkeys"
    };
}
pub(crate) use operator_columns;

macro_rules! select {
    ($rest:literal) => {
        concat!("select ", operator_columns!(), " from operators ", $rest)
    };
}

// Whoever changes who may do everything has this row to itself until it is done.
const TURN: &str = "update meta set id = 1 where id = 1";
const LOOKUP: &str = select!("where id = $1");
const FIND_BY_EMAIL: &str = select!("where email = $1");
const LIST: &str = select!("where email > $1 order by email limit $2");
const COUNT: &str = "select count(*) as n from operators";
const OWNERS: &str = "select count(*) as n from operators \
     where role = 'owner' and disabled_ms is null and password is not null";
const ADD: &str = "insert into operators \
     (id, email, name, role, apps, password, created_ms, disabled_ms) \
     values ($1, $2, $3, $4, $5, $6, $7, $8)";
const UPDATE: &str = "update operators set name = $2, role = $3, apps = $4, disabled_ms = $5 \
     where id = $1";
const REMOVE: &str = "delete from operators where id = $1";
const PASSWORD: &str = "select password from operators where id = $1";
const SET_PASSWORD: &str = "update operators set password = $2 where id = $1";
const REHASH: &str = "update operators set password = $3 where id = $1 and password = $2";
const SIGNED_IN: &str = "update operators set last_sign_in_ms = $2 where id = $1";
const SEEN_AT: &str = "insert into operator_addresses (operator, hash, seen_ms) \
     values ($1, $2, $3) on conflict (operator, hash) do update set seen_ms = excluded.seen_ms";
const KNOWS: &str = "select count(*) as n from operator_addresses \
     join operators on operators.id = operator_addresses.operator \
     where hash = $1 and seen_ms > $2 and disabled_ms is null";
const SWEEP_ADDRESSES: &str = "delete from operator_addresses where seen_ms <= $1";
const END_SESSIONS: &str = "delete from operator_sessions where operator = $1 and id <> $2";
const INVITE: &str = "insert into operator_invitations (operator, hash, expires_ms) \
     values ($1, $2, $3) \
     on conflict (operator) do update set hash = excluded.hash, expires_ms = excluded.expires_ms";
const INVITATION: &str = "select operator, expires_ms from operator_invitations where hash = $1";
const UNINVITE: &str = "delete from operator_invitations where operator = $1";
const USE_UP: &str = "delete from operator_invitations where hash = $1 and expires_ms > $2 \
     returning operator";
const ACCEPT: &str = "update operators \
     set name = $2, password = $3, totp_ms = null, totp_step = null where id = $1";
const FORGET_CODES: &str = "delete from operator_recovery_codes where operator = $1";
const FORGET_PASSKEYS: &str = "delete from operator_passkeys where operator = $1";
const ADD_CODE: &str = "insert into operator_recovery_codes (operator, hash) values ($1, $2)";
const USE_CODE: &str = "delete from operator_recovery_codes where operator = $1 and hash = $2";
const SET_TOTP: &str = "update operators set totp_ms = $2, totp_step = $3 \
     where id = $1 and totp_ms is null";
const CLEAR_TOTP: &str = "update operators set totp_ms = null, totp_step = null where id = $1";
const USE_STEP: &str = "update operators set totp_step = $2 \
     where id = $1 and totp_ms is not null and totp_step < $2";
