use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::error::{CallError, FieldsError};
use crate::params::Name;

/// The members of a JSON object in the order written, their values untouched.
///
/// What an application puts into a message passes through byte for byte. Names are unique, so
/// that no two readers of one message can see different things.
#[derive(Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The params of a call; absent ones are `{}`.
    pub(crate) fn of(params: Option<&'a RawValue>) -> Result<Self, CallError> {
        Ok(params.map(Self::parse).transpose()?.unwrap_or_default())
    }

    /// Reads an object.
    pub fn parse(params: &'a RawValue) -> Result<Self, FieldsError> {
        if !params.get().starts_with('{') {
            return Err(FieldsError::new("params are not an object".to_owned()));
        }
        serde_json::from_str(params.get()).map_err(|error| {
            // The position is relative to the params and the text is ours: it quotes no input.
            FieldsError::new(match error.classify() {
                serde_json::error::Category::Data => error.to_string(),
                _ => "params are not valid JSON".to_owned(),
            })
        })
    }

    /// The value of a member.
    pub fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| *value)
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    /// A text; `None` if it is absent or null.
    pub fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, FieldsError> {
        #[derive(serde::Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        serde_json::from_str::<Option<Text<'a>>>(value.get())
            .map(|text| text.map(|Text(text)| text))
            .map_err(|_| FieldsError::new(format!("{name} is {}, not a string", kind(value))))
    }

    /// A name; `None` if it is absent or null.
    pub fn name(&self, name: &'static str) -> Result<Option<Name<'a>>, FieldsError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        serde_json::from_str::<Option<Name<'a>>>(value.get()).map_err(|_| {
            let found = kind(value);
            FieldsError::new(format!("{name} is {found}, not a string or an integer"))
        })
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (Cow<'a, str>, &'a RawValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

// Cow<str> borrows only when asked to.
impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(std::marker::PhantomData))
    }
}

struct FieldsVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for FieldsVisitor<'a> {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        while let Some((Key(name), value)) = map.next_entry::<Key<'a>, &'a RawValue>()? {
            let duplicate = if fields.len() < LINEAR {
                fields.iter().any(|(n, _)| *n == name)
            } else {
                if seen.is_empty() {
                    seen.extend(fields.iter().map(|(n, _)| n.to_string()));
                }
                !seen.insert(name.to_string())
            };
            if duplicate {
                return Err(A::Error::custom("a member of params stands twice"));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

// Of JSON; `-0` is no text that anyone would take for a number's.
pub(crate) fn is_integer(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    json != "-0" && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Up to so many members are compared pair by pair; beyond, a set keeps the work linear.
const LINEAR: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("valid JSON")
    }

    #[test]
    fn members_keep_their_order_and_their_bytes() {
        let text = raw(r#"{"b": 1.50,"a":{"x" : [1, 2]},"\u0063":null}"#);
        let fields = Fields::parse(&text).expect("an object");
        let seen: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.to_owned(), v.get()))
            .collect();
        assert_eq!(
            seen,
            [
                ("b".into(), "1.50"),
                ("a".into(), r#"{"x" : [1, 2]}"#),
                ("c".into(), "null")
            ]
        );
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_however_it_is_written() {
        let twice = raw(r#"{"from":1,"\u0066rom":2}"#);
        assert!(Fields::parse(&twice).is_err());
        let many: Vec<String> = (0..100).map(|n| format!(r#""m{n}":0"#)).collect();
        let unique = raw(&format!("{{{}}}", many.join(",")));
        assert!(Fields::parse(&unique).is_ok());
        let twice = raw(&format!("{{{},\"m99\":1}}", many.join(",")));
        assert!(Fields::parse(&twice).is_err());
    }
}
