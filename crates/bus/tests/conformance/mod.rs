//! What every bus promises, as tests. `conformance!(name, |announcer| bus)` runs them all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use bytes::Bytes;
use hexline_bus::{Announcer, Bus, ChannelView, DeviceView, Link, Presence, Receiver};
use hexline_model::{
    Address, AppId, ChannelName, Destination, Identity, Route, SeededEntropy, Subject,
    SystemEntropy,
};

/// Runs every case on the bus that the closure makes.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;

            conformance!(@cases $make;
                each_address_form_reaches_what_it_names,
                the_sender_hears_nothing_of_its_own,
                a_publish_reaches_every_other_member,
                members_and_newcomers_are_introduced_in_order,
                only_presence_members_are_announced,
                changing_the_presence_flag_announces_and_parts,
                a_dropped_link_has_left_everything,
                what_a_link_sends_arrives_in_order,
                two_that_join_at_once_always_meet,
                a_join_is_answered_before_what_follows_from_it,
                a_full_channel_hides_who_comes_next,
                of_many_that_join_at_once_no_more_get_in_than_may,
                apps_never_hear_each_other,
                a_message_in_a_channel_reaches_only_members,
                one_full_receiver_harms_no_other,
                joins_and_leaves_race_without_losing_a_channel,
                channels_are_listed_by_name_a_page_at_a_time,
                members_are_listed_a_page_at_a_time,
                an_identity_is_online_with_its_devices,
                a_receiver_is_told_how_many_channels_it_is_in,
            );
        }
    };
    (@cases $make:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                let make: fn(Arc<dyn hexline_bus::Announcer>) -> Arc<dyn hexline_bus::Bus> = $make;
                super::conformance::$case(make(Arc::new(super::conformance::Plain)).as_ref());
            }
        )*
    };
}

/// Announces in words that a test can read.
pub(crate) struct Plain;

impl Announcer for Plain {
    fn joined(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("join {channel} {}", from.subject()).into()
    }

    fn join_back(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("join_back {channel} {}", from.subject()).into()
    }

    fn left(&self, channel: &ChannelName, from: &Address) -> Bytes {
        format!("leave {channel} {}", from.subject()).into()
    }
}

pub(crate) struct Ear {
    address: Address,
    heard: Mutex<Vec<String>>,
    deaf: bool,
    channels: AtomicUsize,
}

impl Ear {
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("no test thread panics here"))
    }
}

impl Receiver for Ear {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, message: &Bytes) -> bool {
        let text = String::from_utf8(message.to_vec()).expect("UTF-8");
        self.heard
            .lock()
            .expect("no test thread panics here")
            .push(text);
        !self.deaf
    }

    fn member_of(&self, channels: usize) {
        self.channels.store(channels, Ordering::SeqCst);
    }
}

type End = (Arc<Ear>, Box<dyn Link>);

fn app(n: u64) -> AppId {
    AppId::generate(&SeededEntropy::new(n))
}

fn attach_to(bus: &dyn Bus, app: AppId, subject: &str, deaf: bool) -> End {
    let subject = Subject::parse(subject).expect("well formed");
    let address = Address::new(&subject, Route::generate(&SystemEntropy));
    let ear = Arc::new(Ear {
        address,
        heard: Mutex::default(),
        deaf,
        channels: AtomicUsize::default(),
    });
    let link = bus.attach(app, Arc::clone(&ear) as Arc<dyn Receiver>);
    (ear, link)
}

fn attach(bus: &dyn Bus, subject: &str) -> End {
    attach_to(bus, app(1), subject, false)
}

fn to(text: &str) -> Destination {
    Destination::parse(text).expect("well formed")
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("well formed")
}

