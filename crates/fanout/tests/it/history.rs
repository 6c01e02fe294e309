//! Channels with a history: positions, and joins that are told of the past.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use hexline_fanout::{
    Fanout, Fetch, History, HistoryRules, HoldLimits, Joined, Joining, PendingJoin, Position,
    Presence, Recall, Recalled, Replay,
};
use hexline_model::{AppId, ChannelName};

use crate::kit::{End, TestReceiver, app, attach, channel, fanout, join, msg, to};

/// Channels named `h.*` have a history; what is fetched arrives when the test says so.
#[derive(Clone, Default)]
struct TestHistories {
    slow: bool,
    fetches: Arc<Mutex<Vec<TestFetch>>>,
}

struct TestHistory {
    messages: Vec<Bytes>,
    all: TestHistories,
}

/// A fetch that is under way.
#[derive(Clone)]
struct TestFetch {
    asked: Replay,
    arrived: Arc<Mutex<Option<Replay>>>,
}

impl HistoryRules for TestHistories {
    fn open(&self, _app: AppId, channel: &ChannelName) -> Option<Box<dyn History>> {
        let all = self.clone();
        let history = TestHistory {
            messages: Vec::new(),
            all,
        };
        let has_one = channel.as_str().starts_with("h.");
        has_one.then(|| Box::new(history) as Box<dyn History>)
    }
}

impl TestHistory {
    fn at(offset: usize) -> Position {
        let offset = u64::try_from(offset).expect("few");
        Position { epoch: 7, offset }
    }
}

impl History for TestHistory {
    fn position(&self) -> Position {
        Self::at(self.messages.len())
    }

    fn next(&self) -> Position {
        Self::at(self.messages.len() + 1)
    }

    fn record(&mut self, position: Position, message: &Bytes) {
        assert_eq!(position, self.next());
        self.messages.push(message.clone());
    }

    fn recall(&mut self, recall: Recall) -> Recalled {
        let count = self.messages.len();
        let from = match recall {
            Recall::Last(most) => count.saturating_sub(most),
            Recall::Since(position) => usize::try_from(position.offset).expect("few"),
        };
        let replay = Replay::Messages(self.messages[from..].to_vec());
        if !self.all.slow {
            return Recalled::Now(replay);
        }
        let fetch = TestFetch {
            asked: replay,
            arrived: Arc::default(),
        };
        self.all
            .fetches
            .lock()
            .expect("no panic")
            .push(fetch.clone());
        Recalled::Later(Box::pin(fetch) as Fetch)
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl Future for TestFetch {
    type Output = Replay;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Replay> {
        let arrived = self.arrived.lock().expect("no panic").take();
        arrived.map_or(Poll::Pending, Poll::Ready)
    }
}

impl TestHistories {
    fn slow() -> Self {
        Self {
            slow: true,
            ..Self::default()
        }
    }

    fn fanout(&self) -> Fanout {
        fanout().recording(Arc::new(self.clone()))
    }

    /// What was asked for arrives, of the fetch that began as the `n`th.
    fn arrive(&self, n: usize) {
        let fetches = self.fetches.lock().expect("no panic");
        *fetches[n].arrived.lock().expect("no panic") = Some(fetches[n].asked.clone());
    }
}

/// Says everything that a reply can say.
#[expect(clippy::unnecessary_wraps, reason = "the form that a join wants")]
fn reply(joined: Joined) -> Option<Bytes> {
    let offset = joined.position.map(|position| position.offset);
    let replay = match joined.replay {
        Replay::None => "nothing".to_owned(),
        Replay::NotRecovered => "not recovered".to_owned(),
        Replay::Messages(messages) => {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            messages.iter().map(text).collect::<Vec<_>>().join("+")
        }
    };
    Some(msg(&format!("reply {offset:?} {replay}")))
}

fn say(end: &mut End, name: &str, text: &str) -> Option<u64> {
    let encode = |position: Option<Position>| match position {
        Some(position) => msg(&format!("{text}@{}", position.offset)),
        None => msg(text),
    };
    let published = end.1.publish(&channel(name), encode);
    published.position.map(|position| position.offset)
}

fn since(offset: u64) -> Recall {
    Recall::Since(Position { epoch: 7, offset })
}

fn pending(end: &mut End, name: &str, recall: Recall) -> PendingJoin {
    let visible = Presence::Visible { at_most: 10 };
    match end.1.join_recalling(&channel(name), visible, recall, reply) {
        Joining::Later(pending) => pending,
        Joining::Done => panic!("the replay is not here"),
    }
}

fn poll(pending: &mut PendingJoin) -> Poll<()> {
    Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_message_gets_its_position_under_the_channels_order() {
    let fanout = &TestHistories::default().fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    assert_eq!(say(&mut a, "h.x", "one"), Some(1), "nobody is there");
    assert_eq!(say(&mut a, "x", "one"), None);
    join(&mut b.1, &channel("h.x"), false);
    join(&mut b.1, &channel("x"), false);
    assert_eq!(say(&mut a, "h.x", "two"), Some(2));
    assert_eq!(say(&mut a, "x", "two"), None);
    assert_eq!(b.0.heard(), ["two@2", "two"]);
    let published = fanout.publish(app(1), &channel("h.x"), |position| {
        msg(&format!("three@{}", position.expect("it has one").offset))
    });
    assert_eq!(published.delivered, 1);
    assert_eq!(b.0.heard(), ["three@3"]);
}

#[test]
fn of_many_that_publish_at_once_all_are_heard_in_the_order_of_their_positions() {
    let fanout = &TestHistories::default().fanout();
    let mut listener = attach(fanout, "r/d");
    join(&mut listener.1, &channel("h.x"), false);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let mut end = attach(fanout, &format!("s{n}/d"));
            scope.spawn(move || {
                for _ in 0..250 {
                    say(&mut end, "h.x", "m");
                }
            });
        }
    });
    let expected: Vec<String> = (1..=1000).map(|n| format!("m@{n}")).collect();
    assert_eq!(listener.0.heard(), expected);
}

