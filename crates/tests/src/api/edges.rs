use serde_json::{Map, Value, json};

use super::generate::{add_to_query, encode, fill, value_for, write};
use super::pattern::Pattern;
use super::{Document, Hints, Input, Operation, Place};

/// An input with one value at a bound that the document names, or right beyond it.
pub struct Edge {
    /// The input.
    pub input: Input,
    /// Whether the value is one that the document allows.
    pub fits: bool,
}

impl Input {
    /// Inputs like this one with each value at its bounds and beyond them.
    pub fn edges(&self, document: &Document, operation: &Operation, hints: &Hints) -> Vec<Edge> {
        let mut edges = Vec::new();
        for parameter in &operation.parameters {
            let name = &parameter.name;
            for (value, fits) in at_bounds(document.resolve(&parameter.schema)) {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let label = format!("{name} = {text:.40} ({} characters)", text.chars().count());
                let input = self.with(label, |input| match parameter.place {
                    Place::Path => {
                        let slot = format!("{{{name}}}");
                        let path = operation.path.replace(&slot, &encode(&text));
                        input.path = fill(&path, operation, document, hints);
                    }
                    Place::Query => {
                        let others = input.query.trim_start_matches('?').split('&');
                        let mut query = String::new();
                        for (known, value) in others.filter_map(|pair| pair.split_once('=')) {
                            if known != name {
                                add_to_query(&mut query, known, value);
                            }
                        }
                        add_to_query(&mut query, name, &encode(&text));
                        input.query = query;
                    }
                    Place::Header => {
                        input.headers.retain(|(known, _)| known != name);
                        input.headers.push((name.clone(), text));
                    }
                });
                // A header or a path cannot hold every text.
                let empty = parameter.place == Place::Path && input.path.contains("//");
                let printable = input
                    .headers
                    .iter()
                    .all(|(_, v)| !v.contains(char::is_control));
                if !empty && printable {
                    edges.push(Edge { input, fits });
                }
            }
        }
        if let Some((kind, schema)) = &operation.body {
            let full = value_for(document, "", schema, hints, true);
            let mut places = Vec::new();
            described(document, schema, &full, String::new(), &mut places);
            for (place, schema) in places {
                for (value, fits) in at_bounds(schema) {
                    let mut body = full.clone();
                    *body.pointer_mut(&place).expect("it was found") = value.clone();
                    let shown = value.to_string();
                    let label = format!("{place} = {shown:.40} ({} characters)", shown.len());
                    let body = write(kind, &body);
                    let input = self.with(label, |input| input.body = Some((kind.clone(), body)));
                    edges.push(Edge { input, fits });
                }
            }
        }
        edges
    }
}

/// One of the shortest texts that a schema allows.
pub(super) fn shortest(schema: &Value) -> String {
    let (least, most) = lengths(schema);
    let made = match schema["pattern"].as_str() {
        Some(pattern) => Pattern::parse(pattern).shortest(),
        None => "text".chars().take(most).collect(),
    };
    let missing = least.saturating_sub(made.chars().count());
    made + &"x".repeat(missing)
}

/// Values at the bounds of a schema and beyond them, and which they are.
fn at_bounds(schema: &Value) -> Vec<(Value, bool)> {
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let mut values = Vec::new();
    if kinds.iter().any(|kind| kind == "string") {
        values.extend(texts(schema));
    }
    for (word, step) in [("minimum", -1), ("maximum", 1)] {
        if let Some(bound) = schema[word].as_i64() {
            values.push((json!(bound), true));
            values.push((json!(bound + step), false));
        }
    }
    values
}

fn texts(schema: &Value) -> Vec<(Value, bool)> {
    if let Some(choices) = schema["enum"].as_array() {
        // Another choice may want other members beside it.
        assert!(!choices.is_empty(), "an enum has choices");
        return vec![(json!("none-of-them"), false)];
    }
    let (least, most) = lengths(schema);
    let has_most = most != usize::MAX;
    let mut values = Vec::new();
    let pattern = schema["pattern"].as_str().map(Pattern::parse);
    // What an answer gave cannot be made.
    let made_by_server = schema["format"] == "cursor";
    if !made_by_server {
        values.push((shortest(schema), true));
    }
    if least > 0 {
        let short = shortest(schema);
        values.push((short.chars().take(least - 1).collect(), false));
    }
    if has_most && !made_by_server {
        let of_length = |length: usize| match &pattern {
            Some(pattern) => pattern.longest(length),
            None => "x".repeat(length),
        };
        values.push((of_length(most), true));
        if of_length(most + 1).chars().count() > most {
            values.push((of_length(most + 1), false));
        }
    }
    if let Some(pattern) = &pattern {
        let strange = ["\u{7}", " ", "a/b", "a b", "\u{202e}x", "%%", "é"];
        let strange = strange.iter().filter(|text| !pattern.fits(text));
        values.extend(strange.map(|text| ((*text).to_owned(), false)));
    }
    values
        .into_iter()
        .map(|(text, fits)| (json!(text), fits))
        .collect()
}

fn lengths(schema: &Value) -> (usize, usize) {
    let number = |word: &str, unset| {
        let number = schema[word].as_u64();
        number.map_or(unset, |number| {
            usize::try_from(number).expect("a small number")
        })
    };
    (number("minLength", 0), number("maxLength", usize::MAX))
}

/// The members of a value whose schemas are simple, as JSON pointers.
fn described<'a>(
    document: &'a Document,
    schema: &'a Value,
    value: &Value,
    place: String,
    places: &mut Vec<(String, &'a Value)>,
) {
    let schema = document.resolve(schema);
    for word in ["allOf", "oneOf", "anyOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            if document.check(part, value).is_ok() || word == "allOf" {
                described(document, part, value, place.clone(), places);
            }
        }
    }
    let members = schema["properties"].as_object();
    for (name, schema) in members.into_iter().flatten() {
        if let Some(value) = value.get(name) {
            described(document, schema, value, format!("{place}/{name}"), places);
        }
    }
    if let (Some(items), Some(first)) = (schema.get("items"), value.get(0)) {
        described(document, items, first, format!("{place}/0"), places);
    }
    if members.is_none_or(Map::is_empty) && !place.is_empty() {
        places.push((place, schema));
    }
}
