//! Calls that take their time, and what does not wait for them.

use super::slow::{answer, call, done, failed, heard, join, notification, publish};
use super::*;
use crate::in_flight::MAX_CALLS;

#[tokio::test]
async fn pings_pushes_timers_and_a_revocation_pass_a_call_that_is_held_open() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", Some(Duration::from_hours(1)));
    alice.handle_text(rig.now(), &join(1, "x"));
    outgoing(&alice);
    rig.say(&mut alice, &call(2, "slow.a"));
    rig.say(&mut alice, "_ping");
    assert_eq!(heard(&alice), ["_pong"]);
    bob.handle_text(rig.now(), &publish("x", 1));
    assert_eq!(heard(&alice), ["signal.publish"]);
    assert_eq!(rig.pass(&mut alice, Duration::from_secs(30)), 1);
    assert_eq!(closing(&alice), None);
    rig.say(&mut alice, &call(3, "quick.b"));
    rig.services
        .keys
        .revoke_key(rig.key)
        .await
        .expect("revoked");
    assert_eq!(outgoing(&alice), (vec![], Some(CloseCode::Revoked)));
    rig.end(&mut alice, "a", Ok(done("a")));
    assert_eq!(rig.slow.begun(), ["a"], "nothing begins after that");
    assert!(heard(&alice).is_empty());
    assert_eq!(rig.slow.written(), ["a"]);
}

#[tokio::test]
async fn a_token_that_ends_waits_for_no_call() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", Some(Duration::from_secs(5)));
    rig.say(&mut alice, &call(1, "slow.a"));
    rig.pass(&mut alice, Duration::from_secs(15));
    assert_eq!(outgoing(&alice), (vec![], Some(CloseCode::TokenExpired)));
}

#[tokio::test]
async fn no_call_of_a_connection_overtakes_another() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    bob.handle_text(rig.now(), &join(1, "x"));
    outgoing(&bob);
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    rig.say(&mut alice, &publish("x", 1));
    rig.say(&mut alice, &call(2, "quick.b"));
    rig.say(&mut alice, "{");
    rig.say(&mut alice, &call(3, "slow.c"));
    rig.say(&mut alice, &call(4, "quick.d"));
    assert!(heard(&alice).is_empty() && heard(&bob).is_empty());
    let mut carol = rig.session("carol/d", None);
    rig.say(&mut carol, &call(1, "quick.other"));
    assert_eq!(heard(&carol), [answer(1, "other")], "others do not wait");
    rig.end(&mut alice, "a", Err(failed()));
    assert_eq!(heard(&bob), ["signal.publish"]);
    let said = heard(&alice);
    assert!(said[0].contains(r#""id":1,"error""#));
    assert_eq!(said[1], answer(2, "b"));
    assert!(said[2].contains("not valid JSON") && said.len() == 3);
    rig.end(&mut alice, "c", Ok(done("c")));
    assert_eq!(heard(&alice), [answer(3, "c"), answer(4, "d")]);
    rig.say(&mut alice, &call(5, "quick.e"));
    assert_eq!(heard(&alice), [answer(5, "e")]);
}

#[tokio::test]
async fn so_many_calls_are_in_flight_and_then_the_socket_is_not_read() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    for n in 1..=MAX_CALLS {
        assert!(!alice.is_full());
        rig.say(&mut alice, &call(n, "slow.a"));
    }
    assert!(alice.is_full());
    assert_eq!(rig.slow.begun().len(), 1);
    for n in 1..=MAX_CALLS {
        rig.end(&mut alice, "a", Ok(done("a")));
        assert!(!alice.is_full());
        assert_eq!(heard(&alice), [answer(n, "a")]);
    }
}

#[tokio::test]
async fn calls_in_flight_are_bounded_in_bytes_as_well() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    let large = call(1, "quick.b").replace(":1,", &format!(":\"{}\",", "x".repeat(60 << 10)));
    rig.say(&mut alice, &call(0, "slow.a"));
    for _ in 0..5 {
        assert!(!alice.is_full());
        rig.say(&mut alice, &large);
    }
    assert!(alice.is_full());
    rig.end(&mut alice, "a", Ok(done("a")));
    assert!(!alice.is_full());
    assert_eq!(heard(&alice).len(), 6);
}

