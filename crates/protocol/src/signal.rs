//! `signal.*`: direct messages, channels and presence. Source: docs/protocol.md "Signal".
//!
//! A relayed message keeps every member that the sender wrote, byte for byte, except `from`,
//! which is always the sender's own address, and a number as channel or address, which becomes text. A direct message never carries an `id`: old clients
//! would look for a channel of that name.

use std::borrow::Cow;

use bytes::Bytes;
use hexline_model::{Address, ChannelName};

use crate::call::CallError;
use crate::code::ErrorCode;
use crate::fields::Fields;
use crate::openrpc::{Answer, Kind, Method, Param, Push};

/// `signal.send {to, …}`: a direct message, or with `id` one that belongs to a channel.
pub struct Send<'a> {
    /// Whom it is for, as written.
    pub to: Cow<'a, str>,
    /// The channel it belongs to, if any.
    pub id: Option<Cow<'a, str>>,
    /// Everything the sender wrote, `to` and `id` included.
    pub fields: Fields<'a>,
}

/// `signal.join {id, presence?}`
pub struct Join<'a> {
    /// The channel.
    pub id: Cow<'a, str>,
    /// Whether to be announced to, and to hear of, the other members; absent means no.
    pub presence: bool,
}

/// `signal.leave {id}`
pub struct Leave<'a> {
    /// The channel.
    pub id: Cow<'a, str>,
}

/// `signal.publish {id, …}`
pub struct Publish<'a> {
    /// The channel.
    pub id: Cow<'a, str>,
    /// Everything the sender wrote, `id` included.
    pub fields: Fields<'a>,
}

impl<'a> Send<'a> {
    pub(crate) const METHOD: Method = Method {
        summary: "Sends a message to the connections that an address names, or to those of them in a channel.",
        params: &[
            TO,
            Param {
                required: false,
                text: "The channel that the message belongs to, if any.",
                ..CHANNEL
            },
        ],
        relays: true,
        result: Answer::Delivered,
        errors: &[ErrorCode::Forbidden],
        example: r#"{"to":"bob1","id":"room","text":"hello"}"#,
    };

    pub(crate) fn parse(mut fields: Fields<'a>) -> Result<Self, CallError> {
        let to = fields.name("to")?.ok_or(CallError::Missing("to"))?;
        let id = fields.name("id")?;
        if id.is_none() {
            fields.remove("id");
        }
        Ok(Self { to, id, fields })
    }

    /// The push that the receivers get.
    pub fn push(&self, from: &str) -> Bytes {
        relay(&SENT, &["to", "id"], &self.fields, from)
    }
}

impl<'a> Join<'a> {
    pub(crate) const METHOD: Method = Method {
        summary: "Makes the connection a member of a channel.",
        params: &[CHANNEL, PRESENCE],
        relays: false,
        result: Answer::Joined,
        errors: &[ErrorCode::Forbidden, ErrorCode::TooLarge],
        example: r#"{"id":"room","presence":true}"#,
    };

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the same shape for every method"
    )]
    pub(crate) fn parse(fields: Fields<'a>) -> Result<Self, CallError> {
        let id = fields.name("id")?.ok_or(CallError::Missing("id"))?;
        Ok(Self {
            id,
            presence: fields.flag("presence")?.unwrap_or(false),
        })
    }
}

impl<'a> Leave<'a> {
    pub(crate) const METHOD: Method = Method {
        summary: "Ends the connection's membership of a channel.",
        params: &[CHANNEL],
        relays: false,
        result: Answer::Done,
        errors: &[],
        example: r#"{"id":"room"}"#,
    };

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the same shape for every method"
    )]
    pub(crate) fn parse(fields: Fields<'a>) -> Result<Self, CallError> {
        Ok(Self {
            id: fields.name("id")?.ok_or(CallError::Missing("id"))?,
        })
    }
}

impl<'a> Publish<'a> {
    pub(crate) const METHOD: Method = Method {
        summary: "Sends a message to the other members of a channel.",
        params: &[CHANNEL],
        relays: true,
        result: Answer::Delivered,
        errors: &[ErrorCode::Forbidden],
        example: r#"{"id":"room","text":"hello"}"#,
    };

    pub(crate) fn parse(fields: Fields<'a>) -> Result<Self, CallError> {
        let id = fields.name("id")?.ok_or(CallError::Missing("id"))?;
        Ok(Self { id, fields })
    }

    /// The push that the other subscribers get.
    pub fn push(&self, from: &str) -> Bytes {
        relay(&PUBLISHED, &["id"], &self.fields, from)
    }
}

