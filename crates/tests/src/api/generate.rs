use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::edges::shortest;
use super::{Document, Operation, Place};

/// Values by the name of the member or parameter that they are good for.
pub type Hints = BTreeMap<String, Value>;

/// What a request says, but for who makes it.
#[derive(Debug, Clone)]
pub struct Input {
    /// What was done to it.
    pub label: String,
    /// The path with its parameters filled in.
    pub path: String,
    /// The query with its `?`, or nothing.
    pub query: String,
    /// Headers that the operation describes.
    pub headers: Vec<(String, String)>,
    /// Content type and body.
    pub body: Option<(String, Vec<u8>)>,
}

impl Input {
    /// What the operation should take; with `full`, optional members too.
    pub fn valid(document: &Document, operation: &Operation, hints: &Hints, full: bool) -> Self {
        let mut query = String::new();
        let mut path = operation.path.clone();
        let mut headers = Vec::new();
        for parameter in &operation.parameters {
            let value = value_for(document, &parameter.name, &parameter.schema, hints, full);
            let text = match &value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let hinted = hints.contains_key(&parameter.name);
            match parameter.place {
                Place::Path => path = path.replace(&format!("{{{}}}", parameter.name), &text),
                // Without a hint an optional filter is left alone: most of them would find nothing.
                Place::Query if parameter.required || (full && hinted) => {
                    add_to_query(&mut query, &parameter.name, &encode(&text));
                }
                Place::Header if parameter.required || full => {
                    headers.push((parameter.name.clone(), text));
                }
                Place::Query | Place::Header => {}
            }
        }
        let body = operation.body.as_ref().map(|(kind, schema)| {
            let value = value_for(document, "", schema, hints, full);
            (kind.clone(), write(kind, &value))
        });
        Self {
            label: if full { "everything" } else { "valid" }.to_owned(),
            path,
            query,
            headers,
            body,
        }
    }

    /// A body with every member that its schema has, made of their own schemas: an example of the
    /// whole does not show all of them.
    pub fn body_of(document: &Document, schema: &Value, hints: &Hints) -> Value {
        let mut schema = document.resolve(schema).clone();
        if let Some(members) = schema.as_object_mut() {
            members.remove("example");
        }
        value_for(document, "", &schema, hints, true)
    }

    /// Many that differ from this one in one thing each.
    pub fn variations(
        &self,
        document: &Document,
        operation: &Operation,
        hints: &Hints,
    ) -> Vec<Self> {
        let mut all = Vec::new();
        for parameter in &operation.parameters {
            match parameter.place {
                Place::Path => all.extend(ODD_TEXTS.iter().map(|odd| {
                    let slot = format!("{{{}}}", parameter.name);
                    let path = operation.path.replace(&slot, odd);
                    self.with(format!("{} = {odd}", parameter.name), |input| {
                        input.path = fill(&path, operation, document, hints);
                    })
                })),
                Place::Query => all.extend(ODD_TEXTS.iter().map(|odd| {
                    self.with(format!("?{}={odd}", parameter.name), |input| {
                        input.query = String::new();
                        add_to_query(&mut input.query, &parameter.name, odd);
                    })
                })),
                Place::Header => {
                    for odd in ["", "x", "\u{e9}", &"x".repeat(5000)] {
                        all.push(self.with(format!("{}: {odd:.9}", parameter.name), |input| {
                            input.headers = vec![(parameter.name.clone(), odd.to_owned())];
                        }));
                    }
                }
            }
        }
        for query in [
            "?unknown-7f=1",
            "?limit=1&limit=2",
            "?cursor=%00",
            "?&&=",
            "?jwt=a&jwt=b",
        ] {
            all.push(self.with(query.to_owned(), |input| query.clone_into(&mut input.query)));
        }
        if let Some((kind, schema)) = &operation.body {
            self.vary_body(document, kind, schema, hints, &mut all);
        }
        all
    }

    fn vary_body(
        &self,
        document: &Document,
        kind: &str,
        schema: &Value,
        hints: &Hints,
        all: &mut Vec<Self>,
    ) {
        let mut with_body = |label: String, kind: &str, body: Vec<u8>| {
            let body = Some((kind.to_owned(), body));
            all.push(self.with(label, |input| input.body = body));
        };
        for kind in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "",
        ] {
            let body = self.body.as_ref().map(|(_, body)| body.clone());
            with_body(format!("as {kind:?}"), kind, body.unwrap_or_default());
        }
        for text in [
            "",
            "{",
            "null",
            "5",
            "[]",
            "\"text\"",
            "{}",
            "{\"a\":1,\"a\":1}",
            "{} {}",
        ] {
            with_body(format!("body {text}"), kind, text.into());
        }
        with_body(
            "body of no UTF-8".to_owned(),
            kind,
            b"{\"a\":\"\xff\xfe\"}".to_vec(),
        );
        with_body("deep".to_owned(), kind, "[".repeat(5000).into_bytes());
        let full = value_for(document, "", schema, hints, true);
        for place in places(&full, 3) {
            for wrong in wrong_values() {
                let mut body = full.clone();
                *body.pointer_mut(&place).expect("it was found") = wrong.clone();
                let wrong = wrong.to_string();
                let label = format!("{place} = {}", wrong.chars().take(24).collect::<String>());
                with_body(label, kind, write(kind, &body));
            }
            let (parent, name) = place.rsplit_once('/').expect("a pointer");
            let mut body = full.clone();
            if let Some(members) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
                members.remove(name);
                with_body(format!("without {place}"), kind, write(kind, &body));
            }
        }
        if let Some(members) = full.as_object() {
            let mut more = members.clone();
            more.insert("unknown-7f".to_owned(), json!({"a": [1, null]}));
            with_body("with one more".to_owned(), kind, write(kind, &more.into()));
        }
    }

    pub(super) fn with(&self, label: String, change: impl FnOnce(&mut Self)) -> Self {
        let mut input = Self {
            label,
            ..self.clone()
        };
        change(&mut input);
        input
    }
}

