//! What every broker promises, as tests. `conformance!(name, |nodes| members)` runs them all on so
//! many nodes, which answer with [`Echo`] and hold [`SMALL`] inboxes.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hexline_bus::{
    Broker, BrokerError, InboxLimits, REQUEST_BYTES, Responder, Sink, Subscription, Topic,
};
use hexline_model::{AppId, ChannelName, NodeId, SeededEntropy, SystemEntropy};

/// Runs every case on the nodes that the closure makes.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;

            conformance!(@cases $make;
                a_message_reaches_every_other_node_that_wants_it,
                what_a_node_publishes_arrives_in_order_across_topics,
                a_dropped_subscription_is_silent,
                a_request_is_answered_by_whom_it_asks,
                a_request_without_an_answer_ends_in_time,
                a_slow_answer_holds_up_no_message,
                too_large_a_question_or_answer_is_refused,
                what_finds_no_room_is_counted_in_its_place,
                a_sink_that_panics_stops_no_other,
            );
        }
    };
    (@cases $make:expr; $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let make: fn(usize) -> Vec<Member> = $make;
                super::conformance::$case(&make(3)).await;
            }
        )*
    };
}

/// A node of the cluster under test.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) broker: Arc<dyn Broker>,
}

/// Says the question back, with the asking node; `never` is not answered, `large` too large.
pub(crate) struct Echo;

/// Bounds that a test can reach.
pub(crate) const SMALL: InboxLimits = InboxLimits {
    messages: 2000,
    bytes: 1024 * 1024,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[async_trait]
impl Responder for Echo {
    async fn answer(&self, from: NodeId, question: Bytes) -> Bytes {
        match question.as_ref() {
            b"never" => std::future::pending().await,
            b"large" => vec![b'x'; REQUEST_BYTES + 1].into(),
            _ => format!("{from} {}", String::from_utf8_lossy(&question)).into(),
        }
    }
}

#[derive(Default)]
struct TestSink {
    heard: Mutex<Vec<Heard>>,
    /// While it is taken deliveries wait.
    gate: Mutex<()>,
    changed: Condvar,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Message(NodeId, String),
    Lost(NodeId, u64),
}

impl TestSink {
    fn note(&self, heard: Heard) {
        drop(self.gate.lock().expect("no panic here"));
        self.heard.lock().expect("no panic here").push(heard);
        self.changed.notify_all();
    }

    /// Waits until the last message that it heard is this one; gives back all of it.
    fn until(&self, last: &str) -> Vec<Heard> {
        let is_last = |heard: &Heard| matches!(heard, Heard::Message(_, text) if text == last);
        let heard = self.heard.lock().expect("no panic here");
        let waiting = |heard: &mut Vec<Heard>| !heard.last().is_some_and(is_last);
        let waited = self.changed.wait_timeout_while(heard, PATIENCE, waiting);
        let (mut heard, result) = waited.expect("no panic here");
        assert!(!result.timed_out(), "{last} has not come, but {:?}", *heard);
        std::mem::take(&mut *heard)
    }
}

impl Sink for TestSink {
    fn deliver(&self, from: NodeId, message: &Bytes) {
        let text = String::from_utf8(message.to_vec()).expect("UTF-8");
        self.note(Heard::Message(from, text));
    }

    fn lost(&self, from: NodeId, count: u64) {
        self.note(Heard::Lost(from, count));
    }
}

fn topic(name: &str) -> Topic {
    let app = AppId::generate(&SeededEntropy::new(1));
    Topic::channel(app, &ChannelName::parse(name).expect("a name"))
}

fn say(member: &Member, name: &str, text: &str) {
    let message = Bytes::copy_from_slice(text.as_bytes());
    member.broker.publish(topic(name), message);
}

/// Subscribes, and waits until the other nodes know: implementations may take a moment.
async fn listen(member: &Member, others: &[&Member], name: &str) -> (Arc<TestSink>, Subscription) {
    let sink = Arc::new(TestSink::default());
    let subscription = member.broker.subscribe(topic(name), Arc::clone(&sink) as _);
    for other in others {
        let probe = Heard::Message(other.id, "probe".to_owned());
        while !sink.heard.lock().expect("no panic here").contains(&probe) {
            say(other, name, "probe");
            a_little_later().await;
        }
        say(other, name, "probed");
        tokio::task::block_in_place(|| sink.until("probed"));
    }
    (sink, subscription)
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at what another process tells"
)]
async fn a_little_later() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

