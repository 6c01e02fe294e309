use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hexline_fanout::{Fanout, Link, Receiver};
use hexline_model::{Address, AppId, ChannelName, Destination, Route, SeededEntropy, Subject};
use hexline_protocol::ErrorCode;
use hexline_token::{Grants, Permissions};

use super::{Announcements, Outlet, SignalError, SignalService};
use crate::Caller;
use crate::failure::Failure as _;

struct TestReceiver {
    address: Address,
    heard: Mutex<Vec<Bytes>>,
}

impl Receiver for TestReceiver {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        self.heard
            .lock()
            .expect("no test thread panics here")
            .push(message.clone());
        true
    }
}

struct End {
    receiver: Arc<TestReceiver>,
    caller: Caller,
    link: Link,
}

fn fanout() -> Fanout {
    Fanout::new(Arc::new(Announcements))
}

fn end(fanout: &Fanout, subject: &str, grants: &str, ceiling: Option<&str>) -> End {
    let parse = |text| Grants::parse(text).expect("well-formed grants");
    let entropy = SeededEntropy::new(subject.len() as u64);
    let app = AppId::generate(&SeededEntropy::new(1));
    let subject = Subject::parse(subject).expect("well formed");
    let permissions = Permissions::new(parse(grants), ceiling.map(|c| Arc::new(parse(c))));
    let route = Route::generate(&entropy);
    let caller = Caller::connected(app, &subject, route, Arc::new(permissions));
    let receiver = Arc::new(TestReceiver {
        address: caller.address().expect("it is connected").clone(),
        heard: Mutex::default(),
    });
    End {
        caller,
        link: fanout.attach(app, Arc::clone(&receiver) as _),
        receiver,
    }
}

impl End {
    fn join(&mut self, service: &SignalService, name: &str) -> Result<bool, SignalError> {
        self.join_as(service, name, false)
    }

    fn join_as(
        &mut self,
        service: &SignalService,
        name: &str,
        presence: bool,
    ) -> Result<bool, SignalError> {
        let channel = ChannelName::parse(name).expect("a name");
        let presence = service.join(&self.caller, &self.link, &channel, presence)?;
        Ok(self.link.join(&channel, presence, |_| None))
    }

    fn publish(&mut self, service: &SignalService, name: &str) -> Result<usize, SignalError> {
        let channel = ChannelName::parse(name).expect("a name");
        let message = |_| Bytes::from_static(b"m");
        let outlet = Outlet::Connection(&mut self.link);
        let published = service.publish(&self.caller, outlet, &channel, message)?;
        Ok(published.delivered)
    }

    fn send(&mut self, service: &SignalService, to: &str) -> Result<usize, SignalError> {
        let to = Destination::parse(to).expect("an address");
        let outlet = Outlet::Connection(&mut self.link);
        service.send(&self.caller, outlet, &to, || Bytes::from_static(b"m"))
    }

    fn send_in(
        &mut self,
        service: &SignalService,
        name: &str,
        to: &str,
    ) -> Result<usize, SignalError> {
        let channel = ChannelName::parse(name).expect("a name");
        let to = Destination::parse(to).expect("an address");
        let message = || Bytes::from_static(b"m");
        let outlet = Outlet::Connection(&mut self.link);
        service.send_in(&self.caller, outlet, &channel, &to, message)
    }
}

fn code<T>(result: Result<T, SignalError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

#[test]
fn without_the_signal_grant_nothing_of_signal_works() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut chat = end(&fanout, "a/d", r#"{"chat":true}"#, None);
    let missing = Some(ErrorCode::GrantMissing);
    assert_eq!(code(chat.send(&service, "b")), missing);
    assert_eq!(code(chat.join(&service, "room")), missing);
    assert_eq!(code(chat.publish(&service, "room")), missing);
    assert_eq!(code(chat.send_in(&service, "room", "b")), missing);
}

#[test]
fn channel_patterns_bound_what_is_joined_and_published_to() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut news = end(
        &fanout,
        "a/d",
        r#"{"signal":{"channels":["news.*"]}}"#,
        None,
    );
    assert_eq!(code(news.join(&service, "news.sport")), None);
    assert_eq!(
        code(news.join(&service, "gossip")),
        Some(ErrorCode::GrantMissing)
    );
    assert_eq!(
        code(news.publish(&service, "gossip")),
        Some(ErrorCode::GrantMissing)
    );
    assert_eq!(code(news.send(&service, "anybody")), None);
}

#[test]
fn a_mute_token_may_listen_and_write_to_people_but_not_to_channels() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut mute = end(&fanout, "a/d", r#"{"signal":{"publish":false}}"#, None);
    assert_eq!(code(mute.join(&service, "room")), None);
    assert_eq!(
        code(mute.publish(&service, "room")),
        Some(ErrorCode::GrantMissing)
    );
    assert_eq!(
        code(mute.send_in(&service, "room", "b")),
        Some(ErrorCode::GrantMissing)
    );
    assert_eq!(code(mute.send(&service, "b")), None);
}

#[test]
fn a_key_ceiling_cuts_what_the_token_grants() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let ceiling = Some(r#"{"signal":{"channels":["b.*"]}}"#);
    let mut both = end(
        &fanout,
        "a/d",
        r#"{"signal":{"channels":["a.*","b.*"]}}"#,
        ceiling,
    );
    assert_eq!(code(both.join(&service, "b.1")), None);
    assert_eq!(
        code(both.join(&service, "a.1")),
        Some(ErrorCode::GrantMissing)
    );
}

