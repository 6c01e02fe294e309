use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Key, Place};

#[test]
fn the_ready_line_has_what_a_script_needs_and_nothing_else_goes_to_stdout() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let ready = &server.ready;
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["app"], "demo");
    assert!(
        ready["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("http://localhost:"))
    );
    let setup = ready["console_setup_url"]
        .as_str()
        .expect("there is no operator");
    assert!(setup.contains("/console/setup#"));
    assert!(ready["key_secret"].is_string());
}

#[test]
fn without_dev_there_is_no_key_in_the_ready_line() {
    let place = Place::new();
    let server = place.serve(&[]);
    for name in ["app", "key_id", "key_secret"] {
        assert!(server.ready[name].is_null(), "{name}");
    }
}

#[test]
fn a_message_goes_from_send_to_listen_and_a_revoked_key_ends_it() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let key = Key::of(&server.ready);
    let token = |identity: &str| {
        let args = [
            "token",
            "create",
            "--api",
            &server.url(),
            "--grant",
            "signal",
        ];
        let who = ["--identity", identity, "--device", "web1"];
        let run = place.run_with(&[&args[..], &who].concat(), &key.env());
        run.out.trim().to_owned()
    };
    let (bob, alice) = (token("bob1"), token("alice1"));
    let mut listener = place
        .command(&["listen", "--json", "--channel", "news", "--presence"])
        .env("HEXLINE_TOKEN", &bob)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut err = BufReader::new(listener.stderr.take().expect("piped")).lines();
    let mut out = BufReader::new(listener.stdout.take().expect("piped")).lines();
    assert!(
        err.next()
            .expect("a line")
            .expect("text")
            .contains("Connected")
    );

    let sent = place.json(&[
        "send",
        "--token",
        &alice,
        "--to",
        "bob1",
        r#"{"text":"hello"}"#,
    ]);
    assert_eq!(sent["delivered"], 1);
    let heard: Value =
        serde_json::from_str(&out.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(heard["method"], "signal.send");
    assert_eq!(heard["params"]["text"], "hello");
    let from = heard["params"]["from"].as_str().expect("a sender");
    assert!(from.starts_with("alice1/web1/"));
    let nobody = place.ok(&["send", "--token", &alice, "--to", "nobody", "{}"]);
    assert!(nobody.contains("Nobody"), "{nobody}");
    assert_eq!(
        place
            .run(&["send", "--token", &alice, "--to", "bob1", "hello"])
            .code,
        2
    );
    assert_eq!(place.run(&["send", "--token", &alice, "{}"]).code, 2);

    place.ok(&["key", "revoke", &key.id]);
    assert_eq!(listener.wait().expect("it ends").code(), Some(3));
    let last = err.next().expect("a line").expect("text");
    assert!(last.contains("4501"), "{last}");
    let refused = place.run(&["send", "--token", &alice, "--to", "bob1", "{}"]);
    assert_eq!(refused.code, 3);
    assert!(refused.err.contains("key_revoked"), "{}", refused.err);
}

#[test]
fn a_listener_comes_back_to_a_server_that_was_restarted() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let address = server.url().replace("http://localhost", "127.0.0.1");
    let key = Key::of(&server.ready);
    let token = place.token(&key, &["--api", &server.url(), "--grant", "signal"]);
    let mut listener = place
        .command(&["listen", "--json", "--channel", "news", "--count", "1"])
        .env("HEXLINE_TOKEN", &token)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut err = BufReader::new(listener.stderr.take().expect("piped")).lines();
    let mut told = || err.next().expect("a line").expect("text");
    assert!(told().contains("Connected"));
    assert_eq!(server.stop("-TERM"), Some(0));
    let _server = place.serve_at(&address, &["--dev"]);
    let line = told();
    assert!(line.contains("stopping"), "{line}");
    let line = told();
    assert!(line.contains("Connected again"), "{line}");
    // Its channels are joined again right after that.
    let send = [
        "send",
        "--token",
        &token,
        "--channel",
        "news",
        r#"{"n":1}"#,
        "--json",
    ];
    let is_delivered = || place.json(&send[..6])["delivered"] != 0;
    assert!((0..200).any(|_| is_delivered()), "nobody has joined");
    let heard = listener.wait_with_output().expect("it ends");
    assert!(heard.status.success());
    assert!(String::from_utf8_lossy(&heard.stdout).contains(r#""n":1"#));
}

// Regression: members were sorted, large numbers rounded, and of two members of one name one was lost.
#[test]
fn a_message_is_shown_as_it_was_typed() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let key = Key::of(&server.ready);
    let token = place.token(&key, &["--api", &server.url(), "--grant", "signal"]);
    let listen = |json: &[&str]| {
        let mut listener = place
            .command(&[&["listen", "--count", "1"], json].concat())
            .env("HEXLINE_TOKEN", &token)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut err = BufReader::new(listener.stderr.take().expect("piped")).lines();
        let connected = err.next().expect("a line").expect("text");
        assert!(connected.contains("Connected"), "{connected}");
        listener
    };
    let (as_text, as_json) = (listen(&[]), listen(&["--json"]));
    let typed = r#"{"z":12345678901234567890123.50,"a":{"b":1,"B":"\u202e"}}"#;
    place.ok(&["send", "--token", &token, "--to", "alice", typed]);
    for listener in [as_text, as_json] {
        let heard = listener.wait_with_output().expect("it ends");
        let heard = String::from_utf8_lossy(&heard.stdout).into_owned();
        assert!(heard.contains(&typed[1..typed.len() - 1]), "{heard}");
    }
    let twice = r#"{"text":"a","text":"b"}"#;
    let refused = place.run(&["send", "--token", &token, "--to", "alice", twice]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("twice"), "{}", refused.err);
}

