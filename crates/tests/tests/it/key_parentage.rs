//! Keys that an app's server made, tokens that were exchanged, and ids that another app has.

use std::time::Duration;

use hexline_model::Timestamp;
use hexline_services::keys::NewKey;
use hexline_tests::{TestPlatform, TestServer, answer, claims, now, refusal, refusal_of};
use hexline_token::Algorithm;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_apps_server_made_ends_with_the_one_that_asked_for_it() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    let ends = Timestamp::from_secs(now() + 3600);
    let maker = NewKey::generate(Algorithm::Hs256).expires(ends);
    let maker = app.register(maker).await;
    let platform = maker.platform();
    let made = platform.posted("/keys", &json!({"label": "a"})).await;
    assert_eq!(made["key"]["made_by"], maker.key_id());
    assert_eq!(made["key"]["ends_ms"], ends.as_millis());
    let order = json!({"kind": "hmac", "id": "0".repeat(32), "secret": "s".repeat(43),
        "expires_ms": (now() + 7200) * 1000});
    let imported = platform.posted("/keys/import", &order).await;
    assert_eq!(imported["key"]["ends_ms"], ends.as_millis());
    let (_, rotated) = answer(platform.post(&path_of(&app.key_id(), "rotate"), &json!({}))).await;
    assert_eq!(rotated["key"]["made_by"], maker.key_id());
    assert_eq!(rotated["key"]["ends_ms"], ends.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_revokes_what_it_made_and_closes_what_that_opened() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    let owner = server.operator().await;
    let maker = app.another_key(None).await;
    let child = made_with(&maker.platform()).await;
    let grandchild = made_with(&app.platform_with(&platform_token(&server, &child))).await;
    let mut bob = server
        .connect("bob/web", &token(&server, &grandchild))
        .await;
    let path = format!("/apps/{}/keys/{}/revoke", app.id(), maker.key_id());
    let kept = app.another_key(None).await;
    let kept_child = made_with(&kept.platform()).await;
    let revoked = owner.post(&path, &json!({})).await;
    let ids: Vec<&Value> = revoked["made"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| &key["id"])
        .collect();
    assert_eq!(ids, [&child["key"]["id"], &grandchild["key"]["id"]]);
    assert_eq!(revoked["closed"], 1);
    assert_eq!(bob.closed().await, 4501);
    let listed = owner
        .get(&format!("/audit?app={}&action=key.revoke", app.id()))
        .await;
    assert_eq!(listed["items"][0]["detail"]["made"], json!(ids));

    let order = json!({"keep_made": true});
    let platform = app.platform();
    let (_, revoked) = answer(platform.post(&path_of(&kept.key_id(), "revoke"), &order)).await;
    assert_eq!(revoked["made"], json!([]));
    let shown = platform.got(&format!("/keys/{}", id(&kept_child))).await;
    assert_eq!(shown["state"], "active");
    let (_, revoked) =
        answer(platform.request(Method::POST, &path_of(&kept.key_id(), "revoke"))).await;
    assert_eq!(revoked["made"][0]["id"], kept_child["key"]["id"]);
    assert_eq!(revoked["made"][0]["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retiring_key_makes_no_keys_and_its_tokens_end_with_its_overlap() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    let old = app.another_key(None).await;
    old.rotate(Duration::from_mins(1)).await;
    let platform = old.platform();
    assert_eq!(
        refusal_of(platform.post("/keys", &json!({}))).await,
        refusal(409, "conflict")
    );
    let rotate = path_of(&app.key_id(), "rotate");
    assert_eq!(
        refusal_of(platform.request(Method::POST, &rotate)).await,
        refusal(409, "conflict")
    );
    let order = json!({"identity": "bob", "device": "web", "ttl_s": 3600,
        "grants": {"signal": true}});
    let minted = platform.posted("/tokens", &order).await;
    let expires = minted["expires_ms"].as_i64().expect("a time") / 1000;
    assert!(expires <= now() + 60, "with the overlap");
    let exchanged = exchanged(&platform, &app.token("bob/web"), &json!({"ttl_s": 3600})).await;
    let expires = claims(&exchanged)["exp"].as_i64().expect("a time");
    assert!(expires <= now() + 60, "with the overlap");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_what_a_token_was_exchanged_for_closes_its_connection_within_a_second() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    let (platform, signer) = (app.platform(), app.another_key(None).await);
    let source = signer
        .tokens("bob/web")
        .jti("s1")
        .build()
        .expect("all is set");
    let other = json!({"jti": "e1"});
    let once = exchanged(&platform, &source, &other).await;
    let twice = exchanged(&platform, &once, &json!({"jti": "e2"})).await;
    assert_eq!(
        claims(&twice)["src"],
        json!([
            {"iss": signer.key_id(), "jti": "s1"},
            {"iss": app.key_id(), "jti": "e1"},
        ])
    );
    let mut bob = server.connect("bob/web", &twice).await;
    app.revoke_token("e1").await;
    at_once(bob.closed()).await;
    assert_eq!(app.refused(&twice).await, refusal(401, "token_revoked"));

    let twice = exchanged(
        &platform,
        &exchanged(&platform, &source, &json!({"jti": "e3"})).await,
        &json!({"jti": "e4"}),
    )
    .await;
    let mut bob = server.connect("bob/web", &twice).await;
    let mut carol = app.connect("carol/web").await;
    let shown = platform.got(&format!("/keys/{}", signer.key_id())).await;
    assert_eq!(shown["connections"], 1, "it stands on it");
    signer.revoke_key().await;
    at_once(bob.closed()).await;
    assert_eq!(app.refused(&twice).await, refusal(401, "key_revoked"));
    assert_eq!(carol.after_ping().await, []);
}

type Call<'a> = Box<dyn Fn(&str) -> RequestBuilder + 'a>;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of calls")]
async fn another_apps_key_is_answered_like_one_that_there_is_not() {
    let server = TestServer::start().await;
    let (app, other) = (server.app("shop").await, server.app("other").await);
    let owner = server.operator().await;
    let only = [app.id()];
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    let admin = owner
        .invited(&server, "a@example.org", "admin", Some(&only))
        .await;
    let platform = app.platform();
    let (theirs, unknown) = (other.key_id(), "0".repeat(32));
    let of_app = |path: &str| format!("/apps/{}{path}", app.id());
    let calls: Vec<(&str, Call<'_>)> = vec![
        (
            "show",
            Box::new(|key| platform.request(Method::GET, &format!("/keys/{key}"))),
        ),
        (
            "rename",
            Box::new(|key| {
                platform
                    .request(Method::PATCH, &format!("/keys/{key}"))
                    .json(&json!({"label": "x"}))
            }),
        ),
        (
            "rotate",
            Box::new(|key| platform.request(Method::POST, &path_of(key, "rotate"))),
        ),
        (
            "revoke",
            Box::new(|key| platform.request(Method::POST, &path_of(key, "revoke"))),
        ),
        (
            "signing key",
            Box::new(|key| {
                platform
                    .request(Method::PATCH, "/settings")
                    .json(&json!({"signing_key": key}))
            }),
        ),
        (
            "audit",
            Box::new(|key| platform.request(Method::GET, &format!("/audit?actor={key}"))),
        ),
        (
            "introspect",
            Box::new(|key| {
                platform.post(
                    "/tokens/introspect",
                    &json!({"token": app.token_of(key, "bob/web")}),
                )
            }),
        ),
        (
            "end",
            Box::new(|key| {
                platform.post(
                    "/tokens/revoke",
                    &json!({"token": app.token_of(key, "bob/web")}),
                )
            }),
        ),
        (
            "exchange",
            Box::new(|key| exchange(&platform, &app.token_of(key, "bob/web"), &json!({}))),
        ),
        (
            "console show",
            Box::new(|key| admin.request(Method::GET, &of_app(&format!("/keys/{key}")))),
        ),
        (
            "console rename",
            Box::new(|key| {
                admin
                    .request(Method::PATCH, &of_app(&format!("/keys/{key}")))
                    .json(&json!({"label": "x"}))
            }),
        ),
        (
            "console rotate",
            Box::new(|key| {
                admin
                    .request(Method::POST, &of_app(&format!("/keys/{key}/rotate")))
                    .json(&json!({}))
            }),
        ),
        (
            "console revoke",
            Box::new(|key| {
                admin
                    .request(Method::POST, &of_app(&format!("/keys/{key}/revoke")))
                    .json(&json!({}))
            }),
        ),
        (
            "console signing key",
            Box::new(|key| {
                admin
                    .request(Method::PATCH, &of_app(""))
                    .json(&json!({"signing_key": key}))
            }),
        ),
        (
            "console API key",
            Box::new(|key| {
                admin
                    .request(Method::POST, &of_app("/api-keys"))
                    .json(&json!({"key": key}))
            }),
        ),
        (
            "console build",
            Box::new(|key| {
                admin
                    .request(Method::POST, &of_app("/tokens/build"))
                    .json(&json!({
            "identity": "bob", "device": "web", "grants": {"signal": true}, "key": key}))
            }),
        ),
        (
            "console audit",
            Box::new(|key| admin.request(Method::GET, &format!("/audit?actor={key}"))),
        ),
        (
            "console release",
            Box::new(|key| {
                admin
                    .request(Method::POST, &format!("/keys/{key}/release"))
                    .json(&json!({}))
            }),
        ),
    ];
    for (name, call) in calls {
        let (found, wanted) = (said(call(&theirs)).await, said(call(&unknown)).await);
        let blank = |(status, text): (u16, String), key: &str| (status, text.replace(key, "KEY"));
        assert_eq!(blank(found, &theirs), blank(wanted, &unknown), "{name}");
    }
    // The id of a key that is there, whichever app has it, cannot be registered.
    let import = |key: &str| {
        let order = json!({"kind": "hmac", "id": key, "secret": "s".repeat(43)});
        platform.post("/keys/import", &order)
    };
    let (found, own) = (
        said(import(&theirs)).await,
        said(import(&app.key_id())).await,
    );
    assert_eq!(found.0, 409);
    assert_eq!(
        found.1.replace(&theirs, "KEY"),
        own.1.replace(&app.key_id(), "KEY")
    );
    // In the checks of a token, too.
    let inspect = async |key: &str| {
        let body = json!({"token": app.token_of(key, "bob/web")});
        let found = admin.post("/tokens/inspect", &body).await;
        found["checks"].to_string().replace(key, "KEY")
    };
    assert_eq!(inspect(&theirs).await, inspect(&unknown).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_frees_an_id_that_another_app_has_registered() {
    let server = TestServer::start().await;
    let (squatter, real) = (server.app("squatter").await, server.app("real").await);
    let owner = server.operator().await;
    let admin = owner.invited(&server, "a@example.org", "admin", None).await;
    let key = "0123456789abcdef0123456789abcdef";
    let import = json!({"kind": "hmac", "id": key, "secret": "s".repeat(43)});
    squatter.platform().posted("/keys/import", &import).await;
    let secret = json!({"key": {"id": key}, "secret": "s".repeat(43)});
    let child = made_with(&squatter.platform_with(&platform_token(&server, &secret))).await;
    let order = json!({"kind": "hmac", "id": key, "secret": "t".repeat(43)});
    let taken = refusal_of(real.platform().post("/keys/import", &order)).await;
    assert_eq!(taken, refusal(409, "conflict"));
    let path = format!("/keys/{key}/release");
    let refused = admin.refused(Method::POST, &path, &json!({})).await;
    assert_eq!(refused, refusal(403, "forbidden"));
    let released = owner.post(&path, &json!({})).await;
    assert_eq!(released["app"], squatter.id());
    assert_eq!(released["key"]["state"], "revoked");
    assert_eq!(released["made"][0]["id"], child["key"]["id"]);
    assert_eq!(released["made"][0]["state"], "revoked");
    let again = refusal_of(squatter.platform().post("/keys/import", &import)).await;
    assert_eq!(again, refusal(409, "conflict"), "not by the same app again");
    real.platform().posted("/keys/import", &order).await;
    assert_eq!(
        real.platform().got(&format!("/keys/{key}")).await["state"],
        "active"
    );
    let listed = owner
        .get(&format!("/audit?app={}&action=key.release", squatter.id()))
        .await;
    assert_eq!(listed["items"][0]["target"], key);
    let made = json!([child["key"]["id"]]);
    assert_eq!(listed["items"][0]["detail"]["made"], made);
}

async fn said(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.expect("an answer");
    (
        response.status().as_u16(),
        response.text().await.expect("a body"),
    )
}

/// The path of what is done to a key.
fn path_of(key: &str, what: &str) -> String {
    format!("/keys/{key}/{what}")
}

async fn made_with(platform: &TestPlatform) -> Value {
    platform.posted("/keys", &json!({})).await
}

fn id(made: &Value) -> &str {
    made["key"]["id"].as_str().expect("an id")
}

fn builder(server: &TestServer, made: &Value) -> hexline_token::TokenBuilder {
    let secret = made["secret"].as_str().expect("a secret");
    hexline_token::TokenBuilder::create()
        .key(id(made), secret)
        .api(server.base())
}

fn token(server: &TestServer, made: &Value) -> String {
    let builder = builder(server, made).identity("bob").device("web");
    builder.grant("signal", true).build().expect("all is set")
}

fn platform_token(server: &TestServer, made: &Value) -> String {
    let builder = builder(server, made).access("platform");
    builder.grant("platform", true).build().expect("all is set")
}

fn exchange(platform: &TestPlatform, token: &str, more: &Value) -> RequestBuilder {
    let mut order = json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    });
    let members = order.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    platform.post("/tokens/exchange", &order)
}

async fn exchanged(platform: &TestPlatform, token: &str, more: &Value) -> String {
    let (_, new) = answer(exchange(platform, token, more)).await;
    new["access_token"].as_str().expect("a token").to_owned()
}

async fn at_once(closed: impl Future<Output = u16>) {
    // For the server no time passes.
    assert_eq!(closed.await, 4501);
}
