use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex};

use hexline_fanout::{Joined, Link, Observer, Presence};
use hexline_model::{Address, AppId, ChannelName};

use crate::kit::{End, attach, channel, fanout, join, msg, to};

#[test]
fn members_and_newcomers_are_introduced_in_order() {
    let fanout = &fanout();
    let (one, mut first) = attach(fanout, "e1/d");
    let (two, mut second) = attach(fanout, "e2/d");
    let (new, mut newcomer) = attach(fanout, "n/d");
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

#[test]
fn only_presence_members_are_announced() {
    let fanout = &fanout();
    let (quiet, mut q) = attach(fanout, "q/d");
    let (loud, mut l) = attach(fanout, "l/d");
    join(&mut q, &channel("x"), false);
    join(&mut l, &channel("x"), true);
    l.publish(&channel("x"), |_| msg("1"));
    q.publish(&channel("x"), |_| msg("2"));
    l.leave(&channel("x"));
    assert_eq!(quiet.heard(), ["1"]);
    assert_eq!(loud.heard(), ["2"]);
}

#[test]
fn changing_the_presence_flag_announces_and_parts() {
    let fanout = &fanout();
    let (one, mut first) = attach(fanout, "a/d");
    let (two, mut second) = attach(fanout, "b/d");
    join(&mut first, &channel("x"), true);
    join(&mut second, &channel("x"), false);
    join(&mut second, &channel("x"), true);
    join(&mut second, &channel("x"), false);
    assert_eq!(one.heard(), ["join x b/d", "leave x b/d"]);
    assert_eq!(two.heard(), ["join_back x a/d"]);
    assert_eq!(
        first
            .publish(&channel("x"), |_| msg("still a member"))
            .delivered,
        1
    );
}

#[test]
fn a_dropped_link_has_left_everything() {
    let fanout = &fanout();
    let (one, mut first) = attach(fanout, "a/d");
    let (_, mut second) = attach(fanout, "b/d");
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
    assert_eq!(fanout.channels(), 0);
}

#[test]
fn two_that_join_at_once_always_meet() {
    let fanout = &fanout();
    for round in 0..100 {
        let name = channel(&format!("x{round}"));
        let mut ends: Vec<End> = (0..MEMBERS)
            .map(|n| attach(fanout, &format!("m{n}/d")))
            .collect();
        let barrier = Barrier::new(MEMBERS);
        std::thread::scope(|scope| {
            for (_, link) in &mut ends {
                scope.spawn(|| {
                    barrier.wait();
                    join(link, &name, true);
                });
            }
        });
        for (receiver, _) in &ends {
            let mut met: Vec<String> = receiver
                .heard()
                .iter()
                .map(|h| h.rsplit(' ').next().expect("a sender").to_owned())
                .collect();
            met.sort();
            let me = receiver.address.subject();
            let others: Vec<String> = (0..MEMBERS)
                .map(|n| format!("m{n}/d"))
                .filter(|n| n != me)
                .collect();
            assert_eq!(met, others, "each other member exactly once");
        }
    }
}

#[test]
fn a_full_channel_hides_who_comes_next() {
    let fanout = &fanout();
    let x = channel("x");
    let two = Presence::Visible { at_most: 2 };
    let (one, mut first) = attach(fanout, "a/d");
    let (_, mut second) = attach(fanout, "b/d");
    let (three, mut third) = attach(fanout, "c/d");
    assert!(first.join(&x, two, |_| None));
    assert!(second.join(&x, two, |_| None));
    one.heard();
    assert!(!third.join(&x, two, |_| None));
    assert!(third.is_member(&x), "hidden, but a member");
    assert!(!third.join(&x, two, |_| None), "nor by asking again");
    assert!(first.join(&x, two, |_| None), "who is in may say so again");
    let nobody = [""; 0];
    assert_eq!(one.heard(), nobody, "who is hidden was not announced");
    assert_eq!(first.publish(&x, |_| msg("1")).delivered, 2);
    assert_eq!(three.heard(), ["1"]);
    assert!(!second.join(&x, Presence::Hidden, |_| None));
    assert!(third.join(&x, two, |_| None), "one hides, another fits");
    assert!(first.leave(&x));
    assert!(second.join(&x, two, |_| None), "one leaves, another fits");
    drop(third);
    assert!(first.join(&x, two, |_| None), "one is lost, another fits");
    drop((first, second));
    assert_eq!(fanout.channels(), 0);
}

#[test]
fn of_many_that_join_at_once_no_more_get_in_than_may() {
    let fanout = &fanout();
    for round in 0..100 {
        let name = channel(&format!("x{round}"));
        let mut ends: Vec<End> = (0..MEMBERS)
            .map(|n| attach(fanout, &format!("m{n}/d")))
            .collect();
        let barrier = Barrier::new(MEMBERS);
        let joined: Vec<bool> = std::thread::scope(|scope| {
            let joining: Vec<_> = ends
                .iter_mut()
                .map(|(_, link)| {
                    scope.spawn(|| {
                        barrier.wait();
                        link.join(&name, Presence::Visible { at_most: 4 }, |_| None)
                    })
                })
                .collect();
            let joined = joining.into_iter().map(|j| j.join().expect("no panic"));
            joined.collect()
        });
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 4);
        for ((receiver, _), joined) in ends.iter().zip(joined) {
            assert_eq!(receiver.heard().len(), if joined { 3 } else { 0 });
        }
    }
}

