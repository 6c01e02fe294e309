use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::close::CloseCode;
use crate::code::ErrorCode;
use crate::signal;

/// What a method wants and gives, for `/openrpc.json`.
pub struct Method {
    /// One line.
    pub summary: &'static str,
    /// Its parameters, by name.
    pub params: &'static [Param],
    /// Whether other members are let through to whoever receives the message.
    pub relays: bool,
    /// What it answers with.
    pub result: Answer,
    /// How it is refused, beyond what any call may be refused with.
    pub errors: &'static [ErrorCode],
    /// Parameters that a server reads without complaint.
    pub example: &'static str,
}

/// What the server says by itself: a call without an `id`.
pub struct Push {
    /// The method that it comes as.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Its parameters, by name.
    pub params: &'static [Param],
    /// Whether members that the sender wrote come with it.
    pub relays: bool,
}

/// One parameter.
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub text: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it has to be there.
    pub required: bool,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind {
    /// A string that is not empty.
    Text,
    /// The same, or an integer, which is its decimal text.
    Name,
    /// `true` or `false`.
    Flag,
}

/// What a method answers with.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Answer {
    /// `{}`
    Done,
    /// `{}`, or `{"presence":false}`
    Joined,
    /// `{"delivered":n}`
    Delivered,
}

/// The [OpenRPC](https://spec.open-rpc.org) document of every method and push; `url` is where the
/// WebSocket is, `version` the server's.
///
/// What the server says by itself stands in `x-pushes`, since `OpenRPC` describes calls alone, and
/// why it closes in `x-close-codes`.
pub fn openrpc(url: &str, version: &str) -> Value {
    let methods: Vec<Value> = Call::METHODS
        .iter()
        .map(|(name, method)| describe_method(name, method))
        .collect();
    let pushes: Vec<Value> = signal::PUSHES.iter().map(describe_push).collect();
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
        "components": { "errors": errors },
        "x-pushes": pushes,
        "x-close-codes": close_codes,
    })
}

fn describe_method(name: &str, method: &Method) -> Value {
    let errors: Vec<Value> = ANY_CALL
        .iter()
        .chain(method.errors)
        .map(|code| json!({ "$ref": format!("#/components/errors/{}", code.text()) }))
        .collect();
    json!({
        "name": name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": method.params.iter().map(describe_param).collect::<Vec<_>>(),
        "result": { "name": "result", "schema": method.result.schema() },
        "errors": errors,
        "x-relays-other-params": method.relays,
    })
}

fn describe_push(push: &Push) -> Value {
    json!({
        "name": push.name,
        "summary": push.summary,
        "paramStructure": "by-name",
        "params": push.params.iter().map(describe_param).collect::<Vec<_>>(),
        "x-relays-other-params": push.relays,
    })
}

fn describe_param(param: &Param) -> Value {
    json!({
        "name": param.name,
        "summary": param.text,
        "required": param.required,
        "schema": param.kind.schema(),
    })
}

fn describe_error(code: ErrorCode) -> Value {
    json!({ "code": code.number(), "message": code.text(), "data": { "code": code.text() } })
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string", "minLength": 1 }),
            Self::Name => json!({ "type": ["string", "integer"], "minLength": 1 }),
            Self::Flag => json!({ "type": "boolean" }),
        }
    }
}

impl Answer {
    fn schema(self) -> Value {
        match self {
            Self::Done => {
                json!({ "type": "object", "additionalProperties": false })
            }
            Self::Joined => json!({
                "type": "object",
                "properties": {
                    "presence": {
                        "const": false,
                        "description": "The channel has as many members with presence as it may: \
                            the connection is a member without.",
                    },
                },
                "additionalProperties": false,
            }),
            Self::Delivered => json!({
                "type": "object",
                "required": ["delivered"],
                "properties": {
                    "delivered": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "How many connections the message was queued for.",
                    },
                },
                "additionalProperties": false,
            }),
        }
    }
}

/// What any call may be refused with.
const ANY_CALL: [ErrorCode; 3] = [
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidParams,
    ErrorCode::GrantMissing,
];

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
        for (name, method) in Call::METHODS {
            let params: Map<String, Value> =
                serde_json::from_str(method.example).expect("an object");
            let reads = |params: &Map<String, Value>| {
                let frame = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
                let frame = frame.to_string();
                let Incoming::Single(Item::Call(raw)) = parse(&frame, 16) else {
                    panic!("{frame}");
                };
                Call::parse(&raw).map(|call| assert_eq!(call.method(), *name))
            };
            reads(&params).unwrap_or_else(|error| panic!("{name}: {error}"));
            for param in method.params {
                let mut less = params.clone();
                less.remove(param.name);
                assert_eq!(
                    reads(&less).is_err(),
                    param.required,
                    "{name} {}",
                    param.name
                );
                let mut wrong = params.clone();
                wrong.insert(param.name.to_owned(), json!([]));
                assert!(reads(&wrong).is_err(), "{name} {}", param.name);
            }
        }
    }
}
