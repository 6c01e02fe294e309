//! Who may use the platform API, and for what.

use hexline_tests::{TestServer, answer, client, refusal, refusal_of};
use reqwest::Method;
use serde_json::{Value, json};

/// One call of each area that succeeds.
fn calls() -> Vec<(&'static str, Method, &'static str, Option<Value>)> {
    let token = json!({"identity": "a", "device": "d", "grants": {"signal": true}});
    vec![
        ("tokens", Method::POST, "/tokens", Some(token)),
        (
            "tokens",
            Method::POST,
            "/tokens/introspect",
            Some(json!({"token": "x"})),
        ),
        (
            "tokens",
            Method::POST,
            "/tokens/revoke",
            Some(json!({"token": "x"})),
        ),
        (
            "tokens",
            Method::POST,
            "/revocations",
            Some(json!({"jti": "j"})),
        ),
        ("tokens", Method::GET, "/revocations", None),
        ("keys", Method::GET, "/keys", None),
        ("keys", Method::POST, "/keys", Some(json!({}))),
        ("users", Method::GET, "/connections", None),
        ("users", Method::GET, "/stats", None),
        (
            "users",
            Method::POST,
            "/connections/disconnect",
            Some(json!({"identity": "a"})),
        ),
        ("users", Method::GET, "/users/a/presence", None),
        (
            "users",
            Method::POST,
            "/users/presence",
            Some(json!({"identities": ["a"]})),
        ),
        (
            "users",
            Method::POST,
            "/users/a/messages",
            Some(json!({"message": {}})),
        ),
        ("channels", Method::GET, "/channels", None),
        ("channels", Method::GET, "/channels/news/members", None),
        (
            "channels",
            Method::POST,
            "/channels/news/messages",
            Some(json!({"message": {}})),
        ),
        (
            "channels",
            Method::POST,
            "/channels/messages",
            Some(json!({"messages": [{"channel": "news", "message": {}}]})),
        ),
        ("settings", Method::GET, "/settings", None),
        ("settings", Method::PATCH, "/settings", Some(json!({}))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_needs_the_grant_of_its_area_and_no_other() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let areas = [
        "tokens",
        "keys",
        "users",
        "channels",
        "conversations",
        "settings",
        "webhooks",
    ];
    for (area, method, path, body) in calls() {
        let others: Vec<&str> = areas.into_iter().filter(|other| *other != area).collect();
        for (granted, enough) in [(vec![area], true), (others, false)] {
            let mut request = app.platform_for(&granted).request(method.clone(), path);
            if let Some(body) = &body {
                request = request.json(body);
            }
            if enough {
                answer(request).await;
            } else {
                assert_eq!(
                    refusal_of(request).await,
                    refusal(403, "grant_missing"),
                    "{path}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_token_opens_nothing_of_it_and_neither_does_none() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for (_, method, path, _) in calls() {
        let url = server.url(&format!("/platform/v1{path}"));
        let none = client().request(method.clone(), &url);
        assert_eq!(
            refusal_of(none).await,
            refusal(401, "token_malformed"),
            "{path}"
        );
        let users = client()
            .request(method, &url)
            .bearer_auth(app.token("bob/web"));
        let wanted = refusal(401, "audience_mismatch");
        assert_eq!(refusal_of(users).await, wanted, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_is_not_there() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let mut bob = one.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    let (own, other) = (one.platform(), two.platform());
    assert_eq!(own.all("/connections", 50).await.0.len(), 1);
    assert_eq!(own.all("/channels", 50).await.0.len(), 1);
    for list in [
        "/connections",
        "/channels",
        "/channels/room/members",
        "/revocations",
    ] {
        assert_eq!(other.all(list, 50).await.0, Vec::<Value>::new(), "{list}");
    }
    let presence = other.got("/users/bob/presence").await;
    assert_eq!(presence["online"], false);
    let message = json!({"message": {"text": "hello"}});
    let sent = other.posted("/users/bob/messages", &message).await;
    assert_eq!(sent["delivered"], 0);
    let published = other.posted("/channels/room/messages", &message).await;
    assert_eq!(published["delivered"], 0);
    let gone = other
        .posted("/connections/disconnect", &json!({"identity": "bob"}))
        .await;
    assert_eq!(gone["closed"], 0);
    let key = format!("/keys/{}", one.key_id());
    for request in [
        other.request(Method::GET, &key),
        other.request(Method::POST, &format!("{key}/revoke")),
        other.request(Method::POST, &format!("{key}/rotate")),
        other
            .request(Method::PATCH, &key)
            .json(&json!({"label": "mine"})),
        other
            .request(Method::PATCH, "/settings")
            .json(&json!({"signing_key": one.key_id()})),
    ] {
        assert_eq!(refusal_of(request).await, refusal(404, "not_found"));
    }
    let shown = json!({"token": one.token("bob/web")});
    let looked = other.posted("/tokens/introspect", &shown).await;
    assert_eq!(looked, json!({"active": false}));
    other.posted("/tokens/revoke", &shown).await;
    let looked = own.posted("/tokens/introspect", &shown).await;
    assert_eq!(looked["active"], true);
    // The last thing it does: its own token was issued before, too.
    other.posted("/revocations", &json!({"all": true})).await;
    assert_eq!(
        bob.after_ping().await,
        [],
        "nothing reached the other app's user"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_key_that_reaches_beyond_its_own() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let ceiling = r#"{"signal":{"channels":["news.*"]},"platform":{"keys":true,"tokens":true}}"#;
    let narrow = app.another_key(Some(ceiling)).await;
    let platform = narrow.platform();
    let made = platform.posted("/keys", &json!({})).await;
    let limit: Value = serde_json::from_str(ceiling).expect("JSON");
    assert_eq!(made["key"]["ceiling"]["signal"], limit["signal"]);
    assert_eq!(made["key"]["ceiling"]["platform"], limit["platform"]);
    assert_eq!(made["key"]["ceiling"].get("chat"), None);
    let missing = refusal(403, "grant_missing");
    for ceiling in [
        json!({"chat": true}),
        json!({"signal": true}),
        json!({"platform": true}),
    ] {
        let request = platform.post("/keys", &json!({"ceiling": ceiling}));
        assert_eq!(refusal_of(request).await, missing);
    }
    let wide = format!("/keys/{}/rotate", app.key_id());
    let request = platform.request(Method::POST, &wide);
    assert_eq!(
        refusal_of(request).await,
        missing,
        "its secret would come with it"
    );
    // A token narrower than its key counts as well.
    let narrow_token = app.platform_for(&["keys"]);
    let made = narrow_token.posted("/keys", &json!({})).await;
    assert_eq!(made["key"]["ceiling"]["platform"], json!({"keys": true}));
    let order = json!({"identity": "a", "device": "d", "grants": {"signal": true}});
    assert_eq!(refusal_of(platform.post("/tokens", &order)).await, missing);
    let order = json!({"identity": "a", "device": "d",
        "grants": {"signal": {"channels": ["news.sport"]}}});
    platform.posted("/tokens", &order).await;
    let made = app.platform().posted("/keys", &json!({})).await;
    assert_eq!(made["key"]["ceiling"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_has_no_calls_left_is_told_when_to_come_back() {
    let server = TestServer::start_with(|config| config.limits.platform_calls_per_minute = 3).await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let platform = one.platform();
    for left in ["2", "1", "0"] {
        let (headers, _) = answer(platform.request(Method::GET, "/stats")).await;
        assert_eq!(headers["ratelimit-limit"], "3");
        assert_eq!(headers["ratelimit-remaining"], left);
        assert!(headers.contains_key("ratelimit-reset"));
    }
    let refused = platform.request(Method::GET, "/stats").send().await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status(), 429);
    let wait = refused.headers()["retry-after"].to_str().expect("text");
    assert!(matches!(wait.parse(), Ok(1..=20)), "{wait}");
    assert_eq!(refused.headers()["ratelimit-remaining"], "0");
    let request = platform.request(Method::GET, "/stats");
    assert_eq!(refusal_of(request).await, refusal(429, "rate_limited"));
    two.platform().got("/stats").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_and_changed_in_part() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let before = platform.got("/settings").await;
    assert_eq!(before["app"], app.id());
    let change = json!({"longest_ttl_s": 600, "limits": {"connections": 1}});
    let request = platform.request(Method::PATCH, "/settings").json(&change);
    let (_, after) = answer(request).await;
    assert_eq!(after["longest_ttl_s"], 600);
    assert_eq!(after["limits"]["connections"], 1);
    assert_eq!(after["exp_required"], before["exp_required"]);
    let short = |who| app.tokens(who).ttl(60).build().expect("a token");
    let _bob = app.connect_with("bob/web", &short("bob/web")).await;
    assert_eq!(
        app.refused(&short("al/web")).await,
        refusal(429, "rate_limited")
    );
    let long = app.refused(&app.token("al/web")).await;
    assert_eq!(long, refusal(401, "token_too_long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_apps_server_changes_is_in_the_audit_log_and_no_secret_is() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    let platform = one.platform();
    let made = platform.posted("/keys", &json!({"label": "backend"})).await;
    let order = json!({"identity": "al", "device": "d", "grants": {"signal": true}});
    let minted = platform.posted("/tokens", &order).await;
    let message = json!({"message": {"text": "not for the log"}});
    platform.posted("/users/al/messages", &message).await;
    platform.got("/connections").await;
    let refused = platform.post("/keys", &json!({"algorithm": "HS1"}));
    assert_eq!(refusal_of(refused).await.status, 400);
    let entries = platform.all("/audit", 2).await.0;
    let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["message.send", "token.mint", "key.create"]);
    for entry in &entries {
        assert_eq!(entry["actor"], "platform");
        assert_eq!(entry["actor_id"], one.key_id());
        assert_eq!(entry["peer"], "127.0.0.1");
    }
    assert_eq!(entries[2]["target"], made["key"]["id"]);
    let text = Value::from(entries).to_string();
    for secret in [
        &made["secret"],
        &minted["token"],
        &message["message"]["text"],
    ] {
        assert!(!text.contains(secret.as_str().expect("text")));
    }
    let keys = platform.all("/audit?action=key.*", 50).await.0;
    assert_eq!(keys.len(), 1);
    assert_eq!(
        two.platform().all("/audit", 50).await.0,
        Vec::<Value>::new()
    );
}
