//! `signal.*`: direct messages, channels and presence. Source: docs/protocol.md "Signal".
//!
//! A relayed message keeps every member that the sender wrote, byte for byte, except `from`,
//! which is always the sender's own address, and a number as channel or address, which becomes text. A direct message never carries an `id`: old clients
//! would look for a channel of that name.

use std::borrow::Cow;

use bytes::Bytes;
use hexline_model::{Address, ChannelName};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Done;
use crate::error::CallError;
use crate::fields::Fields;
use crate::params::Name;
use crate::push;
use crate::rows::{methods, pushes};

methods! {
    /// A call of this service, its parameters read.
    pub enum Call<'a>;

    /// Send a message to the connections that an address names, or to those of them in a channel
    "signal.send" => Send(SendParams<'a>) -> Delivered,
        grant: Signal, kind: relay, socket: no, http: None, errors: [Forbidden];

    /// Make the connection a member of a channel
    "signal.join" => Join(JoinParams<'a>) -> Joined,
        grant: Signal, kind: typed, socket: yes, http: None, errors: [Forbidden, TooLarge];

    /// End the connection's membership of a channel
    "signal.leave" => Leave(LeaveParams<'a>) -> Done,
        grant: Signal, kind: typed, socket: yes, http: None, errors: [];

    /// Send a message to the other members of a channel
    "signal.publish" => Publish(PublishParams<'a>) -> Delivered,
        grant: Signal, kind: relay, socket: no, http: None,
        errors: [Forbidden];
}

pushes! {
    /// A push of this service.
    pub enum Push<'a>;

    /// A message for this connection
    "signal.send" => Send(Sent<'a>) as SENT, kind: relay;

    /// A message in a channel
    "signal.publish" => Publish(Published<'a>) as PUBLISHED, kind: relay;

    /// A member has joined with presence
    "signal.join" => Join(Announced<'a>) as JOINED, kind: typed;

    /// A member was there before this connection
    "signal.join_back" => JoinBack(Announced<'a>) as JOIN_BACK, kind: typed;

    /// A member has gone
    "signal.leave" => Leave(Announced<'a>) as LEFT, kind: typed;
}

/// `signal.send {to, …}`: a direct message, or with `id` one that belongs to a channel.
#[derive(ToSchema)]
#[schema(example = json!({"to": "bob1", "text": "hello"}))]
pub struct SendParams<'a> {
    /// Whom it is for: identity, identity/device or identity/device/route.
    pub to: Name<'a>,
    /// The channel that the message belongs to, if any.
    #[schema(nullable = false)]
    pub id: Option<Name<'a>>,
    /// Everything the sender wrote, `to` and `id` included.
    #[schema(ignore)]
    pub fields: Fields<'a>,
}

/// `signal.join {id, presence?}`
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "room", "presence": true}))]
pub struct JoinParams<'a> {
    /// The channel.
    #[serde(borrow)]
    pub id: Name<'a>,
    /// Whether to be announced to, and to hear of, the other members; absent means no.
    #[serde(default)]
    pub presence: bool,
}

/// `signal.leave {id}`
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "room"}))]
pub struct LeaveParams<'a> {
    /// The channel.
    #[serde(borrow)]
    pub id: Name<'a>,
}

/// `signal.publish {id, …}`
#[derive(ToSchema)]
#[schema(example = json!({"id": "room", "text": "hello"}))]
pub struct PublishParams<'a> {
    /// The channel.
    pub id: Name<'a>,
    /// Everything the sender wrote, `id` included.
    #[schema(ignore)]
    pub fields: Fields<'a>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivered {
    /// How many connections it was queued for.
    // Servers before acknowledgements carried counts answer `{}`.
    #[serde(default)]
    #[schema(required = true)]
    pub delivered: u64,
}

/// A membership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// `false` if presence was asked for and the channel has as many members with presence as it
    /// may: the connection is a member without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub presence: Option<bool>,
}

/// `signal.send {to, …, from}`
#[derive(ToSchema)]
pub struct Sent<'a> {
    /// Whom it is for, as the sender wrote it.
    pub to: Cow<'a, str>,
    /// Whose it is: identity/device/route, stamped by the server.
    pub from: Cow<'a, str>,
    /// The channel that the message belongs to, if any.
    #[schema(nullable = false)]
    pub id: Option<Cow<'a, str>>,
    /// Everything that came, these members included.
    #[schema(ignore)]
    pub fields: Fields<'a>,
}

/// `signal.publish {id, …, from}`
#[derive(ToSchema)]
pub struct Published<'a> {
    /// The channel.
    pub id: Cow<'a, str>,
    /// Whose it is: identity/device/route, stamped by the server.
    pub from: Cow<'a, str>,
    /// Everything that came, these members included.
    #[schema(ignore)]
    pub fields: Fields<'a>,
}

/// `signal.join`, `signal.join_back` and `signal.leave {id, from}`
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Announced<'a> {
    /// The channel.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The member: identity/device/route.
    #[serde(borrow)]
    pub from: Cow<'a, str>,
}