/// `signal.join {id, from}`: tells the members of a newcomer.
pub fn joined(channel: &ChannelName, from: &Address) -> Bytes {
    announce(&JOINED, channel, from)
}

/// `signal.join_back {id, from}`: tells a newcomer of a member.
pub fn join_back(channel: &ChannelName, from: &Address) -> Bytes {
    announce(&JOIN_BACK, channel, from)
}

/// `signal.leave {id, from}`: tells the members that one has gone.
pub fn left(channel: &ChannelName, from: &Address) -> Bytes {
    announce(&LEFT, channel, from)
}

/// `signal.send {to, …, from}` as an app's own server says it. `message` has neither `to` nor `id`.
pub fn sent_by_server(to: &str, message: &Fields<'_>, from: &str) -> Bytes {
    compose(&SENT, ("to", to), message, from)
}

/// `signal.publish {id, …, from}` as an app's own server says it. `message` has neither `to` nor
/// `id`.
pub fn published_by_server(channel: &ChannelName, message: &Fields<'_>, from: &str) -> Bytes {
    compose(&PUBLISHED, ("id", channel.as_str()), message, from)
}

/// The result of `send` and `publish`: how many connections the message was queued for.
pub fn delivered(count: usize) -> String {
    format!(r#"{{"delivered":{count}}}"#)
}

/// The result of `join` and `leave`.
pub const DONE: &str = "{}";

/// The result of a `join` with presence that found no room for one more: a member without.
pub const HIDDEN: &str = r#"{"presence":false}"#;

const TO: Param = Param {
    name: "to",
    text: "Whom it is for: identity, identity/device or identity/device/route.",
    kind: Kind::Name,
    required: true,
};

const CHANNEL: Param = Param {
    name: "id",
    text: "The channel.",
    kind: Kind::Name,
    required: true,
};

const PRESENCE: Param = Param {
    name: "presence",
    text: "Whether to be announced to, and to hear of, the other members; absent means no.",
    kind: Kind::Flag,
    required: false,
};

/// As a push says them.
const PUSHED_TO: Param = Param {
    kind: Kind::Text,
    ..TO
};

const PUSHED_CHANNEL: Param = Param {
    kind: Kind::Text,
    ..CHANNEL
};

const FROM: Param = Param {
    name: "from",
    text: "Whose it is: identity/device/route, stamped by the server.",
    kind: Kind::Text,
    required: true,
};

/// Names each push, and lists them all.
macro_rules! pushes {
    ($($name:ident = $push:expr;)+) => {
        $(const $name: Push = $push;)+

        /// Everything that the server says by itself.
        pub(crate) const PUSHES: &[Push] = &[$($name),+];
    };
}

pushes! {
    SENT = Push {
        name: "signal.send",
        summary: "A message for this connection.",
        params: &[
            PUSHED_TO,
            FROM,
            Param {
                required: false,
                text: "The channel that the message belongs to, if any.",
                ..PUSHED_CHANNEL
            },
        ],
        relays: true,
    };

    PUBLISHED = Push {
        name: "signal.publish",
        summary: "A message in a channel.",
        params: &[PUSHED_CHANNEL, FROM],
        relays: true,
    };

    JOINED = Push {
        name: "signal.join",
        summary: "A member has joined with presence.",
        params: &[PUSHED_CHANNEL, FROM],
        relays: false,
    };

    JOIN_BACK = Push {
        name: "signal.join_back",
        summary: "A member was there before this connection.",
        ..JOINED
    };

    LEFT = Push {
        name: "signal.leave",
        summary: "A member has gone.",
        ..JOINED
    };
}

fn announce(push: &Push, channel: &ChannelName, from: &Address) -> Bytes {
    let mut push = open(push, channel.as_str().len() + from.as_str().len());
    push.extend_from_slice(b"\"id\":");
    push_string(&mut push, channel.as_str());
    close(push, from.as_str())
}

/// `names` are members that were read as names: one that was a number goes out as text.
fn relay(push: &Push, names: &[&str], fields: &Fields<'_>, from: &str) -> Bytes {
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.get().len() + 6)
        .sum();
    let mut push = open(push, size + from.len());
    for (n, (name, value)) in fields
        .iter()
        .filter(|(name, _)| *name != "from")
        .enumerate()
    {
        if n > 0 {
            push.push(b',');
        }
        push_string(&mut push, name);
        push.push(b':');
        let number = names.contains(&name) && !value.get().starts_with('"');
        if number {
            push.push(b'"');
        }
        push.extend_from_slice(value.get().as_bytes());
        if number {
            push.push(b'"');
        }
    }
    close(push, from)
}