#[tokio::test]
async fn time_without_being_read_is_neither_silence_nor_a_flood() {
    let rig = Rig::new(|limits| limits.opening_calls = 0).await;
    let mut alice = rig.session("alice/d", None);
    let calls = vec![call(1, "slow.a"); 100];
    alice.handle_text(rig.now(), &format!("[{}]", calls.join(",")));
    assert!(alice.is_full());
    for _ in 0..100 {
        rig.clock.advance(Duration::from_secs(1));
        alice.handle_resume(rig.now(), 1 << 20);
        alice.handle_text(rig.now(), &call(1, "slow.a"));
    }
    assert_eq!(closing(&alice), None, "the rate did not hold it back");
    rig.pass(&mut alice, Duration::from_mins(5));
    assert_eq!(closing(&alice), None);
    alice.handle_unblocked(rig.now());
    while alice.is_full() {
        // Or tokio thinks that this test does not let others run.
        tokio::task::yield_now().await;
        rig.end(&mut alice, "a", Ok(done("a")));
    }
    assert_eq!(rig.pass(&mut alice, Duration::from_secs(74)), 1);
    assert_eq!(closing(&alice), None, "its silence begins when it is read");
    rig.pass(&mut alice, Duration::from_secs(1));
    assert_eq!(closing(&alice), Some(CloseCode::Idle));
}

#[tokio::test]
async fn calls_that_wait_count_toward_the_rate_when_they_arrive() {
    let rig = Rig::new(|limits| limits.opening_calls = 0).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    let batch = format!("[{}]", vec![call(2, "quick.b"); 98].join(","));
    rig.say(&mut alice, &batch);
    assert_eq!(alice.paused_until(), None);
    rig.say(&mut alice, &call(3, "quick.c"));
    let until = alice.paused_until();
    assert!(until.is_some());
    rig.end(&mut alice, "a", Ok(done("a")));
    assert_eq!(alice.paused_until(), until, "and not again");
}

#[tokio::test]
async fn a_stop_answers_what_was_taken_in() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    let batch = format!("[{},{}]", call(2, "quick.b"), call(3, "slow.c"));
    rig.say(&mut alice, &batch);
    rig.hub.drain(Duration::ZERO).await;
    assert_eq!(closing(&alice), Some(CloseCode::GoingAway));
    assert_eq!(outgoing(&alice), (vec![], None), "it is not closed yet");
    rig.end(&mut alice, "a", Ok(done("a")));
    assert_eq!(outgoing(&alice), (vec![answer(1, "a")], None));
    rig.end(&mut alice, "c", Ok(done("c")));
    let answers = format!("[{},{}]", answer(2, "b"), answer(3, "c"));
    assert_eq!(
        outgoing(&alice),
        (vec![answers], Some(CloseCode::GoingAway))
    );
}

#[tokio::test]
async fn a_stop_that_races_a_call_comes_after_its_answer() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    alice.outbox().close_after_queue(CloseCode::GoingAway);
    rig.say(&mut alice, &call(1, "quick.a"));
    let answered = (vec![answer(1, "a")], Some(CloseCode::GoingAway));
    assert_eq!(outgoing(&alice), answered);
}

#[tokio::test]
async fn a_connection_that_closes_loses_answers_and_no_writes() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    drop(alice);
    rig.tasks.run();
    assert!(rig.slow.written().is_empty());
    rig.slow.end("a", Ok(done("a")));
    rig.tasks.run();
    assert_eq!(rig.slow.written(), ["a"]);
    assert_eq!(rig.hub.total(), 0, "its place did not wait for that");
}

#[tokio::test]
async fn a_later_call_is_answered_once_and_a_notification_never() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    rig.end(&mut alice, "a", Ok(done("a")));
    rig.go_on(&mut alice);
    rig.go_on(&mut alice);
    assert_eq!(heard(&alice), [answer(1, "a")]);
    for ended in [Ok(done("b")), Err(failed())] {
        rig.say(&mut alice, &notification("slow.b"));
        rig.end(&mut alice, "b", ended);
    }
    assert!(heard(&alice).is_empty());
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_answered_all_the_same() {
    let rig = Rig::new(|_| ()).await;
    let mut alice = rig.session("alice/d", None);
    rig.say(&mut alice, &call(1, "slow.a"));
    rig.say(&mut alice, &call(2, "quick.b"));
    rig.tasks.abort();
    rig.go_on(&mut alice);
    let said = heard(&alice);
    assert!(said[0].contains(r#""id":1,"error":{"code":-32603"#));
    assert_eq!(said[1..], [answer(2, "b")]);
}

#[tokio::test]
async fn a_large_answer_on_its_way_holds_up_the_calls_behind_it() {
    let rig = Rig::new(|limits| limits.outbox_bytes = 1000).await;
    let mut alice = rig.session("alice/d", None);
    let large = || done(&"x".repeat(5000));
    for id in 1..4 {
        rig.say(&mut alice, &call(id, "slow.a"));
    }
    for begun in 1..4 {
        assert_eq!(rig.slow.begun().len(), begun);
        rig.end(&mut alice, "a", Ok(large()));
        assert_eq!(rig.slow.begun().len(), begun, "the next one waits");
        assert_eq!(outgoing(&alice).0.len(), 1);
        rig.go_on(&mut alice);
    }
    assert_eq!(closing(&alice), None);
}