impl<'a> SendParams<'a> {
    /// A message of these members, for `to`, and in a channel if `id` names one.
    pub fn new(to: Name<'a>, id: Option<Name<'a>>, fields: Fields<'a>) -> Self {
        Self { to, id, fields }
    }

    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, CallError> {
        let to = fields.name("to")?.ok_or(CallError::Missing("to"))?;
        let id = fields.name("id")?;
        if id.is_none() {
            fields.remove("id");
        }
        Ok(Self { to, id, fields })
    }

    /// The push that the receivers get.
    pub fn push(&self, from: &str) -> Bytes {
        push::relay(&SENT, &["to", "id"], &self.fields, from)
    }
}

impl<'a> PublishParams<'a> {
    /// A message of these members, in the channel `id`.
    pub fn new(id: Name<'a>, fields: Fields<'a>) -> Self {
        Self { id, fields }
    }

    pub(crate) fn read(fields: Fields<'a>) -> Result<Self, CallError> {
        let id = fields.name("id")?.ok_or(CallError::Missing("id"))?;
        Ok(Self { id, fields })
    }

    /// The push that the other subscribers get.
    pub fn push(&self, from: &str) -> Bytes {
        push::relay(&PUBLISHED, &["id"], &self.fields, from)
    }
}

impl Delivered {
    /// To so many connections.
    pub fn to(connections: usize) -> Self {
        Self {
            delivered: u64::try_from(connections).unwrap_or(u64::MAX),
        }
    }
}

impl Joined {
    /// A membership; `false` is one without the presence that was asked for.
    pub fn new(has_presence: bool) -> Self {
        Self {
            presence: (!has_presence).then_some(false),
        }
    }
}

impl<'a> Sent<'a> {
    pub(crate) fn read(fields: Fields<'a>) -> Result<Self, CallError> {
        Ok(Self {
            to: fields.text("to")?.ok_or(CallError::Missing("to"))?,
            from: fields.text("from")?.ok_or(CallError::Missing("from"))?,
            id: fields.text("id")?,
            fields,
        })
    }
}

impl<'a> Published<'a> {
    pub(crate) fn read(fields: Fields<'a>) -> Result<Self, CallError> {
        Ok(Self {
            id: fields.text("id")?.ok_or(CallError::Missing("id"))?,
            from: fields.text("from")?.ok_or(CallError::Missing("from"))?,
            fields,
        })
    }
}

/// `signal.join {id, from}`: tells the members of a newcomer.
pub fn joined(channel: &ChannelName, from: &Address) -> Bytes {
    push::typed(&JOINED, &Announced::new(channel, from))
}

/// `signal.join_back {id, from}`: tells a newcomer of a member.
pub fn join_back(channel: &ChannelName, from: &Address) -> Bytes {
    push::typed(&JOIN_BACK, &Announced::new(channel, from))
}

/// `signal.leave {id, from}`: tells the members that one has gone.
pub fn left(channel: &ChannelName, from: &Address) -> Bytes {
    push::typed(&LEFT, &Announced::new(channel, from))
}

/// `signal.send {to, …, from}` as an app's own server says it. `message` has neither `to` nor `id`.
pub fn sent_by_server(to: &str, message: &Fields<'_>, from: &str) -> Bytes {
    push::compose(&SENT, ("to", to), message, from)
}

/// `signal.publish {id, …, from}` as an app's own server says it. `message` has neither `to` nor
/// `id`.
pub fn published_by_server(channel: &ChannelName, message: &Fields<'_>, from: &str) -> Bytes {
    push::compose(&PUBLISHED, ("id", channel.as_str()), message, from)
}

impl<'a> Announced<'a> {
    fn new(channel: &'a ChannelName, from: &'a Address) -> Self {
        Self {
            id: channel.as_str().into(),
            from: from.as_str().into(),
        }
    }
}

// As a client says it: what the server reads as `fields` has these members already.
impl Serialize for SendParams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("to", &self.to)?;
        if let Some(id) = &self.id {
            members.serialize_entry("id", id)?;
        }
        let others = self.fields.iter();
        for (name, value) in others.filter(|(name, _)| !matches!(*name, "to" | "id")) {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

impl Serialize for PublishParams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("id", &self.id)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != "id") {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use hexline_model::{Route, SeededEntropy, Subject};

    use super::*;
    use crate::{Incoming, Item, frame};

    fn address() -> Address {
        let subject = Subject::parse(r#"bo"b/web1"#).expect("well formed");
        Address::new(&subject, Route::generate(&SeededEntropy::new(7)))
    }

    fn push(method: &str, params: &str) -> String {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
        let Incoming::Single(Item::Call(raw)) = frame::parse(&text, 64) else {
            return "unreadable".to_owned();
        };
        let bytes = match crate::Call::parse(&raw) {
            Ok(crate::Call::Signal(Call::Send(send))) => send.push(address().as_str()),
            Ok(crate::Call::Signal(Call::Publish(publish))) => publish.push(address().as_str()),
            Ok(crate::Call::Signal(Call::Join(join))) => {
                return format!("join {} presence {}", join.id, join.presence);
            }
            Ok(crate::Call::Signal(Call::Leave(leave))) => return format!("leave {}", leave.id),
            Ok(crate::Call::Session(_)) => return "another service's".to_owned(),
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