fn until(sink: &TestSink, last: &str) -> Vec<Heard> {
    tokio::task::block_in_place(|| sink.until(last))
}

fn texts(heard: &[Heard]) -> Vec<String> {
    let text = |heard: &Heard| match heard {
        Heard::Message(_, text) => text.clone(),
        Heard::Lost(_, count) => format!("lost {count}"),
    };
    heard.iter().map(text).collect()
}

pub(crate) async fn a_message_reaches_every_other_node_that_wants_it(nodes: &[Member]) {
    let [a, b, c] = nodes else { panic!("3 nodes") };
    let (at_a, _at_a) = listen(a, &[b, c], "x").await;
    let (at_b, _at_b) = listen(b, &[a, c], "x").await;
    let (at_b_again, _at_b_again) = listen(b, &[a, c], "x").await;
    let (at_c, _at_c) = listen(c, &[a, b], "y").await;
    for sink in [&at_a, &at_b, &at_b_again, &at_c] {
        sink.heard.lock().expect("no panic here").clear();
    }
    say(a, "x", "1");
    say(c, "x", "2");
    say(b, "y", "3");
    say(c, "x", "end");
    let message = |from: &Member, text: &str| Heard::Message(from.id, text.to_owned());
    let expected = [message(c, "2"), message(c, "end")];
    assert_eq!(until(&at_a, "end"), expected, "nothing of its own");
    for sink in [at_b, at_b_again] {
        let mut heard = until(&sink, "end");
        heard.retain(|heard| *heard != message(a, "1"));
        assert_eq!(heard, expected, "each once");
    }
    assert_eq!(until(&at_c, "3"), [message(b, "3")], "topics don't mix");
}

pub(crate) async fn what_a_node_publishes_arrives_in_order_across_topics(nodes: &[Member]) {
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let sink = Arc::new(TestSink::default());
    let names = ["x", "y", "z"];
    let mut ready = Vec::new();
    for name in names {
        ready.push(listen(a, &[b], name).await);
    }
    let all = names.map(|name| a.broker.subscribe(topic(name), Arc::clone(&sink) as _));
    for n in 0..1000 {
        say(b, names[n % 3], &n.to_string());
    }
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(texts(&until(&sink, "999")), expected);
    drop(all);
}

pub(crate) async fn a_dropped_subscription_is_silent(nodes: &[Member]) {
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let (gone, subscription) = listen(a, &[b], "x").await;
    let (stays, _stays) = listen(a, &[b], "x").await;
    until_quiet(&gone, &stays, b);
    for n in 0..100 {
        say(b, "x", &n.to_string());
    }
    drop(subscription);
    // What had begun may end; what is published from here on begins after the drop.
    say(b, "x", "after");
    until(&stays, "after");
    let heard = texts(&gone.heard.lock().expect("no panic here"));
    assert!(!heard.contains(&"after".to_owned()), "{heard:?}");
    let silent = heard.len();
    say(b, "x", "later");
    until(&stays, "later");
    assert_eq!(gone.heard.lock().expect("no panic here").len(), silent);
}

/// Lets what is under way to both arrive, and forgets it.
fn until_quiet(one: &TestSink, other: &TestSink, from: &Member) {
    say(from, "x", "quiet");
    until(one, "quiet");
    until(other, "quiet");
}

pub(crate) async fn a_request_is_answered_by_whom_it_asks(nodes: &[Member]) {
    let asking = &nodes[0];
    for asked in nodes {
        let question = Bytes::from_static(b"who?");
        let answer = asking.broker.request(asked.id, question, PATIENCE).await;
        assert_eq!(answer, Ok(Bytes::from(format!("{} who?", asking.id))));
    }
}

