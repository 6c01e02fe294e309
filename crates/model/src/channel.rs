use std::fmt;
use std::sync::Arc;

/// The name of a channel, 1-200 bytes of UTF-8 without control characters, unique within one app.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// What governs a channel, told by its name alone. Source: docs/protocol.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Open to whoever holds the `signal` grant.
    Open,
    /// `_c.` + conversation id: for the conversation's participants.
    Conversation,
    /// `s.` + mode letter + 32 hex: for the video session's members.
    Session,
    /// Any other name with `_` first: for nobody.
    Reserved,
}

/// Why a text is no channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Too long.
    #[error("has {found} bytes, at most {MAX_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A control character.
    #[error("contains a control character")]
    Control,
}

impl ChannelName {
    /// How many bytes a name has at most.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads a channel name.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        if text.is_empty() {
            return Err(ChannelError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(ChannelError::TooLong { found: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(ChannelError::Control);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What governs it.
    pub fn kind(&self) -> ChannelKind {
        if self.0.starts_with("_c.") {
            ChannelKind::Conversation
        } else if self.0.starts_with('_') {
            ChannelKind::Reserved
        } else if is_session(&self.0) {
            ChannelKind::Session
        } else {
            ChannelKind::Open
        }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// A channel's name often names people.
impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelName(..)")
    }
}

fn is_session(text: &str) -> bool {
    let Some([mode, hex @ ..]) = text.as_bytes().strip_prefix(b"s.") else {
        return false;
    };
    mode.is_ascii_lowercase()
        && hex.len() == 32
        && hex.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

const MAX_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_what_governs_a_channel() {
        let hex = "0123456789abcdef0123456789abcdef";
        for (name, kind) in [
            ("news", ChannelKind::Open),
            ("s.", ChannelKind::Open),
            (&format!("s.P{hex}"), ChannelKind::Open),
            (&format!("s.p{hex}0"), ChannelKind::Open),
            (&format!("s.p{hex}"), ChannelKind::Session),
            ("_c.1", ChannelKind::Conversation),
            ("_c", ChannelKind::Reserved),
            ("_anything", ChannelKind::Reserved),
        ] {
            assert_eq!(
                ChannelName::parse(name).map(|c| c.kind()),
                Ok(kind),
                "{name}"
            );
        }
    }

    #[test]
    fn a_name_has_1_to_200_bytes() {
        assert_eq!(ChannelName::parse(""), Err(ChannelError::Empty));
        assert!(ChannelName::parse(&"x".repeat(200)).is_ok());
        assert_eq!(
            ChannelName::parse(&"x".repeat(201)),
            Err(ChannelError::TooLong { found: 201 })
        );
        assert_eq!(ChannelName::parse("a\0b"), Err(ChannelError::Control));
    }
}
