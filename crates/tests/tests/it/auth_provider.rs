//! Signing in at an OpenID provider, and what is refused.

use futures_util::future::Either;
use hexline_tests::{ACCESS, CLIENT, Mood, STOLEN, SignInWorld, TestProvider, claims, client, now};
use serde_json::{Value, json};

const VERIFIER: &str = "a-verifier-of-at-least-43-characters-0123456789";

fn id_token(token: impl Into<Value>) -> Value {
    json!({"device": "web", "id_token": token.into()})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_signs_its_user_in() {
    let world = SignInWorld::with_provider().await;
    let token = world.provider.id_token(&json!({"nonce": "n-1"}));
    let body = json!({"device": "web", "id_token": token, "nonce": "n-1"});
    let answer = world.signs_in("acme", &body).await;
    assert_eq!(answer["identity"], "acme-alice");
    let token = claims(answer["token"].as_str().expect("a token"));
    assert_eq!(token["sub"], "acme-alice/web");
    assert_eq!(token["profile"], json!({"name": "Alice"}));
    world.connects(&answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_with_its_secret_signs_its_user_in() {
    let world = SignInWorld::with_provider().await;
    let back = "https://page.example/done";
    let code = world.provider.code(VERIFIER, back, Some("n-1"));
    let body = json!({"device": "web", "code": code, "code_verifier": VERIFIER,
        "redirect_uri": back, "nonce": "n-1"});
    let answer = world.signs_in("acme", &body).await;
    world.connects(&answer).await;
    let again = world.refuses("acme", &body).await;
    assert_eq!(again, (401, "code".to_owned()));
    for (member, value) in [
        ("code_verifier", json!("x".repeat(43))),
        ("redirect_uri", json!("https://elsewhere.example/")),
        ("nonce", json!("n-2")),
    ] {
        let code = world.provider.code(VERIFIER, back, Some("n-1"));
        let mut body = json!({"device": "web", "code": code, "code_verifier": VERIFIER,
            "redirect_uri": back, "nonce": "n-1"});
        body[member] = value;
        let reason = if member == "nonce" { "nonce" } else { "code" };
        let found = world.refuses("acme", &body).await;
        assert_eq!(found, (401, reason.to_owned()), "{member}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_counts_once() {
    let world = SignInWorld::with_provider().await;
    let body = id_token(world.provider.id_token(&json!({})));
    world.signs_in("acme", &body).await;
    let again = world.refuses("acme", &body).await;
    assert_eq!(again, (401, "replayed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_not_for_this_app_and_now_is_refused() {
    let world = SignInWorld::with_provider().await;
    for (changes, reason) in [
        (json!({"aud": "another"}), "audience"),
        (json!({"aud": null}), "audience"),
        (json!({"aud": [CLIENT, "another"]}), "audience"),
        (json!({"azp": "another"}), "audience"),
        (json!({"iss": "https://elsewhere.example"}), "issuer"),
        (json!({"exp": now() - 120}), "expired"),
        (json!({"exp": now() + 200_000}), "too_long"),
        (json!({"exp": null}), "claim"),
        (json!({"iat": "soon"}), "claim"),
        (json!({"iat": now() + 300}), "not_yet_valid"),
        (json!({"nbf": now() + 300}), "not_yet_valid"),
        (json!({"nonce": "n-1"}), "nonce"),
        (json!({"sub": ""}), "claim"),
        (json!({"sub": null}), "claim"),
        (json!({"sub": "x".repeat(300)}), "claim"),
    ] {
        let body = id_token(world.provider.id_token(&changes));
        let found = world.refuses("acme", &body).await;
        assert_eq!(found, (401, reason.to_owned()), "{changes}");
    }
    let token = world.provider.id_token(&json!({"nonce": "n-1"}));
    let body = json!({"device": "web", "id_token": token, "nonce": "n-2"});
    assert_eq!(world.refuses("acme", &body).await.1, "nonce");
    let token = world.provider.id_token(&json!({"at_hash": "AAAA"}));
    let body = json!({"device": "web", "id_token": token, "access_token": ACCESS});
    assert_eq!(world.refuses("acme", &body).await.1, "at_hash");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_unsigned_or_otherwise_signed_id_token_is_refused() {
    let world = SignInWorld::with_provider().await;
    let good = world.provider.id_token(&json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let other = world.provider.id_token(&json!({"sub": "mallory"}));
    let altered = format!(
        "{}.{}.{}",
        parts[0],
        other.split('.').nth(1).expect("claims"),
        parts[2]
    );
    assert_eq!(
        world.refuses("acme", &id_token(altered)).await.1,
        "signature"
    );
    let claims = world.provider.claims();
    let kid = world.provider.kid();
    for (header, reason) in [
        (json!({"alg": "none", "kid": kid}), "algorithm"),
        (json!({"kid": kid}), "algorithm"),
        (json!({"alg": "HS256", "kid": kid}), "algorithm"),
        (json!({"alg": "RS256", "kid": kid}), "algorithm"),
        (json!({"alg": "ES256", "kid": "unknown"}), "key_unknown"),
        (
            json!({"alg": "ES256", "kid": kid, "crit": ["x"]}),
            "token_malformed",
        ),
    ] {
        let token = world.provider.sign(&header, &claims);
        let found = world.refuses("acme", &id_token(token)).await;
        assert_eq!(found, (401, reason.to_owned()), "{header}");
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(world.refuses("acme", &id_token(unsigned)).await.0, 401);
    assert_eq!(
        world.refuses("acme", &id_token("a.b")).await.1,
        "token_malformed"
    );
    world.signs_in("acme", &id_token(good)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_change_its_key_and_made_up_keys_make_us_ask_once() {
    let world = SignInWorld::with_provider().await;
    world
        .signs_in("acme", &id_token(world.provider.id_token(&json!({}))))
        .await;
    let old = world.provider.id_token(&json!({}));
    world.provider.rotate();
    world
        .signs_in("acme", &id_token(world.provider.id_token(&json!({}))))
        .await;
    assert_eq!(world.refuses("acme", &id_token(old)).await.1, "key_unknown");
    for n in 0..5 {
        let header = json!({"alg": "ES256", "kid": format!("made-up-{n}")});
        let token = world.provider.sign(&header, &world.provider.claims());
        assert_eq!(
            world.refuses("acme", &id_token(token)).await.1,
            "key_unknown"
        );
    }
    let received = world.provider.received();
    let fetches = received.iter().filter(|r| r.line == "GET /jwks").count();
    assert_eq!(fetches, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_of_no_use_is_an_outage_and_not_a_refusal() {
    for mood in [Mood::Silent, Mood::Huge, Mood::Broken, Mood::Lying] {
        let world = SignInWorld::with_provider().await;
        world.provider.mood(mood);
        let body = id_token(world.provider.id_token(&json!({})));
        let found = world.refuses("acme", &body).await;
        assert_eq!(found, (503, "provider_unavailable".to_owned()), "{mood:?}");
    }
    let world = SignInWorld::with_provider().await;
    let body = id_token(world.provider.id_token(&json!({})));
    world.provider.stop().await;
    let found = world.refuses("acme", &body).await;
    assert_eq!(found, (503, "provider_unavailable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_holds_up_no_other_app() {
    let world = SignInWorld::with_provider().await;
    world.provider.mood(Mood::Silent);
    let body = id_token(world.provider.id_token(&json!({})));
    let hangs = async { world.refuses("acme", &body).await };
    let other = world.server.app("two").await;
    let key = other.api_key().await;
    let provider = TestProvider::start().await;
    let settings = json!({"oidc": [{"id": "acme", "issuer": provider.issuer(),
        "client_id": CLIENT}]});
    let path = format!("/apps/{}/sign-in", other.id());
    world.operator.put(&path, &settings).await;
    let two = async {
        // Once the first one waits.
        while world.provider.received().is_empty() {
            tokio::task::yield_now().await;
        }
        let url = world.url("/strategies/acme/token", &key);
        let body = id_token(provider.id_token(&json!({})));
        let response = client().post(url).json(&body).send().await;
        response
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let (hangs, two) = (std::pin::pin!(hangs), std::pin::pin!(two));
    match futures_util::future::select(two, hangs).await {
        Either::Left((answer, hangs)) => {
            world.connects(&answer).await;
            assert_eq!(hangs.await.0, 503);
        }
        Either::Right((found, _)) => panic!("the other app waits: {found:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facebooks_log_in_is_taken_as_it_always_was() {
    let world = SignInWorld::start().await;
    let facebook = world.acme(
        &json!({"id": "facebook", "preset": "facebook", "issuer": null,
        "base_url": world.provider.issuer()}),
    );
    world.set(&json!({"oidc": [facebook]})).await;
    let strategies = hexline_tests::client()
        .get(world.url("/strategies", &world.api_key))
        .send()
        .await
        .expect("an answer");
    let strategies: Value = strategies.json().await.expect("JSON");
    let wanted = json!([{"id": "facebook", "params": {"client_id": CLIENT}}]);
    assert_eq!(strategies, wanted);
    let body = |token: &str, user: &str| {
        json!({"device": "web", "provider": {"accessToken": token, "userID": user,
            "expiresIn": 5000, "signedRequest": "x.y"}})
    };
    let answer = world.signs_in("facebook", &body(ACCESS, "77")).await;
    assert_eq!(answer["identity"], "facebook-77");
    world.connects(&answer).await;
    let refused = [
        (body(STOLEN, "77"), "audience"),
        (body("made-up", "77"), "access_token"),
        (body(ACCESS, "78"), "access_token"),
    ];
    for (body, reason) in refused {
        let found = world.refuses("facebook", &body).await;
        assert_eq!(found, (401, reason.to_owned()), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_for_whom_a_token_was_made() {
    let world = SignInWorld::start().await;
    let github = world.acme(&json!({"id": "github", "preset": "github", "issuer": null,
        "base_url": world.provider.issuer()}));
    world.set(&json!({"oidc": [github]})).await;
    let body = json!({"device": "web", "access_token": ACCESS});
    let answer = world.signs_in("github", &body).await;
    assert_eq!(answer["identity"], "github-77");
    world.connects(&answer).await;
    let body = json!({"device": "web", "access_token": STOLEN});
    assert_eq!(world.refuses("github", &body).await.1, "access_token");
    let back = "https://page.example/done";
    let code = world.provider.code(VERIFIER, back, None);
    let body = json!({"device": "web", "code": code, "code_verifier": VERIFIER,
        "redirect_uri": back});
    world.connects(&world.signs_in("github", &body).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_proves_nothing_at_an_openid_provider() {
    let world = SignInWorld::with_provider().await;
    let body = json!({"device": "web", "access_token": ACCESS});
    assert_eq!(world.refuses("acme", &body).await.0, 400);
    let body = json!({"device": "web"});
    assert_eq!(world.refuses("acme", &body).await.0, 400);
    let body = json!({"device": "a/b", "id_token": "x"});
    assert_eq!(world.refuses("acme", &body).await.0, 400);
}