#[test]
fn a_past_at_hand_is_told_at_once() {
    let fanout = &TestHistories::default().fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    join(&mut a.1, &channel("h.x"), true);
    for text in ["one", "two", "three"] {
        say(&mut a, "h.x", text);
    }
    let visible = Presence::Visible { at_most: 10 };
    let mut recall = |name: &str, recall| {
        let joining = b.1.join_recalling(&channel(name), visible, recall, reply);
        assert!(matches!(joining, Joining::Done));
        b.0.heard()
    };
    assert_eq!(
        recall("h.x", since(1)),
        ["reply Some(3) two@2+three@3", "join_back h.x a/d"]
    );
    assert_eq!(recall("h.x", Recall::Last(1)), ["reply Some(3) three@3"]);
    assert_eq!(recall("x", Recall::Last(1)), ["reply None nothing"]);
    assert_eq!(recall("x", since(1)), ["reply None not recovered"]);
}

#[test]
fn a_late_replay_comes_before_what_was_published_meanwhile() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    join(&mut a.1, &channel("h.x"), true);
    say(&mut a, "h.x", "one");
    say(&mut a, "h.x", "two");
    let mut join = pending(&mut b, "h.x", since(1));
    assert_eq!(a.0.heard(), ["join h.x b/d"], "it is a member now");
    for n in 0..100 {
        assert_eq!(say(&mut a, "h.x", "m"), Some(n + 3));
        a.1.send(&to("b"), &msg(&format!("direct {n}")));
        assert!(poll(&mut join).is_pending());
    }
    assert_eq!(b.0.heard(), [""; 0], "all of it waits");
    histories.arrive(0);
    assert!(poll(&mut join).is_ready());
    say(&mut a, "h.x", "after");
    let mut expected = vec!["reply Some(2) two@2".to_owned(), "join_back h.x a/d".into()];
    for n in 0..100 {
        expected.extend([format!("m@{}", n + 3), format!("direct {n}")]);
    }
    expected.push("after@103".into());
    assert_eq!(b.0.heard(), expected, "complete and in order");
}

