use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::answer::Reply;
use crate::code::ErrorCode;
use crate::fields::kind;

/// The bare text that old clients send every 25 s. Not JSON.
pub const PING: &str = "_ping";

/// The answer to [`PING`].
pub const PONG: &str = "_pong";

/// What one text frame from a client holds.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// `_ping`: answer [`PONG`].
    Ping,
    /// One object.
    Single(Item<'a>),
    /// An array of objects, never empty: answer with one array, or nothing if none has an id.
    Batch(Vec<Item<'a>>),
    /// Nothing that could be read: answer with this error and the id `null`.
    Unreadable(ErrorCode, &'static str),
}

/// One object of a frame.
#[derive(Debug)]
pub enum Item<'a> {
    /// A request or a notification.
    Call(RawCall<'a>),
    /// An answer to something the server never asked: ignored.
    Response,
    /// No JSON-RPC 2.0: answer with `invalid_request`, this text, and the id if one was readable.
    Invalid(Option<Id<'a>>, &'static str),
}

/// A request (with an id) or a notification (without), its parameters not yet looked at.
#[derive(Debug)]
pub struct RawCall<'a> {
    /// The id to echo; `None` for a notification.
    pub id: Option<Id<'a>>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The parameters, if there are any.
    pub params: Option<&'a RawValue>,
}

/// A call that outlives its frame.
#[derive(Debug)]
pub struct OwnedCall {
    id: Option<OwnedId>,
    method: Box<str>,
    params: Option<Box<RawValue>>,
}

/// An id that outlives its frame.
#[derive(Debug)]
pub struct OwnedId(Box<RawValue>);

/// A request's id, echoed byte for byte: a string, a number or null.
#[derive(Debug, Clone, Copy)]
pub struct Id<'a>(&'a RawValue);

impl<'a> Id<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        matches!(kind(value), "a string" | "a number" | "null").then_some(Self(value))
    }
}

impl RawCall<'_> {
    /// Copies what the call needs of its frame.
    pub fn to_owned(&self) -> OwnedCall {
        OwnedCall {
            id: self.id.map(Id::to_owned),
            method: self.method.as_ref().into(),
            params: self.params.map(RawValue::to_owned),
        }
    }
}

impl OwnedCall {
    /// The call as it was read.
    pub fn as_call(&self) -> RawCall<'_> {
        RawCall {
            id: self.id.as_ref().map(OwnedId::as_id),
            method: Cow::Borrowed(&self.method),
            params: self.params.as_deref(),
        }
    }
}

impl Id<'_> {
    /// Copies the id.
    pub fn to_owned(self) -> OwnedId {
        OwnedId(self.0.to_owned())
    }
}

impl OwnedId {
    /// The id as it was read.
    pub fn as_id(&self) -> Id<'_> {
        Id(&self.0)
    }
}

/// Reads a text frame. `max_depth` bounds how deep its values may nest.
pub fn parse(text: &str, max_depth: usize) -> Incoming<'_> {
    if text == PING {
        return Incoming::Ping;
    }
    if depth(text) > max_depth {
        return Incoming::Unreadable(ErrorCode::InvalidRequest, "the frame is nested too deeply");
    }
    if text.trim_start_matches(WHITE).starts_with('[') {
        return match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) if items.is_empty() => {
                Incoming::Unreadable(ErrorCode::InvalidRequest, "the batch is empty")
            }
            Ok(items) => Incoming::Batch(items.into_iter().map(item).collect()),
            Err(_) => Incoming::Unreadable(ErrorCode::ParseError, "the frame is not valid JSON"),
        };
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => Incoming::Single(item(value)),
        Err(_) => Incoming::Unreadable(ErrorCode::ParseError, "the frame is not valid JSON"),
    }
}

/// A success response.
pub fn result(id: Id<'_>, reply: &Reply) -> Bytes {
    let (id, reply) = (id.0.get(), reply.as_str());
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{reply}}}"#).into()
}