fn msg(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Joins a channel that has room.
fn join(link: &mut Box<dyn Link>, channel: &ChannelName, presence: bool) {
    let wanted = if presence {
        Presence::Visible { at_most: 100 }
    } else {
        Presence::Hidden
    };
    assert_eq!(link.join(channel, wanted), presence);
}

pub(crate) fn each_address_form_reaches_what_it_names(bus: &dyn Bus) {
    let (_, mut alice) = attach(bus, "alice/web");
    let (web, _web) = attach(bus, "bob/web");
    let (web2, _web2) = attach(bus, "bob/web");
    let (phone, _phone) = attach(bus, "bob/phone");
    assert_eq!(alice.send(&to("bob"), &msg("1")), 3);
    assert_eq!(alice.send(&to("bob/web"), &msg("2")), 2);
    assert_eq!(alice.send(&to(web2.address.as_str()), &msg("3")), 1);
    assert_eq!(alice.send(&to("bob/tv"), &msg("4")), 0);
    assert_eq!(alice.send(&to("nobody"), &msg("5")), 0);
    assert_eq!(web.heard(), ["1", "2"]);
    assert_eq!(web2.heard(), ["1", "2", "3"]);
    assert_eq!(phone.heard(), ["1"]);
    assert_eq!(bus.send(app(1), &to("bob/phone"), &msg("6")), 1);
    assert_eq!(phone.heard(), ["6"]);
}

pub(crate) fn the_sender_hears_nothing_of_its_own(bus: &dyn Bus) {
    let (web, mut link) = attach(bus, "alice/web");
    let (phone, _phone) = attach(bus, "alice/phone");
    join(&mut link, &channel("c"), true);
    assert_eq!(link.send(&to("alice"), &msg("1")), 1);
    assert_eq!(link.send(&to(web.address.as_str()), &msg("2")), 0);
    assert_eq!(link.publish(&channel("c"), &msg("3")), 0);
    assert_eq!(link.send_in(&channel("c"), &to("alice"), &msg("4")), 0);
    assert_eq!(web.heard(), [""; 0]);
    assert_eq!(phone.heard(), ["1"]);
}

pub(crate) fn a_publish_reaches_every_other_member(bus: &dyn Bus) {
    let (a, mut alice) = attach(bus, "alice/web");
    let (b, mut bob) = attach(bus, "bob/web");
    let (c, _carol) = attach(bus, "carol/web");
    join(&mut alice, &channel("c"), false);
    join(&mut bob, &channel("c"), false);
    assert_eq!(alice.publish(&channel("c"), &msg("1")), 1);
    assert!(bob.leave(&channel("c")));
    assert!(!bob.leave(&channel("c")));
    assert_eq!(alice.publish(&channel("c"), &msg("2")), 0);
    assert_eq!(bus.publish(app(1), &channel("c"), &msg("3")), 1);
    assert_eq!(
        (a.heard(), b.heard(), c.heard()),
        (vec!["3".into()], vec!["1".into()], vec![])
    );
}

pub(crate) fn members_and_newcomers_are_introduced_in_order(bus: &dyn Bus) {
    let (one, mut first) = attach(bus, "e1/d");
    let (two, mut second) = attach(bus, "e2/d");
    let (new, mut newcomer) = attach(bus, "n/d");
    join(&mut first, &channel("x"), true);
    join(&mut second, &channel("x"), true);
    join(&mut newcomer, &channel("x"), true);
    join(&mut newcomer, &channel("x"), true);
    first.send_in(&channel("x"), &to("n"), &msg("state"));
    newcomer.leave(&channel("x"));
    assert_eq!(one.heard(), ["join x e2/d", "join x n/d", "leave x n/d"]);
    assert_eq!(
        two.heard(),
        ["join_back x e1/d", "join x n/d", "leave x n/d"]
    );
    assert_eq!(
        new.heard(),
        ["join_back x e1/d", "join_back x e2/d", "state"]
    );
}

pub(crate) fn only_presence_members_are_announced(bus: &dyn Bus) {
    let (quiet, mut q) = attach(bus, "q/d");
    let (loud, mut l) = attach(bus, "l/d");
    join(&mut q, &channel("x"), false);
    join(&mut l, &channel("x"), true);
    l.publish(&channel("x"), &msg("1"));
    q.publish(&channel("x"), &msg("2"));
    l.leave(&channel("x"));
    assert_eq!(quiet.heard(), ["1"]);
    assert_eq!(loud.heard(), ["2"]);
}

pub(crate) fn changing_the_presence_flag_announces_and_parts(bus: &dyn Bus) {
    let (one, mut first) = attach(bus, "a/d");
    let (two, mut second) = attach(bus, "b/d");
    join(&mut first, &channel("x"), true);
    join(&mut second, &channel("x"), false);
    join(&mut second, &channel("x"), true);
    join(&mut second, &channel("x"), false);
    assert_eq!(one.heard(), ["join x b/d", "leave x b/d"]);
    assert_eq!(two.heard(), ["join_back x a/d"]);
    assert_eq!(first.publish(&channel("x"), &msg("still a member")), 1);
}

pub(crate) fn a_dropped_link_has_left_everything(bus: &dyn Bus) {
    let (one, mut first) = attach(bus, "a/d");
    let (_, mut second) = attach(bus, "b/d");
    for name in ["x", "y"] {
        join(&mut first, &channel(name), true);
        join(&mut second, &channel(name), true);
    }
    one.heard();
    drop(second);
    let mut heard = one.heard();
    heard.sort();
    assert_eq!(heard, ["leave x b/d", "leave y b/d"]);
    assert_eq!(first.send(&to("b"), &msg("gone?")), 0);
    drop(first);
    assert_eq!(bus.channels(), 0);
}

pub(crate) fn what_a_link_sends_arrives_in_order(bus: &dyn Bus) {
    let (ear, mut receiver) = attach(bus, "r/d");
    join(&mut receiver, &channel("x"), true);
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let (_, mut link) = attach(bus, &format!("s{sender}/d"));
            scope.spawn(move || {
                join(&mut link, &channel("x"), true);
                for n in 0..500 {
                    let message = msg(&format!("{n} s{sender}/d"));
                    match n % 3 {
                        0 => link.send(&to("r"), &message),
                        1 => link.publish(&channel("x"), &message),
                        _ => link.send_in(&channel("x"), &to("r/d"), &message),
                    };
                }
            });
        }
    });
    let heard = ear.heard();
    for sender in 0..4 {
        let name = format!("s{sender}/d");
        let from: Vec<&String> = heard.iter().filter(|h| h.ends_with(&name)).collect();
        let mut expected = vec![format!("join x {name}")];
        expected.extend((0..500).map(|n| format!("{n} {name}")));
        expected.push(format!("leave x {name}"));
        assert!(from.iter().zip(&expected).all(|(a, b)| *a == b) && from.len() == expected.len());
    }
}

