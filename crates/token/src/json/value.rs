use super::number::{parse_number, write_number};
use super::{Flaw, Kind, Reader};
use crate::error::quote;

/// A JSON value that keeps the order of its members, for grants and profiles.
///
/// From a [`serde_json::Value`], whose objects have no order of their own, members come sorted by
/// name; [`Json::parse`] keeps them as they are written.
///
/// ```
/// use hexline_token::Json;
/// use serde_json::json;
/// assert_eq!(Json::from(json!({"b": 1.0, "a": [1e21, -0.0]})).to_string(), r#"{"a":[1e+21,0],"b":1}"#);
/// assert_eq!(Json::parse(r#"{"b": 1.0, "a": "\u00e9"}"#)?.to_string(), r#"{"b":1,"a":"é"}"#);
/// # Ok::<(), hexline_token::JsonError>(())
/// ```
#[derive(Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number; every number is a double, as in ECMAScript.
    Number(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; the caller keeps the names apart.
    Object(Vec<(String, Json)>),
}

/// Why a text or value is no JSON that a token can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not JSON, or not strict enough.
    #[error("found {found}, expected {expected}")]
    Malformed {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A number that JSON cannot write.
    #[error("found a number that is not finite, expected a finite one")]
    NotFinite,
}

impl Json {
    /// Reads JSON text strictly: no member twice, no lone surrogate, at most 16 levels.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader::new(text);
        let read = Self::read(&mut reader).and_then(|value| reader.end().map(|()| value));
        read.map_err(malformed)
    }

    /// Holds a text to the rules of [`Json::parse`] and makes nothing of it.
    pub(crate) fn check(text: &str) -> Result<(), JsonError> {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|()| reader.end()).map_err(malformed)
    }

    /// Writes it without white space; what is escaped and how numbers look: docs/tokens.md.
    pub(crate) fn write(&self, text: &mut String) -> Result<(), JsonError> {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => {
                if !write_number(*value, text) {
                    return Err(JsonError::NotFinite);
                }
            }
            Self::String(value) => write_string(value, text),
            Self::Array(elements) => {
                text.push('[');
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    element.write(text)?;
                }
                text.push(']');
            }
            Self::Object(members) => {
                text.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    write_string(name, text);
                    text.push(':');
                    value.write(text)?;
                }
                text.push('}');
            }
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(match reader.peek()? {
            Kind::Null => {
                reader.null()?;
                Self::Null
            }
            Kind::Boolean => Self::Bool(reader.boolean()?),
            Kind::String => Self::String(reader.string()?.into_owned()),
            Kind::Number => {
                let text = reader.number()?;
                Self::Number(parse_number(text).ok_or_else(|| Flaw::Refused {
                    found: format!("the number {}", quote(text)),
                    expected: "a number that a double holds".to_owned(),
                })?)
            }
            Kind::Array => {
                let mut elements = Vec::new();
                reader.array(|reader| {
                    elements.push(Self::read(reader)?);
                    Ok(())
                })?;
                Self::Array(elements)
            }
            Kind::Object => {
                let mut members = Vec::new();
                reader.object(|reader, name| {
                    members.push((name.to_owned(), Self::read(reader)?));
                    Ok(())
                })?;
                Self::Object(members)
            }
        })
    }
}

fn malformed(flaw: Flaw) -> JsonError {
    let (found, expected) = flaw.describe();
    JsonError::Malformed { found, expected }
}

/// Escapes only `"`, `\` and U+0000 to U+001F; everything else stays as it is.
pub(crate) fn write_string(value: &str, text: &mut String) {
    text.push('"');
    write_escaped(value, text);
    text.push('"');
}

/// The inside of a string, without its quotes.
pub(crate) fn write_escaped(value: &str, text: &mut String) {
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x10 => "\\u000",
            0x10..0x20 => "\\u001",
            _ => continue,
        };
        text.push_str(&value[plain..at]);
        text.push_str(short);
        if short.len() > 2 {
            text.extend(char::from_digit(u32::from(byte) & 15, 16));
        }
        plain = at + 1;
    }
    text.push_str(&value[plain..]);
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}

// A profile is about a person.
impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Json(..)")
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value.as_f64().unwrap_or(f64::NAN)),
            Value::String(value) => Self::String(value),
            Value::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                let mut members: Vec<_> = map
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
        }
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for Json {
    fn from(map: serde_json::Map<String, serde_json::Value>) -> Self {
        serde_json::Value::Object(map).into()
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(elements: Vec<T>) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }
}

/// An object whose members stay in this order.
impl<N: Into<String>, V: Into<Json>> FromIterator<(N, V)> for Json {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(members: I) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(n, v)| (n.into(), v.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_only_where_json_wants_it() {
        let mut text = String::new();
        write_string("a\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}é\u{2028}😀", &mut text);
        assert_eq!(
            text,
            "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}😀\""
        );
    }

    #[test]
    fn parsing_keeps_the_order_and_a_map_is_sorted() {
        let text = r#"{"z":{"y":1,"x":[null,true]},"a":"b"}"#;
        assert_eq!(
            Json::parse(text).map(|j| j.to_string()),
            Ok(text.to_owned())
        );
        let map: serde_json::Value = serde_json::from_str(text).expect("valid");
        assert_eq!(
            Json::from(map).to_string(),
            r#"{"a":"b","z":{"x":[null,true],"y":1}}"#
        );
    }

    #[test]
    fn what_json_cannot_write_is_refused() {
        assert_eq!(
            Json::Number(f64::NAN).write(&mut String::new()),
            Err(JsonError::NotFinite)
        );
        assert!(Json::parse("1e999").is_err());
        assert!(Json::parse(r#"{"a":1,"a":2}"#).is_err());
    }
}
