use std::fmt;

/// The kind of token, and the door that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// A user on a device: `/client/…`.
    #[default]
    Client,
    /// An app's own server: `/platform/…`.
    Platform,
}

impl Access {
    /// Reads `client` or `platform`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Platform]
            .into_iter()
            .find(|a| a.name() == text)
    }

    /// `client` or `platform`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Platform => "platform",
        }
    }
}

impl AsRef<str> for Access {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Access {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