#[test]
fn joins_and_leaves_race_without_losing_a_channel() {
    let fanout = &fanout();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (receiver, mut link) = attach(fanout, &format!("m{n}/d"));
            let (_, mut sender) = attach(fanout, &format!("s{n}/d"));
            scope.spawn(move || {
                for _ in 0..1000 {
                    join(&mut link, &channel("x"), false);
                    let me = to(receiver.address.subject());
                    assert_eq!(sender.send_in(&channel("x"), &me, &msg("here?")), 1);
                    link.leave(&channel("x"));
                }
            });
        }
    });
    assert_eq!(fanout.channels(), 0);
}

#[test]
fn a_receiver_is_told_how_many_channels_it_is_in() {
    let fanout = &fanout();
    let (receiver, mut link) = attach(fanout, "a/d");
    let count = || receiver.channels.load(Ordering::SeqCst);
    join(&mut link, &channel("x"), true);
    join(&mut link, &channel("y"), false);
    assert_eq!(count(), 2);
    join(&mut link, &channel("y"), true);
    assert_eq!(count(), 2, "it was a member before");
    link.leave(&channel("x"));
    link.leave(&channel("x"));
    assert_eq!(count(), 1);
}

#[test]
fn a_reply_is_queued_before_what_follows_from_the_join() {
    let fanout = &fanout();
    let (one, mut first) = attach(fanout, "a/d");
    let (two, mut second) = attach(fanout, "b/d");
    let visible = Presence::Visible { at_most: 2 };
    let reply = |joined: Joined| Some(msg(&format!("reply {}", joined.visible)));
    assert!(first.join(&channel("x"), visible, reply));
    assert!(second.join(&channel("x"), visible, reply));
    assert!(!second.join(&channel("x"), Presence::Hidden, reply));
    assert!(second.join(&channel("x"), visible, reply));
    let (three, mut third) = attach(fanout, "c/d");
    assert!(!third.join(&channel("x"), visible, reply));
    assert_eq!(
        one.heard(),
        ["reply true", "join x b/d", "leave x b/d", "join x b/d"]
    );
    let came = ["reply true", "join_back x a/d"];
    assert_eq!(two.heard(), [&came[..], &["reply false"], &came].concat());
    assert_eq!(three.heard(), ["reply false"]);
}

#[test]
fn a_join_is_answered_before_what_follows_from_it() {
    const MEMBERS: usize = 4;
    let fanout = &fanout();
    let x = channel("x");
    let wanted = Presence::Visible { at_most: MEMBERS };
    let join = |link: &mut Link| {
        let mut replies = 0;
        let visible = link.join(&x, wanted, |joined| {
            replies += 1;
            Some(msg(&format!("reply {}", joined.visible)))
        });
        assert_eq!(replies, 1);
        visible
    };
    for _ in 0..100 {
        let names = (0..MEMBERS).map(|n| format!("m{n}/d"));
        let mut ends: Vec<End> = names.map(|name| attach(fanout, &name)).collect();
        let barrier = Barrier::new(MEMBERS);
        std::thread::scope(|scope| {
            for (_, link) in &mut ends {
                scope.spawn(|| {
                    barrier.wait();
                    assert!(join(link));
                    link.publish(&x, |_| msg("hello"));
                });
            }
        });
        for (receiver, _) in &ends {
            assert_eq!(receiver.heard()[0], "reply true");
        }
        let (late, mut link) = attach(fanout, "late/d");
        assert!(!join(&mut link) && !join(&mut link));
        assert!(join(&mut ends[0].1), "it is in already");
        assert_eq!(late.heard(), ["reply false"; 2]);
    }
}

#[test]
fn who_comes_first_and_goes_last_is_told_in_order() {
    let observer = Arc::new(Told::default());
    let fanout = &fanout().observed_by(Arc::clone(&observer) as _);
    let (_, mut web) = attach(fanout, "a/web");
    let (_, phone) = attach(fanout, "a/phone");
    join(&mut web, &channel("x"), true);
    drop(phone);
    drop(web);
    assert_eq!(
        *observer.0.lock().expect("no panic here"),
        [
            "connected a/web true",
            "connected a/phone false",
            "occupied x",
            "disconnected a/phone false",
            "vacated x",
            "disconnected a/web true",
        ]
    );
}

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, what: String) {
        self.0.lock().expect("no panic here").push(what);
    }
}

impl Observer for Told {
    fn connected(&self, _app: AppId, address: &Address, first: bool) {
        self.note(format!("connected {} {first}", address.subject()));
    }

    fn disconnected(&self, _app: AppId, address: &Address, last: bool) {
        self.note(format!("disconnected {} {last}", address.subject()));
    }

    fn occupied(&self, _app: AppId, channel: &ChannelName) {
        self.note(format!("occupied {channel}"));
    }

    fn vacated(&self, _app: AppId, channel: &ChannelName) {
        self.note(format!("vacated {channel}"));
    }
}

const MEMBERS: usize = 6;
