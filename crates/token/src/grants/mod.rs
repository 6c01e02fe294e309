//! What a token, or a key's ceiling, allows.
//!
//! [`Grants`] are read strictly: of a known service every member must be known and of its type,
//! because a limit that is not understood must not widen. Services nobody knows are ignored in a
//! token, and refused in a ceiling, whose author is there to be told.
//! [`Permissions`] keep a token's grants and the key's ceiling beside each other; every question
//! is asked of both.
//!
//! To add a service: a field here, an arm in `parse.rs`, a question in `permissions.rs`, a row in
//! docs/tokens.md. To add a member: a field in its struct and an arm in its reader.

mod parse;
mod permissions;
mod within;

use std::fmt;

use hexline_model::Service;
pub use parse::GrantsError;
pub use permissions::Permissions;

/// Grants by service.
///
/// ```
/// use hexline_token::Grants;
/// let grants = Grants::parse(r#"{"chat":true,"signal":{"channels":["news.*"],"publish":false}}"#)?;
/// let signal = grants.signal().expect("granted");
/// assert!(signal.allows_channel("news.sport") && !signal.allows_channel("gossip"));
/// assert!(!signal.publish);
/// assert!(grants.video().is_none());
/// assert!(Grants::parse(r#"{"signal":{"chanels":[]}}"#).is_err());
/// # Ok::<(), hexline_token::GrantsError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grants {
    signal: Option<SignalGrant>,
    chat: Option<ChatGrant>,
    push: bool,
    video: Option<VideoGrant>,
    platform: PlatformGrant,
}

/// What of `signal` is granted.
#[derive(Clone, PartialEq, Eq)]
pub struct SignalGrant {
    /// The open channels that may be joined; `None` for all.
    pub channels: Option<Vec<Pattern>>,
    /// Whether something may be said on channels.
    pub publish: bool,
}

/// What of `chat` is granted.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatGrant {
    /// The conversations that may be used; `None` for all.
    pub conversations: Option<Vec<String>>,
    /// Whether conversations may be created.
    pub create: bool,
}

/// What of `video` is granted.
#[derive(Clone, PartialEq, Eq)]
pub struct VideoGrant {
    /// The sessions that may be joined; `None` for all.
    pub sessions: Option<Vec<String>>,
    /// The kinds of media that may be published; `None` for all.
    pub publish: Option<Vec<MediaKind>>,
}

/// What may be published in a video session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A microphone.
    Audio,
    /// A camera.
    Video,
    /// A screen.
    Screen,
    /// Data.
    Data,
}

/// A part of the platform API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlatformArea {
    /// Mint, introspect, exchange and revoke tokens.
    Tokens,
    /// Keys.
    Keys,
    /// Connections, presence, messages to users.
    Users,
    /// Channels.
    Channels,
    /// Conversations.
    Conversations,
    /// Settings and audit.
    Settings,
    /// Webhooks.
    Webhooks,
}

/// Which parts of the platform API are granted.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PlatformGrant(u8);

/// A channel name, or the beginning of one followed by `*`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Grants {
    /// Everything.
    pub fn all() -> Self {
        Self {
            signal: Some(SignalGrant {
                channels: None,
                publish: true,
            }),
            chat: Some(ChatGrant {
                conversations: None,
                create: true,
            }),
            push: true,
            video: Some(VideoGrant {
                sessions: None,
                publish: None,
            }),
            platform: PlatformGrant::ALL,
        }
    }

    /// Reads the `grants` claim.
    pub fn parse(json: &str) -> Result<Self, GrantsError> {
        parse::grants(json, parse::Unknown::Ignored)
    }

    /// Reads a key's ceiling as an administrator writes it: here an unknown service is an error,
    /// because it is a typing error rather than something newer.
    ///
    /// From the text, not from parsed JSON, which may have dropped a member that is there twice.
    pub fn parse_ceiling(json: &str) -> Result<Self, GrantsError> {
        parse::grants(json, parse::Unknown::Refused)
    }

    /// `signal`, if granted.
    pub fn signal(&self) -> Option<&SignalGrant> {
        self.signal.as_ref()
    }

    /// `chat`, if granted.
    pub fn chat(&self) -> Option<&ChatGrant> {
        self.chat.as_ref()
    }

    /// Whether `push` is granted.
    pub fn push(&self) -> bool {
        self.push
    }

    /// `video`, if granted.
    pub fn video(&self) -> Option<&VideoGrant> {
        self.video.as_ref()
    }

    /// The parts of the platform API that are granted.
    pub fn platform(&self) -> PlatformGrant {
        self.platform
    }

    /// Whether anything of a service is granted.
    pub fn has(&self, service: Service) -> bool {
        match service {
            Service::Signal => self.signal.is_some(),
            Service::Chat => self.chat.is_some(),
            Service::Push => self.push,
            Service::Video => self.video.is_some(),
            Service::Platform => self.platform != PlatformGrant::default(),
        }
    }

    /// The names of the granted services, for a message.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = Service::ALL
            .into_iter()
            .filter(|s| self.has(*s))
            .map(Service::name)
            .collect();
        if names.is_empty() {
            "no grant".to_owned()
        } else {
            format!("grants for {}", names.join(", "))
        }
    }
}

impl SignalGrant {
    /// Whether an open channel may be joined.
    pub fn allows_channel(&self, name: &str) -> bool {
        self.channels
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|p| p.matches(name)))
    }
}

impl ChatGrant {
    /// Whether a conversation may be used.
    pub fn allows_conversation(&self, id: &str) -> bool {
        self.conversations
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|own| own == id))
    }
}

impl VideoGrant {
    /// Whether a session may be joined.
    pub fn allows_session(&self, id: &str) -> bool {
        self.sessions
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|own| own == id))
    }

    /// Whether that kind of media may be published.
    pub fn allows_publishing(&self, kind: MediaKind) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&kind))
    }
}

impl PlatformGrant {
    /// All of it, what is added later included.
    pub(crate) const ALL: Self = Self(0xff);

    /// Whether a part is granted.
    pub fn allows(self, area: PlatformArea) -> bool {
        self.0 & area.bit() != 0
    }

    pub(crate) fn add(&mut self, area: PlatformArea) {
        self.0 |= area.bit();
    }
}

impl PlatformArea {
    /// Every part.
    pub const ALL: [Self; 7] = [
        Self::Tokens,
        Self::Keys,
        Self::Users,
        Self::Channels,
        Self::Conversations,
        Self::Settings,
        Self::Webhooks,
    ];

    /// The name in the claim.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Keys => "keys",
            Self::Users => "users",
            Self::Channels => "channels",
            Self::Conversations => "conversations",
            Self::Settings => "settings",
            Self::Webhooks => "webhooks",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl MediaKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Audio, Self::Video, Self::Screen, Self::Data];

    /// The name in the claim.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
            Self::Data => "data",
        }
    }
}

impl Pattern {
    /// Reads a pattern; a `*` may stand only last.
    pub fn parse(text: &str) -> Option<Self> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && !stem.contains('*')).then(|| Self(text.to_owned()))
    }

    /// Whether it names that channel.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => self.0 == name,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Names of channels and conversations often name people: services only.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants({})", self.names())
    }
}

impl fmt::Debug for SignalGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalGrant")
            .field("publish", &self.publish)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChatGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatGrant")
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VideoGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoGrant")
            .field("publish", &self.publish)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PlatformGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = PlatformArea::ALL
            .into_iter()
            .filter(|area| self.allows(*area));
        f.debug_set().entries(granted).finish()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern(..)")
    }
}
