use std::fmt;

use crate::Entropy;

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 32 lower-case hex digits")]
pub struct IdError;

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 128 random bits, written as 32 lower-case hex digits.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new id.
            pub fn generate(entropy: &dyn Entropy) -> Self {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                Self(bytes)
            }

            /// Reads 32 lower-case hex digits.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                unhex(text).map(Self).ok_or(IdError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// An app: the tenant that owns keys, identities and channels. Nothing crosses apps.
    AppId
}

hex_id! {
    /// The public name of a key; the token's `iss`. Belongs to exactly one app.
    KeyId
}

hex_id! {
    /// The public id by which an app without a server of its own names its minting key.
    ApiKey
}

hex_id! {
    /// A person who signs in to the Console.
    OperatorId
}

hex_id! {
    /// Where an app wants to be told of its events.
    WebhookId
}

hex_id! {
    /// Something that happened, told to each webhook that wants to know.
    EventId
}

hex_id! {
    /// One event on its way to one webhook.
    DeliveryId
}

hex_id! {
    /// What lets an operator's browser in for a while. Names the session, and does not open it.
    ConsoleSessionId
}

hex_id! {
    /// An entry of the audit log.
    AuditId
}

hex_id! {
    /// One running server process; new at each start.
    NodeId
}

pub(crate) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0u8; 32];
    let text = &mut text[..bytes.len() * 2];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    f.write_str(std::str::from_utf8(text).expect("hex digits are ASCII"))
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_lower_case_hex_digits() {
        let id = "b234fdb83571400f9b62e204d735126e";
        assert_eq!(KeyId::parse(id).map(|k| k.to_string()), Ok(id.to_owned()));
        for bad in [
            "",
            "b234",
            &id.to_uppercase(),
            &format!("{id}0"),
            &id.replace('b', "g"),
        ] {
            assert_eq!(KeyId::parse(bad), Err(IdError));
        }
    }
}
