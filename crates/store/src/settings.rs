//! Settings in JSON columns: read tolerantly, and written so that what is not known here survives.
//!
//! A newer node of the same cluster may have written members that this release does not know. They are
//! ignored when settings are read, and kept when settings are changed. Strictness is the business of
//! the doors.

use hexline_services::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Writes `new` in the place of `stored`. Members of `stored` that `T` does not know stay, at every
/// depth; those that it knows are as `new` has them. Objects in lists are told apart by their `id`.
pub(crate) fn changed<T>(stored: Option<&str>, new: &T) -> Result<String, StoreError>
where
    T: Serialize + DeserializeOwned,
{
    let new = value(new)?;
    let known = stored.and_then(|text| {
        let stored: Value = serde_json::from_str(text).ok()?;
        let known = T::deserialize(&stored).ok()?;
        Some((stored, known))
    });
    let merged = match known {
        Some((stored, known)) => merge(stored, &value(&known)?, new),
        None => new,
    };
    Ok(merged.to_string())
}

fn value<T: Serialize>(settings: &T) -> Result<Value, StoreError> {
    serde_json::to_value(settings).map_err(|e| StoreError::Other(Box::new(e)))
}

/// `known` is what is understood of `stored`.
fn merge(stored: Value, known: &Value, new: Value) -> Value {
    match (stored, new) {
        (Value::Object(stored), Value::Object(new)) => merge_members(stored, known, new),
        (Value::Array(stored), Value::Array(new)) => merge_items(stored, known, new),
        (_, new) => new,
    }
}

fn merge_members(stored: Map<String, Value>, known: &Value, mut new: Map<String, Value>) -> Value {
    for (name, old) in stored {
        let understood = known.get(&name);
        match (new.remove(&name), understood) {
            (Some(value), _) => {
                let understood = understood.unwrap_or(&Value::Null);
                new.insert(name, merge(old, understood, value));
            }
            // What is understood and not in the new settings was removed.
            (None, Some(_)) => {}
            (None, None) => {
                new.insert(name, old);
            }
        }
    }
    Value::Object(new)
}

fn merge_items(mut stored: Vec<Value>, known: &Value, new: Vec<Value>) -> Value {
    let merged = new.into_iter().map(|item| {
        let Some(id) = item.get("id").cloned() else {
            return item;
        };
        let same = |other: &Value| other.get("id") == Some(&id);
        let Some(at) = stored.iter().position(same) else {
            return item;
        };
        let understood = known
            .as_array()
            .and_then(|known| known.iter().find(|k| same(k)));
        merge(
            stored.swap_remove(at),
            understood.unwrap_or(&Value::Null),
            item,
        )
    });
    Value::Array(merged.collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Item {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct Settings {
        size: u32,
        items: Vec<Item>,
    }

    fn settings(size: u32, items: &[(&str, Option<&str>)]) -> Settings {
        let item = |(id, note): &(&str, Option<&str>)| Item {
            id: (*id).to_owned(),
            note: note.map(str::to_owned),
        };
        let items = items.iter().map(item).collect();
        Settings { size, items }
    }

    fn check(stored: &str, new: &Settings, expected: &str) {
        let text = changed(Some(stored), new).expect("writes");
        let read = |text| serde_json::from_str::<Value>(text).expect("is JSON");
        assert_eq!(read(&text), read(expected));
    }

    #[test]
    fn unknown_members_stay_and_known_ones_are_as_they_are_now() {
        check(
            r#"{"size":1,"new":{"a":[1]},"items":[{"id":"a","note":"x","more":1},{"id":"b","more":2}]}"#,
            &settings(2, &[("c", None), ("a", None)]),
            r#"{"size":2,"new":{"a":[1]},"items":[{"id":"c"},{"id":"a","more":1}]}"#,
        );
    }

    #[test]
    fn what_stands_there_and_cannot_be_read_is_replaced() {
        for stored in ["", "no JSON", r#"{"size":"large"}"#] {
            check(stored, &settings(3, &[]), r#"{"size":3,"items":[]}"#);
        }
    }
}
