//! Nothing that names a person or opens a door reaches a log.

use hexline_tests::{Program, Socket, client, now, within};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_holds_a_token_secret_identity_device_address_channel_or_message() {
    for format in ["text", "json"] {
        let data = tempfile::tempdir().expect("a directory");
        let config = data.path().join("trace.toml");
        let text = format!(
            "[log]\nlevel = \"trace\"\nformat = \"{format}\"\npeer = \"full\"\naccess = true\n"
        );
        std::fs::write(&config, text).expect("the directory takes a file");
        let config = config.to_str().expect("a path in UTF-8");
        let (program, ready) = Program::serve_dev(data.path(), &["--config", config]).await;
        let url = ready["url"].as_str().expect("a URL").to_owned();
        let secret = ready["key_secret"].as_str().expect("a secret").to_owned();
        let key = ready["key_id"].as_str().expect("a key id").to_owned();
        let mut found_nowhere = vec![secret.clone()];

        let mut sockets = Vec::new();
        for identity in ["identity-7f-a", "identity-7f-b"] {
            let response = client()
                .post(format!("{url}/token"))
                .form(&[("identity", identity), ("device", "device-7f")])
                .send()
                .await
                .expect("an answer");
            let body: Value = response.json().await.expect("JSON");
            let token = body["token"].as_str().expect("a token").to_owned();
            let request = format!("{url}/client/signal/v1/pubsub?jwt={token}&other=query-7f");
            sockets.push(open(&url, &format!("{identity}/device-7f"), &request).await);
            found_nowhere.extend(token.split('.').skip(1).map(str::to_owned));
            found_nowhere.push(token);
        }
        let [a, b] = &mut sockets[..] else {
            panic!("two sockets")
        };
        let address = a.address_seen_by(b).await;
        for socket in [&mut *a, &mut *b] {
            let params = json!({"id": "channel-7f", "presence": true});
            socket.call("signal.join", params).await;
        }
        let params = json!({"to": address, "id": "channel-7f", "text": "message-7f"});
        b.call("signal.send", params).await;
        b.notify(
            "signal.publish",
            json!({"id": "channel-7f", "text": "message-7f"}),
        )
        .await;
        b.refused("signal.join", json!({"id": "_channel-7f"})).await;
        b.notify("signal.join", json!({"id": "_channel-7f"})).await;
        b.refused("method-7f.x", json!({"a": "message-7f"})).await;
        b.text("message-7f".to_owned()).await;
        b.frame().await;

        found_nowhere.extend(refused_requests(&url, &key, &secret).await);
        found_nowhere.push(fail_in_every_other_way(&url, &key, &secret).await);
        let attempted = async {
            while !program.log().contains("webhook attempt failed") {
                tokio::task::yield_now().await;
            }
        };
        within("the attempt", attempted).await;
        for socket in sockets {
            socket.close().await;
        }
        let (well, _, log) = program.stop().await;
        assert!(well, "{log}");
        for told in [
            "upgrade refused",
            "operator sign-in refused",
            "webhook attempt failed",
            "connection opened",
            "connection ended",
            "answered",
        ] {
            assert!(log.contains(told), "{told} is logged: {log}");
        }
        for line in log.lines() {
            assert!(!line.contains("-7f"), "{format}: {line}");
            for secret in &found_nowhere {
                assert!(!line.contains(secret.as_str()), "{format}: {line}");
            }
        }
    }
}

/// Tokens that fail, each at another check, and paths that name something. Gives the tokens.
async fn refused_requests(url: &str, key: &str, secret: &str) -> Vec<String> {
    let builder = || {
        hexline_token::TokenBuilder::create()
            .api(url)
            .grant("signal", true)
            .identity("identity-7f-c")
            .device("device-7f")
    };
    let mut tokens = Vec::new();
    for token in [
        builder().key(key, "secret-7f-secret-7f-secret-7f-secret-7f-secret"),
        builder().key(key, secret).nbf(now() + 60),
        builder().key(key, secret).api("https://host-7f.example"),
        builder().key("0123456789abcdef0123456789abcdef", secret),
    ] {
        let token = token.build().expect("all is set");
        let response =
            hexline_tests::upgrade(&format!("{url}/client/signal/v1/pubsub?jwt={token}"));
        response.send().await.expect("an answer");
        let me = client().get(format!("{url}/client/v1/me?x=query-7f"));
        me.bearer_auth(&token).send().await.expect("an answer");
        tokens.push(token);
    }
    for path in [
        "/path/query?x=query-7f",
        "/client/v1/me?jwt=token-7f",
        "/path-7f",
        "/platform/v1/users/identity-7f/presence",
        "/console/path-7f",
    ] {
        let request = client().get(format!("{url}{path}"));
        let request = request.header("x-request-id", "request-7f");
        request.send().await.expect("an answer");
    }
    tokens
}

/// An operator who does not get in, a webhook that cannot be reached, a connection that is closed.
/// Gives that one's token.
async fn fail_in_every_other_way(url: &str, key: &str, secret: &str) -> String {
    let tokens = || {
        hexline_token::TokenBuilder::create()
            .key(key, secret)
            .api(url)
    };
    let sign_in = client()
        .post(format!("{url}/console/api/session"))
        .header("x-hexline-console", "1")
        .json(&json!({"email": "operator-7f@example.org", "password": "password-7f-7f"}));
    assert_eq!(sign_in.send().await.expect("an answer").status(), 401);
    let platform = tokens().access("platform").grant("platform", true).build();
    let hook = json!({"url": "http://127.0.0.1:1/path-7f", "events": ["user.connected"]});
    let made = client()
        .post(format!("{url}/platform/v1/webhooks"))
        .bearer_auth(platform.expect("all is set"))
        .json(&hook);
    assert_eq!(made.send().await.expect("an answer").status(), 201);
    let user = tokens().identity("identity-7f-c").device("device-7f");
    let token = user.grant("signal", true).build().expect("all is set");
    let request = format!("{url}/client/signal/v1/pubsub?jwt={token}");
    let mut closed = open(url, "identity-7f-c/device-7f", &request).await;
    closed.message(Message::binary(vec![1])).await;
    assert_eq!(closed.closed().await, 1003);
    token
}

async fn open(url: &str, subject: &str, request: &str) -> Socket {
    let at = url
        .trim_start_matches("http://")
        .replace("localhost", "127.0.0.1");
    let at = at.parse().expect("an address");
    Socket::open(at, subject, Socket::request(request))
        .await
        .expect("the door opens")
}