pub(crate) fn two_that_join_at_once_always_meet(bus: &dyn Bus) {
    const CROWD: usize = 6;
    for round in 0..100 {
        let name = channel(&format!("x{round}"));
        let mut ends: Vec<End> = (0..CROWD)
            .map(|n| attach(bus, &format!("m{n}/d")))
            .collect();
        let barrier = Barrier::new(CROWD);
        std::thread::scope(|scope| {
            for (_, link) in &mut ends {
                scope.spawn(|| {
                    barrier.wait();
                    join(link, &name, true);
                });
            }
        });
        for (ear, _) in &ends {
            let mut met: Vec<String> = ear
                .heard()
                .iter()
                .map(|h| h.rsplit(' ').next().expect("a sender").to_owned())
                .collect();
            met.sort();
            let me = ear.address.subject();
            let others: Vec<String> = (0..CROWD)
                .map(|n| format!("m{n}/d"))
                .filter(|n| n != me)
                .collect();
            assert_eq!(met, others, "each other member exactly once");
        }
    }
}

pub(crate) fn a_join_is_answered_before_what_follows_from_it(bus: &dyn Bus) {
    const MEMBERS: usize = 4;
    let x = channel("x");
    let wanted = Presence::Visible { at_most: MEMBERS };
    let join = |(ear, link): &mut End| {
        let mut replies = 0;
        let visible = link.join_with(&x, wanted, &mut |visible| {
            replies += 1;
            ear.deliver(&msg(&format!("reply {visible}")));
        });
        assert_eq!(replies, 1);
        visible
    };
    for _ in 0..100 {
        let names = (0..MEMBERS).map(|n| format!("m{n}/d"));
        let mut ends: Vec<End> = names.map(|name| attach(bus, &name)).collect();
        let barrier = Barrier::new(MEMBERS);
        std::thread::scope(|scope| {
            for end in &mut ends {
                scope.spawn(|| {
                    barrier.wait();
                    assert!(join(end));
                    end.1.publish(&x, &msg("hello"));
                });
            }
        });
        for (ear, _) in &ends {
            assert_eq!(ear.heard()[0], "reply true");
        }
        let mut late = attach(bus, "late/d");
        assert!(!join(&mut late) && !join(&mut late));
        assert!(join(&mut ends[0]), "it is in already");
        assert_eq!(late.0.heard(), ["reply false"; 2]);
    }
}

