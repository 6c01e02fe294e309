//! Who gets in, at which paths, and how everybody else is told why not.

use hexline_tests::{Socket, TestServer, client, now, refusal, refusal_of, upgrade};
use serde_json::json;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Request};

const PATHS: [&str; 3] = [
    "/client/signal/v1/pubsub",
    "/client/v1/signal/pubsub",
    "/client/signal/pubsub",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_door_opens_at_every_path_that_old_clients_derive() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for path in PATHS {
        let url = format!("{}?jwt={}", server.url(path), app.token("bob/web"));
        let mut bob = open(&server, Socket::request(&url)).await;
        assert_eq!(bob.after_ping().await, [], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_prefix_the_door_opens_there_and_at_the_root() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://api.example.org/srv1/hexline/".to_owned());
    })
    .await;
    let app = server.app("one").await;
    for prefix in ["", "/srv1/hexline"] {
        for path in PATHS {
            let url = server.url(&format!("{prefix}{path}"));
            let url = format!("{url}?jwt={}", app.token("bob/web"));
            let mut bob = open(&server, Socket::request(&url)).await;
            assert_eq!(bob.after_ping().await, [], "{prefix}{path}");
        }
    }
    for path in [
        "/srv1/client/signal/pubsub",
        "/hexline/client/signal/pubsub",
    ] {
        let url = format!("{}?jwt={}", server.url(path), app.token("bob/web"));
        assert_eq!(refusal_of(upgrade(&url)).await, refusal(404, "not_found"));
    }
}

