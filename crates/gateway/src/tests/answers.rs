//! An answer goes out before what follows from its call.

use hexline_fanout::Presence;
use hexline_model::ChannelName;
use hexline_services::Effect;

use super::slow::{answer, call, done_and, heard, join, publish};
use super::*;

#[tokio::test]
async fn a_join_is_answered_before_its_join_backs() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", None);
    bob.handle_text(rig.now(), &join(1, "x"));
    alice.handle_text(rig.now(), &join(1, "x"));
    assert_eq!(
        heard(&alice),
        [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            "signal.join_back"
        ]
    );
}

#[tokio::test]
async fn a_later_call_is_answered_before_what_happens_to_its_connection() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    bob.handle_text(rig.now(), &join(1, "x"));
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    assert!(heard(&alice).is_empty());
    let channel = ChannelName::parse("x").expect("a name");
    let push = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"chat.added","params":{}}"#);
    let effects = [
        Effect::Push(push),
        Effect::Join(channel, Presence::Visible { at_most: 9 }),
    ];
    rig.end(&mut alice, "a", Ok(done_and("a", effects)));
    let expected = [&answer(1, "a"), "chat.added", "signal.join_back"];
    assert_eq!(heard(&alice), expected);
    bob.handle_text(rig.now(), &publish("x", 1));
    assert_eq!(heard(&alice), ["signal.publish"], "it is a member");
    let leave = [Effect::Leave(ChannelName::parse("x").expect("a name"))];
    rig.say(&mut alice, &call(2, "slow.b"));
    rig.end(&mut alice, "b", Ok(done_and("b", leave)));
    bob.handle_text(rig.now(), &publish("x", 1));
    assert_eq!(heard(&alice), [answer(2, "b")], "it has left");
}