#[test]
fn a_late_replay_loses_nothing_of_many_senders() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let mut listener = attach(fanout, "r/d");
    let mut first = attach(fanout, "f/d");
    say(&mut first, "h.x", "past");
    let mut join = pending(&mut listener, "h.x", since(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let mut end = attach(fanout, &format!("s{n}/d"));
            scope.spawn(move || {
                for m in 0..100 {
                    say(&mut end, "h.x", &format!("s{n}.{m}"));
                    end.1.send(&to("r"), &msg(&format!("s{n}.{m} direct")));
                }
            });
        }
        scope.spawn(|| {
            histories.arrive(0);
            assert!(poll(&mut join).is_ready());
        });
    });
    let heard = listener.0.heard();
    assert_eq!(heard[0], "reply Some(1) past@1");
    assert_eq!(heard.len(), 801);
    let positions = heard[1..].iter().filter_map(|h| h.split_once('@'));
    let positions: Vec<u64> = positions
        .map(|(_, n)| n.parse().expect("a number"))
        .collect();
    assert!(positions.is_sorted(), "in the channel's order");
    for n in 0..4 {
        let of = format!("s{n}.");
        let of_sender = heard.iter().filter(|h| h.starts_with(&of));
        let plain = |h: &String| h.split('@').next().expect("a text").to_owned();
        let of_sender: Vec<String> = of_sender.map(plain).collect();
        let said = |m| [format!("s{n}.{m}"), format!("s{n}.{m} direct")];
        let expected: Vec<String> = (0..100).flat_map(said).collect();
        assert_eq!(of_sender, expected, "in the order of the sender");
    }
}

#[test]
fn too_much_meanwhile_ends_the_waiting_and_loses_nothing() {
    for limits in [
        HoldLimits {
            messages: 2,
            bytes: 1000,
            ..HoldLimits::default()
        },
        HoldLimits {
            messages: 1000,
            bytes: 8,
            ..HoldLimits::default()
        },
    ] {
        let histories = TestHistories::slow();
        let fanout = &histories.fanout().holding(limits);
        let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
        say(&mut a, "h.x", "one");
        let mut join = pending(&mut b, "h.x", since(0));
        say(&mut a, "h.x", "m");
        a.1.send(&to("b"), &msg("hello"));
        assert_eq!(b.0.heard(), [""; 0]);
        say(&mut a, "h.x", "m");
        let expected = ["reply Some(1) not recovered", "m@2", "hello", "m@3"];
        assert_eq!(b.0.heard(), expected);
        assert!(poll(&mut join).is_ready(), "it waits for no fetch");
        histories.arrive(0);
        assert!(poll(&mut join).is_ready());
        assert_eq!(b.0.heard(), [""; 0], "answered once");
    }
}

#[test]
fn who_leaves_while_pending_is_answered_and_hears_what_waited() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    join(&mut a.1, &channel("h.x"), true);
    say(&mut a, "h.x", "one");
    let mut join = pending(&mut b, "h.x", since(0));
    a.1.send(&to("b"), &msg("direct"));
    assert!(b.1.leave(&channel("h.x")));
    let expected = ["reply Some(1) not recovered", "join_back h.x a/d", "direct"];
    assert_eq!(b.0.heard(), expected);
    assert_eq!(a.0.heard(), ["join h.x b/d", "leave h.x b/d"]);
    histories.arrive(0);
    assert!(poll(&mut join).is_ready());
    assert_eq!(b.0.heard(), [""; 0]);
}

#[test]
fn who_is_closed_while_pending_has_left() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    join(&mut a.1, &channel("h.x"), true);
    let mut join = pending(&mut b, "h.x", since(0));
    let (gone, link) = b;
    drop(link);
    assert_eq!(a.0.heard(), ["join h.x b/d", "leave h.x b/d"]);
    histories.arrive(0);
    assert!(poll(&mut join).is_ready());
    assert_eq!(gone.heard(), [""; 0]);
    assert_eq!(a.1.send(&to("b"), &msg("gone?")), 0);
}

#[test]
fn a_fetch_that_is_given_up_recovers_nothing_and_holds_nothing() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    let join = pending(&mut b, "h.x", since(0));
    say(&mut a, "h.x", "m");
    drop(join);
    assert_eq!(b.0.heard(), ["reply Some(0) not recovered", "m@1"]);
}

