//! Going away, and coming back.

use hexline_tests::{Program, Socket, TestServer, client, upgrade};
use serde_json::{Value, json};

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

// All at once, they would be back all at once a second later.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_closes_one_after_the_other_serves_meanwhile_and_can_be_hurried() {
    let data = tempfile::tempdir().expect("a directory");
    let config = data.path().join("hexline.toml");
    std::fs::write(&config, "[shutdown]\nspread = '1 h'\n").expect("written");
    let config = config.to_str().expect("a path in UTF-8");
    let (mut program, ready) = Program::serve_dev(data.path(), &["--config", config]).await;
    let url = ready["url"].as_str().expect("a URL");
    let at = url.replace("http://localhost", "127.0.0.1");
    let at = at.parse().expect("an address");
    let pubsub = async |identity: &str| {
        let form = [("identity", identity), ("device", "web")];
        let made = client().post(format!("{url}/token")).form(&form).send();
        let made: Value = made.await.expect("an answer").json().await.expect("JSON");
        let token = made["token"].as_str().expect("a token").to_owned();
        format!("{url}/client/signal/v1/pubsub?jwt={token}")
    };
    let connect = async |identity: &str| {
        let request = Socket::request(&pubsub(identity).await);
        let subject = format!("{identity}/web");
        Socket::open(at, &subject, request).await.expect("let in")
    };
    let (mut one, mut two) = (connect("alice").await, connect("bob").await);
    program.signal("TERM").await;
    let (code, first) = tokio::select! {
        code = one.closed() => (code, true),
        code = two.closed() => (code, false),
    };
    assert_eq!(code, 4012);
    let mut other = if first { two } else { one };
    assert_eq!(other.after_ping().await, [], "it is served meanwhile");
    let refused = upgrade(&pubsub("carol").await).send().await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let healthy = client().get(format!("{url}/healthz")).send().await;
    assert_eq!(healthy.expect("an answer").status(), 200);
    let ready = client().get(format!("{url}/readyz")).send().await;
    assert_eq!(ready.expect("an answer").status(), 503);
    program.signal("TERM").await;
    assert_eq!(other.closed().await, 4012);
    assert!(program.ended().await, "{}", program.log());
    // Regression: a refused upgrade was logged as a failure.
    assert!(
        !program.log().contains("request failed"),
        "{}",
        program.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn live_figures_go_on_while_the_closes_are_spread_and_nobody_else_may_follow_them() {
    let mut server = TestServer::start_with(|config| {
        config.spread = std::time::Duration::from_hours(1);
    })
    .await;
    let app = server.app("one").await;
    let owner = server.operator().await;
    let follow = async || {
        let request = owner.request(reqwest::Method::GET, "/live");
        request.send().await.expect("an answer")
    };
    let mut events = follow().await;
    assert_eq!(events.status(), 200);
    let (mut one, mut two) = (app.connect("a/web").await, app.connect("b/web").await);
    let hurry = server.begin_stop();
    let first = tokio::select! {
        _ = one.closed() => true,
        _ = two.closed() => false,
    };
    let refused = follow().await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    for _ in 0..2 {
        server.advance(std::time::Duration::from_secs(1));
        let event = hexline_tests::within("an event", events.chunk()).await;
        assert!(event.is_ok_and(|event| event.is_some()));
    }
    hurry.cancel();
    let mut other = if first { two } else { one };
    assert_eq!(other.closed().await, 4012);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_the_close_does_not_hold_the_server_up() {
    let mut server = TestServer::start().await;
    let app = server.app("one").await;
    let _deaf = app.connect("alice/web").await;
    server.stop_while_time_passes().await;
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
