use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

/// It was done, and there is nothing to say of it: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}

/// A result as JSON, never `null`: clients take a null result for no response.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Reply(Box<RawValue>);

impl Reply {
    /// Writes a result; the one place where that is done.
    pub fn of(answer: &impl Serialize) -> Self {
        let json = to_raw_value(answer).expect("a result is plain data");
        if json.get() == "null" {
            return Self::of(&Done {});
        }
        Self(json)
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}
