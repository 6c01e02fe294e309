use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of event it is; a webhook names those that it wants.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the wire.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// A connection of a user was opened.
    UserConnected = "user.connected",
    /// A connection of a user has ended.
    UserDisconnected = "user.disconnected",
    /// A user who had no connection has one.
    UserOnline = "user.online",
    /// A user's last connection has ended.
    UserOffline = "user.offline",
    /// A token that names a key of the app was refused.
    TokenRefused = "token.refused",
    /// A key was made or registered.
    KeyCreated = "key.created",
    /// A key was replaced and lives on for a while.
    KeyRotated = "key.rotated",
    /// A key was revoked.
    KeyRevoked = "key.revoked",
    /// The app's name or settings have changed.
    AppUpdated = "app.updated",
    /// The app was disabled.
    AppDisabled = "app.disabled",
    /// The app was enabled again.
    AppEnabled = "app.enabled",
    /// A channel that had no members has one.
    ChannelOccupied = "channel.occupied",
    /// A channel's last member has gone.
    ChannelVacated = "channel.vacated",
    /// Somebody tried a webhook out.
    WebhookTest = "webhook.test",
}

/// A name that is no event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no event")]
pub struct UnknownEvent;

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.text() == text).ok_or(UnknownEvent)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
