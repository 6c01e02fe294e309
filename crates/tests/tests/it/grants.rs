//! What a token may do is what it and its key both grant.

use hexline_tests::{TestServer, refusal};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn any_of_signal_chat_and_video_opens_a_socket_and_nothing_else_does() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for service in ["signal", "chat", "video"] {
        let token = app.token_granting("bob/web", &json!({service: true}));
        let mut socket = app.connect_with("bob/web", &token).await;
        assert_eq!(socket.after_ping().await, [], "{service}");
    }
    for grants in [
        json!({}),
        json!({"push": true}),
        json!({"signal": false}),
        json!({"unknown": true}),
    ] {
        let token = app.token_granting("bob/web", &grants);
        assert_eq!(
            app.refused(&token).await,
            refusal(403, "grant_missing"),
            "{grants}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_signal_grant_nothing_can_be_sent_joined_or_published() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    let token = app.token_granting("alice/web", &json!({"chat": true}));
    let mut alice = app.connect_with("alice/web", &token).await;
    for (method, params) in [
        ("signal.send", json!({"to": "bob"})),
        ("signal.join", json!({"id": "room"})),
        ("signal.publish", json!({"id": "room"})),
    ] {
        let error = alice.refused(method, params.clone()).await;
        assert_eq!(error["code"], -32003, "{method}: {error}");
        assert_eq!(error["data"]["code"], "grant_missing", "{method}: {error}");
        alice.notify(method, params).await;
    }
    assert_eq!(
        alice.after_ping().await,
        [],
        "a refused notification is not answered"
    );
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_limit_the_channels_that_may_be_joined_and_published_to() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let grants = json!({"signal": {"channels": ["news.*", "lobby"]}});
    let mut alice = app
        .connect_with("alice/web", &app.token_granting("alice/web", &grants))
        .await;
    let mut bob = app.connect("bob/web").await;
    for name in ["news.", "news.sport", "news.sport.tennis", "lobby"] {
        for socket in [&mut alice, &mut bob] {
            socket.call("signal.join", json!({"id": name})).await;
        }
        let result = alice.call("signal.publish", json!({"id": name})).await;
        assert_eq!(result, json!({"delivered": 1}), "{name}");
    }
    for name in ["news", "lobby2", "other", "x.news.a"] {
        bob.call("signal.join", json!({"id": name})).await;
        for method in ["signal.join", "signal.publish"] {
            refused_for_lack(&alice.refused(method, json!({"id": name})).await);
        }
        let params = json!({"to": "bob", "id": name});
        refused_for_lack(&alice.refused("signal.send", params).await);
    }
    let result = alice.call("signal.send", json!({"to": "bob"})).await;
    assert_eq!(result, json!({"delivered": 1}), "a direct message is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_false_refuses_what_goes_to_a_channel_but_not_direct_messages() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let grants = json!({"signal": {"publish": false}});
    let mut alice = app
        .connect_with("alice/web", &app.token_granting("alice/web", &grants))
        .await;
    let mut bob = app.connect("bob/web").await;
    for socket in [&mut bob, &mut alice] {
        socket
            .call("signal.join", json!({"id": "room", "presence": true}))
            .await;
    }
    bob.expect("signal.join").await;
    for (method, params) in [
        ("signal.publish", json!({"id": "room", "n": 1})),
        ("signal.send", json!({"to": "bob", "id": "room", "n": 1})),
    ] {
        refused_for_lack(&alice.refused(method, params.clone()).await);
        alice.notify(method, params).await;
    }
    bob.hears_nothing_of(&mut alice).await;
    alice
        .call("signal.send", json!({"to": "bob", "n": 2}))
        .await;
    assert_eq!(bob.expect("signal.send").await["n"], 2);
    bob.notify("signal.publish", json!({"id": "room", "n": 3}))
        .await;
    let heard = alice.caused_by(&mut bob).await;
    assert!(heard.iter().any(|p| p.params["n"] == 3), "it still listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_of_a_key_cuts_what_its_tokens_grant() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let limited = app
        .another_key(Some(
            r#"{"signal":{"channels":["news.*"],"publish":false},"chat":true}"#,
        ))
        .await;
    let token = limited.token_granting("alice/web", &json!({"signal": true, "video": true}));
    let mut alice = limited.connect_with("alice/web", &token).await;
    alice.call("signal.join", json!({"id": "news.a"})).await;
    refused_for_lack(&alice.refused("signal.join", json!({"id": "room"})).await);
    refused_for_lack(
        &alice
            .refused("signal.publish", json!({"id": "news.a"}))
            .await,
    );

    let grants = json!({"signal": {"channels": ["news.a", "room"]}});
    let token = limited.token_granting("alice/web", &grants);
    let mut alice = limited.connect_with("alice/web", &token).await;
    alice.call("signal.join", json!({"id": "news.a"})).await;
    for name in ["news.b", "room"] {
        refused_for_lack(&alice.refused("signal.join", json!({"id": name})).await);
    }

    let token = limited.token_granting("alice/web", &json!({"video": true}));
    assert_eq!(limited.refused(&token).await, refusal(403, "grant_missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_not_understood_refuses_the_token() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for grants in [
        json!({"signal": {"channel": ["a"]}}),
        json!({"signal": {"channels": "a"}}),
        json!({"signal": {"channels": ["a*b"]}}),
        json!({"signal": {"publish": "no"}}),
        json!({"signal": "yes"}),
        json!({"signal": 1}),
        json!({"signal": null}),
        json!({"signal": true, "chat": {"conversations": {}}}),
        json!({"signal": true, "push": {"devices": []}}),
    ] {
        let token = app.token_granting("bob/web", &grants);
        assert_eq!(
            app.refused(&token).await,
            refusal(401, "claim_invalid"),
            "{grants}"
        );
    }
    let grants = json!({"signal": {}, "telepathy": {"range": 5}});
    let token = app.token_granting("bob/web", &grants);
    app.connect_with("bob/web", &token).await;
}

fn refused_for_lack(error: &Value) {
    assert_eq!(error["code"], -32003, "{error}");
    assert_eq!(error["data"]["code"], "grant_missing", "{error}");
}
