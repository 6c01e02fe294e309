//! Messages as text: what is sent is what was typed and what is shown is what came, byte for byte,
//! but for white space between members.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object whose members keep their order and their text; one may stand there twice.
#[derive(Debug)]
pub(crate) struct Message {
    members: Vec<(String, Box<RawValue>)>,
}

impl Message {
    /// Reads a JSON object.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Puts a member before those that are there.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        let text = serde_json::value::to_raw_value(text).expect("a text is JSON");
        self.members.insert(0, (name.to_owned(), text));
        self
    }

    /// Takes out a member that is text.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.members.iter().position(|(known, _)| known == name)?;
        let text = serde_json::from_str(self.members[at].1.get()).ok()?;
        self.members.remove(at);
        Some(text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object, as it goes over the wire.
    pub(crate) fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.to_string()).expect("JSON made of JSON")
    }
}

/// JSON on one line: a line break between its members says nothing, and within a text there is none.
pub(crate) fn one_line(json: &RawValue) -> String {
    json.get().replace(['\n', '\r'], " ")
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (n, (name, value)) in self.members.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let name = serde_json::to_string(name).expect("a text is JSON");
            write!(f, "{comma}{name}:{}", one_line(value))?;
        }
        f.write_str("}")
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key()? {
                    members.push((name, map.next_value::<Box<RawValue>>()?));
                }
                Ok(Message { members })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_order_its_numbers_and_members_that_stand_twice() {
        let text = r#"{"z":12345678901234567890123.50,"a":1e400,"é":"\u00e9","a":[ 1,2]}"#;
        assert_eq!(Message::parse(text).expect("an object").to_string(), text);
        let spread = "{ \"b\": {\n\"x\":1 },\r\n \"a\" : \"\\n\" }";
        assert_eq!(
            Message::parse(spread).expect("an object").to_string(),
            r#"{"b":{ "x":1 },"a":"\n"}"#
        );
    }

    #[test]
    fn members_are_put_in_front_and_taken_out() {
        let mut message = Message::parse(r#"{"text":"hi","to":7}"#).expect("an object");
        message = message.with("to", "bo\"b");
        assert_eq!(message.to_string(), r#"{"to":"bo\"b","text":"hi","to":7}"#);
        assert_eq!(message.take("to").as_deref(), Some("bo\"b"));
        assert_eq!(message.take("to"), None);
        assert_eq!(message.to_raw().get(), r#"{"text":"hi","to":7}"#);
    }

    #[test]
    fn only_an_object_is_a_message() {
        for text in ["[1]", "hello", "{\"a\":}", "{} {}", "7", ""] {
            assert!(Message::parse(text).is_err(), "{text}");
        }
    }
}