fn compose(push: &Push, (name, value): (&str, &str), fields: &Fields<'_>, from: &str) -> Bytes {
    let mut push = open(push, value.len() + from.len());
    push_string(&mut push, name);
    push.push(b':');
    push_string(&mut push, value);
    for (name, value) in fields.iter().filter(|(name, _)| *name != "from") {
        push.push(b',');
        push_string(&mut push, name);
        push.push(b':');
        push.extend_from_slice(value.get().as_bytes());
    }
    close(push, from)
}

/// A push up to its params; there is always one before `from`.
fn open(push: &Push, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 80);
    text.extend_from_slice(br#"{"jsonrpc":"2.0","method":""#);
    text.extend_from_slice(push.name.as_bytes());
    text.extend_from_slice(br#"","params":{"#);
    text
}

fn close(mut push: Vec<u8>, from: &str) -> Bytes {
    push.extend_from_slice(b",\"from\":");
    push_string(&mut push, from);
    push.extend_from_slice(b"}}");
    push.into()
}

fn push_string(push: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(push, text).expect("a string is JSON, and memory takes all of it");
}

#[cfg(test)]
mod tests {
    use hexline_model::{Route, SeededEntropy, Subject};

    use super::*;
    use crate::{Call, Incoming, Item, frame};

    fn address() -> Address {
        let subject = Subject::parse(r#"bo"b/web1"#).expect("well formed");
        Address::new(&subject, Route::generate(&SeededEntropy::new(7)))
    }

    fn push(method: &str, params: &str) -> String {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
        let Incoming::Single(Item::Call(raw)) = frame::parse(&text, 64) else {
            return "unreadable".to_owned();
        };
        let bytes = match Call::parse(&raw) {
            Ok(Call::SignalSend(send)) => send.push(address().as_str()),
            Ok(Call::SignalPublish(publish)) => publish.push(address().as_str()),
            Ok(Call::SignalJoin(join)) => {
                return format!("join {} presence {}", join.id, join.presence);
            }
            Ok(Call::SignalLeave(leave)) => return format!("leave {}", leave.id),
            Err(error) => return format!("{}: {error}", error.code()),
        };
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert!(
            serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            "{text}"
        );
        text
    }

    #[test]
    fn what_goes_in_comes_out_with_the_true_sender() {
        let cases = [
            ("signal.send", r#"{"to":"al/web","text":"hi","n":1.50}"#),
            ("signal.send", r#"{"to":"al","from":"forged","x":null}"#),
            ("signal.send", r#"{"to":"al","\u0066rom":"forged"}"#),
            ("signal.send", r#"{"to":"al","id":null,"data":[1, 2]}"#),
            (
                "signal.send",
                r#"{"to":"al/web/r","id":"room","state":{"pub":{}}}"#,
            ),
            ("signal.send", r#"{"to":5}"#),
            ("signal.send", r#"{"to":-12,"id":0,"n":7}"#),
            ("signal.send", r#"{"to":1.5}"#),
            ("signal.send", r#"{"to":"al","id":1e3}"#),
            ("signal.send", r#"{"text":"nobody"}"#),
            ("signal.send", "[]"),
            (
                "signal.publish",
                r#"{"id":"room","we\"ird\n\u0001":"\u00e9"}"#,
            ),
            ("signal.publish", r#"{"id":42,"to":42}"#),
            ("signal.publish", r#"{"id":true}"#),
            ("signal.publish", r"{}"),
            (
                "signal.join",
                r#"{"id":"room","presence":true,"history":5}"#,
            ),
            ("signal.join", r#"{"id":"room"}"#),
            ("signal.join", r#"{"id":42}"#),
            ("signal.join", r#"{"id":-0}"#),
            ("signal.join", r#"{"id":"room","presence":"yes"}"#),
            ("signal.leave", r#"{"id":"room"}"#),
            ("signal.leave", r#"{"id":18446744073709551616}"#),
            ("signal.dance", r"{}"),
        ];
        let shown: Vec<String> = cases
            .iter()
            .map(|(m, p)| format!("{m} {p}\n    {}", push(m, p)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn announcements_name_channel_and_member() {
        let channel = ChannelName::parse("ro\"om").expect("a name");
        insta::assert_snapshot!(
            [joined, join_back, left]
                .map(|f| String::from_utf8(f(&channel, &address()).to_vec()).expect("UTF-8"))
                .join("\n")
        );
    }
}
