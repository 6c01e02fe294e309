use std::sync::atomic::{AtomicUsize, Ordering};

use hexline_fanout::{Link, Published};

use crate::kit::{app, attach, attach_to, channel, fanout, join, msg, to};

#[test]
fn each_address_form_reaches_what_it_names() {
    let fanout = &fanout();
    let (_, mut alice) = attach(fanout, "alice/web");
    let (web, _web) = attach(fanout, "bob/web");
    let (web2, _web2) = attach(fanout, "bob/web");
    let (phone, _phone) = attach(fanout, "bob/phone");
    assert_eq!(alice.send(&to("bob"), &msg("1")), 3);
    assert_eq!(alice.send(&to("bob/web"), &msg("2")), 2);
    assert_eq!(alice.send(&to(web2.address.as_str()), &msg("3")), 1);
    assert_eq!(alice.send(&to("bob/tv"), &msg("4")), 0);
    assert_eq!(alice.send(&to("nobody"), &msg("5")), 0);
    assert_eq!(web.heard(), ["1", "2"]);
    assert_eq!(web2.heard(), ["1", "2", "3"]);
    assert_eq!(phone.heard(), ["1"]);
    assert_eq!(fanout.send(app(1), &to("bob/phone"), &msg("6")), 1);
    assert_eq!(phone.heard(), ["6"]);
}

#[test]
fn what_nobody_would_hear_is_not_encoded() {
    let fanout = &fanout();
    let (_, mut a) = attach(fanout, "alice/web");
    let (b_hears, mut b) = attach(fanout, "bob/web");
    let unheard = |link: &mut Link| link.publish(&channel("c"), |_| panic!("encoded"));
    assert_eq!(unheard(&mut a).delivered, 0, "no channel");
    join(&mut a, &channel("c"), true);
    assert_eq!(unheard(&mut a).delivered, 0, "alone");
    assert_eq!(b.publish(&channel("c"), |_| msg("1")).delivered, 1);
    join(&mut b, &channel("c"), false);
    assert_eq!(a.publish(&channel("c"), |_| msg("2")).delivered, 1);
    assert_eq!(b_hears.heard(), ["2"]);
}

#[test]
fn the_sender_hears_nothing_of_its_own() {
    let fanout = &fanout();
    let (web, mut link) = attach(fanout, "alice/web");
    let (phone, _phone) = attach(fanout, "alice/phone");
    join(&mut link, &channel("c"), true);
    assert_eq!(link.send(&to("alice"), &msg("1")), 1);
    assert_eq!(link.send(&to(web.address.as_str()), &msg("2")), 0);
    assert_eq!(link.publish(&channel("c"), |_| msg("3")).delivered, 0);
    assert_eq!(link.send_in(&channel("c"), &to("alice"), &msg("4")), 0);
    assert_eq!(web.heard(), [""; 0]);
    assert_eq!(phone.heard(), ["1"]);
}

#[test]
fn a_publish_reaches_every_other_member() {
    let fanout = &fanout();
    let (a, mut alice) = attach(fanout, "alice/web");
    let (b, mut bob) = attach(fanout, "bob/web");
    let (c, _carol) = attach(fanout, "carol/web");
    join(&mut alice, &channel("c"), false);
    join(&mut bob, &channel("c"), false);
    assert_eq!(alice.publish(&channel("c"), |_| msg("1")).delivered, 1);
    assert!(bob.leave(&channel("c")));
    assert!(!bob.leave(&channel("c")));
    assert_eq!(alice.publish(&channel("c"), |_| msg("2")).delivered, 0);
    assert_eq!(
        fanout
            .publish(app(1), &channel("c"), |_| msg("3"))
            .delivered,
        1
    );
    assert_eq!(
        (a.heard(), b.heard(), c.heard()),
        (vec!["3".into()], vec!["1".into()], vec![])
    );
}

