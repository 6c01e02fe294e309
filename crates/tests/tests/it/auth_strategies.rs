//! Signing in without a name, by the app's own sign-in, and staying signed in.

use hexline_tests::{SignInWorld, TestServer, claims, client, refusal, refused};
use reqwest::Method;
use serde_json::{Value, json};

fn device() -> Value {
    json!({"device": "web"})
}

async fn signed_in(world: &SignInWorld) -> Value {
    let token = world.provider.id_token(&json!({}));
    let body = json!({"device": "web", "id_token": token});
    world.signs_in("acme", &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_name_gets_one_that_nobody_had() {
    let world = SignInWorld::start().await;
    assert_eq!(world.refuses("anonymous", &device()).await.0, 404);
    world
        .set(
            &json!({"anonymous": {"enabled": true, "ttl_s": 60, "grants": {"signal": true},
            "per_minute": 3}}),
        )
        .await;
    let one = world.signs_in("anonymous", &device()).await;
    let two = world.signs_in("anonymous", &device()).await;
    assert_ne!(one["identity"], two["identity"]);
    world.connects(&one).await;
    let token = claims(one["token"].as_str().expect("a token"));
    assert_eq!(token["grants"], json!({"signal": true}));
    let life = token["exp"].as_i64().zip(token["iat"].as_i64());
    assert_eq!(life.map(|(exp, iat)| exp - iat), Some(60));
    assert_eq!(one.get("refresh_token"), None);
    world.signs_in("anonymous", &device()).await;
    let found = world.refuses("anonymous", &device()).await;
    assert_eq!(found, (429, "rate_limited".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_makes_no_crowd() {
    let world = SignInWorld::on(TestServer::start().await).await;
    world
        .set(
            &json!({"anonymous": {"enabled": true, "ttl_s": 60, "grants": {"signal": true},
            "per_minute": 600}}),
        )
        .await;
    for _ in 0..10 {
        world.signs_in("anonymous", &device()).await;
    }
    let found = world.refuses("anonymous", &device()).await;
    assert_eq!(found, (429, "rate_limited".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_origin_may_sign_in() {
    let world = SignInWorld::start().await;
    let preflight = client()
        .request(
            Method::OPTIONS,
            world.url("/strategies/anonymous/token", &world.api_key),
        )
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .expect("an answer");
    assert!(preflight.status().is_success());
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let strategies = client()
        .get(world.url("/strategies", &world.api_key))
        .header("content-type", "application/json")
        .send()
        .await
        .expect("an answer");
    assert_eq!(strategies.json::<Value>().await.expect("JSON"), json!([]));
    for (key, status) in [("b234fdb83571400f9b62e204d735126e", 404), ("x", 400)] {
        let found = refused(client().get(world.url("/strategies", key))).await;
        assert_eq!(found.0, status, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apps_own_sign_in_is_asked_who_it_is() {
    let world = SignInWorld::start().await;
    let url = format!("{}/whoami", world.provider.issuer());
    let external = json!({"url": url, "cookies": ["session"], "grants": {"signal": true}});
    world
        .set(&json!({"oidc": [world.acme(&json!({}))], "external": external}))
        .await;
    let ask = || {
        world
            .post("/strategies/external/token", &device())
            .bearer_auth("users-own-token")
            .header("cookie", "session=s-1; other=o-1")
    };
    let answer: Value = ask()
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["identity"], "alice");
    world.connects(&answer).await;
    let received = world.provider.received();
    let asked = received.last().expect("it was asked");
    let body: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!(
        body,
        json!({"app": world.app.id(), "device": "web", "bearer": "users-own-token",
            "cookies": {"session": "s-1"}})
    );
    let token = asked.headers["authorization"]
        .strip_prefix("Bearer ")
        .expect("a bearer");
    let signed = claims(token);
    assert_eq!(
        (&signed["iss"], &signed["aud"]),
        (&json!(world.app.key_id()), &json!(url))
    );
    let narrower = json!({"identity": "bob", "device": "tv", "ttl": 30, "profile": {"n": 1},
        "grants": {"signal": {"channels": ["news"]}}});
    world.provider.answers(200, narrower);
    let answer: Value = ask()
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        (&answer["identity"], &answer["device"]),
        (&json!("bob"), &json!("tv"))
    );
    for (status, body, wanted) in [
        (401, json!({}), (401, "credentials")),
        (500, json!({}), (503, "provider_unavailable")),
        (
            200,
            json!({"identity": "a/b"}),
            (503, "provider_unavailable"),
        ),
        (
            200,
            json!({"identity": "a", "more": 1}),
            (503, "provider_unavailable"),
        ),
        (200, json!({"identity": "acme-alice"}), (401, "identity")),
        (200, json!({"identity": "anon-1"}), (401, "identity")),
        (
            200,
            json!({"identity": "a", "grants": {"chat": true}}),
            (403, "grant_missing"),
        ),
    ] {
        world.provider.answers(status, body.clone());
        let (status, reason) = refused(ask()).await;
        assert_eq!((status, reason.as_str()), wanted, "{body}");
    }
    let nobody = world.refuses("external", &device()).await;
    assert_eq!(nobody, (401, "credentials".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_gives_the_next_one_and_a_used_one_ends_them_all() {
    let world = SignInWorld::with_provider().await;
    let first = signed_in(&world).await;
    let second = world.refreshes(&first["refresh_token"]).await;
    assert_eq!(second["identity"], "acme-alice");
    world.connects(&second).await;
    // An answer may be lost: the one right before gets the same once more.
    let again = world.refreshes(&first["refresh_token"]).await;
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    let third = world.refreshes(&second["refresh_token"]).await;
    assert_ne!(third["refresh_token"], second["refresh_token"]);
    let reused = world.refuses_refresh(&first["refresh_token"]).await;
    assert_eq!(reused, (401, "refresh_reused".to_owned()));
    let ended = world.refuses_refresh(&third["refresh_token"]).await;
    assert_eq!(ended, (401, "refresh_token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refreshes_of_one_token_at_once_all_get_the_same_next_one() {
    let world = SignInWorld::with_provider().await;
    let first = signed_in(&world).await["refresh_token"].clone();
    let all = (0..50).map(|_| world.refreshes(&first));
    let all = futures_util::future::join_all(all).await;
    for answer in &all {
        assert_eq!(answer["refresh_token"], all[0]["refresh_token"]);
    }
    let next = world.refreshes(&all[0]["refresh_token"]).await;
    world.connects(&next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_of_its_device_and_app_and_outlives_a_restart() {
    let mut world = SignInWorld::with_provider().await;
    let token = signed_in(&world).await["refresh_token"].clone();
    let other = json!({"refresh_token": token, "device": "tv"});
    let found = refused(world.post("/token/refresh", &other)).await;
    assert_eq!(found, (401, "refresh_token".to_owned()));
    let second = world.server.app("two").await;
    let url = world.url("/token/refresh", &second.api_key().await);
    let body = json!({"refresh_token": token, "device": "web"});
    assert_eq!(
        refused(client().post(url).json(&body)).await.1,
        "refresh_token"
    );
    world.server.restart().await;
    let answer = world.refreshes(&token).await;
    world.connects(&answer).await;
    let request = world.post(
        "/token/revoke",
        &json!({"refresh_token": answer["refresh_token"]}),
    );
    assert_eq!(request.send().await.expect("an answer").status(), 204);
    let found = world.refuses_refresh(&answer["refresh_token"]).await;
    assert_eq!(found, (401, "refresh_token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_revoked_gets_no_new_token() {
    let world = SignInWorld::with_provider().await;
    let token = signed_in(&world).await["refresh_token"].clone();
    world.app.revoke_identity("acme-alice").await;
    assert_eq!(world.refuses_refresh(&token).await.1, "refresh_token");
    let world = SignInWorld::with_provider().await;
    let token = signed_in(&world).await["refresh_token"].clone();
    let path = format!("/apps/{}/sign-in/sign-out", world.app.id());
    let ended = world
        .operator
        .post(&path, &json!({"identity": "acme-alice"}))
        .await;
    assert_eq!(ended, json!({"ended": 1}));
    assert_eq!(world.refuses_refresh(&token).await.1, "refresh_token");
    let world = SignInWorld::with_provider().await;
    let token = signed_in(&world).await["refresh_token"].clone();
    world.app.disable().await;
    assert_eq!(
        world.refuses_refresh(&token).await,
        (403, "forbidden".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_show_no_secret_and_are_checked() {
    let world = SignInWorld::with_provider().await;
    let path = format!("/apps/{}/sign-in", world.app.id());
    let shown = world.operator.get(&path).await;
    assert!(
        !shown.to_string().contains(hexline_tests::SECRET),
        "{shown}"
    );
    assert_eq!(shown["oidc"][0]["client_secret_set"], true);
    // What was shown may be sent back; the secret stays.
    let again = world.set(&shown).await;
    assert_eq!(again, shown);
    // Nobody else is shown it.
    let mut moved = shown.clone();
    moved["oidc"][0]["issuer"] = "https://elsewhere.example".into();
    let moved = world.set(&moved).await;
    assert_eq!(moved["oidc"][0]["client_secret_set"], false);
    let clash = world.acme(&json!({"id": "other", "identity_template": "acme-x-{sub}"}));
    for bad in [
        json!({"oidc": [world.acme(&json!({"issuer": "http://example.org"}))]}),
        json!({"oidc": [world.acme(&json!({"identity_template": "{sub}"}))]}),
        json!({"oidc": [world.acme(&json!({"identity_template": "anon-{sub}"}))]}),
        json!({"oidc": [world.acme(&json!({})), world.acme(&json!({}))]}),
        json!({"oidc": [world.acme(&json!({})), clash]}),
        json!({"oidc": [world.acme(&json!({"id": "anonymous"}))]}),
        json!({"oidc": [world.acme(&json!({"grants": {"platform": true}}))]}),
        json!({"redirect_uris": ["javascript:alert(1)"]}),
        json!({"redirect_uris": ["http://page.example/"]}),
        json!({"external": {"url": "http://10.0.0.1/"}}),
        json!({"more": 1}),
    ] {
        let found = world.operator.refused(Method::PUT, &path, &bad).await;
        assert_eq!(found, refusal(400, "invalid_request"), "{bad}");
    }
}