#[test]
fn two_joins_that_wait_are_answered_in_their_order() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    let mut first = pending(&mut b, "h.x", since(0));
    say(&mut a, "h.x", "x");
    let mut second = pending(&mut b, "h.y", since(0));
    say(&mut a, "h.y", "y");
    b.1.join(&channel("z"), Presence::Hidden, |_| Some(msg("reply z")));
    histories.arrive(1);
    assert!(poll(&mut second).is_ready());
    drop(second);
    assert_eq!(b.0.heard(), [""; 0]);
    histories.arrive(0);
    assert!(poll(&mut first).is_ready());
    let expected = ["reply Some(0) ", "x@1", "reply Some(0) ", "y@1", "reply z"];
    assert_eq!(b.0.heard(), expected);
}

#[test]
fn whoever_fetches_is_woken_once_the_reply_is_queued() {
    struct Woken(Arc<TestReceiver>, Mutex<Vec<Vec<String>>>);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("no panic").push(self.0.heard());
        }
    }
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    let mut join = pending(&mut b, "h.x", since(0));
    let woken = Arc::new(Woken(Arc::clone(&b.0), Mutex::default()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut join).poll(&mut cx).is_pending());
    say(&mut a, "h.x", "m");
    assert!(woken.1.lock().expect("no panic").is_empty());
    b.1.leave(&channel("h.x"));
    let heard = std::mem::take(&mut *woken.1.lock().expect("no panic"));
    assert_eq!(heard, [["reply Some(0) not recovered", "m@1"]]);
    assert!(Pin::new(&mut join).poll(&mut cx).is_ready());
}

#[test]
fn what_a_connection_is_pushed_waits_behind_what_it_was_sent() {
    let histories = TestHistories::slow();
    let fanout = &histories.fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    assert!(b.1.push(&msg("now")));
    let mut join = pending(&mut b, "h.x", since(0));
    say(&mut a, "h.x", "m");
    assert!(b.1.push(&msg("own")));
    assert_eq!(b.0.heard(), ["now"]);
    histories.arrive(0);
    assert!(poll(&mut join).is_ready());
    assert_eq!(b.0.heard(), ["reply Some(0) ", "m@1", "own"]);
}

#[test]
fn a_channel_with_a_past_outlives_its_members() {
    let fanout = &TestHistories::default().fanout();
    let (mut a, mut b) = (attach(fanout, "a/d"), attach(fanout, "b/d"));
    join(&mut a.1, &channel("h.x"), false);
    join(&mut a.1, &channel("h.y"), false);
    say(&mut a, "h.x", "one");
    assert_eq!(fanout.channels(), 2);
    drop(a);
    fanout.forget_spent();
    assert_eq!(fanout.channels(), 0, "without members");
    let visible = Presence::Visible { at_most: 10 };
    let joining =
        b.1.join_recalling(&channel("h.x"), visible, since(0), reply);
    assert!(matches!(joining, Joining::Done));
    assert_eq!(b.0.heard(), ["reply Some(1) one@1"]);
}

#[test]
fn a_channel_whose_past_has_run_out_is_forgotten() {
    #[derive(Clone, Default)]
    struct Brief {
        opened: Arc<AtomicUsize>,
        has_run_out: Arc<AtomicBool>,
    }
    impl HistoryRules for Brief {
        fn open(&self, _app: AppId, _channel: &ChannelName) -> Option<Box<dyn History>> {
            self.opened.fetch_add(1, Ordering::Relaxed);
            Some(Box::new(self.clone()))
        }
    }
    impl History for Brief {
        fn position(&self) -> Position {
            TestHistory::at(0)
        }

        fn next(&self) -> Position {
            TestHistory::at(1)
        }

        fn record(&mut self, _position: Position, _message: &Bytes) {}

        fn recall(&mut self, _recall: Recall) -> Recalled {
            Recalled::Now(Replay::None)
        }

        fn is_empty(&self) -> bool {
            self.has_run_out.load(Ordering::Relaxed)
        }
    }
    let rules = Brief::default();
    let fanout = &fanout().recording(Arc::new(rules.clone()));
    let publish = || {
        fanout.publish(app(1), &channel("x"), |_| msg("m"));
        rules.opened.load(Ordering::Relaxed)
    };
    assert_eq!(publish(), 1);
    fanout.forget_spent();
    assert_eq!(publish(), 1, "it has a past");
    rules.has_run_out.store(true, Ordering::Relaxed);
    assert_eq!(publish(), 1);
    fanout.forget_spent();
    assert_eq!(publish(), 2, "its history begins again");
}
