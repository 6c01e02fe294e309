//! The binary as a user meets it.

use hexline_tests::{Program, Socket, client};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_dev_start_prints_one_ready_line_and_a_second_knows_the_key_again() {
    let data = tempfile::tempdir().expect("a directory");
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    assert!(url.starts_with("http://localhost:"), "{url}");
    assert_eq!(ready["app"], "demo");
    let key = ready["key_id"].as_str().expect("a key id");
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()));
    let secret = ready["key_secret"].as_str().expect("a secret");
    assert!(secret.len() >= 43, "{}", secret.len());
    let setup = ready["console_setup_url"].as_str().expect("a link");
    assert!(setup.starts_with(&format!("{url}/console/setup#")));
    let (well, rest, log) = program.stop().await;
    assert!(well, "{log}");
    assert_eq!(rest, "", "standard output carries the ready line only");
    let (program, again) = Program::serve_dev(data.path(), &[]).await;
    for member in ["app", "key_id", "key_secret"] {
        assert_eq!(again[member], ready[member], "{member}");
    }
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_from_the_token_service_talk_through_the_command_line() {
    let data = tempfile::tempdir().expect("a directory");
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    let bob = token(url, "bob1").await;
    let carol = token(url, "carol1").await;
    let mut listener = Program::start(&["listen", "--json", "--token", &bob]).await;
    // It is there once a message to it is delivered.
    let at = url.replace("http://localhost", "127.0.0.1");
    let request = Socket::request(&format!("{url}/client/signal/pubsub?jwt={carol}"));
    let mut probe = Socket::open(at.parse().expect("an address"), "carol1/web1", request)
        .await
        .expect("the door opens");
    let there =
        async { while probe.call("signal.send", json!({"to": "bob1"})).await["delivered"] != 1 {} };
    hexline_tests::within("the listener is there", there).await;
    let output = Program::run(&[
        "send",
        "--json",
        "--token",
        &carol,
        "--to",
        "bob1",
        r#"{"text":"hello"}"#,
    ])
    .await;
    assert!(output.status.success(), "{output:?}");
    let heard = async {
        loop {
            let line = listener.line().await;
            assert!(!line.is_empty(), "{}", listener.log());
            if line.contains("hello") {
                return line;
            }
        }
    };
    let line = hexline_tests::within("the message", heard).await;
    assert!(line.contains("carol1/web1/"), "{line}");
    listener.kill().await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_on_the_command_line_closes_its_connections_within_a_second() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().to_str().expect("a path in UTF-8");
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    let token = token(url, "bob1").await;
    let at = url.replace("http://localhost", "127.0.0.1");
    let request = Socket::request(&format!("{url}/client/v1/signal/pubsub?jwt={token}"));
    let mut bob = Socket::open(at.parse().expect("an address"), "bob1/web1", request)
        .await
        .expect("the door opens");
    bob.after_ping().await;
    let key = ready["key_id"].as_str().expect("a key id");
    let output = Program::run(&["key", "revoke", "--data", path, key]).await;
    assert!(output.status.success(), "{output:?}");
    let code = tokio::time::timeout(std::time::Duration::from_secs(1), bob.closed()).await;
    assert_eq!(code, Ok(4501));
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_printed_survives_a_kill_in_the_middle_of_others() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().to_str().expect("a path in UTF-8").to_owned();
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let app = ready["app"].as_str().expect("a name").to_owned();
    let mut making = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (path, app) = (path.clone(), app.clone());
        making.spawn(async move {
            let command = ["key", "create", "--json", "--data", &path, "--app", &app];
            Program::run(&command).await
        });
    }
    let mut printed = vec![ready["key_id"].as_str().expect("an id").to_owned()];
    let mut program = Some(program);
    while let Some(output) = making.join_next().await {
        let output = output.expect("the command ends");
        if let Some(program) = program.take() {
            program.kill().await;
        }
        // The others may have failed: their server is gone.
        if let Ok(created) = serde_json::from_slice::<Value>(&output.stdout)
            && let Some(key) = created["key_id"].as_str()
        {
            assert!(output.status.success(), "{output:?}");
            printed.push(key.to_owned());
        }
    }
    assert!(printed.len() > 1, "at least one key was made");
    let (program, again) = Program::serve_dev(data.path(), &[]).await;
    assert_eq!(again["key_secret"], ready["key_secret"]);
    let output = Program::run(&["key", "list", "--json", "--data", &path, "--app", &app]).await;
    let listed = String::from_utf8(output.stdout).expect("text");
    for key in printed {
        assert!(listed.contains(&key), "{key} is not in {listed}");
    }
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inspecting_a_token_names_the_failing_check() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().to_str().expect("a path in UTF-8");
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    let token = token(url, "bob1").await;
    program.stop().await;
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{head}.{first}{}", &signature[1..]);
    let output = Program::run(&["token", "inspect", "--json", "--data", path, &tampered]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("signature_invalid"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_on_a_public_address_wants_to_be_told_twice() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().to_str().expect("a path in UTF-8");
    let output = Program::run(&["serve", "--dev", "--listen", "0.0.0.0:0", "--data", path]).await;
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("--allow-public-dev"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_dev_every_name_of_this_machine_is_an_audience_and_failures_are_not_throttled() {
    let data = tempfile::tempdir().expect("a directory");
    let (program, ready) = Program::serve_dev(data.path(), &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    let port = url.rsplit(':').next().expect("a port");
    let me = client();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let token = hexline_token::TokenBuilder::create()
            .key(
                ready["key_id"].as_str().expect("a key id"),
                ready["key_secret"].as_str().expect("a secret"),
            )
            .api(format!("http://{host}:{port}"))
            .identity("bob")
            .device("web")
            .grant("signal", true)
            .build()
            .expect("all is set");
        let response = me
            .get(format!("{url}/client/v1/me"))
            .bearer_auth(&token)
            .send();
        assert_eq!(response.await.expect("an answer").status(), 200, "{host}");
    }
    for _ in 0..15 {
        let response = me
            .get(format!("{url}/client/v1/me"))
            .bearer_auth("x")
            .send();
        assert_eq!(response.await.expect("an answer").status(), 401);
    }
    let response = me.get(format!("{url}/metrics")).send().await;
    assert_eq!(response.expect("an answer").status(), 200);
    program.stop().await;
}

async fn token(url: &str, identity: &str) -> String {
    let response = client()
        .post(format!("{url}/token"))
        .form(&[("identity", identity), ("device", "web1")])
        .send()
        .await
        .expect("an answer");
    let body: Value = response.json().await.expect("JSON");
    body["token"].as_str().expect("a token").to_owned()
}