pub(crate) fn a_full_channel_hides_who_comes_next(bus: &dyn Bus) {
    let x = channel("x");
    let two = Presence::Visible { at_most: 2 };
    let (one, mut first) = attach(bus, "a/d");
    let (_, mut second) = attach(bus, "b/d");
    let (three, mut third) = attach(bus, "c/d");
    assert!(first.join(&x, two));
    assert!(second.join(&x, two));
    one.heard();
    assert!(!third.join(&x, two));
    assert!(third.is_member(&x), "hidden, but a member");
    assert!(!third.join(&x, two), "nor by asking again");
    assert!(first.join(&x, two), "who is in may say so again");
    let nobody = [""; 0];
    assert_eq!(one.heard(), nobody, "who is hidden was not announced");
    assert_eq!(first.publish(&x, &msg("1")), 2);
    assert_eq!(three.heard(), ["1"]);
    assert!(!second.join(&x, Presence::Hidden));
    assert!(third.join(&x, two), "one hides, another fits");
    assert!(first.leave(&x));
    assert!(second.join(&x, two), "one leaves, another fits");
    drop(third);
    assert!(first.join(&x, two), "one is lost, another fits");
    drop((first, second));
    assert_eq!(bus.channels(), 0);
}

pub(crate) fn of_many_that_join_at_once_no_more_get_in_than_may(bus: &dyn Bus) {
    const CROWD: usize = 6;
    for round in 0..100 {
        let name = channel(&format!("x{round}"));
        let mut ends: Vec<End> = (0..CROWD)
            .map(|n| attach(bus, &format!("m{n}/d")))
            .collect();
        let barrier = Barrier::new(CROWD);
        let joined: Vec<bool> = std::thread::scope(|scope| {
            let joining: Vec<_> = ends
                .iter_mut()
                .map(|(_, link)| {
                    scope.spawn(|| {
                        barrier.wait();
                        link.join(&name, Presence::Visible { at_most: 4 })
                    })
                })
                .collect();
            let joined = joining.into_iter().map(|j| j.join().expect("no panic"));
            joined.collect()
        });
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 4);
        for ((ear, _), joined) in ends.iter().zip(joined) {
            assert_eq!(ear.heard().len(), if joined { 3 } else { 0 });
        }
    }
}

pub(crate) fn apps_never_hear_each_other(bus: &dyn Bus) {
    let (here, mut link) = attach_to(bus, app(1), "bob/web", false);
    let (there, mut other) = attach_to(bus, app(2), "bob/web", false);
    join(&mut link, &channel("c"), true);
    join(&mut other, &channel("c"), true);
    assert_eq!(link.publish(&channel("c"), &msg("1")), 0);
    assert_eq!(link.send(&to("bob"), &msg("2")), 0);
    assert_eq!(link.send(&to(there.address.as_str()), &msg("3")), 0);
    assert_eq!(bus.send(app(3), &to("bob"), &msg("4")), 0);
    drop(other);
    assert_eq!((here.heard(), there.heard()), (vec![], vec![]));
}

pub(crate) fn a_message_in_a_channel_reaches_only_members(bus: &dyn Bus) {
    let (_, mut alice) = attach(bus, "alice/web");
    let (member, mut m) = attach(bus, "bob/web");
    let (outsider, _o) = attach(bus, "bob/phone");
    join(&mut m, &channel("c"), false);
    assert_eq!(alice.send_in(&channel("c"), &to("bob"), &msg("1")), 1);
    assert_eq!(alice.send_in(&channel("other"), &to("bob"), &msg("2")), 0);
    assert_eq!(
        (member.heard(), outsider.heard()),
        (vec!["1".to_owned()], vec![])
    );
}

pub(crate) fn one_full_receiver_harms_no_other(bus: &dyn Bus) {
    let (_, mut alice) = attach(bus, "alice/web");
    let (_, mut full) = attach_to(bus, app(1), "bob/full", true);
    let (well, mut w) = attach(bus, "bob/well");
    join(&mut full, &channel("c"), false);
    join(&mut w, &channel("c"), false);
    assert_eq!(alice.publish(&channel("c"), &msg("1")), 1);
    assert_eq!(alice.send(&to("bob"), &msg("2")), 1);
    assert_eq!(well.heard(), ["1", "2"]);
}

pub(crate) fn joins_and_leaves_race_without_losing_a_channel(bus: &dyn Bus) {
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (ear, mut link) = attach(bus, &format!("m{n}/d"));
            let (_, mut speaker) = attach(bus, &format!("s{n}/d"));
            scope.spawn(move || {
                for _ in 0..1000 {
                    join(&mut link, &channel("x"), false);
                    let me = to(ear.address.subject());
                    assert_eq!(speaker.send_in(&channel("x"), &me, &msg("here?")), 1);
                    link.leave(&channel("x"));
                }
            });
        }
    });
    assert_eq!(bus.channels(), 0);
}

