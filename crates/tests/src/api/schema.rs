use serde_json::{Map, Value};

use super::pattern::Pattern;

/// Follows a `$ref` within the document.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        None => schema,
        Some(reference) => {
            let pointer = reference
                .strip_prefix('#')
                .expect("a place in the document");
            let found = root.pointer(pointer);
            resolve(
                root,
                found.unwrap_or_else(|| panic!("{reference} leads nowhere")),
            )
        }
    }
}

/// Whether a value is what a schema of JSON Schema 2020-12 describes, as far as descriptions of
/// APIs use it. An object's members have to be described, unless the schema describes none.
pub(super) fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(root, schema);
    if *schema == Value::Bool(true) || schema.is_null() {
        return Ok(());
    }
    check_loosely(root, schema, value)?;
    let described = described_members(root, schema);
    let open = described.is_empty() || schema.get("additionalProperties").is_some();
    if let (false, Some(members)) = (open, value.as_object())
        && let Some(name) = members.keys().find(|name| !described.contains(name))
    {
        return Err(format!("{name:?} is not described"));
    }
    Ok(())
}

fn check_loosely(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    check_type(schema, value)?;
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{value} is none of {allowed:?}"));
    }
    if let Some(wanted) = schema.get("const")
        && wanted != value
    {
        return Err(format!("{value} is not {wanted}"));
    }
    check_bounds(schema, value)?;
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Pattern::parse(pattern).fits(text)
    {
        return Err(format!("{text:?} does not fit {pattern}"));
    }
    if let Some(members) = value.as_object() {
        check_members(root, schema, members)?;
    }
    if let (Some(items), Some(found)) = (schema.get("items"), value.as_array()) {
        for (at, item) in found.iter().enumerate() {
            check(root, items, item).map_err(|why| format!("[{at}]: {why}"))?;
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check_loosely(root, resolve(root, part), value)?;
    }
    for word in ["oneOf", "anyOf"] {
        let Some(options) = schema[word].as_array() else {
            continue;
        };
        let refusals: Vec<String> = options
            .iter()
            .filter_map(|option| check(root, option, value).err())
            .collect();
        let fitting = options.len() - refusals.len();
        if fitting == 0 || (word == "oneOf" && fitting > 1) {
            return Err(format!("{fitting} of {word} fit: {}", refusals.join("; ")));
        }
    }
    Ok(())
}

fn check_type(schema: &Value, value: &Value) -> Result<(), String> {
    let fits = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(name) => fits(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(fits),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{value} is not of type {}", schema["type"]))
    }
}

fn check_bounds(schema: &Value, value: &Value) -> Result<(), String> {
    let length = value.as_str().map(|text| text.chars().count());
    let count = value.as_array().map(Vec::len);
    #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
    let size = |length: Option<usize>| length.map(|length| length as f64);
    for (word, found, is_least) in [
        ("minimum", value.as_f64(), true),
        ("maximum", value.as_f64(), false),
        ("minLength", size(length), true),
        ("maxLength", size(length), false),
        ("minItems", size(count), true),
        ("maxItems", size(count), false),
    ] {
        let (Some(found), Some(bound)) = (found, schema[word].as_f64()) else {
            continue;
        };
        if (is_least && found < bound) || (!is_least && found > bound) {
            return Err(format!("{found} breaks {word} {bound}"));
        }
    }
    Ok(())
}

fn check_members(root: &Value, schema: &Value, members: &Map<String, Value>) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !members.contains_key(name) {
            return Err(format!("{name:?} is missing"));
        }
    }
    let described = schema["properties"].as_object();
    for (name, value) in members {
        let own = described.and_then(|described| described.get(name));
        let schema = match (own, schema.get("additionalProperties")) {
            (Some(own), _) => own,
            (None, Some(Value::Bool(false))) => return Err(format!("{name:?} may not be there")),
            (None, Some(rest)) => rest,
            (None, None) => continue,
        };
        check(root, schema, value).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// The members that a schema or any of its parts names.
fn described_members<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a String> {
    let schema = resolve(root, schema);
    let own = schema["properties"].as_object();
    let mut names: Vec<&String> = own.into_iter().flat_map(Map::keys).collect();
    for word in ["allOf", "oneOf", "anyOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            names.extend(described_members(root, part));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_fits_a_schema_or_is_told_where_it_does_not() {
        let root = json!({"defs": {"Text": {"type": "string", "maxLength": 3}}});
        let schema = json!({
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": {"$ref": "#/defs/Text"},
                "b": {"type": ["integer", "null"], "minimum": 1},
                "c": {"oneOf": [{"type": "null"}, {"$ref": "#/defs/Text"}]},
                "d": {"type": "array", "items": {"enum": ["x"]}},
                "e": {"type": "object"},
            },
        });
        for (value, fault) in [
            (
                json!({"a": "abc", "b": null, "c": null, "d": ["x"], "e": {"any": 1}}),
                "",
            ),
            (json!({"a": "é", "b": 1, "c": "z"}), ""),
            (json!({}), "\"a\" is missing"),
            (json!({"a": "abcd"}), "a: 4 breaks maxLength 3"),
            (json!({"a": "", "b": 0}), "b: 0 breaks minimum 1"),
            (json!({"a": "", "b": 1.5}), "b: 1.5 is not of type"),
            (json!({"a": "", "c": 5}), "c: 0 of oneOf fit"),
            (
                json!({"a": "", "d": ["x", "y"]}),
                "d: [1]: \"y\" is none of",
            ),
            (json!({"a": "", "f": 1}), "\"f\" is not described"),
            (json!([]), "[] is not of type \"object\""),
        ] {
            match check(&root, &schema, &value) {
                Ok(()) => assert_eq!(fault, "", "{value}"),
                Err(why) => assert!(
                    why.starts_with(fault) && !fault.is_empty(),
                    "{value}: {why}"
                ),
            }
        }
    }
}
