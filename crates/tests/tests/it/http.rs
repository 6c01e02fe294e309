//! The HTTP routes beside the socket.

use hexline_tests::{TestServer, client, refusal, refusal_of, upgrade};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn with_token_service() -> TestServer {
    let server = TestServer::start_with(|config| {
        config.token_service.enabled = true;
        config.token_service.app = Some("one".to_owned());
    })
    .await;
    server.app("one").await;
    server.app("two").await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_service_takes_forms_and_json() {
    let server = with_token_service().await;
    let url = server.url("/token");
    for request in [
        client()
            .post(&url)
            .form(&[("identity", "bob1"), ("device", "web1")]),
        client()
            .post(&url)
            .json(&json!({"identity": "bob1", "device": "web1"})),
        client()
            .post(format!("{url}?env=dev"))
            .json(&json!({"identity": "bob1", "device": "web1", "env": "prod", "more": 1})),
    ] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.expect("JSON");
        let token = body["token"].as_str().expect("a token");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
        let claims = hexline_tests::claims(token);
        let names: Vec<_> = claims
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        let mut wanted = ["aud", "sub", "grants", "iss", "iat", "exp"].map(str::to_owned);
        let mut found = names.clone();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "the reference token's members");
        assert_eq!(claims["sub"], "bob1/web1");
        assert_eq!(claims["aud"], format!("{}/client/v1", server.base()));
        assert_eq!(
            claims["grants"],
            json!({"chat": true, "push": true, "signal": true, "video": true})
        );
        let life = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(life.map(|(exp, iat)| exp - iat), Some(3600));
        let mut bob = server.connect("bob1/web1", token).await;
        assert_eq!(bob.after_ping().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_app_need_not_be_named_to_the_token_service() {
    let server = TestServer::start_with(|config| config.token_service.enabled = true).await;
    server.app("one").await;
    let request = client()
        .post(server.url("/token"))
        .form(&[("identity", "bob1"), ("device", "web1")]);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_identity_or_device_the_token_service_answers_400_in_plain_text() {
    let server = with_token_service().await;
    let url = server.url("/token");
    for request in [
        client().post(&url).form(&[("identity", "bob1")]),
        client().post(&url).form(&[("device", "web1")]),
        client()
            .post(&url)
            .form(&[("identity", ""), ("device", "web1")]),
        client().post(&url),
        client()
            .post(&url)
            .form(&[("identity", "a/b"), ("device", "web1")]),
    ] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 400);
        let kind = response.headers()["content-type"].to_str().expect("text");
        assert!(kind.starts_with("text/plain"), "{kind}");
        let text = response.text().await.expect("a body");
        assert!(!text.is_empty() && text.lines().count() == 1, "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_the_token_service_in_json_is_refused_in_json() {
    let server = with_token_service().await;
    let url = server.url("/token");
    for body in [
        "{}",
        r#"{"identity":"bob1"}"#,
        r#"{"identity":"a/b","device":"w"}"#,
        "[",
    ] {
        let json = ("content-type", "application/json; charset=utf-8");
        let request = client().post(&url).header(json.0, json.1).body(body);
        assert_eq!(
            refusal_of(request).await,
            refusal(400, "invalid_request"),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_service_is_off_unless_switched_on() {
    let server = TestServer::start().await;
    server.app("one").await;
    let request = client()
        .post(server.url("/token"))
        .form(&[("identity", "bob1"), ("device", "web1")]);
    assert_eq!(refusal_of(request).await, refusal(404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_of_any_origin_may_ask_for_a_token() {
    let server = with_token_service().await;
    let preflight = client()
        .request(reqwest::Method::OPTIONS, server.url("/token"))
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .expect("an answer");
    assert!(preflight.status().is_success(), "{}", preflight.status());
    allows(&preflight, "access-control-allow-origin", "*");
    allows(&preflight, "access-control-allow-methods", "post");
    allows(&preflight, "access-control-allow-headers", "content-type");
    let answer = client()
        .post(server.url("/token"))
        .header("origin", "https://page.example")
        .form(&[("identity", "bob1"), ("device", "web1")])
        .send()
        .await
        .expect("an answer");
    allows(&answer, "access-control-allow-origin", "*");
}

#[tokio::test(flavor = "multi_thread")]
async fn me_shows_the_token_as_the_server_understands_it() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let request = client()
        .get(server.url("/client/v1/me"))
        .bearer_auth(&token);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let me: Value = response.json().await.expect("JSON");
    assert!(me.to_string().contains("bob/web"), "{me}");
    assert_eq!(me["grants"]["signal"], true, "{me}");
    assert!(!me.to_string().contains(&token), "{me}");
    let preflight = client()
        .request(reqwest::Method::OPTIONS, server.url("/client/v1/me"))
        .header("origin", "https://page.example")
        .header("access-control-request-method", "GET")
        .header(
            "access-control-request-headers",
            "authorization, content-type",
        )
        .send()
        .await
        .expect("an answer");
    assert!(preflight.status().is_success(), "{}", preflight.status());
    allows(&preflight, "access-control-allow-headers", "authorization");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_token_comes_in_the_header_and_never_in_the_url() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let url = server.url("/client/v1/me");
    let malformed = refusal(401, "token_malformed");
    let in_the_url = client().get(format!("{url}?jwt={token}"));
    assert_eq!(refusal_of(in_the_url).await, malformed);
    let sub_protocol = format!("bearer.{token}");
    let as_sub_protocol = client()
        .get(&url)
        .header("sec-websocket-protocol", sub_protocol);
    assert_eq!(refusal_of(as_sub_protocol).await, malformed);
    let basic = client().get(&url).basic_auth("bob", Some("pass"));
    assert_eq!(refusal_of(basic).await, malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_for_the_proxy_does_not_hide_the_token_of_an_upgrade() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let request = app.upgrade(&app.token("bob/web"));
    let response = request.basic_auth("bob", Some("pass")).send().await;
    assert_eq!(response.expect("an answer").status(), 101);
    let url = server.url("/client/signal/v1/pubsub");
    let alone = upgrade(&url).basic_auth("bob", Some("pass"));
    assert_eq!(refusal_of(alone).await, refusal(401, "token_malformed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_whence_it_came_is_read_from_the_proxys_end() {
    let server = TestServer::start_with(|config| {
        config.limits.failed_tokens_per_minute = 2;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let app = server.app("one").await;
    let bad = app.token_with_another_secret("bob/web");
    let status = |forwarded: &'static [u8]| {
        let value = reqwest::header::HeaderValue::from_bytes(forwarded).expect("a value");
        refusal_of(app.upgrade(&bad).header("x-forwarded-for", value))
    };
    for (forwarded, wanted) in [
        (b"198.51.100.1".as_slice(), 401),
        (b"198.51.100.1:1000", 401),
        (b"\xff\xfe, 198.51.100.1:1001", 429),
        (b"203.0.113.7, [], x, 198.51.100.1", 429),
        (b"[2001:db8::1]:443", 401),
        (b"[2001:db8::2]", 401),
        (b"\xc3\xa4,2001:db8::3", 429),
        (b"198.51.100.2", 401),
    ] {
        let text = String::from_utf8_lossy(forwarded).into_owned();
        assert_eq!(status(forwarded).await.status, wanted, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_whether_it_lives_and_is_ready() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let response = client()
            .get(server.url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_for_the_bearer_only() {
    let server = TestServer::start().await;
    let request = client().get(server.url("/metrics"));
    assert_eq!(refusal_of(request).await, refusal(404, "not_found"));
    let server = TestServer::start_with(|config| {
        config.metrics_bearer = Some(hexline_model::Secret::new("figures-7f".to_owned()));
    })
    .await;
    let url = server.url("/metrics");
    for request in [client().get(&url), client().get(&url).bearer_auth("wrong")] {
        assert_eq!(refusal_of(request).await, refusal(404, "not_found"));
    }
    let app = server.app("one").await;
    let _bob = app.connect("bob/web").await;
    app.refused(&app.token_with_another_secret("bob/web")).await;
    let response = client().get(&url).bearer_auth("figures-7f").send();
    let response = response.await.expect("an answer");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a body");
    for wanted in [
        "hexline_connections",
        "signature_invalid",
        "hexline_build_info",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
    assert!(!text.contains("bob"), "no figure names a person");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_json_error_with_security_headers() {
    let server = TestServer::start().await;
    for path in [
        "/nowhere",
        "/client/v1/nowhere",
        "/platform/v1/nowhere",
        "/console/api/nowhere",
    ] {
        let request = client().get(server.url(path));
        assert_eq!(
            refusal_of(request).await,
            refusal(404, "not_found"),
            "{path}"
        );
    }
    let response = client()
        .get(server.url("/client/v1/nowhere"))
        .header("origin", "https://page.example")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    // Without it a page is told of a failing network, and not of a path that is not there.
    allows(&response, "access-control-allow-origin", "*");
    let request = client().delete(server.url("/healthz"));
    let refused = refusal_of(request).await;
    assert!([404, 405].contains(&refused.status), "{refused:?}");
}

fn allows(response: &reqwest::Response, header: &str, wanted: &str) {
    let found = response
        .headers()
        .get(header)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    assert!(
        found == "*" || found.to_ascii_lowercase().contains(wanted),
        "{header}: {found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let server = TestServer::start().await;
    let asked = async |lines: &str| {
        let mut socket = TcpStream::connect(server.at()).await.expect("it listens");
        let request = format!("GET /healthz HTTP/1.{lines}connection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer);
        hexline_tests::within("an answer", read)
            .await
            .expect("text");
        answer
    };
    for lines in ["1\r\nhost: x\r\n", "1\r\nHost:\r\n", "0\r\n"] {
        let answer = asked(lines).await;
        assert!(answer.contains(" 200 "), "{lines}: {answer}");
    }
    for lines in ["1\r\n", "1\r\nhost: x\r\nHost: x\r\n"] {
        let answer = asked(lines).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
        assert!(answer.contains(r#""code":"invalid_request""#), "{answer}");
        assert!(
            answer.contains("x-content-type-options: nosniff"),
            "{answer}"
        );
    }
}
