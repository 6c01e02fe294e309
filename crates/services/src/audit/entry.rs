use hexline_model::{AppId, AuditId, KeyId, OperatorId, Timestamp};
use serde_json::Value;

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person at the Console.
    Operator {
        /// Who.
        id: OperatorId,
        /// What the person signed in with.
        email: String,
    },
    /// An app's server, with a token of this key.
    Platform {
        /// The key.
        key: KeyId,
    },
    /// Whoever has the data directory, by the command line.
    Cli,
    /// The server itself, or somebody whom it does not know.
    System,
}

/// What happened, before it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who did it.
    pub actor: Actor,
    /// What: `thing.verb`.
    pub action: String,
    /// To which app it was done, if to one.
    pub app: Option<AppId>,
    /// On what: an id or a name; empty if the app or the action says it all.
    pub target: String,
    /// From which network address; `None` if not by network.
    pub peer: Option<String>,
    /// More about it. Never a secret.
    pub detail: Option<Value>,
}

/// What was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Names the entry.
    pub id: AuditId,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub entry: Entry,
}

impl Entry {
    /// About how many bytes it takes where it is stored.
    pub fn bytes(&self) -> u64 {
        let detail = self
            .detail
            .as_ref()
            .map_or(0, |detail| detail.to_string().len());
        let text = self.target.len() + detail;
        OVERHEAD + u64::try_from(text).unwrap_or(u64::MAX)
    }
}

impl Actor {
    /// One word for the kind of actor, as stored and shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Operator { .. } => "operator",
            Self::Platform { .. } => "platform",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }

    /// Its id, if it has one.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Operator { id, .. } => Some(id.to_string()),
            Self::Platform { key } => Some(key.to_string()),
            Self::Cli | Self::System => None,
        }
    }

    /// What people call it, if that is not its id.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Operator { email, .. } => Some(email),
            _ => None,
        }
    }

    /// The reverse of the three; `None` if no actor has these.
    pub fn from_parts(kind: &str, id: Option<&str>, name: Option<&str>) -> Option<Self> {
        match kind {
            "operator" => Some(Self::Operator {
                id: OperatorId::parse(id?).ok()?,
                email: name?.to_owned(),
            }),
            "platform" => Some(Self::Platform {
                key: KeyId::parse(id?).ok()?,
            }),
            "cli" => Some(Self::Cli),
            "system" => Some(Self::System),
            _ => None,
        }
    }
}

impl Entry {
    /// `actor` did `action` to `target` of an app. What a target has too much, or what would steer
    /// a terminal, is cut off.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an id, or a reference to something longer"
    )]
    pub fn new(
        actor: Actor,
        action: impl Into<String>,
        app: Option<AppId>,
        target: impl ToString,
    ) -> Self {
        Self {
            actor,
            action: action.into(),
            app,
            target: plain(&target.to_string(), MAX_TARGET),
            peer: None,
            detail: None,
        }
    }

    /// More about it. Never a secret.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        let fits = detail.to_string().len() <= MAX_DETAIL;
        self.detail = Some(if fits {
            detail
        } else {
            Value::from("too long")
        });
        self
    }

    /// From which network address.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an address, or a reference to its text"
    )]
    pub fn from(mut self, peer: impl ToString) -> Self {
        self.peer = Some(plain(&peer.to_string(), MAX_PEER));
        self
    }
}

fn plain(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// What an entry takes besides its target and detail.
const OVERHEAD: u64 = 200;
const MAX_TARGET: usize = 600;
const MAX_PEER: usize = 64;
const MAX_DETAIL: usize = 8 << 10;
