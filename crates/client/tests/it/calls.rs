use std::time::Duration;

use futures_util::StreamExt as _;
use hexline_client::{CallError, Closed, Event};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::server::Server;

#[tokio::test]
async fn answers_find_their_calls_in_whatever_order_they_come() {
    let server = Server::start().await;
    let (client, _events, mut peer) = server.pair(server.options()).await;
    let serve = async {
        let (first, second) = (peer.call().await, peer.call().await);
        assert_eq!(first["jsonrpc"], "2.0");
        peer.answer(&second, &second["params"].to_string()).await;
        peer.answer(&first, &first["params"].to_string()).await;
        // One that nobody asked for, and one twice.
        peer.answer(&json!({"id": 999}), "{}").await;
        peer.answer(&first, "{}").await;
    };
    let (one, two, ()) = tokio::join!(
        client.call("a.b", json!({"n": 1})),
        client.call("a.b", json!({"n": 2})),
        serve
    );
    assert_eq!(one.expect("a result").get(), r#"{"n":1}"#);
    assert_eq!(two.expect("a result").get(), r#"{"n":2}"#);
}

#[tokio::test]
async fn conveniences_send_what_the_protocol_says() {
    let server = Server::start().await;
    let (client, _events, mut peer) = server.pair(server.options()).await;
    let serve = async {
        let mut seen = Vec::new();
        for result in [r#"{"delivered":2}"#, r#"{"delivered":1}"#, "{}", "{}", "{}"] {
            let call = peer.call().await;
            peer.answer(&call, result).await;
            seen.push(format!(
                "{} {}",
                call["method"].as_str().expect("a method"),
                call["params"]
            ));
        }
        let notification = peer.call().await;
        assert!(notification.get("id").is_none());
        assert_eq!(peer.text().await.as_deref(), Some("_ping"));
        seen
    };
    let call = async {
        assert_eq!(
            client
                .send("bob", json!({"text": "hi", "to": "eve"}))
                .await
                .expect("sent"),
            2
        );
        let sent = client
            .send_in_channel("c", "bob/web", json!({"state": {}}))
            .await;
        assert_eq!(sent.expect("sent"), 1);
        assert_eq!(
            client
                .publish("c", json!({"text": "all"}))
                .await
                .expect("published"),
            0
        );
        client.join("c", true).await.expect("joined");
        client.leave("c").await.expect("left");
        client
            .notify("signal.leave", json!({"id": "c"}))
            .await
            .expect("posted");
        client.ping().await.expect("posted");
    };
    let (seen, ()) = tokio::join!(serve, call);
    let expected = [
        r#"signal.send {"text":"hi","to":"bob"}"#,
        r#"signal.send {"id":"c","state":{},"to":"bob/web"}"#,
        r#"signal.publish {"id":"c","text":"all"}"#,
        r#"signal.join {"id":"c","presence":true}"#,
        r#"signal.leave {"id":"c"}"#,
    ];
    assert_eq!(seen, expected);
    for refused in [
        client.send("bob", json!({"id": "c"})).await,
        client.send("bob", json!("text")).await,
        client.publish("c", json!([])).await,
    ] {
        assert!(matches!(refused, Err(CallError::Params(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_refused_call_tells_code_message_and_data() {
    let server = Server::start().await;
    let (client, _events, mut peer) = server.pair(server.options()).await;
    let serve = async {
        let call = peer.call().await;
        let error = r#"{"code":-32003,"message":"no","data":{"code":"grant_missing"}}"#;
        peer.say(format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#,
            call["id"]
        ))
        .await;
    };
    let (joined, ()) = tokio::join!(client.join("c", false), serve);
    let error = joined.expect_err("refused");
    assert_eq!(error.reason().as_deref(), Some("grant_missing"));
    assert!(matches!(error, CallError::Refused { code: -32003, message, .. } if message == "no"));
}

#[tokio::test]
async fn a_call_without_an_answer_fails_in_time_and_a_late_answer_harms_nobody() {
    let server = Server::start().await;
    let options = server.options().request_timeout(Duration::from_millis(20));
    let (client, _events, mut peer) = server.pair(options).await;
    let error = client.call("a.b", json!({})).await.expect_err("no answer");
    assert!(matches!(error, CallError::TimedOut(_)), "{error:?}");
    let late = peer.call().await;
    peer.answer(&late, "{}").await;
    let serve = async {
        let call = peer.call().await;
        peer.answer(&call, "1").await;
    };
    let (result, ()) = tokio::join!(client.call("a.b", json!({})), serve);
    assert_eq!(result.expect("a result").get(), "1");
}

#[tokio::test]
async fn pushes_come_in_order_and_nonsense_between_them_is_ignored() {
    let server = Server::start().await;
    let (_client, mut events, mut peer) = server.pair(server.options()).await;
    peer.say(r#"{"jsonrpc":"2.0","method":"signal.send","params":{"n": 1, "from":"a/b/c"}}"#)
        .await;
    for nonsense in [
        "",
        "_pong",
        "{",
        "[]",
        "null",
        r#"{"id":null,"error":{}}"#,
        r#"{"id":{}}"#,
    ] {
        peer.say(nonsense).await;
    }
    peer.send(Message::binary(vec![0, 159, 146, 150])).await;
    peer.send(Message::Ping(vec![1].into())).await;
    peer.say(r#"{"method":"x","params":[2]}"#).await;
    peer.close(1000, "bye").await;
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(match event {
            Event::Push(push) => format!("{} {}", push.method, push.params),
            Event::Closed(closed) => format!("{:?} {}", closed.code, closed.reason),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            r#"signal.send {"n": 1, "from":"a/b/c"}"#,
            "x [2]",
            "Some(1000) bye"
        ]
    );
}

#[tokio::test]
async fn the_end_of_a_connection_fails_what_waits_and_what_comes_later() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = server.pair(server.options()).await;
    let serve = async {
        peer.call().await;
        peer.close(4501, "revoked").await;
    };
    let (result, ()) = tokio::join!(client.call("a.b", json!({})), serve);
    assert!(matches!(result, Err(CallError::Closed)), "{result:?}");
    let closed = Closed {
        code: Some(4501),
        reason: "revoked".to_owned(),
    };
    assert!(matches!(events.recv().await, Some(Event::Closed(c)) if c == closed));
    assert!(events.recv().await.is_none());
    assert_eq!(client.closed().await, closed);
    assert!(client.is_closed() && !closed.may_reconnect());
    assert!(matches!(
        client.call("a.b", json!({})).await,
        Err(CallError::Closed)
    ));
    assert!(matches!(
        client.notify("a.b", json!({})).await,
        Err(CallError::Closed)
    ));
}

#[tokio::test]
async fn a_connection_that_breaks_is_reported_without_a_code() {
    let server = Server::start().await;
    let (_client, mut events, peer) = server.pair(server.options()).await;
    drop(peer);
    let Some(Event::Closed(closed)) = events.recv().await else {
        panic!("not closed")
    };
    assert_eq!(closed.code, None);
    assert!(closed.may_reconnect());
}

#[tokio::test]
async fn closing_says_goodbye_and_loses_nothing_that_was_posted_before() {
    let server = Server::start().await;
    let (client, _events, mut peer) = server.pair(server.options()).await;
    client.notify("a.b", json!({"n": 1})).await.expect("posted");
    let serve = async {
        assert_eq!(peer.call().await["params"]["n"], 1);
        assert_eq!(peer.text().await, None);
    };
    let ((), ()) = tokio::join!(client.close(), serve);
    assert_eq!(client.closed().await.code, Some(1000));
}

#[tokio::test]
async fn dropping_client_and_events_closes_the_connection_and_one_of_them_does_not() {
    let server = Server::start().await;
    let (client, mut events, mut peer) = server.pair(server.options()).await;
    drop(client);
    peer.say(r#"{"method":"x","params":{}}"#).await;
    assert!(matches!(events.recv().await, Some(Event::Push(_))));
    drop(events);
    assert_eq!(peer.text().await, None);

    let (client, events, mut peer) = server.pair(server.options()).await;
    drop(events);
    peer.say(r#"{"method":"x","params":{}}"#).await;
    let serve = async {
        let call = peer.call().await;
        peer.answer(&call, "{}").await;
    };
    let (joined, ()) = tokio::join!(client.join("c", false), serve);
    joined.expect("joined");
}

#[tokio::test]
async fn it_pings_and_gives_up_on_a_server_that_says_nothing() {
    let server = Server::start().await;
    let options = server.options().ping_every(Some(Duration::from_millis(20)));
    let (client, _events, mut peer) = server.pair(options).await;
    assert_eq!(peer.text().await.as_deref(), Some("_ping"));
    peer.say("_pong").await;
    assert_eq!(peer.text().await.as_deref(), Some("_ping"));
    let closed = client.closed().await;
    assert_eq!(closed.code, None);
    assert!(closed.reason.contains("nothing was heard"), "{closed:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection() {
    let server = Server::start().await;
    let (client, _events, mut peer) = server.pair(server.options().max_message_bytes(1000)).await;
    peer.say("x".repeat(2000)).await;
    assert_eq!(client.closed().await.code, None);
}

#[tokio::test]
async fn events_that_nobody_reads_hold_the_server_back_and_none_is_lost() {
    let server = Server::start().await;
    let options = server
        .options()
        .event_queue_bytes(10_000)
        .request_timeout(Duration::from_mins(1));
    let (client, mut events, mut peer) = server.pair(options).await;
    let (count, pad) = (500, "x".repeat(1000));
    let serve = async {
        for n in 0..count {
            peer.say(format!(
                r#"{{"method":"x","params":{{"n":{n},"pad":"{pad}"}}}}"#
            ))
            .await;
        }
        let call = peer.call().await;
        peer.answer(&call, "{}").await;
    };
    let read = async {
        // Reading starts only when the call, whose answer is behind all pushes, has been made.
        for n in 0..count {
            let Some(Event::Push(push)) = events.recv().await else {
                panic!("no push")
            };
            assert_eq!(push.params_as::<serde_json::Value>().expect("JSON")["n"], n);
        }
    };
    let (joined, (), ()) = tokio::join!(client.join("c", false), serve, read);
    joined.expect("joined");
}