#[test]
fn reserved_and_member_channels_are_closed() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut all = end(
        &fanout,
        "a/d",
        r#"{"signal":true,"chat":true,"video":true}"#,
        None,
    );
    let session = format!("s.p{}", "0".repeat(32));
    for name in ["_x", "_c.1", &session] {
        assert_eq!(
            code(all.join(&service, name)),
            Some(ErrorCode::Forbidden),
            "{name}"
        );
        assert_eq!(
            code(all.publish(&service, name)),
            Some(ErrorCode::Forbidden),
            "{name}"
        );
        assert_eq!(
            code(all.send_in(&service, name, "b")),
            Some(ErrorCode::Forbidden),
            "{name}"
        );
    }
    let mut signal = end(&fanout, "b/d", r#"{"signal":true}"#, None);
    assert_eq!(
        code(signal.join(&service, "_c.1")),
        Some(ErrorCode::GrantMissing)
    );
}

/// An app's server, whose token has these parts of the platform API.
fn server(app: AppId, areas: &str) -> Caller {
    let grants = Grants::parse(&format!(r#"{{"platform":{areas}}}"#)).expect("grants");
    Caller::server(app, Arc::new(Permissions::new(grants, None)))
}

#[test]
fn a_server_publishes_on_open_channels_and_sends_to_users_as_its_token_allows() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut listener = end(&fanout, "b/d", r#"{"signal":true}"#, None);
    assert_eq!(code(listener.join(&service, "room")), None);
    let app = listener.caller.app;
    let all = server(app, "true");
    let (channels, users) = (
        server(app, r#"{"channels":true}"#),
        server(app, r#"{"users":true}"#),
    );
    let message = || Bytes::from_static(b"m");
    let publish = |caller: &Caller, name: &str| {
        let channel = ChannelName::parse(name).expect("a name");
        let published = service.publish(caller, Outlet::Node(&fanout), &channel, |_| message())?;
        Ok(published.delivered)
    };
    let send = |caller: &Caller| {
        let to = Destination::parse("b").expect("an address");
        service.send(caller, Outlet::Node(&fanout), &to, message)
    };
    assert_eq!(publish(&all, "room").ok(), Some(1));
    assert_eq!(publish(&channels, "room").ok(), Some(1));
    assert_eq!(code(publish(&users, "room")), Some(ErrorCode::GrantMissing));
    assert_eq!(send(&all).ok(), Some(1));
    assert_eq!(send(&users).ok(), Some(1));
    assert_eq!(code(send(&channels)), Some(ErrorCode::GrantMissing));
    let session = format!("s.p{}", "0".repeat(32));
    for name in ["_x", "_c.1", &session] {
        assert_eq!(
            code(publish(&all, name)),
            Some(ErrorCode::Forbidden),
            "{name}"
        );
    }
}

#[test]
fn a_caller_without_a_connection_reaches_members_of_a_channel() {
    let (fanout, service) = (fanout(), SignalService::new(8));
    let mut member = end(&fanout, "b/d", r#"{"signal":true}"#, None);
    assert_eq!(code(member.join(&service, "room")), None);
    let _elsewhere = end(&fanout, "b/other", r#"{"signal":true}"#, None);
    let caller = &member.caller;
    let subject = Subject::parse("b/d").expect("well formed");
    let http = Caller::over_http(caller.app, subject, Arc::clone(&caller.permissions));
    let (to, channel) = (Destination::parse("b"), ChannelName::parse("room"));
    let (to, channel) = (to.expect("an address"), channel.expect("a name"));
    let message = || Bytes::from_static(b"m");
    let sent = service.send(&http, Outlet::Node(&fanout), &to, message);
    assert_eq!(sent.ok(), Some(2));
    let sent = service.send_in(&http, Outlet::Node(&fanout), &channel, &to, message);
    assert_eq!(sent.ok(), Some(1), "only the member");
    let told = member.receiver.heard.lock().expect("no panic here").len();
    assert_eq!(told, 2, "its own device, too, for it has another way here");
}

#[test]
fn one_connection_joins_so_many_channels_and_no_more() {
    let (fanout, service) = (fanout(), SignalService::new(2));
    let mut one = end(&fanout, "a/d", r#"{"signal":true}"#, None);
    assert_eq!(code(one.join(&service, "1")), None);
    assert_eq!(code(one.join(&service, "2")), None);
    assert_eq!(code(one.join(&service, "3")), Some(ErrorCode::TooLarge));
    assert_eq!(code(one.join(&service, "2")), None, "it is there already");
    assert!(one.link.leave(&ChannelName::parse("1").expect("a name")));
    assert_eq!(code(one.join(&service, "3")), None);
}

#[test]
fn a_channel_takes_so_many_presence_members_and_any_number_of_others() {
    let (fanout, service) = (fanout(), SignalService::new(8).presence_per_channel(1));
    let mut one = end(&fanout, "a/d", r#"{"signal":true}"#, None);
    let mut other = end(&fanout, "bb/d", r#"{"signal":true}"#, None);
    let joined = |joined: Result<bool, SignalError>| joined.expect("joined");
    assert!(joined(one.join_as(&service, "room", true)));
    assert!(!joined(other.join_as(&service, "room", true)));
    assert!(!joined(other.join_as(&service, "room", false)));
    assert!(!joined(other.join_as(&service, "room", true)));
    assert_eq!(code(other.publish(&service, "room")), None);
}
