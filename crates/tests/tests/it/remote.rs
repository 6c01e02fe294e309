//! `hexline app` and `hexline key` on a server elsewhere: `--url` and a platform token.

use hexline_tests::{Program, TestApp, TestServer};
use serde_json::{Value, json};

struct Told {
    code: Option<i32>,
    out: Value,
    err: String,
}

async fn told(server: &TestServer, token: &str, arguments: &[&str]) -> Told {
    let url = server.url("");
    let mut all = arguments.to_vec();
    all.extend([
        "--json",
        "--url",
        url.trim_end_matches('/'),
        "--token",
        token,
    ]);
    let output = Program::run(&all).await;
    Told {
        code: output.status.code(),
        out: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn shop() -> (TestServer, TestApp, String) {
    let server = TestServer::start_in_real_time(|_| {}).await;
    let app = server.app("shop").await;
    let token = app.platform_token();
    (server, app, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_server_elsewhere_are_made_listed_rotated_and_revoked() {
    let (server, app, token) = shop().await;
    let made = told(
        &server,
        &token,
        &[
            "key",
            "create",
            "--app",
            "shop",
            "--label",
            "backend",
            "--ceiling",
            r#"{"signal":true}"#,
        ],
    )
    .await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    let id = made.out["key_id"].as_str().expect("an id").to_owned();
    assert!(
        made.out["key_secret"]
            .as_str()
            .is_some_and(|s| s.len() >= 43)
    );
    assert_eq!(made.out["key"]["ceiling"], json!({ "signal": true }));
    let keys = told(&server, &token, &["key", "list"]).await;
    let ids: Vec<&Value> = keys
        .out
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| &key["id"])
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&&json!(id)));
    let named = told(&server, &token, &["key", "label", &id, "front"]).await;
    assert_eq!(named.out["label"], "front", "{}", named.err);
    let turned = told(&server, &token, &["key", "rotate", &id, "--overlap", "1h"]).await;
    assert_eq!(
        turned.out["replaces"]["state"], "retiring",
        "{}",
        turned.err
    );
    let revoked = told(&server, &token, &["key", "revoke", &id]).await;
    assert_eq!(revoked.out["state"], "revoked", "{}", revoked.err);
    assert_eq!(revoked.out["made"], json!([]));
    let maker = app.another_key(None).await;
    let child = maker.platform().posted("/keys", &json!({})).await;
    let kept = ["key", "revoke", &maker.key_id(), "--keep-made"];
    let kept = told(&server, &token, &kept).await;
    assert_eq!(kept.out["made"], json!([]), "{}", kept.err);
    let all = told(&server, &token, &["key", "revoke", &maker.key_id()]).await;
    assert_eq!(all.out["made"][0]["id"], child["key"]["id"], "{}", all.err);
    assert_eq!(all.out["made"][0]["made_by"], maker.key_id());
    let shown = told(&server, &token, &["key", "show", &id]).await;
    assert_eq!(shown.out["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_revocations_reach_a_server_elsewhere() {
    let (server, app, token) = shop().await;
    let mut alice = app.connect("alice/web1").await;
    let set = told(
        &server,
        &token,
        &["app", "set", "shop", "--longest-ttl", "2h"],
    )
    .await;
    assert_eq!(set.out["settings"]["longest_ttl"], 7200, "{}", set.err);
    let shown = told(&server, &token, &["app", "show", "shop"]).await;
    assert_eq!(shown.out["settings"]["longest_ttl"], 7200);
    let revoked = told(
        &server,
        &token,
        &["app", "revoke-tokens", "shop", "--identity", "alice"],
    )
    .await;
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    assert_eq!(alice.closed().await, 4501);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_platform_token_cannot_do_is_refused_with_its_reason() {
    let (server, _app, token) = shop().await;
    let other = server.app("other").await;
    let foreign = told(&server, &other.platform_token(), &["app", "show", "shop"]).await;
    assert_eq!(foreign.code, Some(4), "{}", foreign.err);
    let missing = told(&server, &token, &["key", "show", &other.key_id()]).await;
    assert_eq!(missing.code, Some(4), "{}", missing.err);
    let create = told(&server, &token, &["app", "create", "third"]).await;
    assert_eq!(create.code, Some(2));
    assert!(create.err.contains("own machine"), "{}", create.err);
    let client = other.token("alice/web1");
    let refused = told(&server, &client, &["key", "list"]).await;
    assert_eq!(refused.code, Some(3));
    assert!(refused.err.contains("audience_mismatch"), "{}", refused.err);
    assert!(!refused.err.contains(&client));
}
