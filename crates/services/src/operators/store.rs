//! What the operator service asks of a database.
//!
//! Every method that writes is durable and atomic: when it returns `Ok`, what it wrote survives a
//! power cut, and it wrote all that it says or nothing. What changes who may do everything takes
//! turns, also between processes.

use std::sync::Arc;

use async_trait::async_trait;
use hexline_model::{ConsoleSessionId, OperatorId, Secret, Timestamp};

use super::error::OperatorError;
use super::familiar::AddressHash;
use super::onetime::TokenHash;
use super::operator::{Email, Operator};
use super::passkey::Passkey;
use super::password::PasswordHash;
use super::service::OperatorChanges;
use super::session::ConsoleSession;
use crate::store::StoreError;

/// Every store that the operator service needs.
#[derive(Clone)]
pub struct OperatorStores {
    /// Operators, their passwords and invitations.
    pub operators: Arc<dyn OperatorStore>,
    /// Sessions.
    pub sessions: Arc<dyn ConsoleSessionStore>,
    /// Passkeys.
    pub passkeys: Arc<dyn PasskeyStore>,
    /// Failed attempts.
    pub attempts: Arc<dyn AttemptStore>,
}

/// A link that lets an invited person, or one who has lost the password, set one. An operator has
/// at most one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Of the token in the link.
    pub hash: TokenHash,
    /// For whom.
    pub operator: OperatorId,
    /// Until when.
    pub expires: Timestamp,
}