#[test]
fn what_a_link_sends_arrives_in_order() {
    let fanout = &fanout();
    let (receiver, mut link) = attach(fanout, "r/d");
    join(&mut link, &channel("x"), true);
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let (_, mut link) = attach(fanout, &format!("s{sender}/d"));
            scope.spawn(move || {
                join(&mut link, &channel("x"), true);
                for n in 0..500 {
                    let message = msg(&format!("{n} s{sender}/d"));
                    match n % 3 {
                        0 => link.send(&to("r"), &message),
                        1 => link.publish(&channel("x"), |_| message).delivered,
                        _ => link.send_in(&channel("x"), &to("r/d"), &message),
                    };
                }
            });
        }
    });
    let heard = receiver.heard();
    for sender in 0..4 {
        let name = format!("s{sender}/d");
        let from: Vec<&String> = heard.iter().filter(|h| h.ends_with(&name)).collect();
        let mut expected = vec![format!("join x {name}")];
        expected.extend((0..500).map(|n| format!("{n} {name}")));
        expected.push(format!("leave x {name}"));
        assert!(from.iter().zip(&expected).all(|(a, b)| *a == b) && from.len() == expected.len());
    }
}

#[test]
fn apps_never_hear_each_other() {
    let fanout = &fanout();
    let (here, mut link) = attach_to(fanout, app(1), "bob/web", false);
    let (there, mut other) = attach_to(fanout, app(2), "bob/web", false);
    join(&mut link, &channel("c"), true);
    join(&mut other, &channel("c"), true);
    assert_eq!(link.publish(&channel("c"), |_| msg("1")).delivered, 0);
    assert_eq!(link.send(&to("bob"), &msg("2")), 0);
    assert_eq!(link.send(&to(there.address.as_str()), &msg("3")), 0);
    assert_eq!(fanout.send(app(3), &to("bob"), &msg("4")), 0);
    drop(other);
    assert_eq!((here.heard(), there.heard()), (vec![], vec![]));
}

#[test]
fn a_message_in_a_channel_reaches_only_members() {
    let fanout = &fanout();
    let (_, mut alice) = attach(fanout, "alice/web");
    let (member, mut m) = attach(fanout, "bob/web");
    let (outsider, _o) = attach(fanout, "bob/phone");
    join(&mut m, &channel("c"), false);
    assert_eq!(alice.send_in(&channel("c"), &to("bob"), &msg("1")), 1);
    assert_eq!(alice.send_in(&channel("other"), &to("bob"), &msg("2")), 0);
    assert_eq!(
        (member.heard(), outsider.heard()),
        (vec!["1".to_owned()], vec![])
    );
}

#[test]
fn one_full_receiver_harms_no_other() {
    let fanout = &fanout();
    let (_, mut alice) = attach(fanout, "alice/web");
    let (_, mut full) = attach_to(fanout, app(1), "bob/full", true);
    let (well, mut w) = attach(fanout, "bob/well");
    join(&mut full, &channel("c"), false);
    join(&mut w, &channel("c"), false);
    assert_eq!(alice.publish(&channel("c"), |_| msg("1")).delivered, 1);
    assert_eq!(alice.send(&to("bob"), &msg("2")), 1);
    assert_eq!(well.heard(), ["1", "2"]);
}

#[test]
fn a_publish_is_encoded_once_and_only_if_somebody_hears_it() {
    let fanout = &fanout();
    let mut ends = ["a/d", "b/d", "c/d"].map(|subject| attach(fanout, subject));
    let encoded = AtomicUsize::new(0);
    let encode = |_| {
        encoded.fetch_add(1, Ordering::SeqCst);
        msg("a message that was encoded once")
    };
    let nobody = fanout.publish(app(1), &channel("news"), encode);
    assert_eq!(nobody, Published::default());
    assert_eq!(encoded.load(Ordering::SeqCst), 0, "nobody is there");
    for (_, link) in &mut ends {
        join(link, &channel("news"), false);
    }
    let published = fanout.publish(app(1), &channel("news"), encode);
    assert_eq!((published.delivered, published.position), (3, None));
    assert_eq!(encoded.load(Ordering::SeqCst), 1);
    let places: Vec<usize> = ends.iter().flat_map(|(end, _)| end.places()).collect();
    assert_eq!(places.len(), 3);
    assert!(
        places.iter().all(|place| *place == places[0]),
        "one piece of memory, however many hear it"
    );
}
