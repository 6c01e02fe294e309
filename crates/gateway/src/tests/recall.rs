//! Joins that are told of the past, which has to be fetched first.

use std::sync::Mutex;

use hexline_fanout::{
    Fanout, Fetch, History, HistoryRules, Position, Presence, Recall, Recalled, Replay,
};
use hexline_model::ChannelName;
use hexline_protocol::Reply;
use hexline_services::signal::Announcements;
use hexline_services::{Join, Outcome};
use tokio::sync::oneshot;

use super::slow::{answer, call, heard, join, publish};
use super::*;

/// What the channel `h.x` remembers, and a test hands over.
#[derive(Clone, Default)]
pub(super) struct SlowHistory {
    messages: Arc<Mutex<Vec<Bytes>>>,
    fetch: Arc<Mutex<Option<oneshot::Sender<Replay>>>>,
}

impl SlowHistory {
    pub(super) fn fanout(&self) -> Arc<Fanout> {
        Arc::new(Fanout::new(Arc::new(Announcements)).recording(Arc::new(self.clone())))
    }

    /// Hands over what was asked for.
    fn arrive(&self, replay: Replay) {
        let fetch = self.fetch.lock().expect("no panic here").take();
        assert!(fetch.expect("it was asked for").send(replay).is_ok());
    }

    fn at(&self, ahead: usize) -> Position {
        let offset = self.messages.lock().expect("no panic here").len() + ahead;
        let offset = offset.try_into().expect("few");
        Position { epoch: 1, offset }
    }
}

impl HistoryRules for SlowHistory {
    fn open(&self, _app: AppId, channel: &ChannelName) -> Option<Box<dyn History>> {
        (channel.as_str() == "h.x").then(|| Box::new(self.clone()) as _)
    }
}

impl History for SlowHistory {
    fn position(&self) -> Position {
        self.at(0)
    }

    fn next(&self) -> Position {
        self.at(1)
    }

    fn record(&mut self, _position: Position, message: &Bytes) {
        let mut messages = self.messages.lock().expect("no panic here");
        messages.push(message.clone());
    }

    fn recall(&mut self, _recall: Recall) -> Recalled {
        let (sender, replay) = oneshot::channel();
        *self.fetch.lock().expect("no panic here") = Some(sender);
        let fetch: Fetch = Box::pin(async { replay.await.unwrap_or(Replay::NotRecovered) });
        Recalled::Later(fetch)
    }

    fn is_empty(&self) -> bool {
        self.messages.lock().expect("no panic here").is_empty()
    }
}

/// Joins `h.x`, wants all that it has, and is answered with the numbers of the messages.
pub(super) fn recalling() -> Outcome<Reply> {
    Outcome::Join(Join {
        channel: ChannelName::parse("h.x").expect("a name"),
        presence: Presence::Visible { at_most: 9 },
        recall: Some(Recall::Last(1000)),
        reply: |_, joined| match joined.replay {
            Replay::Messages(messages) => {
                Reply::of(&messages.iter().map(number).collect::<Vec<_>>())
            }
            Replay::None | Replay::NotRecovered => Reply::of(&false),
        },
    })
}