pub(crate) async fn a_request_without_an_answer_ends_in_time(nodes: &[Member]) {
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let timeout = Duration::from_millis(50);
    let never = || Bytes::from_static(b"never");
    let answer = a.broker.request(b.id, never(), timeout).await;
    assert_eq!(
        answer,
        Err(BrokerError::TimedOut {
            node: b.id,
            timeout
        })
    );
    let nobody = NodeId::generate(&SystemEntropy);
    let answer = a.broker.request(nobody, never(), timeout).await;
    assert_eq!(answer, Err(BrokerError::Unreachable(nobody)));
}

pub(crate) async fn a_slow_answer_holds_up_no_message(nodes: &[Member]) {
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let (at_b, _at_b) = listen(b, &[a], "x").await;
    let never = Bytes::from_static(b"never");
    let asked = {
        let (broker, id) = (Arc::clone(&a.broker), b.id);
        tokio::spawn(async move { broker.request(id, never, PATIENCE).await })
    };
    say(a, "x", "meanwhile");
    until(&at_b, "meanwhile");
    let question = Bytes::from_static(b"and?");
    assert!(a.broker.request(b.id, question, PATIENCE).await.is_ok());
    assert!(!asked.is_finished());
    asked.abort();
}

pub(crate) async fn too_large_a_question_or_answer_is_refused(nodes: &[Member]) {
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let found = REQUEST_BYTES + 1;
    for question in [vec![b'x'; found].into(), Bytes::from_static(b"large")] {
        let answer = a.broker.request(b.id, question, PATIENCE).await;
        assert_eq!(answer, Err(BrokerError::TooLarge { found }));
    }
}

pub(crate) async fn what_finds_no_room_is_counted_in_its_place(nodes: &[Member]) {
    const SENT: usize = 10_000;
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let (at_b, _at_b) = listen(b, &[a], "x").await;
    tokio::task::block_in_place(|| {
        let closed = at_b.gate.lock().expect("no panic here");
        for n in 0..SENT {
            say(a, "x", &n.to_string());
        }
        drop(closed);
    });
    // Once there is room again, messages come through again.
    let mut heard = Vec::new();
    for _ in 0..1000 {
        say(a, "x", "end");
        a_little_later().await;
        heard.append(&mut at_b.heard.lock().expect("no panic here"));
        if texts(&heard).contains(&"end".to_owned()) {
            break;
        }
    }
    let heard: Vec<String> = texts(&heard).into_iter().filter(|h| h != "end").collect();
    let (mut next, mut lost) = (0, 0);
    for what in heard {
        if let Some(count) = what.strip_prefix("lost ") {
            let count: usize = count.parse().expect("a number");
            (next, lost) = (next + count, lost + count);
        } else {
            assert_eq!(what, next.to_string(), "in order, and no hole untold");
            next += 1;
        }
    }
    assert!(
        lost > 0 && next >= SENT,
        "{lost} lost, {next} accounted for"
    );
}

pub(crate) async fn a_sink_that_panics_stops_no_other(nodes: &[Member]) {
    struct Panicking;
    impl Sink for Panicking {
        fn deliver(&self, _from: NodeId, _message: &Bytes) {
            panic!("as a test wants it");
        }

        fn lost(&self, _from: NodeId, _count: u64) {}
    }
    let [a, b, _] = nodes else { panic!("3 nodes") };
    let _before = b.broker.subscribe(topic("x"), Arc::new(Panicking));
    let (at_b, _at_b) = listen(b, &[a], "x").await;
    let _after = b.broker.subscribe(topic("x"), Arc::new(Panicking));
    for n in 0..100 {
        say(a, "x", &n.to_string());
    }
    let mut heard = texts(&until(&at_b, "99"));
    heard.retain(|text| !text.starts_with("probe"));
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(heard, expected);
}