/// An error response. `details` are further members of `data`, e.g. `("retry_after_ms", 20)`.
pub fn error(
    id: Option<Id<'_>>,
    code: ErrorCode,
    message: &str,
    details: &[(&str, serde_json::Value)],
) -> Bytes {
    let mut data = serde_json::Map::new();
    data.insert("code".to_owned(), code.text().into());
    for (name, value) in details {
        data.insert((*name).to_owned(), value.clone());
    }
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{},"message":{},"data":{}}}}}"#,
        id.map_or("null", |id| id.0.get()),
        code.number(),
        serde_json::Value::from(message),
        serde_json::Value::from(data),
    )
    .into()
}

/// The responses to a batch, as one array; `None` if there are none.
pub fn batch(responses: &[Bytes]) -> Option<Bytes> {
    if responses.is_empty() {
        return None;
    }
    let mut array = Vec::with_capacity(responses.iter().map(|r| r.len() + 1).sum::<usize>() + 1);
    for (n, response) in responses.iter().enumerate() {
        array.push(if n == 0 { b'[' } else { b',' });
        array.extend_from_slice(response);
    }
    array.push(b']');
    Some(array.into())
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` from absent, which `Option` alone does not.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn item(value: &RawValue) -> Item<'_> {
    if !value.get().starts_with('{') {
        return Item::Invalid(None, "a request is an object");
    }
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(value.get()) else {
        return fault(value);
    };
    let id = match envelope.id.map(Id::of) {
        None => None,
        Some(None) => return Item::Invalid(None, "id is not a string, a number or null"),
        Some(id) => id,
    };
    let Some(method) = envelope.method else {
        if envelope.result.is_some() || envelope.error.is_some() {
            return Item::Response;
        }
        return Item::Invalid(id, "method is missing");
    };
    if envelope.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
        return Item::Invalid(id, r#"jsonrpc is not "2.0""#);
    }
    let Ok(Text(method)) = serde_json::from_str::<Text<'_>>(method.get()) else {
        return Item::Invalid(id, "method is not a string");
    };
    if let Some(params) = envelope.params
        && !matches!(kind(params), "an object" | "an array")
    {
        return Item::Invalid(id, "params are not an object or an array");
    }
    Item::Call(RawCall {
        id,
        method,
        params: envelope.params,
    })
}

/// What is wrong with an object that is JSON and no envelope. The id is kept if there is one.
fn fault(value: &RawValue) -> Item<'_> {
    let Ok(Members(members)) = serde_json::from_str(value.get()) else {
        return Item::Invalid(None, "the request cannot be read");
    };
    let mut names: Vec<Cow<'_, str>> = Vec::with_capacity(members.len());
    let mut ids = Vec::new();
    for (name, value) in members {
        // JSON's grammar lets a name be half a surrogate pair, which is no text.
        let Ok(Text(name)) = serde_json::from_str(name.get()) else {
            continue;
        };
        if name == "id" {
            ids.push(value);
        }
        names.push(name);
    }
    let id = match ids.as_slice() {
        [id] => Id::of(id),
        _ => None,
    };
    let twice = MEMBERS.iter().any(|member| {
        let same = names.iter().filter(|name| *name == member);
        same.count() > 1
    });
    let why = if twice {
        "a member of the request stands twice"
    } else {
        "the name of a member of the request is not Unicode text"
    };
    Item::Invalid(id, why)
}

/// The members of an object as they are written, whatever their names.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
            type Value = Members<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

/// The members that an [`Envelope`] reads.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// How deep brackets nest, strings aside. Says nothing about whether the text is JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        fn one(item: &Item<'_>) -> String {
            match item {
                Item::Call(call) => format!(
                    "call {} id {} params {}",
                    call.method,
                    call.id.map_or("-", |id| id.0.get()),
                    call.params.map_or("-", RawValue::get)
                ),
                Item::Response => "response".to_owned(),
                Item::Invalid(id, why) => {
                    format!("invalid id {}: {why}", id.map_or("-", |id| id.0.get()))
                }
            }
        }
        match parse(text, 16) {
            Incoming::Ping => "ping".to_owned(),
            Incoming::Single(item) => one(&item),
            Incoming::Batch(items) => {
                format!(
                    "batch [{}]",
                    items.iter().map(one).collect::<Vec<_>>().join("; ")
                )
            }
            Incoming::Unreadable(code, why) => format!("{code}: {why}"),
        }
    }

    #[test]
    fn a_call_that_outlives_its_frame_is_the_same_call() {
        for text in [
            r#"{"jsonrpc":"2.0","id":"\u0061","method":"\u0061.b","params":{"x": 1}}"#,
            r#"{"jsonrpc":"2.0","method":"a.b"}"#,
        ] {
            let Incoming::Single(Item::Call(call)) = parse(text, 16) else {
                panic!("a call")
            };
            let owned = call.to_owned();
            assert_eq!(format!("{:?}", owned.as_call()), format!("{call:?}"));
        }
    }

    #[test]
    fn each_kind_of_frame_is_told_apart() {
        let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
        let frames = [
            "_ping",
            r#"{"jsonrpc":"2.0","method":"signal.join","params":{"id":"x"}}"#,
            r#" {"jsonrpc":"2.0","id":7,"method":"a.b"} "#,
            r#"{"jsonrpc":"2.0","id":"s","method":"\u0061.b","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"x"}}"#,
            r#"{"id":1,"method":"a.b"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","id":4,"method":"a.b","method":"c.d"}"#,
            r#"{"\ud800":1,"jsonrpc":"2.0","id":4,"method":"a.b"}"#,
            r#"{"jsonrpc":"2.0","\u0069d":"s","method":"a.b","\ud800":1}"#,
            r#"{"\ud800":1,"id":{}}"#,
            r#"{"\ud800":1,"id":1,"id":2}"#,
            r#"{"jsonrpc":"2.0","id":5,"method":"a.b","more":1,"more":2}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"a.b"},1,{"jsonrpc":"2.0","method":"c.d"}]"#,
            "[]",
            "[1,",
            "{",
            "",
            "5",
            "\u{feff}{}",
            &deep,
            r#"{"jsonrpc":"2.0","method":"a","params":{"t":"[[[[[[[[[[[[[[[[[[[[\"[[["}}"#,
        ];
        let shown: Vec<String> = frames
            .iter()
            .map(|f| format!("{f}\n    {}", show(f)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn responses_echo_the_id_as_it_was_written() {
        let Incoming::Single(Item::Call(call)) =
            parse(r#"{"jsonrpc":"2.0","id":1.0e2,"method":"a.b"}"#, 16)
        else {
            panic!("a call");
        };
        let id = call.id.expect("an id");
        let ok = result(id, &Reply::of(&crate::Done {}));
        let refused = error(
            Some(id),
            ErrorCode::RateLimited,
            "slow \"down\"",
            &[("retry_after_ms", 20.into())],
        );
        let both = batch(&[ok.clone(), refused.clone()]).expect("two responses");
        let none = error(None, ErrorCode::ParseError, "no", &[]);
        assert!(batch(&[]).is_none());
        assert_eq!(result(id, &Reply::of(&())), ok, "never null");
        insta::assert_snapshot!(
            [ok, refused, both, none]
                .map(|b| String::from_utf8(b.to_vec()).expect("UTF-8"))
                .join("\n")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = parse(&text, 16);
        }

        #[test]
        fn no_mutation_of_a_frame_makes_the_parser_panic(at in 0usize..70, byte in 0u8..128) {
            let mut frame = br#"[{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"b"}}]"#.to_vec();
            let at = at % frame.len();
            frame[at] = byte;
            if let Ok(text) = std::str::from_utf8(&frame) {
                let _ = parse(text, 16);
            }
        }
    }
}