pub(crate) fn channels_are_listed_by_name_a_page_at_a_time(bus: &dyn Bus) {
    let (_, mut one) = attach(bus, "a/1");
    let (_, mut two) = attach(bus, "b/1");
    let (_, mut stranger) = attach_to(bus, app(2), "a/1", false);
    for name in ["news.b", "news.a", "other", "news.c"] {
        join(&mut one, &channel(name), true);
    }
    join(&mut two, &channel("news.b"), false);
    join(&mut stranger, &channel("news.z"), true);
    let page = |after: Option<&str>, limit| {
        let after = after.map(channel);
        bus.channels_of(app(1), "news.", after.as_ref(), limit)
    };
    let view = |name, members, visible| ChannelView {
        name: channel(name),
        members,
        visible,
    };
    assert_eq!(
        page(None, 2),
        [view("news.a", 1, 1), view("news.b", 2, 1)],
        "the first two"
    );
    assert_eq!(page(Some("news.b"), 2), [view("news.c", 1, 1)]);
    assert_eq!(page(None, 0), []);
    assert_eq!(bus.channels_of(app(1), "", None, 100).len(), 4);
    assert_eq!(bus.channels_of(app(3), "", None, 100), []);
    assert_eq!(
        bus.channel(app(1), &channel("other")),
        Some(view("other", 1, 1))
    );
    assert_eq!(
        bus.channel(app(1), &channel("news.z")),
        None,
        "another app's"
    );
    drop(one);
    assert_eq!(page(None, 100), [view("news.b", 1, 0)]);
}

pub(crate) fn members_are_listed_a_page_at_a_time(bus: &dyn Bus) {
    let mut ends: Vec<End> = (0..5).map(|n| attach(bus, &format!("m{n}/d"))).collect();
    for (n, (_, link)) in ends.iter_mut().enumerate() {
        join(link, &channel("c"), n == 0);
    }
    let mut expected: Vec<Route> = ends.iter().map(|(ear, _)| ear.address.route()).collect();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = bus.members_of(app(1), &channel("c"), after, 2);
        let Some(last) = page.last() else { break };
        after = Some(last.address.route());
        found.extend(page);
    }
    let routes: Vec<Route> = found.iter().map(|member| member.address.route()).collect();
    assert_eq!(routes, expected);
    let visible: Vec<&str> = found
        .iter()
        .filter(|member| member.visible)
        .map(|member| member.address.identity())
        .collect();
    assert_eq!(visible, ["m0"]);
    assert_eq!(bus.members_of(app(1), &channel("d"), None, 2), []);
    assert_eq!(bus.members_of(app(2), &channel("c"), None, 2), []);
}

pub(crate) fn an_identity_is_online_with_its_devices(bus: &dyn Bus) {
    let identity = |text: &str| Identity::parse(text).expect("well formed");
    let bob = identity("bob");
    assert!(!bus.is_online(app(1), &bob));
    let ends = ["bob/web", "bob/web", "bob/phone", "alice/tv"].map(|s| attach(bus, s));
    assert!(bus.is_online(app(1), &bob));
    assert!(!bus.is_online(app(2), &bob));
    let view = |device: &str, connections| DeviceView {
        device: device.into(),
        connections,
    };
    let devices = |after, limit| bus.devices_of(app(1), &bob, after, limit);
    assert_eq!(devices(None, 10), [view("phone", 1), view("web", 2)]);
    assert_eq!(devices(None, 1), [view("phone", 1)]);
    assert_eq!(devices(Some("phone"), 10), [view("web", 2)]);
    assert_eq!(
        bus.devices_of(app(1), &identity("alice"), None, 10),
        [view("tv", 1)]
    );
    drop(ends);
    assert_eq!(devices(None, 10), []);
    assert!(!bus.is_online(app(1), &bob));
}

pub(crate) fn a_receiver_is_told_how_many_channels_it_is_in(bus: &dyn Bus) {
    let (ear, mut link) = attach(bus, "a/d");
    let count = || ear.channels.load(Ordering::SeqCst);
    join(&mut link, &channel("x"), true);
    join(&mut link, &channel("y"), false);
    assert_eq!(count(), 2);
    join(&mut link, &channel("y"), true);
    assert_eq!(count(), 2, "it was a member before");
    link.leave(&channel("x"));
    link.leave(&channel("x"));
    assert_eq!(count(), 1);
}
