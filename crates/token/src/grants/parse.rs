use serde::ser::SerializeMap as _;

use super::{
    ChatGrant, Grants, MediaKind, Pattern, PlatformArea, PlatformGrant, SignalGrant, VideoGrant,
};
use crate::error::quote;
use crate::json::{Flaw, Kind, Reader};

/// Why a value is no grants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct GrantsError {
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// What becomes of a service that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is passed over: a newer builder may grant it.
    Ignored,
    /// It refuses the whole: whoever wrote it is there to be told.
    Refused,
}

pub(super) fn grants(json: &str, others: Unknown) -> Result<Grants, GrantsError> {
    let mut reader = Reader::new(json);
    read(&mut reader, others)
        .and_then(|grants| reader.end().map(|()| grants))
        .map_err(|flaw| {
            let (found, expected) = match flaw {
                Flaw::Unexpected(kind) => {
                    (kind.name().to_owned(), "an object of services".to_owned())
                }
                flaw => flaw.describe(),
            };
            GrantsError { found, expected }
        })
}

fn read(reader: &mut Reader<'_>, others: Unknown) -> Result<Grants, Flaw> {
    let mut grants = Grants::default();
    reader.object(|reader, service| {
        match service {
            "signal" => grants.signal = narrowed(reader, service, ALL_SIGNAL, signal)?,
            "chat" => grants.chat = narrowed(reader, service, ALL_CHAT, chat)?,
            "push" => {
                let whole = narrowed(reader, service, (), |_, (), name| unknown("push", name))?;
                grants.push = whole.is_some();
            }
            "video" => grants.video = narrowed(reader, service, ALL_VIDEO, video)?,
            "platform" => grants.platform = platform(reader)?,
            _ if others == Unknown::Refused => {
                return Err(refused(
                    format!("the unknown service {}", quote(service)),
                    "signal, chat, push, video, platform",
                ));
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(grants)
}

/// `true`, `false`, or an object whose members narrow the whole.
fn narrowed<T>(
    reader: &mut Reader<'_>,
    service: &str,
    whole: T,
    member: impl Fn(&mut Reader<'_>, &mut T, &str) -> Result<(), Flaw>,
) -> Result<Option<T>, Flaw> {
    match reader.peek()? {
        Kind::Boolean => Ok(reader.boolean()?.then_some(whole)),
        Kind::Object => {
            let mut grant = whole;
            reader.object(|reader, name| member(reader, &mut grant, name))?;
            Ok(Some(grant))
        }
        kind => Err(refused(
            format!("{} for {service}", kind.name()),
            "a boolean or an object",
        )),
    }
}

fn signal(reader: &mut Reader<'_>, grant: &mut SignalGrant, name: &str) -> Result<(), Flaw> {
    match name {
        "channels" => {
            let pattern = |text: &str| Pattern::parse(text);
            grant.channels = Some(list(
                reader,
                "signal.channels",
                "names with * only last",
                pattern,
            )?);
        }
        "publish" => grant.publish = flag(reader, "signal.publish")?,
        _ => return unknown("signal", name),
    }
    Ok(())
}

fn chat(reader: &mut Reader<'_>, grant: &mut ChatGrant, name: &str) -> Result<(), Flaw> {
    match name {
        "conversations" => grant.conversations = Some(list(reader, "chat.conversations", IDS, id)?),
        "create" => grant.create = flag(reader, "chat.create")?,
        _ => return unknown("chat", name),
    }
    Ok(())
}

fn video(reader: &mut Reader<'_>, grant: &mut VideoGrant, name: &str) -> Result<(), Flaw> {
    match name {
        "sessions" => grant.sessions = Some(list(reader, "video.sessions", IDS, id)?),
        "publish" => {
            let kind = |text: &str| MediaKind::ALL.into_iter().find(|kind| kind.name() == text);
            let kinds = "audio, video, screen, data";
            grant.publish = Some(list(reader, "video.publish", kinds, kind)?);
        }
        _ => return unknown("video", name),
    }
    Ok(())
}

/// `true` for all of it, or an object that names the parts: here an absent part is not granted.
fn platform(reader: &mut Reader<'_>) -> Result<PlatformGrant, Flaw> {
    match reader.peek()? {
        Kind::Boolean if reader.boolean()? => Ok(PlatformGrant::ALL),
        Kind::Boolean => Ok(PlatformGrant::default()),
        Kind::Object => {
            let mut grant = PlatformGrant::default();
            reader.object(|reader, name| {
                let Some(area) = PlatformArea::ALL
                    .into_iter()
                    .find(|area| area.name() == name)
                else {
                    return unknown("platform", name);
                };
                if flag(reader, "a part of platform")? {
                    grant.add(area);
                }
                Ok(())
            })?;
            Ok(grant)
        }
        kind => Err(refused(
            format!("{} for platform", kind.name()),
            "a boolean or an object",
        )),
    }
}

fn flag(reader: &mut Reader<'_>, name: &str) -> Result<bool, Flaw> {
    match reader.peek()? {
        Kind::Boolean => reader.boolean(),
        kind => Err(refused(format!("{} for {name}", kind.name()), "a boolean")),
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    name: &str,
    expected: &str,
    element: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Flaw> {
    let kind = reader.peek()?;
    if kind != Kind::Array {
        return Err(refused(
            format!("{} for {name}", kind.name()),
            "an array of strings",
        ));
    }
    let mut elements = Vec::new();
    reader.array(|reader| {
        let kind = reader.peek()?;
        if kind != Kind::String {
            return Err(refused(format!("{} in {name}", kind.name()), "strings"));
        }
        let text = reader.string()?;
        let element =
            element(&text).ok_or_else(|| refused(format!("another text in {name}"), expected))?;
        elements.push(element);
        Ok(())
    })?;
    Ok(elements)
}

fn id(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn unknown(service: &str, name: &str) -> Result<(), Flaw> {
    Err(refused(
        format!("the unknown member {} in {service}", quote(name)),
        "known limits only",
    ))
}

fn refused(found: String, expected: &str) -> Flaw {
    Flaw::Refused {
        found,
        expected: expected.to_owned(),
    }
}

// Written so that reading gives the same grants again.
impl serde::Serialize for Grants {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(signal) = &self.signal {
            let channels = signal.channels.as_ref();
            let channels = channels.map(|all| all.iter().map(Pattern::as_str).collect::<Vec<_>>());
            map.serialize_entry(
                "signal",
                &Limits([
                    channels.map(|list| ("channels", Limit::Texts(list))),
                    (!signal.publish).then_some(("publish", Limit::No)),
                ]),
            )?;
        }
        if let Some(chat) = &self.chat {
            map.serialize_entry(
                "chat",
                &Limits([
                    chat.conversations
                        .as_ref()
                        .map(|list| ("conversations", texts(list))),
                    (!chat.create).then_some(("create", Limit::No)),
                ]),
            )?;
        }
        if self.push {
            map.serialize_entry("push", &true)?;
        }
        if let Some(video) = &self.video {
            let kinds = video.publish.as_ref();
            let kinds = kinds.map(|all| all.iter().map(|kind| kind.name()).collect());
            map.serialize_entry(
                "video",
                &Limits([
                    video
                        .sessions
                        .as_ref()
                        .map(|list| ("sessions", texts(list))),
                    kinds.map(|list| ("publish", Limit::Texts(list))),
                ]),
            )?;
        }
        if self.platform == PlatformGrant::ALL {
            map.serialize_entry("platform", &true)?;
        } else if self.platform != PlatformGrant::default() {
            map.serialize_entry("platform", &Areas(self.platform))?;
        }
        map.end()
    }
}

impl<'de> serde::Deserialize<'de> for Grants {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

/// `true` without limits, else an object of them.
struct Limits<'a>([Option<(&'static str, Limit<'a>)>; 2]);

enum Limit<'a> {
    Texts(Vec<&'a str>),
    No,
}

struct Areas(PlatformGrant);

impl serde::Serialize for Limits<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.iter().all(Option::is_none) {
            return serializer.serialize_bool(true);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, limit) in self.0.iter().flatten() {
            match limit {
                Limit::Texts(list) => map.serialize_entry(name, list)?,
                Limit::No => map.serialize_entry(name, &false)?,
            }
        }
        map.end()
    }
}

impl serde::Serialize for Areas {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let granted = PlatformArea::ALL
            .into_iter()
            .filter(|area| self.0.allows(*area));
        serializer.collect_map(granted.map(|area| (area.name(), true)))
    }
}

fn texts(list: &[String]) -> Limit<'_> {
    Limit::Texts(list.iter().map(String::as_str).collect())
}

const ALL_SIGNAL: SignalGrant = SignalGrant {
    channels: None,
    publish: true,
};
const ALL_CHAT: ChatGrant = ChatGrant {
    conversations: None,
    create: true,
};
const ALL_VIDEO: VideoGrant = VideoGrant {
    sessions: None,
    publish: None,
};
const IDS: &str = "ids that are not empty";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_services_are_read_strictly() {
        for bad in [
            "true",
            "[]",
            "null",
            r#"{"signal":null}"#,
            r#"{"signal":1}"#,
            r#"{"signal":"true"}"#,
            r#"{"signal":[]}"#,
            r#"{"signal":{"channel":["a"]}}"#,
            r#"{"signal":{"channels":"a"}}"#,
            r#"{"signal":{"channels":[1]}}"#,
            r#"{"signal":{"channels":["a*b"]}}"#,
            r#"{"signal":{"channels":["**"]}}"#,
            r#"{"signal":{"channels":[""]}}"#,
            r#"{"signal":{"publish":"no"}}"#,
            r#"{"signal":{"publish":null}}"#,
            r#"{"chat":{"conversations":["c1",null]}}"#,
            r#"{"chat":{"publish":false}}"#,
            r#"{"push":{"x":1}}"#,
            r#"{"push":0}"#,
            r#"{"video":{"publish":true}}"#,
            r#"{"video":{"publish":["smell"]}}"#,
            r#"{"platform":{"token":true}}"#,
            r#"{"platform":{"tokens":1}}"#,
            r#"{"platform":[]}"#,
        ] {
            assert!(Grants::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ceiling_is_read_as_it_is_meant_or_not_at_all() {
        assert_eq!(
            Grants::parse_ceiling(r#"{"signal":{"publish":false},"chat":true}"#),
            Grants::parse(r#"{"signal":{"publish":false},"chat":true}"#),
        );
        for (bad, named) in [
            (
                r#"{"signal":{"publish":false},"signal":true}"#,
                "\"signal\" twice",
            ),
            (r#"{"singal":true}"#, "\"singal\""),
            (r#"{"signal":{"channel":[]}}"#, "\"channel\""),
            ("true", "an object of services"),
        ] {
            let error = Grants::parse_ceiling(bad).expect_err(bad).to_string();
            assert!(error.contains(named), "{bad}: {error}");
        }
    }

    #[test]
    fn unknown_services_are_ignored_and_false_grants_nothing() {
        let grants = Grants::parse(r#"{"sms":{"x":[1]},"signal":false,"chat":true}"#);
        let grants = grants.expect("valid");
        assert!(!grants.has(hexline_model::Service::Signal));
        assert!(grants.chat().is_some());
        assert_eq!(Grants::parse("{}"), Ok(Grants::default()));
        let none = Grants::parse(r#"{"platform":{}}"#).expect("valid");
        assert_eq!(none, Grants::default());
    }

    #[test]
    fn grants_are_written_as_they_are_read() {
        for text in [
            "{}",
            r#"{"signal":true,"chat":true,"push":true,"video":true,"platform":true}"#,
            r#"{"signal":{"channels":["news.*"],"publish":false},"chat":{"conversations":["c1"],"create":false},"video":{"sessions":["s1"],"publish":["audio"]}}"#,
            r#"{"signal":{"channels":[]},"platform":{"tokens":true,"webhooks":true}}"#,
        ] {
            let grants = Grants::parse(text).expect("valid");
            assert_eq!(serde_json::to_string(&grants).expect("writes"), text);
            let again: Grants = serde_json::from_str(text).expect("reads");
            assert_eq!(again, grants);
        }
        let long = r#"{"push":{},"signal":{"publish":true},"x":1}"#;
        let grants = Grants::parse(long).expect("valid");
        assert_eq!(
            serde_json::to_string(&grants).expect("writes"),
            r#"{"signal":true,"push":true}"#
        );
        assert_eq!(
            Grants::parse(
                r#"{"signal":true,"chat":true,"push":true,"video":true,"platform":true}"#
            ),
            Ok(Grants::all())
        );
    }

    #[test]
    fn debug_output_names_no_channel() {
        let grants = Grants::parse(r#"{"signal":{"channels":["alice"]}}"#).expect("valid");
        assert!(!format!("{grants:?} {:?}", grants.signal()).contains("alice"));
    }
}