// An audience with a slash at its end makes old clients ask for `/client//signal/v1/pubsub`.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_slashes_count_as_one_at_every_door() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://api.example.org/srv1/hexline/".to_owned());
        config.token_service.enabled = true;
        config.token_service.app = Some("one".to_owned());
    })
    .await;
    let app = server.app("one").await;
    let glued = app.token_with_claim(
        "aud",
        &json!("https://api.example.org/srv1/hexline/client/"),
    );
    for path in [
        "/client//signal/v1/pubsub",
        "//client///v1/signal//pubsub",
        "/srv1/hexline//client//signal/pubsub",
        "//srv1//hexline/client//signal/v1/pubsub",
    ] {
        let url = format!("{}?jwt={glued}", server.url(path));
        let mut bob = open(&server, Socket::request(&url)).await;
        assert_eq!(bob.after_ping().await, [], "{path}");
    }
    let ask = |path: &str| client().get(server.url(path)).send();
    for path in ["//healthz", "/srv1//hexline///healthz", "/console//sign-in"] {
        let answer = ask(path).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
    }
    let me = client()
        .get(server.url("/client//v1//me"))
        .bearer_auth(&glued);
    assert_eq!(me.send().await.expect("an answer").status(), 200);
    let form = [("identity", "bob"), ("device", "web")];
    let post = client().post(server.url("//token")).form(&form);
    assert_eq!(post.send().await.expect("an answer").status(), 200);
    let admin = refusal_of(client().get(server.url("/platform//v1//keys"))).await;
    assert_eq!(admin.status, 401);
    assert_eq!(ask("/healthz/x").await.expect("an answer").status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_there_is_no_door() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for path in [
        "/pubsub",
        "/client/pubsub",
        "/client/chat/v1/pubsub",
        "/client/signal/v2/pubsub",
        "/client/signal/v1/pubsub/x",
        "/platform/signal/v1/pubsub",
    ] {
        let url = format!("{}?jwt={}", server.url(path), app.token("bob/web"));
        let refused = refusal_of(upgrade(&url)).await;
        assert_eq!(refused, refusal(404, "not_found"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_in_the_query_the_header_or_a_sub_protocol() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let url = server.url(PATHS[0]);
    let with = |name: &'static str, value: String| {
        let mut request = Socket::request(&url);
        let value = HeaderValue::from_str(&value).expect("visible text");
        let name = HeaderName::from_static(name);
        request.headers_mut().insert(name, value);
        request
    };
    let in_query = Socket::request(&format!("{url}?jwt={token}"));
    for request in [
        in_query,
        with("authorization", format!("Bearer {token}")),
        with("authorization", format!("bearer {token}")),
        with("authorization", format!("BEARER {token}")),
        with(
            "sec-websocket-protocol",
            format!("hexline.v1, bearer.{token}"),
        ),
        with(
            "sec-websocket-protocol",
            format!("bearer.{token},hexline.v1"),
        ),
    ] {
        let mut bob = open(&server, request).await;
        assert_eq!(bob.after_ping().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sub_protocol_that_is_agreed_on_is_not_the_token() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let response = upgrade(&server.url(PATHS[0]))
        .header(
            "sec-websocket-protocol",
            format!("hexline.v1, bearer.{token}"),
        )
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "hexline.v1");
    let response = upgrade(&format!("{}?jwt={token}", server.url(PATHS[0])))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 101);
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_token_twice_is_one_and_two_tokens_are_none() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let other = app.token("bob/phone");
    let url = format!("{}?jwt={token}", server.url(PATHS[0]));
    let mut request: Request<()> = Socket::request(&url);
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("visible text");
    request.headers_mut().insert("authorization", bearer);
    open(&server, request).await;
    let malformed = refusal(401, "token_malformed");
    assert_eq!(
        refusal_of(upgrade(&url).bearer_auth(&other)).await,
        malformed
    );
    let protocols = format!("hexline.v1, bearer.{other}");
    let request = upgrade(&url).header("sec-websocket-protocol", protocols);
    assert_eq!(refusal_of(request).await, malformed);
    let twice = format!("{url}&jwt={other}");
    assert_eq!(refusal_of(upgrade(&twice)).await, malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nobody_gets_in() {
    let server = TestServer::start().await;
    let url = server.url(PATHS[0]);
    for request in [
        upgrade(&url),
        upgrade(&format!("{url}?jwt=")),
        upgrade(&url).header("authorization", "Basic Ym9iOmJvYg=="),
        upgrade(&url).header("sec-websocket-protocol", "hexline.v1"),
    ] {
        let refused = refusal_of(request).await;
        assert_eq!(refused, refusal(401, "token_malformed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failing_check_is_refused_with_its_own_reason() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let retired = app.another_key(None).await;
    retired.rotate(std::time::Duration::ZERO).await;
    let revoked = app.another_key(None).await;
    revoked.revoke_key().await;
    app.revoke_token("revoked").await;
    let bob = || app.tokens("bob/web");
    let base = server.base();
    let good = app.token("bob/web");
    let tampered = {
        let (head, signature) = good.rsplit_once('.').expect("three parts");
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{head}.{first}{}", &signature[1..])
    };
    let cases = [
        ("token_malformed", "not-a-token".to_owned()),
        ("token_malformed", good.replace('.', "")),
        ("token_malformed", format!("{good}.{good}")),
        ("token_malformed", format!("{good}=")),
        ("token_malformed", "x".repeat(9000)),
        (
            "key_unknown",
            app.token_of("0123456789abcdef0123456789abcdef", "bob/web"),
        ),
        ("key_unknown", app.token_of("someone", "bob/web")),
        ("key_revoked", revoked.token("bob/web")),
        ("key_expired", retired.token("bob/web")),
        (
            "algorithm_mismatch",
            app.token_with_another_algorithm("bob/web"),
        ),
        ("signature_invalid", tampered),
        (
            "signature_invalid",
            app.token_with_another_secret("bob/web"),
        ),
        (
            "audience_mismatch",
            built(&bob().aud("https://elsewhere.example/client")),
        ),
        (
            "audience_mismatch",
            built(&bob().aud(format!("{base}/platform"))),
        ),
        ("audience_mismatch", built(&bob().aud(base.clone()))),
        (
            "token_expired",
            app.token_between("bob/web", now() - 3600, now() - 60),
        ),
        ("token_not_yet_valid", built(&bob().nbf(now() + 60))),
        (
            "token_not_yet_valid",
            app.token_between("bob/web", now() + 60, now() + 120),
        ),
        ("token_too_long", built(&bob().ttl(31 * 24 * 3600))),
        ("claim_invalid", app.token_without_expiry("bob/web")),
        ("claim_invalid", app.token_with_claim("sub", &json!("bob"))),
        (
            "claim_invalid",
            app.token_with_claim("sub", &json!("a/b/c")),
        ),
        ("claim_invalid", app.token_with_claim("sub", &json!(5))),
        (
            "claim_invalid",
            app.token_with_claim("exp", &json!("tomorrow")),
        ),
        (
            "claim_invalid",
            app.token_with_claim(
                "aud",
                &json!([format!("{base}/client"), format!("{base}/platform")]),
            ),
        ),
        ("token_revoked", built(&bob().jti("revoked"))),
    ];
    for (reason, token) in cases {
        let url = format!("{}?jwt={token}", server.url(PATHS[0]));
        let refused = refusal_of(upgrade(&url)).await;
        assert_eq!(refused, refusal(401, reason), "{token}");
        let me = client()
            .get(server.url("/client/v1/me"))
            .bearer_auth(&token);
        assert_eq!(refusal_of(me).await, refusal(401, reason), "over HTTP");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_was_found_and_never_the_token() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for token in [
        app.token_with_another_secret("bob-7f/web"),
        app.token_between("bob-7f/web", now() - 3600, now() - 60),
        app.token_with_claim("sub", &json!("bob-7f")),
        "bob-7f.bob-7f".to_owned(),
    ] {
        let url = format!("{}?jwt={token}", server.url(PATHS[0]));
        let response = upgrade(&url).send().await.expect("an answer");
        let body = response.text().await.expect("a body");
        assert!(!body.contains("bob-7f"), "{body}");
        assert!(!body.contains(&token), "{body}");
        assert!(!body.contains(app.secret()), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_may_be_written_in_several_ways() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://API.example.org:443/hexline".to_owned());
        config.extra_urls = vec!["https://api.dev.bit6.com".to_owned()];
    })
    .await;
    let app = server.app("one").await;
    for aud in [
        json!("https://api.example.org/hexline/client"),
        json!("https://api.example.org/hexline/client/v1"),
        json!("https://api.example.org/hexline/client/"),
        json!("HTTPS://Api.Example.Org:443/hexline/client/v1/"),
        json!("https://api.dev.bit6.com/client/v1"),
        json!("https://api.dev.bit6.com/client"),
        json!([
            "https://elsewhere.example/client",
            "https://api.dev.bit6.com/client"
        ]),
    ] {
        let token = app.token_with_claim("aud", &aud);
        app.connect_with("bob/web", &token).await;
    }
    for aud in [
        json!("https://api.example.org/client"),
        json!("http://api.example.org/hexline/client"),
        json!("https://api.example.org:8443/hexline/client"),
        json!("https://api.example.org/hexline/client/v2"),
        json!("https://api.example.org/Hexline/client"),
        json!("https://api.dev.bit6.com.evil.example/client"),
        json!([]),
    ] {
        let token = app.token_with_claim("aud", &aud);
        let refused = app.refused(&token).await;
        assert_eq!(refused, refusal(401, "audience_mismatch"), "{aud}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_name_audiences_of_its_own() {
    let server = TestServer::start().await;
    let (one, two) = (server.app("one").await, server.app("two").await);
    one.set(|settings| settings.audiences = vec!["https://one.example".to_owned()])
        .await;
    let aud = json!("https://one.example/client");
    one.connect_with("bob/web", &one.token_with_claim("aud", &aud))
        .await;
    let refused = two.refused(&two.token_with_claim("aud", &aud)).await;
    assert_eq!(refused, refusal(401, "audience_mismatch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_of_another_origin_is_refused_where_the_app_says_so() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let url = format!("{}?jwt={}", server.url(PATHS[0]), app.token("bob/web"));
    let from = |origin: &'static str| upgrade(&url).header("origin", origin);
    let response = from("https://anywhere.example").send().await;
    assert_eq!(response.expect("an answer").status(), 101);
    app.set(|settings| settings.origins = vec!["https://good.example".to_owned()])
        .await;
    let response = from("https://good.example").send().await;
    assert_eq!(response.expect("an answer").status(), 101);
    for origin in [
        "https://evil.example",
        "http://good.example",
        "https://good.example.evil.example",
        "https://good.example:8443",
        "null",
    ] {
        let refused = refusal_of(from(origin)).await;
        assert_eq!(refused, refusal(403, "origin_refused"), "{origin}");
    }
    let without = upgrade(&url).send().await.expect("an answer");
    assert_eq!(without.status(), 101, "no web page, no origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_for_no_upgrade_is_told_so() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let url = format!("{}?jwt={}", server.url(PATHS[0]), app.token("bob/web"));
    let refused = refusal_of(client().get(&url)).await;
    assert_eq!(refused.code, "invalid_request");
    assert!([400, 426].contains(&refused.status), "{refused:?}");
}

async fn open(server: &TestServer, request: Request<()>) -> Socket {
    Socket::open(server.at(), "bob/web", request)
        .await
        .expect("the door opens")
}

fn built(builder: &hexline_token::TokenBuilder) -> String {
    builder.build().expect("all is set")
}
