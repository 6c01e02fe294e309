//! Going away, and coming back.

use hexline_tests::TestServer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_tells_its_clients_to_come_back_elsewhere() {
    let mut server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    alice
        .call("signal.send", json!({"to": "bob", "n": 1}))
        .await;
    let stopping = server.stop();
    let closing = async {
        assert_eq!(bob.expect("signal.send").await["n"], 1);
        assert_eq!(alice.closed().await, 4012);
        assert_eq!(bob.closed().await, 4012);
    };
    tokio::join!(stopping, closing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_the_close_does_not_hold_the_server_up() {
    let mut server = TestServer::start_with(|config| {
        config.drain = std::time::Duration::from_millis(500);
    })
    .await;
    let app = server.app("one").await;
    let _deaf = app.connect("alice/web").await;
    hexline_tests::within("the stop", server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_apps_keys_rotations_and_revocations() {
    let mut server = TestServer::start().await;
    let app = server.app("one").await;
    let revoked = app.another_key(None).await;
    revoked.revoke_key().await;
    let limited = app
        .another_key(Some(r#"{"signal":{"publish":false}}"#))
        .await;
    let retiring = app.another_key(None).await;
    let fresh = retiring.rotate(std::time::Duration::from_hours(1)).await;
    app.revoke_token("t-1").await;
    app.set(|settings| settings.audiences = vec!["https://one.example".to_owned()])
        .await;

    server.restart().await;
    let at = |app: &hexline_tests::TestApp| app.at(&server);
    let (app, revoked, limited) = (at(&app), at(&revoked), at(&limited));
    let (retiring, fresh) = (at(&retiring), at(&fresh));
    for key in [&app, &retiring, &fresh] {
        assert_eq!(key.connect("bob/web").await.after_ping().await, []);
    }
    let mut bob = limited.connect("bob/web").await;
    let error = bob.refused("signal.publish", json!({"id": "a"})).await;
    assert_eq!(error["data"]["code"], "grant_missing");
    let refused = revoked.refused(&revoked.token("bob/web")).await;
    assert_eq!(refused.code, "key_revoked");
    let token = app
        .tokens("bob/web")
        .jti("t-1")
        .build()
        .expect("all is set");
    assert_eq!(app.refused(&token).await.code, "token_revoked");
    let token = app.token_with_claim("aud", &json!("https://one.example/client"));
    app.connect_with("bob/web", &token).await;
}
