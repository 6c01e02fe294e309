use std::fmt;
use std::sync::Arc;

/// Who: the name of a user, unique within one app.
///
/// Non-empty, at most 256 bytes of UTF-8, without `/`, control characters, surrounding white space,
/// or characters that hide or reorder text, by which one name would look like another.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

/// Which device of a user; the same rules as [`Identity`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(Arc<str>);

/// The `sub` claim of a client token: `identity/device`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who.
    pub identity: Identity,
    /// On which of their devices.
    pub device: Device,
}

/// Why a text is no identity or device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than 256 bytes.
    #[error("has {found} bytes, at most {MAX_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A `/`, which separates the parts of an address.
    #[error("contains '/'")]
    Slash,
    /// A control character.
    #[error("contains a control character")]
    Control,
    /// A character that is not seen, or that changes the order of those that are.
    #[error("contains U+{:04X}, which hides or reorders text", u32::from(*.found))]
    Hidden {
        /// The character.
        found: char,
    },
    /// White space at the start or end.
    #[error("starts or ends with white space")]
    Space,
    /// Not `identity/device`.
    #[error("is not of the form identity/device")]
    NoDevice,
}

impl Identity {
    /// How many bytes an identity, or a device, has at most.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads an identity.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Device {
    /// Reads a device.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Subject {
    /// Reads `identity/device`; exactly one `/`.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let (identity, device) = text.split_once('/').ok_or(IdentityError::NoDevice)?;
        Ok(Self {
            identity: Identity::parse(identity)?,
            device: Device::parse(device)?,
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.identity, self.device)
    }
}

// People do not print: `{:?}` ends up in logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device(..)")
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(..)")
    }
}

fn check(text: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(IdentityError::TooLong { found: text.len() });
    }
    if text.contains('/') {
        return Err(IdentityError::Slash);
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::Control);
    }
    if let Some(found) = text.chars().find(|c| hides(*c)) {
        return Err(IdentityError::Hidden { found });
    }
    if text.trim() != text {
        return Err(IdentityError::Space);
    }
    Ok(())
}

/// Zero-width space, word joiner and byte order mark; embeddings, overrides and isolates of
/// direction. The joiners U+200C and U+200D are part of how some languages are written.
fn hides(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const MAX_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_any_printable_text_without_a_slash() {
        for good in ["bob", "é", "a b", "user@example.org", &"x".repeat(256)] {
            assert_eq!(
                Identity::parse(good).map(|i| i.to_string()),
                Ok(good.to_owned())
            );
        }
        for (bad, why) in [
            ("", IdentityError::Empty),
            ("a/b", IdentityError::Slash),
            ("a\u{7}", IdentityError::Control),
            (" a", IdentityError::Space),
            ("a\u{a0}", IdentityError::Space),
        ] {
            assert_eq!(Identity::parse(bad), Err(why));
        }
        assert_eq!(
            Identity::parse(&"é".repeat(129)),
            Err(IdentityError::TooLong { found: 258 })
        );
    }

    #[test]
    fn no_identity_looks_like_another() {
        for found in "\u{200b}\u{2060}\u{feff}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            for text in [
                format!("al{found}ice"),
                format!("{found}alice"),
                format!("alice{found}"),
            ] {
                assert_eq!(Identity::parse(&text), Err(IdentityError::Hidden { found }));
            }
        }
        let hidden = Identity::parse("a\u{202e}b").expect_err("it reorders");
        assert_eq!(
            hidden.to_string(),
            "contains U+202E, which hides or reorders text"
        );
        for joined in ["\u{646}\u{200c}\u{647}", "\u{1f469}\u{200d}\u{1f680}"] {
            assert!(
                Identity::parse(joined).is_ok(),
                "joiners are part of a language"
            );
        }
    }

    #[test]
    fn a_subject_has_exactly_two_parts() {
        assert_eq!(
            Subject::parse("a/b").map(|s| s.to_string()),
            Ok("a/b".to_owned())
        );
        assert_eq!(Subject::parse("a"), Err(IdentityError::NoDevice));
        assert_eq!(Subject::parse("a/b/c"), Err(IdentityError::Slash));
        assert_eq!(Subject::parse("/b"), Err(IdentityError::Empty));
    }

    #[test]
    fn debug_output_names_nobody() {
        let subject = Subject::parse("alice/web1").expect("well formed");
        assert!(!format!("{subject:?} {:?}", subject.identity).contains("alice"));
    }
}
