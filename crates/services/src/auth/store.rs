//! What the Auth Service asks of a database. Each method is durable and atomic, as
//! [`crate::keys`] says of its own.

use async_trait::async_trait;
use hexline_model::{ApiKey, AppId, Device, Identity, Timestamp};

use super::settings::SignIn;
use crate::store::StoreError;

/// What is good once, until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnceKind {
    /// A browser was sent to a provider and is awaited back.
    Flow,
    /// It came back; the app's page may fetch its token.
    Login,
    /// An ID token that has been used.
    IdToken,
}

/// A line of refresh tokens: each use makes the next one.
#[derive(Clone, PartialEq)]
pub struct Family {
    /// Its id, which every token of the line begins with.
    pub id: String,
    /// The app.
    pub app: AppId,
    /// By which API key it began; with that it ends.
    pub api_key: ApiKey,
    /// How the user signed in.
    pub strategy: String,
    /// Who.
    pub identity: Identity,
    /// On which device.
    pub device: Device,
    /// Grants, profile and ttl of the tokens, as JSON.
    pub body: String,
    /// When the user signed in.
    pub created: Timestamp,
    /// Until when the current one is good.
    pub expires: Timestamp,
    /// The hash of the one that is good.
    pub current: String,
    /// The hash of the one before it.
    pub previous: Option<String>,
    /// When the current one was made.
    pub rotated: Timestamp,
    /// Since when none of them is good.
    pub revoked: Option<Timestamp>,
}

/// Settings, users without a name, what is good once, lines of refresh tokens.
#[async_trait]
pub trait AuthStore: Send + Sync {
    /// How an app's users sign in; `None` if nobody ever said.
    async fn settings(&self, app: AppId) -> Result<Option<SignIn>, StoreError>;

    /// Replaces an app's settings.
    async fn put_settings(
        &self,
        app: AppId,
        settings: &SignIn,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Notes a user without a name. Conflicts if there is such a one.
    async fn add_anonymous(
        &self,
        app: AppId,
        identity: &Identity,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError>;

    /// Up to `limit` users without a name who ended before `now`.
    async fn ended_anonymous(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AppId, Identity)>, StoreError>;

    /// Removes what is stored of a user without a name.
    async fn remove_anonymous(&self, app: AppId, identity: &Identity) -> Result<(), StoreError>;

    /// Notes something that is good once. `false`, and nothing is written, if its hash is known:
    /// of two that try at once, one gets `true`.
    async fn add_once(
        &self,
        app: AppId,
        hash: &str,
        kind: OnceKind,
        body: &str,
        expires: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes something that is good once: its app and body, if it is there and has not ended. Of
    /// two that take at once, one gets it.
    async fn take_once(
        &self,
        hash: &str,
        kind: OnceKind,
        now: Timestamp,
    ) -> Result<Option<(AppId, String)>, StoreError>;

    /// Forgets what ended before `now`: of what is good once, and lines of refresh tokens.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Begins a line of refresh tokens.
    async fn add_family(&self, family: &Family) -> Result<(), StoreError>;

    /// The line with this id.
    async fn lookup_family(&self, id: &str) -> Result<Option<Family>, StoreError>;

    /// Puts a new token in the place of `current`, which becomes `previous` unless that is named.
    /// `false`, and nothing is written, if `current` is not current any more or the line is
    /// revoked.
    async fn rotate_family(&self, next: &Family, current: &str) -> Result<bool, StoreError>;

    /// Ends a line. Twice is once.
    async fn revoke_family(&self, id: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Up to `limit` lines that are not revoked after the one with this id, in order of their ids;
    /// of one app and one user, if they are named.
    async fn list_families(
        &self,
        app: Option<AppId>,
        identity: Option<&Identity>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Family>, StoreError>;
}

impl OnceKind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Login => "login",
            Self::IdToken => "id_token",
        }
    }
}
