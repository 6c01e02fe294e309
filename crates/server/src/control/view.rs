use std::fmt;
use std::net::SocketAddr;

use hexline_model::{NodeId, Timestamp};
use hexline_services::apps::{App, AppSettings};
use hexline_services::keys::{KeyRecord, KeyState};
use hexline_services::revocations::{HeldOut, Hold};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::operators::{OperatorLinkView, OperatorView};

/// An answer, by its kind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Who is there.
    Status(StatusView),
    /// One app.
    App(AppView),
    /// Several apps.
    Apps(Vec<AppView>),
    /// One key.
    Key(KeyView),
    /// Several keys.
    Keys(Vec<KeyView>),
    /// A key was revoked.
    RevokedKey(Box<RevokedKeyView>),
    /// A key that was just made, with its secret: shown now and never again.
    NewKey(Box<NewKeyView>),
    /// An operator.
    Operator(OperatorView),
    /// Several operators.
    Operators(Vec<OperatorView>),
    /// An operator and a link that is shown now and never again.
    OperatorLink(Box<OperatorLinkView>),
    /// Tokens were revoked.
    Revoked(RevokedView),
    /// Connections were closed.
    Disconnected(DisconnectedView),
    /// Who is held out.
    Holds(Vec<HoldView>),
    /// A hold was lifted, or there was none.
    HoldLifted(LiftedView),
    /// The master key was rotated.
    MasterKeyRotated(RotatedView),
    /// The checks of a token.
    Explanation(Box<RawValue>),
}

/// Who answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How many apps there are.
    pub apps: usize,
    /// Its public URL, if it serves.
    pub url: Option<String>,
    /// Where it listens, if it serves.
    pub listen: Option<SocketAddr>,
    /// The server process, among those on its database.
    #[serde(default)]
    pub node: Option<NodeId>,
}

/// An app as administrators see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct AppView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_ms: i64,
    /// When it was disabled.
    pub disabled_ms: Option<i64>,
    /// The key that signs what the server mints.
    pub signing_key: Option<String>,
    /// Its live connections on the server that answers; unknown where none does.
    #[serde(default)]
    pub connections: Option<usize>,
    /// Its settings.
    pub settings: AppSettings,
}

/// A key as administrators see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyView {
    /// Its id; the token's `iss`.
    pub id: String,
    /// The app's name.
    pub app: String,
    /// A word for people.
    pub label: String,
    /// `hmac`, `public_pem`, `public_jwk`, `jwks` or `jwks_url`.
    pub kind: String,
    /// The one algorithm; unset where each JWK has its own.
    pub algorithm: Option<String>,
    /// `active`, `retiring`, `revoked` or `expired`.
    pub state: String,
    /// Until when it verifies, if that is limited.
    pub until_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// When it was made.
    pub created_ms: i64,
    /// When a token of it last passed.
    pub last_used_ms: Option<i64>,
    /// What its tokens may be granted at most.
    pub ceiling: Option<Value>,
    /// The key whose token made it.
    pub made_by: Option<String>,
    /// Whether the app signs with it what the server mints.
    pub signs: bool,
}

/// A key that was revoked.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedKeyView {
    /// The key.
    #[serde(flatten)]
    pub key: KeyView,
    /// The keys that it had made, and those that they had made in turn: revoked with it.
    pub made: Vec<KeyView>,
}

/// A key that was just made.
#[derive(Serialize, Deserialize)]
pub struct NewKeyView {
    /// The key.
    pub key: KeyView,
    /// Its secret.
    pub secret: String,
    /// The key that it replaces.
    pub replaces: Option<KeyView>,
}

/// What was revoked.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedView {
    /// The app's name.
    pub app: String,
    /// Tokens issued at or before this are refused, or until when a `jti` is remembered.
    pub at_ms: i64,
}

/// What was closed.
#[derive(Debug, Serialize, Deserialize)]
pub struct DisconnectedView {
    /// The app's name.
    pub app: String,
    /// How many connections there were on the node that answers.
    pub closed: usize,
    /// Until when it stays out.
    pub held_until_ms: Option<i64>,
}

/// An identity or device that stays out.
#[derive(Serialize, Deserialize)]
pub struct HoldView {
    /// Who.
    pub identity: String,
    /// Which device of theirs; unset for all.
    pub device: Option<String>,
    /// Until when.
    pub until_ms: i64,
}

/// What became of a hold.
#[derive(Debug, Serialize, Deserialize)]
pub struct LiftedView {
    /// The app's name.
    pub app: String,
    /// Whether there was one.
    pub lifted: bool,
}

/// What a rotation did.
#[derive(Debug, Serialize, Deserialize)]
pub struct RotatedView {
    /// Where the new key is.
    pub file: String,
    /// How many secrets were sealed again.
    pub secrets: u64,
}

impl KeyView {
    pub(super) fn new(key: &KeyRecord, app: String, signs: bool, now: Timestamp) -> Self {
        let (state, revoked) = match key.state {
            KeyState::Revoked { at } => ("revoked", Some(at)),
            _ if key.end().is_some_and(|end| end <= now) => ("expired", None),
            KeyState::Retiring { .. } => ("retiring", None),
            KeyState::Active => ("active", None),
        };
        let ceiling = key.ceiling.as_ref().map(serde_json::to_value);
        Self {
            id: key.id.to_string(),
            app,
            label: key.label.clone(),
            kind: key.material.kind().to_owned(),
            algorithm: key.algorithm.map(|algorithm| algorithm.to_string()),
            state: state.to_owned(),
            until_ms: key.end().map(Timestamp::as_millis),
            revoked_ms: revoked.map(Timestamp::as_millis),
            created_ms: key.created.as_millis(),
            last_used_ms: key.last_used.map(Timestamp::as_millis),
            ceiling: ceiling.transpose().expect("grants are JSON"),
            made_by: key.made_by.map(|id| id.to_string()),
            signs,
        }
    }
}

impl From<App> for AppView {
    fn from(app: App) -> Self {
        Self {
            id: app.id.to_string(),
            name: app.name.to_string(),
            created_ms: app.created.as_millis(),
            disabled_ms: app.disabled.map(Timestamp::as_millis),
            signing_key: app.signing_key.map(|id| id.to_string()),
            connections: None,
            settings: app.settings,
        }
    }
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        let (identity, device) = match &hold.who {
            HeldOut::Identity(identity) => (identity.to_string(), None),
            HeldOut::Device(subject) => {
                let device = subject.device.to_string();
                (subject.identity.to_string(), Some(device))
            }
        };
        Self {
            identity,
            device,
            until_ms: hold.until.as_millis(),
        }
    }
}

// It names a person.
impl fmt::Debug for HoldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldView")
            .field("until_ms", &self.until_ms)
            .finish_non_exhaustive()
    }
}

// A secret does not print.
impl fmt::Debug for NewKeyView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKeyView")
            .field("key", &self.key)
            .field("replaces", &self.replaces)
            .finish_non_exhaustive()
    }
}
