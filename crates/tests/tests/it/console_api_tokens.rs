//! The token workbench of the Console: build, inspect, revoke.

use hexline_tests::{TestServer, claims, refusal};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_built_token_has_the_claims_that_were_ordered_and_connects() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let path = format!("/apps/{}/tokens/build", app.id());
    let order = json!({"identity": "alice", "device": "web1", "ttl_s": 60, "jti": "t1",
        "grants": {"signal": {"channels": ["news.*"]}}, "profile": {"name": "Alice"}});
    let built = owner.post(&path, &order).await;
    let token = built["token"].as_str().expect("a token");
    let said = claims(token);
    assert_eq!(said["sub"], "alice/web1");
    assert_eq!(said["grants"], order["grants"]);
    assert_eq!(
        (&said["jti"], &said["profile"]),
        (&order["jti"], &order["profile"])
    );
    assert_eq!(
        said["exp"].as_i64(),
        said["iat"].as_i64().map(|iat| iat + 60)
    );
    server.connect("alice/web1", token).await;

    let platform = json!({"access": "platform", "grants": {"platform": true}});
    let built = owner.post(&path, &platform).await;
    let said = claims(built["token"].as_str().expect("a token"));
    assert!(said.get("sub").is_none());
    assert!(
        said["aud"]
            .as_str()
            .expect("text")
            .ends_with("/platform/v1")
    );

    for bad in [
        json!({"grants": {"signal": true}}),
        json!({"identity": "a/b", "device": "c", "grants": {}}),
        json!({"identity": "a", "device": "c", "grants": [1]}),
        json!({"identity": "a", "device": "c", "grants": {}, "jti": ""}),
        json!({"identity": "a", "device": "c", "grants": {}, "key": "x"}),
    ] {
        let refused = owner.refused(Method::POST, &path, &bad).await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{bad}");
    }
    let other = server.app("other").await;
    let foreign = json!({"identity": "a", "device": "c", "grants": {}, "key": other.key_id()});
    let refused = owner.refused(Method::POST, &path, &foreign).await;
    assert_eq!(refused, refusal(409, "no_signing_key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspected_token_shows_its_parts_and_every_check() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let inspect = async |token: &str| {
        let order = json!({"token": token, "access": "client", "grant": "signal"});
        owner.post("/tokens/inspect", &order).await
    };
    let good = inspect(&app.token("alice/web")).await;
    assert_eq!(outcomes(&good), ["pass"; 9]);
    assert_eq!(good["app"], app.id());
    assert_eq!(good["claims"]["sub"], "alice/web");
    assert_eq!(good["header"], json!({"typ": "JWT", "alg": "HS256"}));
    assert!(good["expires_ms"].is_i64());

    let forged = inspect(&app.token_with_another_secret("alice/web")).await;
    assert_eq!(outcomes(&forged)[..4], ["pass", "pass", "pass", "fail"]);
    assert_eq!(forged["checks"][3]["reason"], "signature_invalid");
    assert_eq!(forged["claims"]["sub"], "alice/web");

    let ungranted = app.token_granting("alice/web", &json!({"chat": true}));
    let ungranted = inspect(&ungranted).await;
    assert_eq!(ungranted["checks"][8]["reason"], "grant_missing");

    let nonsense = inspect("no token").await;
    assert_eq!(nonsense["checks"][0]["reason"], "token_malformed");
    assert!(nonsense["claims"].is_null() && nonsense["app"].is_null());

    app.revoke_key().await;
    let dead = inspect(&app.token("alice/web")).await;
    assert_eq!(dead["checks"][1]["reason"], "key_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_knows_no_keys_of_apps_that_the_operator_does_not_see() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (own, other) = (server.app("own").await, server.app("other").await);
    let id = own.id();
    let viewer = owner
        .invited(&server, "vic@example.org", "viewer", Some(&[&id]))
        .await;
    let good = viewer
        .post("/tokens/inspect", &json!({"token": own.token("a/b")}))
        .await;
    assert_eq!(good["app"], id);
    // The answer is the same whether the other app's key is usable, revoked or was never there.
    let inspect = async |token: String| {
        let mut seen = viewer
            .post("/tokens/inspect", &json!({"token": token}))
            .await;
        assert_eq!(seen["checks"][1]["reason"], "key_unknown");
        assert!(seen["app"].is_null());
        seen["claims"] = Value::Null;
        seen["expires_ms"] = Value::Null;
        let text = seen.to_string().replace(&other.key_id(), "KEY");
        text.replace("0123456789abcdef0123456789abcdef", "KEY")
    };
    let usable = inspect(other.token("a/b")).await;
    let nobodys = other.token_of("0123456789abcdef0123456789abcdef", "a/b");
    assert_eq!(inspect(nobodys).await, usable);
    other.revoke_key().await;
    assert_eq!(inspect(other.token("a/b")).await, usable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_closes_what_it_names_says_how_many_and_is_listed() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let path = format!("/apps/{}/revocations", app.id());
    let mut a1 = app.connect("a/1").await;
    let mut a2 = app.connect("a/2").await;
    let token = app.tokens("b/1").jti("one").build().expect("all is set");
    let mut b1 = app.connect_with("b/1", &token).await;
    let mut c1 = app.connect("c/1").await;

    let done = owner
        .post(&path, &json!({"identity": "a", "device": "2"}))
        .await;
    assert_eq!(done, json!({"closed": 1}));
    assert_eq!(a2.closed().await, 4501);
    let done = owner.post(&path, &json!({"jti": "one"})).await;
    assert_eq!(done, json!({"closed": 1}));
    assert_eq!(b1.closed().await, 4501);
    let done = owner.post(&path, &json!({"identity": "a"})).await;
    assert_eq!(done["closed"], 1);
    assert_eq!(a1.closed().await, 4501);
    let early = json!({"all": true, "issued_before_ms": 1000});
    assert_eq!(owner.post(&path, &early).await["closed"], 0);
    c1.call("signal.join", json!({"id": "room"})).await;
    assert_eq!(owner.post(&path, &json!({"all": true})).await["closed"], 1);
    assert_eq!(c1.closed().await, 4501);

    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = owner.get(&format!("{path}?limit=2{cursor}")).await;
        listed.extend(page["items"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed.len(), 4);
    let one = listed.iter().find(|item| item["jti"] == "one").expect("it");
    assert!(one["issued_before_ms"].is_null());
    assert!(listed.iter().any(|item| item["all"] == true));
    assert!(listed.iter().any(|item| item["device"] == "2"));
    for bad in [
        json!({}),
        json!({"device": "1"}),
        json!({"jti": "x", "identity": "a"}),
        json!({"all": false}),
        json!({"all": true, "identity": "a"}),
        json!({"jti": "x", "issued_before_ms": 1}),
        json!({"identity": "a", "expires_ms": 1}),
    ] {
        let refused = owner.refused(Method::POST, &path, &bad).await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{bad}");
    }
}

fn outcomes(seen: &Value) -> Vec<&str> {
    let checks = seen["checks"].as_array().expect("a list");
    let outcome = |check: &Value| check["outcome"].as_str().map(ToOwned::to_owned);
    assert!(checks.iter().all(|check| outcome(check).is_some()));
    checks
        .iter()
        .map(|check| check["outcome"].as_str().unwrap_or_default())
        .collect()
}
