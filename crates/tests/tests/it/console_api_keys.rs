//! Keys in the Console's API: made, shown once, rotated, revoked.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use hexline_tests::{Program, TestServer, client, refusal, within};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_secret_is_in_one_answer_and_nowhere_else() {
    let data = tempfile::tempdir().expect("a directory");
    let config = data.path().join("trace.toml");
    std::fs::write(&config, "[log]\nlevel = \"trace\"\n").expect("the directory takes a file");
    let records = data.path().join("records");
    let config = config.to_str().expect("a path in UTF-8");
    let (program, ready) = Program::serve_dev(&records, &["--config", config]).await;
    let url = text(&ready["url"]).to_owned();
    let link = text(&ready["console_setup_url"]).to_owned();
    let (_, setup) = link.split_once('#').expect("the token is the fragment");
    let browser = client();
    let call = |method: Method, path: String, cookie: String, body: Value| {
        let request = browser.request(method, format!("{url}/console/api{path}"));
        let request = request.header("x-hexline-console", "1").json(&body);
        async move {
            let response = request.header("cookie", cookie).send().await;
            let response = response.expect("an answer");
            let cookie = response.headers().get("set-cookie").cloned();
            (cookie, response.text().await.expect("a body"))
        }
    };
    let person = json!({
        "token": setup, "email": "olga@example.org", "name": "Olga", "password": "password-7f-password-7f",
    });
    let (cookie, _) = call(Method::POST, "/setup".into(), String::new(), person).await;
    let cookie = cookie.expect("a cookie");
    let cookie = cookie.to_str().expect("text").split(';').next();
    let cookie = cookie.expect("a pair").to_owned();
    let get = |path: &str| call(Method::GET, path.to_owned(), cookie.clone(), Value::Null);
    let post = |path: &str, body| call(Method::POST, path.to_owned(), cookie.clone(), body);

    let apps: Value = serde_json::from_str(&get("/apps").await.1).expect("JSON");
    let app = format!("/apps/{}", text(&apps["items"][0]["id"]));
    let made = post(&format!("{app}/keys"), json!({"label": "backend"}))
        .await
        .1;
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let rotated = format!("{app}/keys/{}/rotate", text(&made["key"]["id"]));
    let rotated = post(&rotated, json!({})).await.1;
    let rotated: Value = serde_json::from_str(&rotated).expect("JSON");
    let imported = json!({"kind": "hmac", "id": "00112233445566778899aabbccddeeff",
        "secret": "secret-7f-secret-7f-secret-7f-secret-7f-secret-7f"});
    let answer = post(&format!("{app}/keys/import"), imported).await.1;
    assert!(!answer.contains("secret-7f"), "{answer}");
    let order =
        json!({"identity": "identity-7f", "device": "device-7f", "grants": {"signal": true}});
    let built = post(&format!("{app}/tokens/build"), order).await.1;
    let built: Value = serde_json::from_str(&built).expect("JSON");
    let token = text(&built["token"]).to_owned();
    let seen = post("/tokens/inspect", json!({"token": token})).await.1;
    assert!(seen.contains("identity-7f"), "{seen}");
    post(
        "/tokens/inspect",
        json!({"token": "token-7f", "access": "client"}),
    )
    .await;

    let mut secrets = vec![text(&made["secret"]), text(&rotated["secret"])];
    for secret in &secrets {
        assert!(secret.len() >= 43, "256 bits");
    }
    for path in ["", "/keys", "/api-keys"] {
        let answer = get(&format!("{app}{path}")).await.1;
        assert!(secrets.iter().all(|s| !answer.contains(s)), "{answer}");
    }
    for format in ["jsonl", "csv"] {
        let answer = get(&format!("/audit/export?format={format}")).await.1;
        assert!(answer.contains("key.rotate"), "{answer}");
        assert!(secrets.iter().all(|s| !answer.contains(s)), "{answer}");
        assert!(!answer.contains("secret-7f") && !answer.contains("password-7f"));
        assert!(!answer.contains(&token));
    }
    secrets.extend(token.split('.').skip(1));
    secrets.extend(["secret-7f", "password-7f", setup]);
    secrets.push(cookie.split('=').nth(1).expect("a value"));
    // While it runs, so that what waits in SQLite's log counts as well, and once more at rest.
    nowhere_below(&records, &secrets);
    let (well, _, log) = program.stop().await;
    assert!(well, "{log}");
    nowhere_below(&records, &secrets);
    for secret in secrets.iter().chain(&["identity-7f", "token-7f", "olga@"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_closes_what_it_opened_and_says_how_many() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let other = app.another_key(None).await;
    let mut doomed = [app.connect("a/1").await, app.connect("b/1").await];
    let mut safe = other.connect("c/1").await;
    let path = format!("/apps/{}/keys/{}", app.id(), app.key_id());
    assert_eq!(owner.get(&path).await["connections"], 2);
    let done = owner.post(&format!("{path}/revoke"), &Value::Null).await;
    assert_eq!(done, json!({"closed": 2, "made": []}));
    for socket in &mut doomed {
        assert_eq!(socket.closed().await, 4501);
    }
    safe.call("signal.join", json!({"id": "room"})).await;
    let key = owner.get(&path).await;
    assert_eq!(key["state"], "revoked");
    assert_eq!(
        app.refused(&app.token("a/1")).await,
        refusal(401, "key_revoked")
    );
    let again = owner.post(&format!("{path}/revoke"), &Value::Null).await;
    assert_eq!(again["closed"], 0);
    let rotate = format!("{path}/rotate");
    let refused = owner.refused(Method::POST, &rotate, &json!({})).await;
    assert_eq!(refused, refusal(409, "conflict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_verifies_beside_the_new_one_until_the_overlap_is_over() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let path = format!("/apps/{}/keys/{}", app.id(), app.key_id());
    let order = json!({"overlap_ms": 3_600_000});
    let made = owner.post(&format!("{path}/rotate"), &order).await;
    assert_eq!(made["key"]["signs"], true, "the new key takes over");
    let old = owner.get(&path).await;
    assert_eq!(
        (&old["state"], &old["signs"]),
        (&json!("retiring"), &json!(false))
    );
    let left = old["retiring_until_ms"].as_i64().expect("a time") - hexline_tests::now() * 1000;
    assert!((3_500_000..=3_601_000).contains(&left), "{left}");
    app.connect("a/1").await;
    let token = hexline_token::TokenBuilder::create()
        .key(text(&made["key"]["id"]), text(&made["secret"]))
        .api(server.base())
        .identity("a")
        .device("2")
        .grant("signal", true)
        .build()
        .expect("all is set");
    server.connect("a/2", &token).await;
    let second = app.another_key(None).await;
    let path = format!("/apps/{}/keys/{}/rotate", app.id(), second.key_id());
    owner.post(&path, &json!({"overlap_ms": 0})).await;
    let refused = app.refused(&second.token("a/1")).await;
    assert_eq!(refused, refusal(401, "key_expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_with_a_ceiling_named_anew_and_imported() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let keys = format!("/apps/{}/keys", app.id());
    let order = json!({"label": "edge", "algorithm": "HS512", "ceiling": {"signal": true},
        "expires_ms": (hexline_tests::now() + 3600) * 1000});
    let made = owner.post(&keys, &order).await;
    assert_eq!(made["key"]["algorithm"], "HS512");
    assert_eq!(made["key"]["ceiling"], json!({"signal": true}));
    assert_eq!(made["key"]["expires_ms"], order["expires_ms"]);
    for bad in [
        json!({"ceiling": {"nonsense": 1}}),
        json!({"algorithm": "ES256"}),
        json!({"expires_ms": 1}),
        json!({"label": "a\u{7}"}),
        json!({"secret": "mine"}),
    ] {
        let refused = owner.refused(Method::POST, &keys, &bad).await;
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
    }
    let pem = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    for (order, kind) in [
        (json!({"kind": "pem", "pem": pem}), "public_pem"),
        (
            json!({"kind": "jwk", "jwk": {"kty": "OKP", "crv": "Ed25519",
                "x": "GRn1TvXf5PVEkwAJBfFW8Qj0uFPf3IYyPnV0hZlGmks"}}),
            "public_jwk",
        ),
        (
            json!({"kind": "jwks_url", "url": "https://id.example/jwks"}),
            "jwks_url",
        ),
    ] {
        let response = owner
            .request(Method::POST, &format!("{keys}/import"))
            .json(&order)
            .send()
            .await
            .expect("an answer");
        let status = response.status();
        let made: Value = response.json().await.expect("JSON");
        if kind == "public_jwk" && status == 400 {
            // Not every 32 bytes are a point of the curve.
            continue;
        }
        assert_eq!(status, 201, "{order}: {made}");
        assert_eq!(made["key"]["kind"], kind);
        assert!(made["secret"].is_null());
    }
    for bad in [
        json!({"kind": "pem"}),
        json!({"kind": "jwks_url", "url": "http://id.example/jwks"}),
        json!({"kind": "jwk", "jwk": {"kty": "oct", "k": "AAAA"}}),
        json!({"kind": "hmac", "id": "short", "secret": "x"}),
        json!({"kind": "magic"}),
    ] {
        let path = format!("{keys}/import");
        let refused = owner.refused(Method::POST, &path, &bad).await;
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_made_for_a_key_of_its_app_and_revoked() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (app, other) = (server.app("shop").await, server.app("other").await);
    let path = format!("/apps/{}/api-keys", app.id());
    let made = owner.post(&path, &json!({"label": "web"})).await;
    assert_eq!(made["key"], app.key_id());
    let foreign = json!({"key": other.key_id()});
    let refused = owner.refused(Method::POST, &path, &foreign).await;
    assert_eq!(refused, refusal(404, "not_found"));
    let id = text(&made["id"]);
    let elsewhere = format!("/apps/{}/api-keys/{id}/revoke", other.id());
    let refused = owner.refused(Method::POST, &elsewhere, &Value::Null).await;
    assert_eq!(refused, refusal(404, "not_found"));
    let revoked = owner
        .post(&format!("{path}/{id}/revoke"), &Value::Null)
        .await;
    assert!(revoked["revoked_ms"].is_i64());
    assert_eq!(owner.get(&path).await["items"], json!([revoked]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snippets_of_a_new_key_run_as_they_are() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        let order = json!({"algorithm": algorithm});
        let made = owner
            .post(&format!("/apps/{}/keys", app.id()), &order)
            .await;
        let snippets: HashMap<&str, &str> = made["snippets"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| (text(&s["language"]), text(&s["text"])))
            .collect();
        for language in ["curl", "rust", "node", "python", "php", "java", "go"] {
            let snippet = snippets[language];
            assert!(
                !snippet.contains("__URL") && !snippet.contains("__KEY"),
                "{snippet}"
            );
        }
        for (language, program, file) in [
            ("curl", "bash", "token.sh"),
            ("node", "node", "token.mjs"),
            ("python", "python3", "token.py"),
            ("php", "php", "token.php"),
        ] {
            let Some(said) = run(program, file, snippets[language], &made).await else {
                continue;
            };
            let me: Value = serde_json::from_str(&said)
                .unwrap_or_else(|error| panic!("{language} with {algorithm}: {error}: {said}"));
            assert_eq!(
                me["address"], "alice/web1",
                "{language} with {algorithm}: {said}"
            );
        }
    }
}

/// What a program says, if this machine can run it: `None` without its language.
async fn run(program: &str, file: &str, snippet: &str, made: &Value) -> Option<String> {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().join(file);
    std::fs::write(&path, snippet).expect("the directory takes a file");
    let output = Command::new(program)
        .arg(&path)
        .env("HEXLINE_KEY_ID", text(&made["key"]["id"]))
        .env("HEXLINE_KEY_SECRET", text(&made["secret"]))
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match within("the end of the program", output).await {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {complaint}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

fn nowhere_below(directory: &Path, secrets: &[&str]) {
    let mut seen = 0;
    for file in std::fs::read_dir(directory).expect("a directory") {
        let path = file.expect("an entry").path();
        if path.is_dir() {
            nowhere_below(&path, secrets);
        } else if let Ok(bytes) = std::fs::read(&path) {
            seen += 1;
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "{secret} is in {}", path.display());
            }
        }
    }
    assert!(seen > 0, "{} has files", directory.display());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is text"))
}