#[test]
fn a_client_without_a_token_or_an_address_is_told_what_to_give() {
    let place = Place::new();
    let run = place.run(&["listen"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("HEXLINE_TOKEN"), "{}", run.err);
    let run = place.run(&["send", "--token", "t", "{}"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("--channel"), "{}", run.err);
}

#[test]
fn a_token_is_verified_beside_a_running_server_even_without_its_socket() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let key = Key::of(&server.ready);
    let token = place.token(&key, &["--api", &server.url()]);
    let verify = [
        "token",
        "verify",
        &token,
        "--data",
        "hexline-data",
        "--url",
        &server.url(),
    ];
    assert_eq!(place.ok(&verify[..5]).trim(), "valid");
    std::fs::remove_file(place.data("control.sock")).expect("it was there");
    assert_eq!(place.ok(&verify).trim(), "valid");
}

#[test]
fn a_certificate_of_ones_own_is_trusted_when_told_to_and_the_error_says_how() {
    let place = Place::new();
    let names = ["localhost".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).expect("a certificate");
    place.write("cert.pem", &pair.cert.pem());
    place.write("key.pem", &pair.signing_key.serialize_pem());
    let server = place.serve(&["--dev", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let key = Key::of(&server.ready);
    let token = place.token(&key, &["--api", &server.url(), "--grant", "signal"]);
    let send = ["send", "--token", &token, "--to", "bob", "{}"];
    let refused = place.run(&send);
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(refused.err.contains("--ca FILE"), "{}", refused.err);
    place.ok(&[&send[..], &["--ca", "cert.pem"]].concat());
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let run = place.run(&["serve", "--listen", &address]);
    assert_eq!(run.code, 6);
    assert!(run.err.contains("--listen 127.0.0.1:0"), "{}", run.err);
    assert_eq!(run.err.matches("os error").count(), 1, "{}", run.err);
}

#[test]
fn a_second_server_on_the_same_data_directory_is_told_where_the_first_is() {
    let place = Place::new();
    let server = place.serve(&[]);
    let run = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(run.code, 6);
    let told = format!("a server runs here already, at {}", server.url());
    assert!(run.err.contains(&told), "{}", run.err);
}

#[test]
fn a_dev_start_prints_commands_for_its_own_port() {
    let place = Place::new();
    let mut child = place
        .command(&["serve", "--dev", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    let first = lines.next().expect("a line");
    let url = first.split(' ').find(|word| word.starts_with("http://"));
    let url = url.expect("a URL").to_owned();
    assert!(!url.ends_with(":8000"), "a free port was taken: {url}");
    let create = lines.find(|line| line.contains("token create"));
    child.kill().expect("killed");
    child.wait().expect("it ends");
    let create = create.expect("a command");
    assert!(
        create.contains(&format!("token create --api {url} ")),
        "{create}"
    );
}

#[test]
fn plain_http_on_a_public_address_is_warned_of_at_the_start() {
    let place = Place::new();
    let mut child = place
        .command(&["serve", "--listen", "0.0.0.0:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let out = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready = out.map(|line| line.expect("text")).next();
    child.kill().expect("killed");
    let output = child.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ready.is_some(), "{log}");
    let warned = |what: &str| {
        let warnings = log.lines().filter(|line| line.contains("WARN"));
        assert!(
            warnings.filter(|line| line.contains(what)).count() == 1,
            "{log}"
        );
    };
    warned("without TLS");
    warned("public_url is not set");
}

#[test]
fn nobody_there_is_told_as_unavailable() {
    let place = Place::new();
    let key = Key {
        id: "a".repeat(32),
        secret: "x".repeat(43),
    };
    let token = place.token(&key, &["--api", "http://127.0.0.1:1"]);
    let run = place.run(&["send", "--token", &token, "--to", "bob", "{}"]);
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(!run.err.contains(&token));
    assert_eq!(
        place
            .run(&["send", "--token", "nonsense", "--to", "bob", "{}"])
            .code,
        2
    );
}
