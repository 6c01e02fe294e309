//! The methods over HTTP: `POST /client/v1/rpc`, and the twins of methods.

use hexline_services::apps::AppLimits;
use hexline_tests::{Socket, TestApp, TestServer, client, refusal, refusal_of};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

async fn started() -> (TestServer, TestApp) {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    (server, app)
}

/// With the rate that servers have unless told otherwise.
async fn started_with_default_rate() -> (TestServer, TestApp) {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 50;
        config.limits.call_burst = 100;
    })
    .await;
    let app = server.app("one").await;
    (server, app)
}

fn request(server: &TestServer, token: &str) -> RequestBuilder {
    client()
        .post(server.url("/client/v1/rpc"))
        .bearer_auth(token)
        .header("content-type", "application/json")
}

async fn post(server: &TestServer, token: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = request(server, token).body(body);
    request.send().await.expect("an answer")
}

/// The response to a body, with status 200.
async fn answer(server: &TestServer, token: &str, body: &Value) -> Value {
    let response = post(server, token, body.to_string()).await;
    assert_eq!(response.status(), 200, "{body}");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.expect("JSON")
}

fn call(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

async fn member(app: &TestApp, subject: &str, channel: &str) -> Socket {
    let mut socket = app.connect(subject).await;
    socket.call("signal.join", json!({"id": channel})).await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_http_reaches_connections_and_comes_from_the_device_over_http() {
    let (server, app) = started().await;
    let token = app.token("alice/web1");
    let mut bob = member(&app, "bob/web", "room").await;
    let mut alice = app.connect("alice/phone").await;
    let direct = json!({"to": "bob", "n": 1.50, "from": "forged"});
    let response = answer(&server, &token, &call(7, "signal.send", &direct)).await;
    let wanted = json!({"jsonrpc": "2.0", "id": 7, "result": {"delivered": 1}});
    assert_eq!(response, wanted);
    let push = bob.expect("signal.send").await;
    assert_eq!(push["from"], "alice/web1/http");
    assert_eq!(push["to"], "bob");
    let said = json!({"id": "room", "text": "hello"});
    let response = answer(&server, &token, &call(8, "signal.publish", &said)).await;
    assert_eq!(response["result"], json!({"delivered": 1}));
    let push = bob.expect("signal.publish").await;
    assert_eq!(
        push,
        json!({"id": "room", "text": "hello", "from": "alice/web1/http"})
    );
    // One's own other connections are reached too.
    let own = json!({"to": "alice", "n": 2});
    let response = answer(&server, &token, &call(9, "signal.send", &own)).await;
    assert_eq!(response["result"], json!({"delivered": 1}));
    assert_eq!(alice.expect("signal.send").await["n"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relayed_over_http_keeps_its_bytes() {
    let (server, app) = started().await;
    let mut bob = app.connect("bob/web").await;
    let members = r#""b" : 1.50 ,"a":{"x" : [1, 2]},"\u0063":"\u00e9""#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{{"to":"bob",{members}}}}}"#
    );
    let response = post(&server, &app.token("alice/web"), body).await;
    assert_eq!(response.status(), 200);
    let text = bob.frame_text().await;
    for kept in ["1.50", r#"{"x" : [1, 2]}"#, r#""\u00e9""#] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_carried_out_in_order_and_answered_by_one_array() {
    let (server, app) = started().await;
    let token = app.token("alice/web");
    let mut bob = app.connect("bob/web").await;
    let batch = json!([
        call(1, "signal.send", &json!({"to": "bob", "n": 1})),
        notification("signal.send", &json!({"to": "bob", "n": 2})),
        5,
        call(2, "signal.dance", &json!({})),
        call(3, "signal.send", &json!({"to": "bob", "n": 3})),
        {"jsonrpc": "2.0", "id": 9, "result": {}},
    ]);
    let responses = answer(&server, &token, &batch).await;
    let responses = responses.as_array().expect("an array");
    let ids: Vec<&Value> = responses.iter().map(|response| &response["id"]).collect();
    assert_eq!(ids, [&json!(1), &Value::Null, &json!(2), &json!(3)]);
    assert_eq!(responses[1]["error"]["code"], -32600);
    assert_eq!(responses[2]["error"]["code"], -32601);
    for n in 1..=3 {
        assert_eq!(bob.expect("signal.send").await["n"], n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_alone_are_carried_out_and_answered_by_204() {
    let (server, app) = started().await;
    let token = app.token("alice/web");
    let mut bob = app.connect("bob/web").await;
    let one = notification("signal.send", &json!({"to": "bob", "n": 1}));
    let two = json!([
        notification("signal.dance", &json!({})),
        notification("signal.join", &json!({"id": "room"})),
        notification("signal.send", &json!({"to": "bob", "n": 2})),
    ]);
    let answers_to_nothing = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    for body in [one, two, answers_to_nothing] {
        let response = post(&server, &token, body.to_string()).await;
        assert_eq!(response.status(), 204, "{body}");
        assert_eq!(response.bytes().await.expect("a body").len(), 0);
    }
    for n in 1..=2 {
        assert_eq!(bob.expect("signal.send").await["n"], n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_concerns_a_connection_says_that_it_needs_one() {
    let (server, app) = started().await;
    let token = app.token("alice/web");
    for (method, params) in [
        ("signal.join", json!({"id": "room"})),
        ("signal.leave", json!({"id": "room"})),
        ("signal.join", json!({})),
    ] {
        let response = answer(&server, &token, &call(1, method, &params)).await;
        let error = &response["error"];
        assert_eq!(error["code"], -32601, "{response}");
        assert_eq!(error["data"]["code"], "method_not_found");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("WebSocket"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_hold_over_http_as_on_a_socket() {
    let (server, app) = started().await;
    let grants = json!({"signal": {"channels": ["news.*"], "publish": false}});
    let token = app.token_granting("alice/web", &grants);
    for (method, params, code) in [
        ("signal.publish", json!({"id": "news.x"}), "grant_missing"),
        ("signal.publish", json!({"id": "gossip"}), "grant_missing"),
        ("signal.publish", json!({"id": "_own"}), "forbidden"),
        ("signal.send", json!({"to": ""}), "invalid_params"),
        ("signal.send", json!({}), "invalid_params"),
    ] {
        let response = answer(&server, &token, &call(1, method, &params)).await;
        assert_eq!(response["error"]["data"]["code"], code, "{method} {params}");
    }
    let push_only = app.token_granting("alice/web", &json!({"push": true}));
    let direct = call(1, "signal.send", &json!({"to": "bob"}));
    let response = answer(&server, &push_only, &direct).await;
    assert_eq!(response["error"]["data"]["code"], "grant_missing");
    // What needs no grant is open to every client token.
    let info = call(1, "session.info", &json!({}));
    let response = answer(&server, &push_only, &info).await;
    assert_eq!(response["result"]["grants"], json!({"push": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_holds_no_call_is_an_error_in_the_response() {
    let (server, app) = started().await;
    let token = app.token("alice/web");
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("_ping", -32700),
        ("{} {}", -32700),
        ("\u{feff}{}", -32700),
        ("[]", -32600),
        ("null", -32600),
        ("\"text\"", -32600),
        ("{}", -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"session.info"}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"session.info"}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"a","to":"b"}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":["a"]}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"session.nothing"}"#,
            -32601,
        ),
    ] {
        let response = post(&server, &token, body).await;
        assert_eq!(response.status(), 200, "{body}");
        let response: Value = response.json().await.expect("JSON");
        assert_eq!(response["error"]["code"], code, "{body}: {response}");
        assert!(response.get("id").is_some(), "{body}: {response}");
    }
    let not_text = post(&server, &token, b"{\"a\":\"\xff\xfe\"}".to_vec()).await;
    let not_text: Value = not_text.json().await.expect("JSON");
    assert_eq!(not_text["error"]["code"], -32700);
    let deep = post(&server, &token, "[".repeat(5000)).await;
    let deep: Value = deep.json().await.expect("JSON");
    assert_eq!(deep["error"]["code"], -32600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_or_too_large_is_refused_before_it_is_read_as_calls() {
    let (server, app) = started().await;
    let token = app.token("alice/web");
    let url = server.url("/client/v1/rpc");
    let body = call(1, "session.info", &json!({})).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let mut request = client().post(&url).bearer_auth(&token).body(body.clone());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let refused = refusal_of(request).await;
        assert_eq!(refused, refusal(415, "invalid_request"), "{kind:?}");
    }
    let params = json!({"to": "bob", "text": "x".repeat(64 << 10)});
    let large = call(1, "signal.send", &params).to_string();
    let refused = refusal_of(request(&server, &token).body(large)).await;
    assert_eq!(refused, refusal(413, "too_large"));
    // As on the socket, up to the limit it is taken.
    let most = (64 << 10)
        - call(1, "signal.send", &json!({"to": "bob", "text": ""}))
            .to_string()
            .len();
    let params = json!({"to": "bob", "text": "x".repeat(most)});
    let response = answer(&server, &token, &call(1, "signal.send", &params)).await;
    assert_eq!(response["result"]["delivered"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_asked_before_anything_else() {
    let (server, app) = started().await;
    let url = server.url("/client/v1/rpc");
    let nobody = client().post(&url).body("{");
    assert_eq!(refusal_of(nobody).await, refusal(401, "token_malformed"));
    for (token, code) in [
        (app.platform_token(), "audience_mismatch"),
        (
            app.token_with_another_secret("alice/web"),
            "signature_invalid",
        ),
        (app.token_between("alice/web", 1, 2), "token_expired"),
    ] {
        let refused = refusal_of(request(&server, &token).body("{")).await;
        assert_eq!(refused, refusal(401, code));
    }
    let token = app.token("alice/web");
    let in_query = client().post(format!("{url}?jwt={token}")).body("{}");
    assert_eq!(refusal_of(in_query).await, refusal(401, "token_malformed"));
    app.revoke_key().await;
    let refused = refusal_of(request(&server, &token).body("{}")).await;
    assert_eq!(refused, refusal(401, "key_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_apps_users_hear_nothing_of_it() {
    let (server, app) = started().await;
    let other = server.app("two").await;
    let mut stranger = member(&other, "bob/web", "room").await;
    let mut bob = member(&app, "bob/web", "room").await;
    let token = app.token("alice/web");
    for (method, params) in [
        ("signal.send", json!({"to": "bob"})),
        ("signal.send", json!({"to": "bob", "id": "room"})),
        ("signal.publish", json!({"id": "room"})),
    ] {
        let response = answer(&server, &token, &call(1, method, &params)).await;
        assert_eq!(response["result"]["delivered"], 1, "{method}");
        bob.expect(method).await;
    }
    assert_eq!(stranger.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_more_calls_than_may_be_made_at_once_is_not_carried_out() {
    let (server, app) = started_with_default_rate().await;
    let token = app.token("alice/web");
    let mut bob = app.connect("bob/web").await;
    let batch = |calls: usize| {
        let call = call(1, "signal.send", &json!({"to": "bob"}));
        Value::from(vec![call; calls])
    };
    let refused = answer(&server, &token, &batch(101)).await;
    assert_eq!(refused["error"]["code"], -32013, "{refused}");
    assert_eq!(refused["error"]["data"]["code"], "too_large");
    assert_eq!(refused["id"], Value::Null);
    assert_eq!(bob.after_ping().await, []);
    let taken = answer(&server, &token, &batch(100)).await;
    assert_eq!(taken.as_array().map(Vec::len), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_rate_are_refused_and_told_when_to_come_back() {
    let server = TestServer::start_with(|config| {
        config.limits.calls_per_second = 1;
        config.limits.call_burst = 3;
    })
    .await;
    let app = server.app("one").await;
    let token = app.token("alice/web");
    let info = call(1, "session.info", &json!({}));
    let batch = Value::from(vec![info.clone(); 3]);
    answer(&server, &token, &batch).await;
    let response = post(&server, &token, info.to_string()).await;
    assert_eq!(response.status(), 429);
    let after = response.headers()["retry-after"].clone();
    assert_eq!(after, "1");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["id"], 1, "{body}");
    assert_eq!(body["error"]["code"], -32029);
    assert_eq!(body["error"]["data"]["code"], "rate_limited");
    let ms = body["error"]["data"]["retry_after_ms"]
        .as_u64()
        .expect("ms");
    assert!((1..=1000).contains(&ms), "{ms}");
    let response = post(&server, &token, batch.to_string()).await;
    assert_eq!(response.status(), 429);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["id"], Value::Null);
    // The twins count with it, in their own form.
    let twin = client()
        .get(server.url("/client/v1/session"))
        .bearer_auth(&token);
    assert_eq!(refusal_of(twin).await, refusal(429, "rate_limited"));
    // Another token of the device is the same bucket, another device has its own.
    let again = app
        .tokens("alice/web")
        .jti("another")
        .build()
        .expect("a token");
    assert_eq!(post(&server, &again, info.to_string()).await.status(), 429);
    answer(&server, &app.token("alice/phone"), &info).await;
    let other = server.app("two").await;
    answer(&server, &other.token("alice/web"), &info).await;
    // Its connections do not count with it.
    let mut socket = app.connect("alice/web").await;
    socket.call("session.info", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_stricter_with_itself_is_so_over_http() {
    let (server, app) = started().await;
    app.limit(AppLimits {
        messages_per_second: Some(2),
        ..AppLimits::default()
    })
    .await;
    let token = app.token("alice/web");
    let info = call(1, "session.info", &json!({}));
    let shown = answer(&server, &token, &info).await;
    let limits = &shown["result"]["limits"];
    assert_eq!(limits["calls_per_second"], 2);
    assert_eq!(limits["call_burst"], 4);
    let refused = answer(&server, &token, &Value::from(vec![info; 5])).await;
    assert_eq!(refused["error"]["data"]["code"], "too_large", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_origin_may_call() {
    let (server, app) = started().await;
    let preflight = client()
        .request(reqwest::Method::OPTIONS, server.url("/client/v1/rpc"))
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        )
        .send()
        .await
        .expect("an answer");
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let allowed = preflight.headers()["access-control-allow-headers"].to_str();
    let allowed = allowed.expect("text").to_lowercase();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"));
    let response = request(&server, &app.token("alice/web"))
        .header("origin", "https://page.example")
        .body(call(1, "session.info", &json!({})).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let exposed = response.headers()["access-control-expose-headers"].to_str();
    assert!(
        exposed
            .expect("text")
            .to_lowercase()
            .contains("retry-after")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_says_the_same_on_the_socket_and_over_http_but_for_the_route() {
    let (server, app) = started_with_default_rate().await;
    let limited = app
        .another_key(Some(r#"{"signal":{"channels":["news.*"]}}"#))
        .await;
    let token = limited.tokens("alice/web1").ttl(600).build();
    let token = token.expect("a token");
    let expires = hexline_tests::claims(&token)["exp"].as_i64().expect("exp");
    let mut socket = limited.connect_with("alice/web1", &token).await;
    let on_socket = socket.call("session.info", json!({})).await;
    let route = on_socket["route"].as_str().expect("a route");
    assert_eq!(on_socket["address"], format!("alice/web1/{route}"));
    let by_rpc = answer(&server, &token, &call(1, "session.info", &json!({}))).await;
    let by_rpc = &by_rpc["result"];
    let twin = client()
        .get(server.url("/client/v1/session"))
        .bearer_auth(&token);
    let twin = twin.send().await.expect("an answer");
    assert_eq!(twin.status(), 200);
    let twin: Value = twin.json().await.expect("JSON");
    assert_eq!(&twin, by_rpc);
    let mut same = on_socket.clone();
    same["address"] = json!("alice/web1/http");
    same["route"] = Value::Null;
    assert_eq!(twin, same);
    let node = twin["node"].as_str().expect("a node").to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let wanted = json!({
        "address": "alice/web1/http",
        "identity": "alice",
        "device": "web1",
        "route": null,
        "expires_ms": expires * 1000,
        "grants": {"signal": true},
        "ceiling": {"signal": {"channels": ["news.*"]}},
        "limits": {
            "frame_bytes": 65536,
            "calls_per_second": 50,
            "call_burst": 100,
            "channels": 128,
        },
        "features": [],
        "node": node,
        "server": format!("hexline/{version}"),
    });
    assert_eq!(twin, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_and_has_no_ceiling_says_null() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    app.set(|settings| settings.exp_required = false).await;
    let token = app.token_without_expiry("bob/web");
    let info = answer(&server, &token, &call(1, "session.info", &Value::Null)).await;
    assert_eq!(
        info["error"]["code"], -32600,
        "params are an object: {info}"
    );
    let info = answer(
        &server,
        &token,
        &call(1, "session.info", &json!({"more": 1})),
    )
    .await;
    let result = info["result"].as_object().expect("an object");
    for name in ["route", "expires_ms", "ceiling"] {
        assert_eq!(result.get(name), Some(&Value::Null), "{name}");
    }
}
