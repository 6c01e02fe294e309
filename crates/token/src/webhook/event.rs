use std::fmt;

use hexline_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kind::EventKind;

/// What the body of a webhook says.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its name, the same each time that it is delivered: pass over what was dealt with.
    pub id: String,
    /// What kind it is. A later server may know more kinds than this crate.
    #[serde(rename = "type")]
    pub kind_text: String,
    /// The app.
    pub app: String,
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: i64,
    /// More about it, by its kind.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
#[non_exhaustive]
pub enum Happening {
    /// A connection of a user was opened.
    #[serde(rename = "user.connected")]
    UserConnected {
        /// Who.
        identity: String,
        /// On which device.
        device: String,
        /// By which connection.
        route: String,
        /// Whether the user was not connected before: it is the first device.
        first_device: bool,
    },
    /// A connection of a user has ended.
    #[serde(rename = "user.disconnected")]
    UserDisconnected {
        /// Who.
        identity: String,
        /// On which device.
        device: String,
        /// Which connection it was.
        route: String,
        /// Whether the user has no connection any more: it was the last device.
        last_device: bool,
    },
    /// A user who had no connection has one.
    #[serde(rename = "user.online")]
    UserOnline {
        /// Who.
        identity: String,
    },
    /// A user's last connection has ended.
    #[serde(rename = "user.offline")]
    UserOffline {
        /// Who.
        identity: String,
    },
    /// A token that names a key of the app was refused. Anybody can write such a token.
    #[serde(rename = "token.refused")]
    TokenRefused {
        /// The key that it names.
        key: String,
        /// Why, in the words of docs/errors.md.
        reason: String,
        /// Whence it came.
        remote: String,
        /// How many more were refused since the last event of this kind, and are not told one by
        /// one.
        suppressed: u64,
    },
    /// A key was made or registered.
    #[serde(rename = "key.created")]
    KeyCreated {
        /// The key.
        key: String,
    },
    /// A key was replaced and lives on for a while.
    #[serde(rename = "key.rotated")]
    KeyRotated {
        /// The old key.
        key: String,
        /// Until when it lives.
        retiring_until_ms: i64,
    },
    /// A key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked {
        /// The key.
        key: String,
    },
    /// The app's name or settings have changed.
    #[serde(rename = "app.updated")]
    AppUpdated {},
    /// The app was disabled.
    #[serde(rename = "app.disabled")]
    AppDisabled {},
    /// The app was enabled again.
    #[serde(rename = "app.enabled")]
    AppEnabled {},
    /// A channel that had no members has one.
    #[serde(rename = "channel.occupied")]
    ChannelOccupied {
        /// Its name.
        channel: String,
    },
    /// A channel's last member has gone.
    #[serde(rename = "channel.vacated")]
    ChannelVacated {
        /// Its name.
        channel: String,
    },
    /// Somebody tried a webhook out.
    #[serde(rename = "webhook.test")]
    WebhookTest {},
}

impl Event {
    /// What kind it is, unless a later server made it.
    pub fn kind(&self) -> Option<EventKind> {
        self.kind_text.parse().ok()
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_ms)
    }

    /// What happened, unless it is of a kind that this crate does not know.
    pub fn happening(&self) -> Option<Happening> {
        serde_json::from_value(json!({ "type": self.kind_text, "data": self.data })).ok()
    }
}

impl Happening {
    /// What kind it is.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::UserConnected { .. } => EventKind::UserConnected,
            Self::UserDisconnected { .. } => EventKind::UserDisconnected,
            Self::UserOnline { .. } => EventKind::UserOnline,
            Self::UserOffline { .. } => EventKind::UserOffline,
            Self::TokenRefused { .. } => EventKind::TokenRefused,
            Self::KeyCreated { .. } => EventKind::KeyCreated,
            Self::KeyRotated { .. } => EventKind::KeyRotated,
            Self::KeyRevoked { .. } => EventKind::KeyRevoked,
            Self::AppUpdated {} => EventKind::AppUpdated,
            Self::AppDisabled {} => EventKind::AppDisabled,
            Self::AppEnabled {} => EventKind::AppEnabled,
            Self::ChannelOccupied { .. } => EventKind::ChannelOccupied,
            Self::ChannelVacated { .. } => EventKind::ChannelVacated,
            Self::WebhookTest {} => EventKind::WebhookTest,
        }
    }
}

// Both name people.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {})", self.kind_text, self.id)
    }
}

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Happening({})", self.kind())
    }
}
