use std::borrow::Cow;
use std::fmt;
use std::vec;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::{CallError, FieldsError};
use crate::fields::{Fields, is_integer, kind};

/// A channel, an address or an identity as a client writes it: old clients look at no types, so an
/// integer is its decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Name<'a>(Cow<'a, str>);

impl<'a> Name<'a> {
    /// A name that is text already.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let raw = <&RawValue>::deserialize(deserializer)?;
        if is_integer(raw.get()) {
            return Ok(Self(Cow::Borrowed(raw.get())));
        }
        serde_json::from_str(raw.get())
            .map(|Text(text)| Self(text))
            .map_err(|_| {
                D::Error::invalid_type(Unexpected::Other("that"), &"a string or an integer")
            })
    }
}

impl PartialSchema for Name<'_> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Integer]))
            .min_length(Some(1))
            .description(Some(
                "A string that is not empty, or an integer: its decimal text.",
            ))
            .into()
    }
}

impl ToSchema for Name<'_> {}

/// Reads the parameters of a method of the kind `typed`. What it does not know is ignored, and
/// `null` is as good as absent.
pub(crate) fn read<'a, T: Deserialize<'a>>(fields: Fields<'a>) -> Result<T, CallError> {
    T::deserialize(MapAccessDeserializer::new(Members {
        left: fields.into_iter(),
        value: None,
    }))
}

struct Members<'a> {
    left: vec::IntoIter<(Cow<'a, str>, &'a RawValue)>,
    value: Option<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = CallError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, CallError> {
        self.value = self.left.find(|(_, value)| value.get() != "null");
        let Some((name, _)) = &self.value else {
            return Ok(None);
        };
        let key = match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize(name.as_str().into_deserializer()),
        };
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CallError> {
        let (name, value) = self.value.take().expect("a key comes before its value");
        seed.deserialize(value)
            .map_err(|error| misfit(&name, value, &error).into())
    }
}

/// Says what is wrong with a member that the method knows, without a word of what the client wrote.
fn misfit(name: &str, value: &RawValue, error: &serde_json::Error) -> FieldsError {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(text, _)| text);
    let found = kind(value);
    FieldsError::new(match text.rsplit_once(", expected ") {
        Some((_, "u8" | "u16" | "u32" | "u64" | "usize")) => {
            format!("{name} is {found}, not a whole number within its bounds")
        }
        Some((_, expected)) => format!("{name} is {found}, not {expected}"),
        None => format!("{name}: {text}"),
    })
}

impl Error for CallError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Params(FieldsError::new(message.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Page<'a> {
        #[serde(borrow)]
        conversation: Name<'a>,
        limit: Option<u8>,
        #[serde(default)]
        order: Order,
        state: Option<State>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        #[default]
        Up,
        Down,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct State {
        pinned: bool,
    }

    fn shown(params: &str) -> String {
        let raw = RawValue::from_string(params.to_owned()).expect("JSON");
        match Fields::of(Some(&raw)).and_then(read::<Page<'_>>) {
            Ok(page) => format!("{page:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("secret"), "{text}");
                text
            }
        }
    }

    #[test]
    fn what_fits_is_read_and_what_does_not_is_told_by_its_name() {
        let cases = [
            r#"{"conversation":"c"}"#,
            r#"{"conversation":"\u0063","limit":null,"secret":{}}"#,
            r#"{"conver\u0073ation":7,"limit":50,"order":"down","state":{"pinned":true}}"#,
            r#"{"conversation":123456789012345678901234567890}"#,
            "{}",
            r#"{"conversation":null}"#,
            r#"{"conversation":[]}"#,
            r#"{"conversation":1.5}"#,
            r#"{"conversation":"c","limit":"secret"}"#,
            r#"{"conversation":"c","limit":"secret\", expected secret"}"#,
            r#"{"conversation":"c","limit":-1}"#,
            r#"{"conversation":"c","limit":256}"#,
            r#"{"conversation":"c","order":"secret"}"#,
            r#"{"conversation":"c","state":{"secret":1}}"#,
            r#"{"conversation":"c","state":{"pinned":true,"pinned":true}}"#,
            r#"{"conversation":"c","secret":1,"secret":2}"#,
            r#"["conversation"]"#,
        ];
        let shown: Vec<String> = cases
            .iter()
            .map(|params| format!("{params}\n    {}", shown(params)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
