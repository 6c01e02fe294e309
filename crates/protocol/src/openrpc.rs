use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::{Call, Push};
use crate::close::CloseCode;
use crate::code::ErrorCode;
use crate::rows::{Kind, PushRow, Row, Shape};

/// The [OpenRPC](https://spec.open-rpc.org) document of every method and push; `url` is where the
/// WebSocket is, `version` the server's.
///
/// It is all that a generator of clients needs: types are schemas among the components. What `OpenRPC`
/// has no words for stands in members that begin with `x-`: what the server says by itself in
/// `x-pushes`, why it closes in `x-close-codes`, and for each method the schema of its parameters as
/// one object, its grant, whether it needs a WebSocket, and its HTTP twin.
pub fn openrpc(url: &str, version: &str) -> Value {
    let mut schemas = BTreeMap::new();
    let methods: Vec<Value> = Call::rows()
        .map(|row| describe_method(row, &mut schemas))
        .collect();
    let pushes: Vec<Value> = Push::rows()
        .map(|row| describe_push(row, &mut schemas))
        .collect();
    let close_codes: Vec<Value> = CloseCode::ALL
        .iter()
        .map(|code| {
            json!({
                "code": code.number(),
                "reason": code.reason(),
                "reconnect": CloseCode::reconnect(code.number()),
            })
        })
        .collect();
    let errors: Map<String, Value> = ErrorCode::ALL
        .iter()
        .map(|code| (code.text().to_owned(), describe_error(*code)))
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Hexline",
            "version": version,
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "name": "WebSocket", "url": url }],
        "methods": methods,
        "components": { "errors": errors, "schemas": schemas },
        "x-pushes": pushes,
        "x-close-codes": close_codes,
    })
}

/// The schemas of a document, by name.
type Schemas = BTreeMap<String, Value>;

fn describe_method(row: &Row, schemas: &mut Schemas) -> Value {
    let errors: Vec<Value> = ANY_CALL
        .iter()
        .chain(row.grant.map(|_| &ErrorCode::GrantMissing))
        .chain(row.errors)
        .map(|code| json!({ "$ref": format!("#/components/errors/{}", code.text()) }))
        .collect();
    let params = add(&row.params, schemas);
    let answer = add(&row.answer, schemas);
    let http = row.http.map(|http| {
        let path = format!("/client/v1{}", http.path);
        json!({ "method": http.verb.text(), "path": path })
    });
    json!({
        "name": row.name,
        "summary": row.summary,
        "paramStructure": "by-name",
        "params": describe_params(&schemas[&*row.params.name()]),
        "result": { "name": row.answer.name(), "schema": answer },
        "errors": errors,
        "x-params": params,
        "x-relays-other-params": row.kind == Kind::Relay,
        "x-grant": row.grant.map(hexline_model::Service::name),
        "x-needs-socket": row.needs_socket,
        "x-http": http,
    })
}

fn describe_push(row: &PushRow, schemas: &mut Schemas) -> Value {
    let params = add(&row.params, schemas);
    json!({
        "name": row.name,
        "summary": row.summary,
        "paramStructure": "by-name",
        "params": describe_params(&schemas[&*row.params.name()]),
        "x-params": params,
        "x-relays-other-params": row.kind == Kind::Relay,
    })
}

/// The members of an object, as a list.
fn describe_params(schema: &Value) -> Vec<Value> {
    let required = schema["required"].as_array();
    let members = schema["properties"].as_object().into_iter().flatten();
    members
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let text = schema.as_object_mut().and_then(|s| s.remove("description"));
            json!({
                "name": name,
                "summary": text,
                "required": required.is_some_and(|names| names.contains(&json!(name))),
                "schema": schema,
            })
        })
        .collect()
}

fn describe_error(code: ErrorCode) -> Value {
    json!({ "code": code.number(), "message": code.text(), "data": { "code": code.text() } })
}

/// Adds a type and what it refers to; gives the reference to it.
fn add(shape: &Shape, schemas: &mut Schemas) -> Value {
    for (name, schema) in shape.components() {
        let schema = serde_json::to_value(schema).expect("a schema is plain data");
        schemas.insert(name, schema);
    }
    json!({ "$ref": format!("#/components/schemas/{}", shape.name()) })
}

/// What any call may be refused with.
const ANY_CALL: [ErrorCode; 2] = [ErrorCode::InvalidRequest, ErrorCode::InvalidParams];

const ABOUT: &str = "JSON-RPC 2.0 over a WebSocket. A call with an id is answered, one without \
    never. What the server says by itself comes as a call without an id: see x-pushes. A bare \
    _ping is answered by a bare _pong.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Incoming, Item, parse};

    #[test]
    fn the_document_is_what_clients_were_told() {
        let document = openrpc("ws://localhost:8000/client/signal/v1/pubsub", "0.0.0");
        insta::assert_json_snapshot!(document);
    }

    #[test]
    fn every_method_that_is_described_can_be_called_as_described() {
        for row in Call::rows() {
            let mut schemas = BTreeMap::new();
            describe_method(row, &mut schemas);
            let schema = &schemas[&*row.params.name()];
            let example = schema["example"].as_object();
            let params = example.unwrap_or_else(|| panic!("{} has no example", row.name));
            let reads = |params: &Map<String, Value>| {
                let frame =
                    json!({"jsonrpc": "2.0", "id": 1, "method": row.name, "params": params});
                let frame = frame.to_string();
                let Incoming::Single(Item::Call(raw)) = parse(&frame, 16) else {
                    panic!("{frame}");
                };
                Call::parse(&raw).map(|call| assert_eq!(call.row().name, row.name))
            };
            reads(params).unwrap_or_else(|error| panic!("{}: {error}", row.name));
            for param in describe_params(schema) {
                let name = param["name"].as_str().expect("a name");
                let mut less = params.clone();
                less.remove(name);
                let refused = reads(&less).is_err();
                assert_eq!(refused, param["required"] == true, "{} {name}", row.name);
                let mut wrong = params.clone();
                wrong.insert(name.to_owned(), json!([]));
                assert!(reads(&wrong).is_err(), "{} {name}", row.name);
            }
        }
    }

    #[test]
    fn a_name_in_a_twins_path_is_a_parameter_and_no_two_twins_are_one() {
        let mut routes = std::collections::BTreeSet::new();
        for row in Call::rows() {
            let Some(http) = row.http else { continue };
            assert!(!row.needs_socket, "{}", row.name);
            assert!(routes.insert((http.verb.text(), http.path)), "{}", row.name);
            let mut schemas = BTreeMap::new();
            describe_method(row, &mut schemas);
            for name in http.path_params() {
                let members = &schemas[&*row.params.name()]["properties"];
                assert!(members.get(name).is_some(), "{} {name}", row.name);
            }
        }
    }

    #[test]
    fn a_type_has_a_name_of_its_own() {
        let mut known = BTreeMap::new();
        let calls = Call::rows().flat_map(|row| [&row.params, &row.answer]);
        for shape in calls.chain(Push::rows().map(|row| &row.params)) {
            for (name, schema) in shape.components() {
                let schema = serde_json::to_value(schema).expect("plain data");
                let other = known.entry(name.clone()).or_insert_with(|| schema.clone());
                assert_eq!(*other, schema, "{name} is two types");
            }
        }
    }
}