/// The `n` of a message.
fn number(message: &Bytes) -> usize {
    let text = String::from_utf8(message.to_vec()).expect("UTF-8");
    let (_, rest) = text.split_once(r#""n":"#).expect("it has a number");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.expect("digits").parse().expect("a number")
}

/// What was published and heard, in order.
fn numbers(messages: &[String]) -> Vec<usize> {
    let bytes = |text: &String| Bytes::from(text.clone());
    messages.iter().map(|text| number(&bytes(text))).collect()
}

#[tokio::test]
async fn a_join_whose_replay_arrives_late_hears_everything_in_order() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    rig.say(&mut bob, &join(1, "h.x"));
    let publish_all = |bob: &mut ClientSession, from, to| {
        for n in from..to {
            rig.say(bob, &publish("h.x", n));
        }
    };
    publish_all(&mut bob, 0, 10);
    let replay = Replay::Messages(rig.history.messages.lock().expect("no panic here").clone());
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "recall.all"));
    rig.say(&mut alice, &call(2, "quick.a"));
    publish_all(&mut bob, 10, 110);
    rig.say(&mut alice, "_ping");
    assert_eq!(heard(&alice), ["_pong"], "the replay is not here");
    rig.history.arrive(replay);
    rig.go_on(&mut alice);
    let (said, close) = outgoing(&alice);
    let replayed = r#"{"jsonrpc":"2.0","id":1,"result":[0,1,2,3,4,5,6,7,8,9]}"#;
    assert_eq!(said[0], replayed);
    assert!(said[1].contains("signal.join_back"));
    assert_eq!(numbers(&said[2..102]), (10..110).collect::<Vec<_>>());
    assert_eq!(said[102..], [answer(2, "a")]);
    assert_eq!(close, None);
    publish_all(&mut bob, 110, 111);
    assert_eq!(numbers(&outgoing(&alice).0), [110]);
}

#[tokio::test]
async fn a_fetch_that_never_comes_blocks_no_call_once_too_much_has_waited() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "recall.all"));
    rig.say(&mut alice, &call(2, "quick.a"));
    for n in 0..=1000 {
        rig.say(&mut bob, &publish("h.x", n));
    }
    rig.go_on(&mut alice);
    let (said, close) = outgoing(&alice);
    assert_eq!(said[0], NOT_RECOVERED);
    assert_eq!(numbers(&said[1..1002]), (0..=1000).collect::<Vec<_>>());
    assert_eq!(said[1002..], [answer(2, "a")]);
    assert_eq!(close, None);
}

#[tokio::test]
async fn a_fetch_that_never_comes_is_given_up_at_its_deadline() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "recall.all"));
    rig.say(&mut alice, &call(2, "quick.a"));
    rig.clock.advance(Duration::from_millis(9999));
    rig.go_on(&mut alice);
    assert!(heard(&alice).is_empty());
    rig.clock.advance(Duration::from_millis(1));
    rig.go_on(&mut alice);
    assert_eq!(heard(&alice), [NOT_RECOVERED, &answer(2, "a")]);
}

#[tokio::test]
async fn a_batch_waits_for_a_replay_as_for_any_call() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    rig.say(&mut bob, &join(1, "h.x"));
    let mut alice = rig.session("alice/d", None);
    let calls = [call(1, "recall.all"), call(2, "quick.a")];
    rig.say(&mut alice, &format!("[{}]", calls.join(",")));
    for n in 0..100 {
        rig.say(&mut bob, &publish("h.x", n));
    }
    rig.history.arrive(Replay::Messages(Vec::new()));
    rig.go_on(&mut alice);
    let (said, _) = outgoing(&alice);
    let replayed = r#"{"jsonrpc":"2.0","id":1,"result":[]}"#;
    assert_eq!(said[0], format!("[{replayed},{}]", answer(2, "a")));
    assert!(said[1].contains("signal.join_back"));
    assert_eq!(numbers(&said[2..]), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_replay_that_is_cut_off_is_answered_once() {
    for is_batch in [false, true] {
        let rig = Rig::new(|_| ()).await;
        let mut alice = rig.session("alice/d", None);
        let frame = call(1, "recall.all");
        let wrap = |text: &str| {
            if is_batch {
                format!("[{text}]")
            } else {
                text.to_owned()
            }
        };
        rig.say(&mut alice, &wrap(&frame));
        rig.tasks.abort();
        rig.go_on(&mut alice);
        assert_eq!(heard(&alice), [wrap(NOT_RECOVERED)]);
    }
}

/// What [`recalling`] is answered if nothing comes of it.
const NOT_RECOVERED: &str = r#"{"jsonrpc":"2.0","id":1,"result":false}"#;
