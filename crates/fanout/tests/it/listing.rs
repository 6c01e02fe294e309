use std::sync::Arc;

use hexline_fanout::{ChannelView, Connected, DeviceView};
use hexline_model::{Identity, Route};

use crate::kit::{End, TestReceiver, app, attach, attach_to, channel, fanout, join};

#[test]
fn channels_are_listed_by_name_a_page_at_a_time() {
    let fanout = &fanout();
    let (_, mut one) = attach(fanout, "a/1");
    let (_, mut two) = attach(fanout, "b/1");
    let (_, mut stranger) = attach_to(fanout, app(2), "a/1", false);
    for name in ["news.b", "news.a", "other", "news.c"] {
        join(&mut one, &channel(name), true);
    }
    join(&mut two, &channel("news.b"), false);
    join(&mut stranger, &channel("news.z"), true);
    let page = |after: Option<&str>, limit| {
        let after = after.map(channel);
        fanout.channels_of(app(1), "news.", after.as_ref(), limit)
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
    assert_eq!(fanout.channels_of(app(1), "", None, 100).len(), 4);
    assert_eq!(fanout.channels_of(app(3), "", None, 100), []);
    assert_eq!(
        fanout.channel(app(1), &channel("other")),
        Some(view("other", 1, 1))
    );
    assert_eq!(
        fanout.channel(app(1), &channel("news.z")),
        None,
        "another app's"
    );
    drop(one);
    assert_eq!(page(None, 100), [view("news.b", 1, 0)]);
}

#[test]
fn members_are_listed_a_page_at_a_time() {
    let fanout = &fanout();
    let mut ends: Vec<End> = (0..5).map(|n| attach(fanout, &format!("m{n}/d"))).collect();
    for (n, (_, link)) in ends.iter_mut().enumerate() {
        join(link, &channel("c"), n == 0);
    }
    let mut expected: Vec<Route> = ends
        .iter()
        .map(|(receiver, _)| receiver.address.route())
        .collect();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = fanout.members_of(app(1), &channel("c"), after, 2);
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
    assert_eq!(fanout.members_of(app(1), &channel("d"), None, 2), []);
    assert_eq!(fanout.members_of(app(2), &channel("c"), None, 2), []);
}

#[test]
fn an_identity_is_online_with_its_devices() {
    let fanout = &fanout();
    let identity = |text: &str| Identity::parse(text).expect("well formed");
    let bob = identity("bob");
    assert!(!fanout.is_online(app(1), &bob));
    let ends = ["bob/web", "bob/web", "bob/phone", "alice/tv"].map(|s| attach(fanout, s));
    assert!(fanout.is_online(app(1), &bob));
    assert!(!fanout.is_online(app(2), &bob));
    let view = |device: &str, connections| DeviceView {
        device: device.into(),
        connections,
    };
    let devices = |after, limit| fanout.devices_of(app(1), &bob, after, limit);
    assert_eq!(devices(None, 10), [view("phone", 1), view("web", 2)]);
    assert_eq!(devices(None, 1), [view("phone", 1)]);
    assert_eq!(devices(Some("phone"), 10), [view("web", 2)]);
    assert_eq!(
        fanout.devices_of(app(1), &identity("alice"), None, 10),
        [view("tv", 1)]
    );
    drop(ends);
    assert_eq!(devices(None, 10), []);
    assert!(!fanout.is_online(app(1), &bob));
}

#[test]
fn connections_come_back_as_what_they_were_attached_as() {
    let fanout = &fanout();
    let ends = ["bob/web", "bob/web", "bob/phone", "alice/tv"].map(|s| attach(fanout, s));
    let _other = attach_to(fanout, app(2), "bob/web", false);
    let names = |receivers: Vec<Arc<dyn hexline_fanout::Receiver>>| {
        let receivers = receivers.into_iter().map(|receiver| {
            let any: Arc<dyn std::any::Any + Send + Sync> = receiver;
            any.downcast::<TestReceiver>()
                .expect("nothing else was attached")
        });
        let mut names: Vec<String> = receivers.map(|r| r.address.subject().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(fanout.receivers(app(1))),
        ["alice/tv", "bob/phone", "bob/web", "bob/web"]
    );
    assert_eq!(
        names(fanout.receivers_of(app(1), "bob")),
        ["bob/phone", "bob/web", "bob/web"]
    );
    assert_eq!(names(fanout.receivers_of(app(3), "bob")), [""; 0]);
    assert_eq!(fanout.all_receivers().len(), 5);
    let web = &ends[0].0.address;
    let connected = |app| fanout.connected(app, web);
    let counted = |devices, on_device| Connected { devices, on_device };
    assert_eq!(connected(app(1)), counted(2, 2));
    assert_eq!(connected(app(3)), counted(0, 0));
}
