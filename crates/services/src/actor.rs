//! Who acts: an operator, an app's server, the command line, or the server itself.

use hexline_model::{KeyId, OperatorId};

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
