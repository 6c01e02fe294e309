//! Apps are worlds: nothing crosses from one to another.

use hexline_services::apps::AppLimits;
use hexline_tests::{Program, TestServer, refusal};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_with_the_same_names_never_hear_each_other() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let mut alice = one.connect("alice/web").await;
    let mut bob = one.connect("bob/web").await;
    let mut other_alice = two.connect("alice/web").await;
    let mut other_bob = two.connect("bob/web").await;
    let address = other_bob.address_seen_by(&mut other_alice).await;
    for socket in [&mut alice, &mut bob, &mut other_alice, &mut other_bob] {
        socket
            .call("signal.join", json!({"id": "room", "presence": true}))
            .await;
    }
    assert_eq!(bob.after_ping().await.len(), 1, "one join_back");
    assert_eq!(other_bob.after_ping().await.len(), 1, "one join_back");
    other_alice.after_ping().await;

    for to in ["bob", "bob/web"] {
        let result = alice.call("signal.send", json!({"to": to})).await;
        assert_eq!(result, json!({"delivered": 1}));
    }
    for params in [json!({"to": address}), json!({"to": address, "id": "room"})] {
        let result = alice.call("signal.send", params).await;
        assert_eq!(result, json!({"delivered": 0}));
    }
    let result = alice
        .call("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    assert_eq!(result, json!({"delivered": 1}));
    alice.call("signal.leave", json!({"id": "room"})).await;

    for socket in [&mut other_alice, &mut other_bob] {
        assert_eq!(socket.after_ping().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_app_opens_nothing_in_another() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let mut bob = two.connect("bob/web").await;
    let mut intruder = one.connect("alice/web").await;
    intruder
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    assert_eq!(intruder.after_ping().await, []);
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_in_one_app_leaves_the_other_alone() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let mut alice = one.connect("alice/web").await;
    let mut other_alice = two.connect("alice/web").await;
    one.revoke_identity("alice").await;
    assert_eq!(alice.closed().await, 4501);
    assert_eq!(other_alice.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_app_closes_what_it_opened_and_nothing_else() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let mut alice = one.connect("alice/web").await;
    let mut other_alice = two.connect("alice/web").await;
    let token = one.token("alice/web");
    one.delete().await;
    assert_eq!(alice.closed().await, 4501);
    assert_eq!(one.refused(&token).await, refusal(401, "key_unknown"));
    assert_eq!(other_alice.after_ping().await, []);
    let again = server.app("one").await;
    again.connect("alice/web").await;
    assert_eq!(one.refused(&token).await, refusal(401, "key_unknown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_app_goes_on_as_it_was() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    app.rename("another").await;
    app.connect("bob/web").await;
    assert_eq!(alice.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_have_fewer_connections_than_the_server_allows() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    one.limit(AppLimits {
        connections: Some(1),
        ..AppLimits::default()
    })
    .await;
    let _alice = one.connect("alice/web").await;
    let refused = one.refused(&one.token("bob/web")).await;
    assert_eq!(refused, refusal(429, "rate_limited"));
    let _others = (two.connect("a/web").await, two.connect("b/web").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_an_app_from_a_script_takes_a_yes_and_names_what_would_close() {
    let mut server = TestServer::start().await;
    let app = server.app("shop").await;
    let mut alice = app.connect("alice/web").await;
    let _bob = app.connect("bob/web").await;
    let data = server.data_dir().to_str().expect("UTF-8").to_owned();
    let disable = async |more: &[&str]| {
        let arguments = ["app", "disable", "shop", "--data", &data];
        Program::run(&[&arguments[..], more].concat()).await
    };
    let refused = disable(&[]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = String::from_utf8(refused.stderr).expect("text");
    assert!(told.contains("2 live connections"), "{told}");
    assert!(told.contains("--yes"), "{told}");
    assert_eq!(refused.stdout, b"");
    alice.call("signal.join", json!({"id": "room"})).await;
    let done = disable(&["--yes", "--json"]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(alice.closed().await, 4503);
    // What is disabled already needs no question, and without a server there is nothing to close.
    assert!(disable(&[]).await.status.success());
    let enabled = Program::run(&["app", "enable", "shop", "--data", &data]).await;
    assert!(enabled.status.success(), "{enabled:?}");
    // These two do not answer the close.
    server.stop_while_time_passes().await;
    let refused = disable(&[]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
