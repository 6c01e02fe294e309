//! Channels: who hears a publish, and what names are allowed.

use hexline_tests::TestServer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_reaches_every_other_member_and_not_the_sender() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let mut carol = app.connect("carol/web").await;
    let mut outsider = app.connect("dave/web").await;
    let address = alice.address_seen_by(&mut bob).await;
    for member in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(
            member.call("signal.join", json!({"id": "room"})).await,
            json!({})
        );
    }
    let result = alice
        .call(
            "signal.publish",
            json!({"id": "room", "text": "hi", "from": "eve/web/x"}),
        )
        .await;
    assert_eq!(result, json!({"delivered": 2}));
    for member in [&mut bob, &mut carol] {
        assert_eq!(
            member.expect("signal.publish").await,
            json!({"id": "room", "text": "hi", "from": address})
        );
    }
    assert_eq!(alice.after_ping().await, []);
    outsider.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_connection_of_the_sender_is_a_member_like_any_other() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut tab = app.connect("alice/web").await;
    let mut other_tab = app.connect("alice/web").await;
    for member in [&mut tab, &mut other_tab] {
        member.call("signal.join", json!({"id": "room"})).await;
    }
    tab.notify("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    assert_eq!(other_tab.expect("signal.publish").await["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_relayed_like_any_member_of_a_message() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for member in [&mut alice, &mut bob] {
        member.call("signal.join", json!({"id": "room"})).await;
    }
    let state = json!({"pub": {"audio": true}, "n": 1.5});
    alice
        .notify("signal.publish", json!({"id": "room", "state": state}))
        .await;
    assert_eq!(bob.expect("signal.publish").await["state"], state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_within_a_channel_keeps_its_id_and_reaches_only_the_member_it_names() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let mut carol = app.connect("carol/web").await;
    for member in [&mut alice, &mut bob, &mut carol] {
        member.call("signal.join", json!({"id": "room"})).await;
    }
    let to = bob.address_seen_by(&mut alice).await;
    let from = alice.address_seen_by(&mut bob).await;
    let result = alice
        .call(
            "signal.send",
            json!({"to": to, "id": "room", "state": {"a": 1}}),
        )
        .await;
    assert_eq!(result, json!({"delivered": 1}));
    assert_eq!(
        bob.expect("signal.send").await,
        json!({"to": to, "id": "room", "state": {"a": 1}, "from": from})
    );
    carol.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_hears_no_more() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for member in [&mut alice, &mut bob] {
        member.call("signal.join", json!({"id": "room"})).await;
    }
    assert_eq!(
        bob.call("signal.leave", json!({"id": "room"})).await,
        json!({})
    );
    let result = alice
        .call("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    assert_eq!(result, json!({"delivered": 0}));
    bob.hears_nothing_of(&mut alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_twice_delivers_once() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    alice.call("signal.join", json!({"id": "room"})).await;
    for _ in 0..2 {
        bob.call("signal.join", json!({"id": "room"})).await;
    }
    alice
        .notify("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    assert_eq!(bob.caused_by(&mut alice).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_of_1_to_200_bytes_will_do() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let longest = "é".repeat(100);
    for name in [
        "a",
        "a/b",
        "c._c.1",
        "with space",
        "комната",
        "s.x",
        &longest,
    ] {
        alice.call("signal.join", json!({"id": name})).await;
    }
    let too_long = "x".repeat(201);
    for name in ["", "a\u{0}b", &too_long] {
        let error = alice.refused("signal.join", json!({"id": name})).await;
        assert_eq!(error["code"], -32602, "{name:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_names_are_refused() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let everything = json!({"signal": true, "chat": true, "video": true});
    let token = app.token_granting("alice/web", &everything);
    let mut alice = app.connect_with("alice/web", &token).await;
    let token = app.token_granting("bob/web", &everything);
    let mut bob = app.connect_with("bob/web", &token).await;
    for name in [
        "_anything",
        "_",
        "_c",
        "_c.1234",
        "s.p0123456789abcdef0123456789abcdef",
    ] {
        for client in [&mut alice, &mut bob] {
            let error = client
                .refused("signal.join", json!({"id": name, "presence": true}))
                .await;
            assert_eq!(error["code"], -32003, "{name}: {error}");
            assert_eq!(error["data"]["code"], "forbidden", "{name}: {error}");
            client
                .notify("signal.join", json!({"id": name, "presence": true}))
                .await;
        }
        alice
            .notify("signal.publish", json!({"id": name, "n": 1}))
            .await;
    }
    bob.hears_nothing_of(&mut alice).await;
    alice.hears_nothing_of(&mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_vanishes_with_its_last_member() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    alice
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    alice.call("signal.leave", json!({"id": "room"})).await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    assert_eq!(bob.after_ping().await, []);
    alice.hears_nothing_of(&mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_as_channel_or_address_is_its_decimal_text() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("42/web").await;
    for client in [&mut alice, &mut bob] {
        client
            .call("signal.join", json!({"id": 7, "presence": true}))
            .await;
    }
    assert_eq!(alice.expect("signal.join").await["id"], "7");
    assert_eq!(bob.expect("signal.join_back").await["id"], "7");
    let delivered = json!({"delivered": 1});
    let sent = alice.call("signal.send", json!({"to": 42, "n": 1})).await;
    assert_eq!(sent, delivered);
    let push = bob.expect("signal.send").await;
    assert_eq!((&push["to"], &push["n"]), (&json!("42"), &json!(1)));
    let sent = alice.call("signal.send", json!({"to": 42, "id": 7})).await;
    assert_eq!(sent, delivered);
    assert_eq!(bob.expect("signal.send").await["id"], "7");
    let sent = bob.call("signal.publish", json!({"id": "7", "n": 2})).await;
    assert_eq!(sent, delivered);
    let sent = bob.call("signal.publish", json!({"id": 7, "to": 5})).await;
    assert_eq!(sent, delivered);
    assert_eq!(alice.expect("signal.publish").await["id"], "7");
    let push = alice.expect("signal.publish").await;
    assert_eq!((&push["id"], &push["to"]), (&json!("7"), &json!(5)));
    bob.call("signal.leave", json!({"id": 7})).await;
    assert_eq!(alice.expect("signal.leave").await["id"], "7");
    for wrong in [json!(1.5), json!(true), json!(["7"])] {
        let error = alice.refused("signal.join", json!({"id": wrong})).await;
        assert_eq!(error["code"], -32602, "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("not a string or an integer"), "{message}");
    }
}
