use std::fmt;

/// A service that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Messages, channels and presence.
    Signal,
    /// Conversations.
    Chat,
    /// Push notifications.
    Push,
    /// Video sessions.
    Video,
    /// The platform API, in platform tokens.
    Platform,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [
        Self::Signal,
        Self::Chat,
        Self::Push,
        Self::Video,
        Self::Platform,
    ];

    /// Reads the name in the claim.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == text)
    }

    /// The name in the claim.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Chat => "chat",
            Self::Push => "push",
            Self::Video => "video",
            Self::Platform => "platform",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
