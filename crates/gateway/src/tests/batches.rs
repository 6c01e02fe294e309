//! The calls of a batch are answered together, and the pushes for its connection come after that.

use super::slow::{answer, call, done, failed, heard, join, notification, publish};
use super::*;

fn batch(calls: &[String]) -> String {
    format!("[{}]", calls.join(","))
}

const JOINED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

#[tokio::test]
async fn a_batch_is_answered_before_what_follows_from_its_calls() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    bob.handle_text(rig.now(), &join(1, "x"));
    let mut alice = rig.session("alice/d", None);
    alice.handle_text(rig.now(), &batch(&[join(1, "x"), call(2, "quick.a")]));
    let expected = [
        &batch(&[JOINED.to_owned(), answer(2, "a")]),
        "signal.join_back",
    ];
    assert_eq!(heard(&alice), expected);
    let mut carol = rig.session("carol/d", None);
    let silent = join(1, "x").replace(r#""id":1,"#, "");
    carol.handle_text(rig.now(), &batch(&[silent]));
    let met = ["signal.join_back"; 2];
    assert_eq!(
        heard(&carol),
        met,
        "a batch of notifications is not answered"
    );
}

#[tokio::test]
async fn a_batch_waits_for_its_later_calls_and_its_pushes_wait_for_the_batch() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    bob.handle_text(rig.now(), &join(1, "x"));
    let mut alice = rig.session("alice/d", None);
    let calls = [
        join(1, "x"),
        call(2, "slow.a"),
        notification("slow.b"),
        "5".to_owned(),
        call(3, "quick.c"),
        call(4, "slow.d"),
    ];
    rig.say(&mut alice, &batch(&calls));
    rig.say(&mut alice, &call(5, "quick.e"));
    assert_eq!(rig.slow.begun(), ["a"], "one after the other");
    bob.handle_text(rig.now(), &publish("x", 1));
    rig.say(&mut alice, "_ping");
    assert_eq!(heard(&alice), ["_pong"], "which is no push");
    rig.end(&mut alice, "a", Ok(done("a")));
    rig.end(&mut alice, "b", Err(failed()));
    assert_eq!(rig.slow.begun(), ["a", "b", "c", "d"]);
    bob.handle_text(rig.now(), &publish("x", 2));
    assert!(heard(&alice).is_empty());
    rig.end(&mut alice, "d", Ok(done("d")));
    let invalid = hexline_protocol::error(
        None,
        hexline_protocol::ErrorCode::InvalidRequest,
        "a request is an object",
        &[],
    );
    let invalid = String::from_utf8(invalid.to_vec()).expect("UTF-8");
    let answers = [
        JOINED.to_owned(),
        answer(2, "a"),
        invalid,
        answer(3, "c"),
        answer(4, "d"),
    ];
    let said = heard(&alice);
    assert_eq!(said[0], batch(&answers));
    // What is held back goes out as soon as it may, and the next call is answered behind it.
    let pushes = ["signal.join_back", "signal.publish", "signal.publish"];
    assert_eq!(said[1..4], pushes);
    assert_eq!(said[4..], [answer(5, "e")]);
}

#[tokio::test]
async fn what_a_batch_holds_back_is_bounded_as_all_that_waits() {
    let rig = Rig::new(|limits| limits.outbox_bytes = 10_000).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &batch(&[join(1, "x"), call(2, "slow.a")]));
    for n in 0..200 {
        bob.handle_text(rig.now(), &publish("x", n));
    }
    assert_eq!(outgoing(&alice), (vec![], Some(CloseCode::TooSlow)));
}

#[tokio::test]
async fn what_a_batch_holds_back_is_not_lost_when_its_connection_closes() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &batch(&[join(1, "x"), call(2, "slow.a")]));
    bob.handle_text(rig.now(), &publish("x", 1));
    alice.outbox().close_after_queue(CloseCode::TokenExpired);
    let (said, close) = outgoing(&alice);
    assert!(said.len() == 1 && said[0].contains("signal.publish"));
    assert_eq!(close, Some(CloseCode::TokenExpired));
}