/// Operators, their passwords and invitations.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// The operator with this id.
    async fn lookup(&self, id: OperatorId) -> Result<Option<Operator>, StoreError>;

    /// The operator with this address.
    async fn find_by_email(&self, email: &Email) -> Result<Option<Operator>, StoreError>;

    /// Up to `limit` operators whose address comes after `after`, in order of its bytes.
    async fn list(&self, after: Option<&Email>, limit: u32) -> Result<Vec<Operator>, StoreError>;

    /// Whether there is none.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Adds the first operator; `false`, and nothing changed, if there is one. Of two that try at
    /// once, one succeeds.
    async fn add_first(
        &self,
        operator: &Operator,
        password: &PasswordHash,
    ) -> Result<bool, StoreError>;

    /// Adds an operator and the invitation, or the password. Conflicts (`operator`) if the id or
    /// address exists.
    async fn add(
        &self,
        operator: &Operator,
        password: Option<&PasswordHash>,
        invitation: Option<&Invitation>,
    ) -> Result<(), StoreError>;

    /// Changes what is named and nothing else, whatever others change meanwhile; the operator as it
    /// is then. Conflicts (`owner`) if that takes the last active owner away. Ends the operator's
    /// sessions if it is disabled.
    async fn update(
        &self,
        id: OperatorId,
        changes: &OperatorChanges,
        at: Timestamp,
    ) -> Result<Operator, StoreError>;

    /// Removes an operator with all that belongs to it. Conflicts (`owner`) as above.
    async fn remove(&self, id: OperatorId) -> Result<(), StoreError>;

    /// The operator's password.
    async fn password(&self, id: OperatorId) -> Result<Option<PasswordHash>, StoreError>;

    /// Sets the password, ends the operator's sessions except `keep`, and takes back the
    /// invitation.
    async fn set_password(
        &self,
        id: OperatorId,
        password: &PasswordHash,
        keep: Option<ConsoleSessionId>,
    ) -> Result<(), StoreError>;

    /// Replaces the hash of the same password, if it still is the one that was compared.
    async fn rehash_password(
        &self,
        id: OperatorId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError>;

    /// Notes a sign-in and the address that it came from.
    async fn signed_in(
        &self,
        id: OperatorId,
        address: &AddressHash,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Whether an operator who is not disabled has signed in from there since then.
    async fn knows(&self, address: &AddressHash, since: Timestamp) -> Result<bool, StoreError>;

    /// Forgets the addresses that were last seen at `seen` or before.
    async fn sweep_addresses(&self, seen: Timestamp) -> Result<u64, StoreError>;

    /// Turns one-time codes on: the step of the first code, and the recovery codes. `false`, and
    /// nothing changed, if they are on.
    async fn set_totp(
        &self,
        id: OperatorId,
        at: Timestamp,
        step: i64,
        recovery: &[TokenHash],
    ) -> Result<bool, StoreError>;

    /// Turns one-time codes off and forgets the recovery codes.
    async fn clear_totp(&self, id: OperatorId) -> Result<(), StoreError>;

    /// Uses a step up; `false` if it or a later one was used. Of two that try at once, one
    /// succeeds.
    async fn use_totp_step(&self, id: OperatorId, step: i64) -> Result<bool, StoreError>;

    /// Uses a recovery code up; whether there was one.
    async fn use_recovery_code(&self, id: OperatorId, code: &TokenHash)
    -> Result<bool, StoreError>;

    /// Puts an invitation in the place of the operator's earlier one.
    async fn invite(&self, invitation: &Invitation) -> Result<(), StoreError>;

    /// The invitation with this hash.
    async fn invitation(&self, hash: &TokenHash) -> Result<Option<Invitation>, StoreError>;

    /// Uses an invitation up: sets name and password, turns the one-time code off, forgets the
    /// passkeys, ends all sessions. `false`, and nothing changed, if it is not there any more or has expired. Of two
    /// that try at once, one succeeds.
    async fn accept(
        &self,
        hash: &TokenHash,
        name: &str,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Passkeys, and the challenges that were answered with one.
#[async_trait]
pub trait PasskeyStore: Send + Sync {
    /// Adds a passkey. Conflicts (`passkey`) if its id exists, of whichever operator.
    async fn add(&self, passkey: &Passkey) -> Result<(), StoreError>;

    /// The passkey with this id.
    async fn find(&self, id: &[u8]) -> Result<Option<Passkey>, StoreError>;

    /// The passkeys of an operator, oldest first.
    async fn list(&self, operator: OperatorId) -> Result<Vec<Passkey>, StoreError>;

    /// Notes that a passkey was used and its new count; `false`, and nothing changed, if the count
    /// has not grown. An authenticator that does not count stays at 0.
    async fn used(&self, id: &[u8], count: u32, at: Timestamp) -> Result<bool, StoreError>;

    /// Removes a passkey of this operator; whether there was one.
    async fn remove(&self, operator: OperatorId, id: &[u8]) -> Result<bool, StoreError>;

    /// Notes that a challenge was answered; `false` if it was before. Remembered until it is not
    /// good any more.
    async fn use_challenge(&self, hash: &TokenHash, until: Timestamp) -> Result<bool, StoreError>;

    /// Forgets the challenges that were good until `now` at the latest.
    async fn sweep_challenges(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// What keeps secrets sealed under the server's master key.
#[async_trait]
pub trait SecretVault: Send + Sync {
    /// Puts a secret in the place of one of the same name.
    async fn put(&self, name: &str, secret: Secret<String>) -> Result<(), OperatorError>;

    /// Keeps a secret, unless there is one of the same name: of several that try at once, one
    /// succeeds, and all find its secret afterwards.
    async fn put_once(&self, name: &str, secret: Secret<String>) -> Result<(), OperatorError>;

    /// The secret of this name.
    async fn open(&self, name: &str) -> Result<Option<Secret<String>>, OperatorError>;

    /// Removes a secret, if there is one.
    async fn remove(&self, name: &str) -> Result<(), OperatorError>;
}

/// Sessions.
#[async_trait]
pub trait ConsoleSessionStore: Send + Sync {
    /// Adds a session of an operator who is there, is not disabled, and has this password, if one
    /// is named; `false`, and nothing changed, if that does not hold any more. What ends an
    /// operator's sessions ends those too that are added at that moment.
    async fn add(
        &self,
        session: &ConsoleSession,
        password: Option<&PasswordHash>,
    ) -> Result<bool, StoreError>;

    /// The session that this token opens, with its operator.
    async fn find(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<(ConsoleSession, Operator)>, StoreError>;

    /// The sessions of an operator, newest first.
    async fn list(&self, operator: OperatorId) -> Result<Vec<ConsoleSession>, StoreError>;

    /// Notes that a session was used; the later time stays.
    async fn touch(&self, id: ConsoleSessionId, at: Timestamp) -> Result<(), StoreError>;

    /// Notes that the operator has confirmed who it is; the later time stays.
    async fn confirm(&self, id: ConsoleSessionId, at: Timestamp) -> Result<(), StoreError>;

    /// Ends a session of this operator; whether there was one.
    async fn end(&self, operator: OperatorId, id: ConsoleSessionId) -> Result<bool, StoreError>;

    /// Removes those that began at or before `created` or were last used at or before `seen`.
    async fn sweep(&self, created: Timestamp, seen: Timestamp) -> Result<u64, StoreError>;
}

/// Failed attempts, counted by subject: an account or a network address.
///
/// What is kept is one time per subject, at which all is forgiven; every attempt moves it by a
/// period (the generic cell rate algorithm).
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// The time at which all is forgiven; `None` if nothing is held against the subject.
    async fn forgiven_at(&self, subject: &str) -> Result<Option<Timestamp>, StoreError>;

    /// Moves that time by `period_ms` from where it is or from `now`, whichever is later, unless it
    /// were then later than `latest`; whether it did. At once, also for many that ask together.
    async fn charge(
        &self,
        subject: &str,
        period_ms: i64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes one charge back.
    async fn refund(&self, subject: &str, period_ms: i64) -> Result<(), StoreError>;

    /// Forgets the subjects to which all is forgiven.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;
}
