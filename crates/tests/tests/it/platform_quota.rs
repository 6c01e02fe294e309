//! How much an app's server may leave behind.

use hexline_tests::{TestServer, answer, refusal, refusal_of};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_audit_log_is_full_changes_nothing_more_but_may_shut_people_out() {
    let server = TestServer::start_with(|config| config.limits.audit_bytes_per_app = 4096).await;
    let (app, other) = (server.app("one").await, server.app("two").await);
    let owner = server.operator().await;
    let platform = app.platform();
    let mut bob = app.connect("bob/web").await;
    let made = platform.posted("/keys", &json!({})).await;
    let order = json!({"label": "x".repeat(200)});
    let path = format!("/keys/{}", made["key"]["id"].as_str().expect("an id"));
    let full = refusal(429, "quota_exceeded");
    let mut changes = 0;
    while platform
        .request(Method::PATCH, &path)
        .json(&order)
        .send()
        .await
        .expect("an answer")
        .status()
        == 200
    {
        changes += 1;
        assert!(changes < 20, "it is never full");
    }
    assert!(changes > 2, "{changes}");
    let mint = json!({"identity": "bob", "device": "web", "grants": {"signal": true}});
    for (path, body) in [
        ("/keys", json!({})),
        ("/tokens", mint),
        ("/users/bob/messages", json!({"message": {}})),
        ("/channels/news/messages", json!({"message": {}})),
    ] {
        assert_eq!(refusal_of(platform.post(path, &body)).await, full, "{path}");
    }
    let settings = platform
        .request(Method::PATCH, "/settings")
        .json(&json!({}));
    assert_eq!(refusal_of(settings).await, full);
    // Questions are free, and so is all that shuts somebody out.
    platform.got("/keys").await;
    platform
        .posted("/users/presence", &json!({"identities": ["bob"]}))
        .await;
    platform
        .posted("/tokens/introspect", &json!({"token": "x"}))
        .await;
    let closed = platform
        .posted("/connections/disconnect", &json!({"identity": "bob"}))
        .await;
    assert_eq!(closed["closed"], 1);
    assert_eq!(bob.closed().await, 4503);
    platform.posted("/revocations", &json!({"jti": "j"})).await;
    platform
        .posted("/tokens/revoke", &json!({"token": app.token("bob/web")}))
        .await;
    answer(platform.request(Method::POST, &format!("{path}/revoke"))).await;
    // Another app is not concerned, and neither is an operator.
    other.platform().posted("/keys", &json!({})).await;
    let keys = format!("/apps/{}/keys", app.id());
    owner.post(&keys, &json!({})).await;
    owner
        .post(&format!("/apps/{}/disable", app.id()), &json!({}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_carried_out_is_answered_again_although_the_audit_log_is_full() {
    let server = TestServer::start_with(|config| config.limits.audit_bytes_per_app = 4096).await;
    let app = server.app("one").await;
    let platform = app.platform();
    let post = |name: &str| {
        let request = platform.post("/keys", &json!({"label": "x".repeat(200)}));
        request.header("idempotency-key", name)
    };
    let (_, first) = answer(post("order-0")).await;
    let mut sent = 1;
    while post(&format!("order-{sent}"))
        .send()
        .await
        .expect("an answer")
        .status()
        == 201
    {
        sent += 1;
        assert!(sent < 40, "it is never full");
    }
    let (head, again) = answer(post("order-0")).await;
    assert_eq!(head["idempotency-replayed"], "true");
    assert_eq!(again, first);
    // Nothing was done under the name that was refused, so it is not taken.
    let full = refusal(429, "quota_exceeded");
    assert_eq!(refusal_of(post(&format!("order-{sent}"))).await, full);
    assert_eq!(refusal_of(platform.post("/keys", &json!({}))).await, full);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_answers_under_idempotency_keys_go_first() {
    let server =
        TestServer::start_with(|config| config.limits.idempotency_bytes_per_app = 4096).await;
    let app = server.app("one").await;
    let post = |name: &str| {
        let request = app.platform().post("/keys", &json!({"label": name}));
        request.header("idempotency-key", name)
    };
    let mut made = Vec::new();
    for n in 0..6 {
        made.push(answer(post(&format!("order-{n}"))).await.1);
    }
    let (head, again) = answer(post("order-5")).await;
    assert_eq!(head["idempotency-replayed"], "true");
    assert_eq!(again, made[5]);
    // It was carried out: what is forgotten is only the answer.
    assert_eq!(refusal_of(post("order-0")).await, refusal(409, "conflict"));
    let keys = app.platform().all("/keys", 50).await.0;
    assert_eq!(keys.len(), 7, "none twice");
}
