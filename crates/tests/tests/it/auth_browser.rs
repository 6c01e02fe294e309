//! A browser that goes to a provider and back through the server.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_tests::{SignInWorld, client, refused};
use serde_json::{Value, json};

const VERIFIER: &str = "a-verifier-of-at-least-43-characters-0123456789";
const PAGE: &str = "https://page.example/done";

async fn world() -> SignInWorld {
    let world = SignInWorld::start().await;
    let settings = json!({"oidc": [world.acme(&json!({}))], "redirect_uris": [PAGE]});
    world.set(&settings).await;
    world
}

fn path(redirect: &str) -> String {
    let hash = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(hash);
    format!(
        "/strategies/acme/authorize?redirect_uri={redirect}&device=web&state=s-1\
         &code_challenge={challenge}"
    )
}

/// Follows one step of the way.
async fn step(url: &str) -> String {
    let response = client().get(url).send().await.expect("an answer");
    assert_eq!(
        response.status(),
        303,
        "{}",
        response.text().await.unwrap_or_default()
    );
    let location = response.headers()["location"].to_str();
    location.expect("text").to_owned()
}

async fn departure(world: &SignInWorld) -> String {
    let response = client().get(world.url(&path(PAGE), &world.api_key)).send();
    let body: Value = response
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    body["url"].as_str().expect("a URL").to_owned()
}

fn query(url: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).expect("a URL");
    let mut pairs = url.query_pairs();
    pairs.find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_back_with_a_code_for_the_page_that_sent_it() {
    let world = world().await;
    let back = step(&departure(&world).await).await;
    assert!(back.starts_with(&format!("{}/app/auth/v1/callback", world.server.base())));
    let done = step(&back).await;
    assert!(done.starts_with(PAGE), "{done}");
    assert_eq!(query(&done, "state").as_deref(), Some("s-1"));
    let code = query(&done, "code").expect("a code");
    let body = json!({"device": "web", "login_code": code, "code_verifier": VERIFIER});
    let answer = world.signs_in("acme", &body).await;
    assert_eq!(answer["identity"], "acme-alice");
    world.connects(&answer).await;
    assert_eq!(world.refuses("acme", &body).await, (401, "code".to_owned()));
    // The way back is open once.
    assert_eq!(
        refused(client().get(&back)).await,
        (401, "state".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_of_no_use_to_whoever_did_not_begin() {
    let world = world().await;
    let done = step(&step(&departure(&world).await).await).await;
    let code = query(&done, "code").expect("a code");
    let body = json!({"device": "web", "login_code": code, "code_verifier": "x".repeat(43)});
    assert_eq!(world.refuses("acme", &body).await, (401, "code".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_only_where_the_settings_say() {
    let world = world().await;
    for elsewhere in [
        "https://page.example/done/",
        "https://evil.example/",
        "javascript:alert(1)",
    ] {
        let request = client().get(world.url(&path(elsewhere), &world.api_key));
        assert_eq!(refused(request).await.0, 400, "{elsewhere}");
    }
    let made_up = world
        .server
        .url("/app/auth/v1/callback?state=made-up&code=x");
    assert_eq!(
        refused(client().get(made_up)).await,
        (401, "state".to_owned())
    );
    let nothing = world.server.url("/app/auth/v1/callback");
    assert_eq!(refused(client().get(nothing)).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_no_at_the_provider_comes_back_with_an_error() {
    let world = world().await;
    let url = departure(&world).await;
    let state = query(&url, "state").expect("a state");
    let back = world.server.url("/app/auth/v1/callback");
    let done = step(&format!("{back}?error=access_denied&state={state}")).await;
    assert_eq!(query(&done, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(&done, "code"), None);
    let state = query(&departure(&world).await, "state").expect("a state");
    let done = step(&format!("{back}?code=made-up&state={state}")).await;
    assert_eq!(query(&done, "error").as_deref(), Some("code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_send_the_browser_back_by_a_form_and_to_the_page_at_once() {
    let world = world().await;
    let there = step(&world.url(&format!("{}&mode=redirect", path(PAGE)), &world.api_key)).await;
    let back = step(&there).await;
    let form = [
        ("code", query(&back, "code")),
        ("state", query(&back, "state")),
    ];
    let request = client()
        .post(world.server.url("/app/auth/v1/callback"))
        .form(&form);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 303);
    let done = response.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(query(&done, "code").is_some(), "{done}");
}
