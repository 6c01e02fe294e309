//! Writes of an app's server that come twice.

use hexline_tests::{TestServer, answer, refusal, refusal_of};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_again_is_answered_as_the_first_time_even_after_a_restart() {
    // A name of its own, for the port is another one after the restart.
    let mut server = TestServer::start_with(|config| {
        config.public_url = Some("https://chat.example".to_owned());
    })
    .await;
    let app = server.app("one").await;
    let token = app.platform_token();
    let order = json!({"label": "backend"});
    let post = |platform: hexline_tests::TestPlatform, name: &str| {
        platform
            .post("/keys", &order)
            .header("idempotency-key", name)
    };
    let (first, made) = answer(post(app.platform_with(&token), "order-1")).await;
    assert!(!first.contains_key("idempotency-replayed"));
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let (again, same) = answer(post(app.platform_with(&token), "order-1")).await;
    assert_eq!(again["idempotency-replayed"], "true");
    assert_eq!(same, made);
    let (_, other) = answer(post(app.platform_with(&token), "order-2")).await;
    assert_ne!(other["key"]["id"], made["key"]["id"]);
    server.restart().await;
    let app = app.at(&server);
    let (again, same) = answer(post(app.platform_with(&token), "order-1")).await;
    assert_eq!(again["idempotency-replayed"], "true");
    assert_eq!(same, made);
    server.stop().await;
    for bytes in server.files() {
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "the answer is sealed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_by_the_same_name_is_a_conflict() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let post = |body: &serde_json::Value| {
        let request = app.platform().post("/keys", body);
        request.header("idempotency-key", "one")
    };
    answer(post(&json!({"label": "a"}))).await;
    let conflict = refusal(409, "conflict");
    assert_eq!(refusal_of(post(&json!({"label": "b"}))).await, conflict);
    // Elsewhere, or by another key, the name is free.
    let elsewhere = app.platform().post("/revocations", &json!({"jti": "j"}));
    answer(elsewhere.header("idempotency-key", "one")).await;
    let other = app.another_key(None).await;
    let request = other.platform().post("/keys", &json!({"label": "b"}));
    answer(request.header("idempotency-key", "one")).await;
    // What a narrower token could not do itself, it does not get told either.
    let narrow = app
        .platform_for(&["users"])
        .post("/keys", &json!({"label": "a"}));
    let narrow = narrow.header("idempotency-key", "one");
    assert_eq!(refusal_of(narrow).await, conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_may_be_tried_again_by_the_same_name() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let post = |algorithm: &str| {
        let request = app
            .platform()
            .post("/keys", &json!({"algorithm": algorithm}));
        request.header("idempotency-key", "one")
    };
    assert_eq!(
        refusal_of(post("HS1")).await,
        refusal(400, "invalid_request")
    );
    let (headers, _) = answer(post("HS256")).await;
    assert!(!headers.contains_key("idempotency-replayed"));
    for bad in ["", "a b", &"x".repeat(256)] {
        let request = app.platform().post("/keys", &json!({}));
        let request = request.header("idempotency-key", bad);
        assert_eq!(refusal_of(request).await, refusal(400, "invalid_request"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_carried_out() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let request = app.platform().post("/keys", &json!({}));
        let request = request.header("idempotency-key", "one");
        tries.spawn(async move { request.send().await.expect("an answer") });
    }
    let mut fresh = 0;
    while let Some(response) = tries.join_next().await {
        let response = response.expect("no panic");
        match response.status().as_u16() {
            201 if response.headers().contains_key("idempotency-replayed") => {}
            201 => fresh += 1,
            409 => assert!(response.headers().contains_key("retry-after")),
            other => panic!("{other}"),
        }
    }
    assert_eq!(fresh, 1);
    let keys = app.platform().all("/keys", 50).await.0;
    assert_eq!(keys.len(), 2, "the app's first, and one more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_anew_each_time() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let token = app.tokens("bob/web").jti("j1").build().expect("a token");
    let ask = || {
        let request = platform.post("/tokens/introspect", &json!({"token": token}));
        request.header("idempotency-key", "one")
    };
    assert_eq!(answer(ask()).await.1["active"], true);
    let revoked = platform.request(Method::POST, "/tokens/revoke");
    answer(revoked.form(&[("token", &token)])).await;
    assert_eq!(answer(ask()).await.1, json!({"active": false}));
}
