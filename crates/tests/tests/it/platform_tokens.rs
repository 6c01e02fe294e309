//! Tokens and keys by way of the platform API.

use hexline_tests::{TestServer, answer, claims, now, refusal, refusal_of};
use reqwest::Method;
use serde_json::{Value, json};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_token_connects_and_says_what_was_ordered() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform_for(&["tokens"]);
    let order = json!({"identity": "bob", "device": "web", "ttl_s": 60, "jti": "j1",
        "grants": {"signal": {"channels": ["news.*"]}}, "profile": {"name": "Bob"}});
    let minted = platform.posted("/tokens", &order).await;
    let token = minted["token"].as_str().expect("a token");
    let said = claims(token);
    assert_eq!(said["sub"], "bob/web");
    assert_eq!(said["jti"], "j1");
    assert_eq!(said["profile"], order["profile"]);
    assert_eq!(said["grants"], order["grants"]);
    let exp = said["exp"].as_i64().expect("a time");
    assert_eq!(minted["expires_ms"], exp * 1000);
    assert_eq!(exp - said["iat"].as_i64().expect("a time"), 60);
    let mut bob = app.connect_with("bob/web", token).await;
    bob.call("signal.join", json!({"id": "news.sport"})).await;
    for (change, code) in [
        (json!({"ttl_s": 0}), "invalid_request"),
        (json!({"ttl_s": u64::MAX}), "invalid_request"),
        (json!({"identity": "a/b"}), "invalid_request"),
        (
            json!({"grants": {"signal": {"chanels": []}}}),
            "invalid_request",
        ),
        (json!({"grants": {"platform": true}}), "invalid_request"),
    ] {
        let mut order = order.clone();
        let members = order.as_object_mut().expect("an object");
        members.extend(change.as_object().expect("an object").clone());
        let request = platform.post("/tokens", &order);
        assert_eq!(refusal_of(request).await, refusal(400, code), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_takes_forms_and_json_and_tells_nothing_of_a_bad_token() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let token = app.token("bob/web");
    let form = platform.request(Method::POST, "/tokens/introspect");
    let form = form.form(&[
        ("token", token.as_str()),
        ("token_type_hint", "access_token"),
    ]);
    let (_, by_form) = answer(form).await;
    let by_json = platform
        .posted("/tokens/introspect", &json!({"token": token}))
        .await;
    assert_eq!(by_form, by_json);
    let said = claims(&token);
    for (name, wanted) in [
        ("active", json!(true)),
        ("sub", said["sub"].clone()),
        ("username", json!("bob")),
        ("scope", json!("signal")),
        ("iss", said["iss"].clone()),
        ("iat", said["iat"].clone()),
        ("exp", said["exp"].clone()),
        ("client_id", json!(app.id())),
        ("access", json!("client")),
    ] {
        assert_eq!(by_json[name], wanted, "{name}");
    }
    let expired = app.token_between("bob/web", 1_000_000, 1_000_100);
    let forged = app.token_with_another_secret("bob/web");
    for bad in [expired.as_str(), forged.as_str(), "", "a.b.c"] {
        let looked = platform
            .posted("/tokens/introspect", &json!({"token": bad}))
            .await;
        assert_eq!(looked, json!({"active": false}));
    }
    let shown = json!({"token": app.platform_token()});
    let own = platform.posted("/tokens/introspect", &shown).await;
    assert_eq!(own["access"], "platform");
    let twice = platform.request(Method::POST, "/tokens/introspect");
    let twice = twice.form(&[("token", "a"), ("token", "b")]);
    assert_eq!(refusal_of(twice).await, refusal(400, "invalid_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_closes_the_live_socket() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let named = app.tokens("al/web").jti("j1").build().expect("a token");
    let mut al = app.connect_with("al/web", &named).await;
    let unnamed = app.token("bob/web");
    let mut bob = app.connect_with("bob/web", &unnamed).await;
    let mut bobs_phone = app.connect("bob/phone").await;
    for (token, socket) in [(&named, &mut al), (&unnamed, &mut bob)] {
        let request = platform.request(Method::POST, "/tokens/revoke");
        let (_, said) = answer(request.form(&[("token", token)])).await;
        assert_eq!(said, json!({}));
        assert_eq!(socket.closed().await, 4501);
    }
    // One that is not good yet will not be when its time comes either.
    let later = app.tokens("al/later").jti("j2").nbf(now() + 600);
    let later = later.ttl(1200).build().expect("a token");
    answer(
        platform
            .request(Method::POST, "/tokens/revoke")
            .form(&[("token", &later)]),
    )
    .await;
    let revoked = platform.got("/revocations").await;
    let revoked = revoked["items"].as_array().expect("a list");
    assert!(revoked.iter().any(|one| one["target"] == "j2"));
    let unknown = platform.request(Method::POST, "/tokens/revoke");
    answer(unknown.form(&[("token", "nobody.knows.it")])).await;
    assert_eq!(bobs_phone.after_ping().await, []);
    platform
        .posted("/revocations", &json!({"identity": "bob"}))
        .await;
    assert_eq!(bobs_phone.closed().await, 4501);
    let mut carol = app.connect("carol/web").await;
    platform.posted("/revocations", &json!({"all": true})).await;
    assert_eq!(carol.closed().await, 4501);
    for order in [
        json!({}),
        json!({"all": false}),
        json!({"jti": "a", "identity": "b"}),
        json!({"device": "web"}),
        json!({"jti": "a", "issued_before_ms": 1}),
    ] {
        let request = app
            .another_key(None)
            .await
            .platform()
            .post("/revocations", &order);
        assert!(refusal_of(request).await.status < 500, "{order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_never_widens() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let grants = json!({"signal": {"channels": ["news.*"]}, "chat": true});
    let old = app.token_granting("bob/web", &grants);
    let exchange = |more: &Value| {
        let mut order = json!({"grant_type": EXCHANGE, "subject_token": old,
            "subject_token_type": JWT});
        let members = order.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        platform.post("/tokens/exchange", &order)
    };
    let (_, new) = answer(exchange(&json!({"scope": "signal", "ttl_s": 60}))).await;
    let token = new["access_token"].as_str().expect("a token");
    let said = claims(token);
    assert_eq!(said["sub"], "bob/web");
    assert_eq!(said["grants"], json!({"signal": {"channels": ["news.*"]}}));
    assert_eq!(new["issued_token_type"], JWT);
    assert!(new["expires_in"].as_i64().is_some_and(|left| left <= 60));
    app.connect_with("bob/web", token).await;
    let (_, new) = answer(exchange(&json!({"ttl_s": 100_000}))).await;
    let until = claims(new["access_token"].as_str().expect("a token"))["exp"].as_i64();
    assert!(
        until <= claims(&old)["exp"].as_i64(),
        "no longer than the old one"
    );
    for beyond in [
        json!({"grants": {"signal": true}}),
        json!({"grants": {"signal": {"channels": ["*"]}}}),
        json!({"grants": {"push": true}}),
        json!({"scope": "signal video"}),
    ] {
        let wanted = refusal(403, "grant_missing");
        assert_eq!(refusal_of(exchange(&beyond)).await, wanted, "{beyond}");
    }
    for bad in [
        json!({"grant_type": "password"}),
        json!({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}),
        json!({"scope": "everything"}),
        json!({"scope": "signal", "grants": {"signal": true}}),
        json!({"audience": "elsewhere"}),
        json!({"subject_token": app.token_with_another_secret("bob/web")}),
        json!({"subject_token": app.platform_token()}),
        json!({"subject_token": server.app("two").await.token("bob/web")}),
    ] {
        let wanted = refusal(400, "invalid_request");
        assert_eq!(refusal_of(exchange(&bad)).await, wanted, "{bad}");
    }
    let form = platform.request(Method::POST, "/tokens/exchange").form(&[
        ("grant_type", EXCHANGE),
        ("subject_token", &old),
        ("subject_token_type", JWT),
        ("grants", r#"{"chat":{"create":false}}"#),
        ("ttl_s", "60"),
    ]);
    let (_, new) = answer(form).await;
    assert_eq!(new["scope"], "chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_named_replaced_and_ended() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = app.platform();
    let made = platform
        .posted("/keys", &json!({"label": "a", "algorithm": "HS512"}))
        .await;
    let id = made["key"]["id"].as_str().expect("an id");
    assert_eq!(made["key"]["algorithm"], "HS512");
    assert!(
        made["secret"]
            .as_str()
            .is_some_and(|secret| secret.len() >= 43)
    );
    let path = format!("/keys/{id}");
    let renamed = platform
        .request(Method::PATCH, &path)
        .json(&json!({"label": "b"}));
    assert_eq!(answer(renamed).await.1["label"], "b");
    let shown = platform.got(&path).await;
    assert_eq!(shown.get("secret"), None);
    let rotated = platform.request(Method::POST, &format!("{path}/rotate"));
    let (_, rotated) = answer(rotated).await;
    assert_eq!(rotated["key"]["label"], "b");
    assert_eq!(platform.got(&path).await["state"], "retiring");
    let again = platform.request(Method::POST, &format!("{path}/rotate"));
    assert_eq!(refusal_of(again).await, refusal(409, "conflict"));
    let other = app.another_key(None).await;
    let mut bob = other.connect("bob/web").await;
    let revoked = platform.request(Method::POST, &format!("/keys/{}/revoke", other.key_id()));
    let (_, revoked) = answer(revoked).await;
    assert_eq!(revoked["closed"], 1);
    assert_eq!(revoked["key"]["state"], "revoked");
    assert_eq!(bob.closed().await, 4501);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let imported = platform
        .posted("/keys/import", &json!({"kind": "jwk", "jwk": jwk}))
        .await;
    assert_eq!(imported["secret"], Value::Null);
    assert_eq!(imported["key"]["algorithm"], "EdDSA");
    let url = json!({"kind": "jwks_url", "jwks_url": "https://a.example"});
    let request = platform.post("/keys/import", &url);
    assert_eq!(refusal_of(request).await, refusal(400, "invalid_request"));
}
