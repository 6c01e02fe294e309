//! What one sender does reaches a receiver in the order done.

use hexline_tests::{Socket, TestServer};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_sender_does_reaches_a_receiver_in_that_order() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for room in ["room", "hall"] {
        bob.call("signal.join", json!({"id": room, "presence": true}))
            .await;
    }
    let to = bob.address_seen_by(&mut alice).await;
    alice.call("signal.join", json!({"id": "room"})).await;
    let mut wanted = Vec::new();
    for n in 0..200 {
        alice
            .notify("signal.join", json!({"id": "hall", "presence": true}))
            .await;
        wanted.push(("signal.join".to_owned(), Value::Null));
        let state = json!({"id": "room", "state": {"a": 1}, "n": n});
        alice.notify("signal.publish", state).await;
        wanted.push(("signal.publish".to_owned(), json!(n)));
        for params in [
            json!({"to": to, "n": n}),
            json!({"to": to, "id": "room", "n": n}),
            json!({"to": "bob", "n": n}),
        ] {
            alice.notify("signal.send", params).await;
            wanted.push(("signal.send".to_owned(), json!(n)));
        }
        alice.notify("signal.leave", json!({"id": "hall"})).await;
        wanted.push(("signal.leave".to_owned(), Value::Null));
    }
    let found: Vec<_> = bob
        .caused_by(&mut alice)
        .await
        .into_iter()
        .map(|p| (p.method, p.params.get("n").cloned().unwrap_or_default()))
        .collect();
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_speak_at_once_each_keep_their_order() {
    const SENDERS: usize = 4;
    const MESSAGES: u64 = 300;
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room"})).await;
    let mut tasks = Vec::new();
    for sender in 0..SENDERS {
        let mut socket: Socket = app.connect(&format!("sender{sender}/web")).await;
        tasks.push(tokio::spawn(async move {
            for n in 0..MESSAGES {
                let (method, params) = if n % 2 == 0 {
                    (
                        "signal.send",
                        json!({"to": "bob", "sender": sender, "n": n}),
                    )
                } else {
                    (
                        "signal.publish",
                        json!({"id": "room", "sender": sender, "n": n}),
                    )
                };
                socket.notify(method, params).await;
            }
            socket
        }));
    }
    let mut next = [0; SENDERS];
    for _ in 0..SENDERS as u64 * MESSAGES {
        let params = bob.push().await.params;
        let sender = params["sender"].as_u64().expect("a number");
        let sender = usize::try_from(sender).expect("a small number");
        assert_eq!(params["n"], next[sender], "sender {sender}");
        next[sender] += 1;
    }
    for task in tasks {
        task.await.expect("every message was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_close_arrives_and_then_the_leave() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    for _ in 0..20 {
        let mut alice = app.connect("alice/web").await;
        alice
            .notify("signal.join", json!({"id": "room", "presence": true}))
            .await;
        for n in 0..20 {
            alice
                .notify("signal.send", json!({"to": "bob", "n": n}))
                .await;
            alice
                .notify("signal.publish", json!({"id": "room", "n": n}))
                .await;
        }
        alice.close().await;
        bob.expect("signal.join").await;
        for n in 0..20 {
            assert_eq!(bob.expect("signal.send").await["n"], n);
            assert_eq!(bob.expect("signal.publish").await["n"], n);
        }
        bob.expect("signal.leave").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_sent_in_one_burst_are_answered_in_order() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    for id in 0..100 {
        alice
            .text(
                json!({"jsonrpc": "2.0", "id": id, "method": "signal.send", "params": {"to": "x"}})
                    .to_string(),
            )
            .await;
    }
    for id in 0..100 {
        assert_eq!(alice.frame().await["id"], id);
    }
}