/// Values that hardly any member wants.
pub fn wrong_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!(" a "),
        json!("a/b"),
        json!("\u{0}"),
        json!("\u{202e}\u{e9}\u{1f600}"),
        json!("http://[::1"),
        json!("x".repeat(5000)),
        json!([]),
        json!([[], null, 1]),
        json!({}),
        json!({"unknown-7f": 1}),
    ]
}

pub(super) fn value_for(
    document: &Document,
    name: &str,
    schema: &Value,
    hints: &Hints,
    full: bool,
) -> Value {
    if let Some(hint) = hints.get(name)
        && document.check(schema, hint).is_ok()
    {
        return hint.clone();
    }
    let schema = document.resolve(schema);
    if let Some(example) = schema.get("example") {
        let mut example = example.clone();
        plant(&mut example, hints);
        return example;
    }
    let mut listed = ["examples", "enum"].into_iter();
    if let Some(first) = listed.find_map(|word| schema[word].get(0)) {
        return first.clone();
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    let options = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(options) = options {
        let is_null = |option: &&Value| document.resolve(option)["type"] == "null";
        let option = options.iter().find(|option| !is_null(option));
        return option.map_or(Value::Null, |o| value_for(document, name, o, hints, full));
    }
    let parts = std::iter::once(schema).chain(schema["allOf"].as_array().into_iter().flatten());
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|k| *k != "null").unwrap_or(&Value::Null),
        kind => kind,
    };
    match kind.as_str() {
        Some("string") => json!(shortest(schema)),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([value_for(document, name, &schema["items"], hints, full)]),
        Some("object") | None if schema["properties"].is_object() || schema["allOf"].is_array() => {
            let mut members = Map::new();
            for part in parts.map(|part| document.resolve(part)) {
                let required = part["required"].as_array();
                for (name, schema) in part["properties"].as_object().into_iter().flatten() {
                    if full || required.is_some_and(|r| r.contains(&json!(name))) {
                        let value = value_for(document, name, schema, hints, full);
                        members.insert(name.clone(), value);
                    }
                }
            }
            members.into()
        }
        _ => json!({}),
    }
}

/// Puts hints wherever a member of a value has the name of one.
pub(super) fn plant(value: &mut Value, hints: &Hints) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match hints.get(name) {
                    Some(hint) if hint.is_string() && member.is_string() => *member = hint.clone(),
                    _ => plant(member, hints),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, hints)),
        _ => {}
    }
}

/// Where the members of a value are, as JSON pointers, down to a depth.
fn places(value: &Value, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(n, v)| (n.clone(), v)).collect(),
        Value::Array(items) => items.iter().take(1).map(|v| ("0".to_owned(), v)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.push(format!("/{name}"));
        if depth > 1 {
            let below = places(value, depth - 1);
            found.extend(below.iter().map(|place| format!("/{name}{place}")));
        }
    }
    found
}

/// Fills in what is left of a path's parameters.
pub(super) fn fill(
    path: &str,
    operation: &Operation,
    document: &Document,
    hints: &Hints,
) -> String {
    operation
        .parameters
        .iter()
        .fold(path.to_owned(), |path, parameter| {
            let value = value_for(document, &parameter.name, &parameter.schema, hints, false);
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            path.replace(&format!("{{{}}}", parameter.name), &text)
        })
}

pub(super) fn write(kind: &str, value: &Value) -> Vec<u8> {
    if kind != "application/x-www-form-urlencoded" {
        return value.to_string().into_bytes();
    }
    let mut form = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        add_to_query(&mut form, name, &encode(&text));
    }
    form.trim_start_matches('?').into()
}

pub(super) fn add_to_query(query: &mut String, name: &str, value: &str) {
    let start = if query.is_empty() { '?' } else { '&' };
    write!(query, "{start}{name}={value}").expect("a string takes everything");
}

pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

/// What may stand in a URL and is hardly ever meant, encoded already.
const ODD_TEXTS: [&str; 13] = [
    "0",
    "-1",
    "1.5",
    "99999999999999999999999",
    "null",
    "%00",
    "%FF",
    "%2F",
    "..%2F..",
    "%F0%9F%98%80",
    "a%20b",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];
