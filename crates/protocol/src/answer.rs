use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

/// It was done, and there is nothing to say of it: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}

/// A result as JSON, never `null`: clients take a null result for no response.
#[derive(Debug)]
pub struct Reply(Option<Box<RawValue>>);

impl Reply {
    /// `{}`, for which nothing is written: of what was done there is nothing to say, or nobody to
    /// say it to.
    pub const EMPTY: Self = Self(None);

    /// Writes a result; the one place where that is done.
    pub fn of(answer: &impl Serialize) -> Self {
        let json = to_raw_value(answer).expect("a result is plain data");
        Self(Some(json).filter(|json| json.get() != "null"))
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().map_or("{}", RawValue::get)
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(json) => json.serialize(serializer),
            None => Done {}.serialize(serializer),
        }
    }
}
