use hexline_token::{Algorithm, PrivateKey};
use serde_json::{Value, json};

use crate::program::{Key, Place};

const ID: &str = "b234fdb83571400f9b62e204d735126e";
const SECRET: &str = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";

fn key() -> Key {
    Key {
        id: ID.to_owned(),
        secret: SECRET.to_owned(),
    }
}

fn claims(place: &Place, token: &str) -> Value {
    let run = place.run(&["token", "inspect", token, "--json"]);
    serde_json::from_str::<Value>(&run.out).expect("JSON")["claims"].clone()
}

#[test]
fn a_token_is_made_inspected_and_verified() {
    let place = Place::new();
    let token = place.token(
        &key(),
        &["--grant", "signal", "--iat", "1490479599", "--ttl", "509"],
    );
    assert_eq!(
        claims(&place, &token),
        json!({
            "aud": "http://localhost:8000/client/v1", "sub": "alice/web1",
            "grants": {"signal": true}, "iss": ID, "iat": 1_490_479_599, "exp": 1_490_480_108
        })
    );
    let verify = |more: &[&str]| {
        place.run_with(&[&["token", "verify", &token], more].concat(), &key().env())
    };
    let valid = verify(&["--at", "1490479700"]);
    assert_eq!((valid.code, valid.out.trim()), (0, "valid"));
    let expired = verify(&[]);
    assert_eq!(expired.code, 3);
    assert!(
        expired.out.starts_with("invalid: token_expired"),
        "{}",
        expired.out
    );
    let early = verify(&["--at", "1490479000"]);
    assert!(
        early.out.starts_with("invalid: token_not_yet_valid"),
        "{}",
        early.out
    );
    let elsewhere = verify(&["--at", "1490479700", "--url", "https://hexline.example"]);
    assert!(
        elsewhere.out.starts_with("invalid: audience_mismatch"),
        "{}",
        elsewhere.out
    );
    let chat = verify(&["--at", "1490479700", "--grant", "chat"]);
    assert!(
        chat.out.starts_with("invalid: grant_missing"),
        "{}",
        chat.out
    );
    let platform = verify(&["--at", "1490479700", "--access", "platform"]);
    assert!(
        platform.out.starts_with("invalid: audience_mismatch"),
        "{}",
        platform.out
    );
}

#[test]
fn every_option_of_the_builder_has_a_flag() {
    let place = Place::new();
    let token = place.token(
        &key(),
        &[
            "--env",
            "dev",
            "--grants",
            r#"{"video":true,"chat":true}"#,
            "--grant",
            r#"signal={"publish":false}"#,
            "--profile",
            r#"{"name":"Alice","age":1.0}"#,
            "--exp",
            "1490480108",
            "--nbf",
            "1490479599",
            "--jti",
            "t1",
            "--iat",
            "1490479599",
            "--kid",
            ID,
        ],
    );
    let run = place.run(&["token", "inspect", &token]);
    let order = [
        "aud", "sub", "grants", "video", "chat", "signal", "iss", "iat", "nbf", "exp",
    ];
    let places: Vec<_> = order
        .iter()
        .map(|name| run.out.find(&format!("\"{name}\"")))
        .collect();
    assert!(
        places.is_sorted() && places.iter().all(Option::is_some),
        "{}",
        run.out
    );
    assert_eq!(
        claims(&place, &token)["aud"],
        "https://api.dev.bit6.com/client/v1"
    );
    assert_eq!(
        claims(&place, &token)["profile"],
        json!({"name": "Alice", "age": 1})
    );

    let args = [
        "token",
        "create",
        "--access",
        "platform",
        "--aud",
        "https://x.example/platform",
    ];
    let platform = place.run_with(&args, &key().env());
    let claims = claims(&place, platform.out.trim());
    assert_eq!(
        (&claims["aud"], &claims["sub"]),
        (&json!(args[5]), &Value::Null)
    );
}

#[test]
fn the_secret_may_come_from_a_file_stdin_or_the_old_names() {
    let place = Place::new();
    let args = [
        "token",
        "create",
        "--identity",
        "a",
        "--device",
        "b",
        "--iat",
        "1490479599",
    ];
    let expected = place.run_with(&args, &key().env()).out;
    place.write("secret", &format!("{SECRET}\n"));
    let with = |more: &[&'static str]| [&args[..], more].concat();
    assert_eq!(
        place
            .run(&with(&["--key-id", ID, "--secret-file", "secret"]))
            .out,
        expected
    );
    let stdin = with(&["--key-id", ID, "--secret-file", "-"]);
    assert_eq!(place.run_on(&stdin, SECRET).out, expected);
    assert_eq!(
        place
            .run(&with(&["--key-id", ID, "--key-secret", SECRET]))
            .out,
        expected
    );
    let old = [("BIT6_KEY_ID", ID), ("BIT6_KEY_SECRET", SECRET)];
    assert_eq!(place.run_with(&args, &old).out, expected);
    let key = key();
    let both = [&old[..], &key.env()].concat();
    assert_eq!(place.run_with(&args, &both).out, expected);
}

#[test]
fn stdin_gives_the_secret_or_the_token_and_never_both() {
    let place = Place::new();
    let token = place.token(&key(), &[]);
    for command in ["verify", "inspect"] {
        let secret = [
            "token",
            command,
            &token,
            "--key-id",
            ID,
            "--secret-file",
            "-",
        ];
        let run = place.run_on(&secret, &format!("{SECRET}\n"));
        assert_eq!(run.code, 0, "{command}: {}{}", run.out, run.err);
        let run = place.run_on(&secret, &"x".repeat(43));
        assert_eq!(run.code, 3, "{command}: {}", run.err);
        assert!(run.out.contains("signature_invalid"), "{}", run.out);
        for file in ["--secret-file", "--public-key"] {
            let both = place.run_on(&["token", command, "-", file, "-"], &token);
            assert_eq!(both.code, 2, "{command} {file}: {}", both.out);
            assert!(both.err.contains("not both"), "{}", both.err);
        }
    }
    let both = place.run_on(&["send", "--token", "-", "--to", "bob", "-"], &token);
    assert_eq!(both.code, 2, "{}", both.out);
    assert!(both.err.contains("not both"), "{}", both.err);
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let without = |env: &[(&str, &str)], more: &[&str]| {
        let run = place.run_with(&[&["token", "create"], more].concat(), env);
        assert_eq!(run.code, 2, "{}", run.out);
        run.err
    };
    assert!(without(&[], &[]).contains("HEXLINE_KEY_ID"));
    assert!(without(&[("HEXLINE_KEY_ID", ID)], &[]).contains("HEXLINE_KEY_SECRET"));
    assert!(without(&key().env(), &["--device", "b"]).contains("identity"));
    assert!(without(&key().env(), &["--grant", "signal={"]).contains("JSON"));
    assert!(without(&key().env(), &["--ttl", "soon"]).contains("90s"));
    let weak = [("HEXLINE_KEY_ID", ID), ("HEXLINE_KEY_SECRET", "hunter2")];
    let message = without(&weak, &["--identity", "a", "--device", "b"]);
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(
        place.run(&["token", "verify", "a.b.c"]).code,
        2,
        "nothing to verify with"
    );
}

#[test]
fn asymmetric_keys_sign_and_verify() {
    let place = Place::new();
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let private = PrivateKey::generate(algorithm).expect("generated");
        let pem = private.to_pkcs8_pem().expect("it can be written");
        place.write("private.pem", pem.expose());
        let public = private.verifying_key().to_jwk(None).expect("a public key");
        place.write("public.jwk", &public);
        let args = [
            "token",
            "create",
            "--key-id",
            ID,
            "--private-key",
            "private.pem",
            "--identity",
            "a",
            "--device",
            "b",
        ];
        let token = place.ok(&args);
        let verify = ["token", "verify", "-", "--public-key", "public.jwk"];
        let run = place.run_on(&verify, &token);
        assert_eq!(
            (run.code, run.out.trim()),
            (0, "valid"),
            "{algorithm}: {}",
            run.err
        );
        place.write("set.json", &format!("{{\"keys\":[{public}]}}"));
        let verify = [
            "token",
            "verify",
            "-",
            "--public-key",
            "set.json",
            "--key-id",
            ID,
        ];
        assert_eq!(place.run_on(&verify, &token).code, 0, "{algorithm}");
        let other = PrivateKey::generate(algorithm)
            .expect("generated")
            .verifying_key();
        place.write("other.jwk", &other.to_jwk(None).expect("a public key"));
        let verify = ["token", "verify", "-", "--public-key", "other.jwk"];
        let refused = place.run_on(&verify, &token);
        assert!(
            refused.out.starts_with("invalid: signature_invalid"),
            "{}",
            refused.out
        );
    }
}

#[test]
fn inspecting_without_a_key_leaves_those_checks_out() {
    let place = Place::new();
    let token = place.token(&key(), &[]);
    let run = place.run(&["token", "inspect", &token]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.out.matches("not reached").count(), 6, "{}", run.out);
    assert!(
        run.out.contains("Expires at") && run.out.contains("alice/web1"),
        "{}",
        run.out
    );
    assert!(!run.out.contains('\u{1b}'), "no colours into a pipe");
    let report: Value =
        serde_json::from_str(&place.run(&["token", "inspect", &token, "--json"]).out)
            .expect("JSON");
    assert_eq!(report["verdict"], "undecided");
    assert_eq!(report["checks"][4]["outcome"], "not_reached");
    let with_url = ["--url", "http://localhost:8000", "--json"];
    let run = place.run(&[&["token", "inspect", &token], &with_url[..]].concat());
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(report["checks"][4]["outcome"], "pass");
    let verify = place.run_with(&["token", "verify", &token], &key().env());
    assert_eq!((verify.code, verify.out.trim()), (0, "valid"));
    assert!(
        verify.err.contains("audience, revocation") && verify.err.contains("--url"),
        "{}",
        verify.err
    );
    let garbage = place.run(&["token", "inspect", "what.is.this"]);
    assert_eq!(garbage.code, 3);
    assert!(garbage.out.contains("token_malformed"), "{}", garbage.out);
}

#[test]
fn a_token_that_would_be_of_no_use_is_warned_of() {
    let place = Place::new();
    let create = |more: &[&str]| {
        let args = ["token", "create", "--identity", "alice", "--device", "web1"];
        place.run_with(&[&args, more].concat(), &key().env())
    };
    for (flags, told) in [
        (&["--grant", "sginal"][..], "did you mean 'signal'"),
        (&["--grants", r#"{"videos":true}"#], "did you mean 'video'"),
        (&["--ttl", "0"], "--ttl 0"),
        (&["--exp", "1490480108"], "has ended already"),
        (&["--access", "platform"], "--device is left out"),
    ] {
        let run = create(flags);
        assert_eq!((run.code, run.out.lines().count()), (0, 1), "{}", run.err);
        assert!(run.err.contains(told), "{flags:?}: {}", run.err);
    }
    let fine = create(&["--grant", "signal", "--iat", "1490479599", "--ttl", "60"]);
    assert_eq!((fine.code, fine.err.as_str()), (0, ""));
    let run = create(&["--api", "localhost:8000"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("http://localhost:8000"), "{}", run.err);
    let run = place.run_with(
        &["token", "create", "--identity", "a/b", "--device", "d"],
        &key().env(),
    );
    assert!(run.err.contains("found an identity that"), "{}", run.err);
    let token = place.token(&key(), &[]);
    let inspect = ["token", "inspect", &token, "--url", "https://x.example"];
    let out = place.run(&inspect).out;
    assert!(out.contains("unless --api URL"), "{out}");
}

// Regression: a token whose grant nobody asked for was called valid without more.
#[test]
fn inspecting_says_what_was_not_checked() {
    let place = Place::with_app();
    let token = place.token(&place.create_key(), &["--grant", "signal"]);
    let inspect = |more: &[&str]| {
        let args = ["token", "inspect", &token, "--data", "hexline-data"];
        let run = place.run(&[&args, more].concat());
        assert_eq!(run.code, 0, "{}", run.out);
        run.out
    };
    let some = inspect(&[]);
    let told = "not checked: grant (add --grant signal), access (";
    assert!(some.contains(told), "{some}");
    let report: Value = serde_json::from_str(&inspect(&["--json"])).expect("JSON");
    assert_eq!(report["verdict"], "valid");
    assert_eq!(report["not_checked"], json!(["grant", "access"]));
    let all = inspect(&["--grant", "signal", "--access", "client"]);
    assert!(all.trim_end().ends_with("\nValid."), "{all}");
}

#[test]
fn each_refusal_has_its_reason_against_a_data_directory() {
    let place = Place::with_app();
    let key = place.create_key();
    let reason = |token: &str| -> Option<String> {
        let run = place.run(&[
            "token",
            "inspect",
            token,
            "--data",
            "hexline-data",
            "--json",
        ]);
        let report: Value = serde_json::from_str(&run.out).expect("JSON");
        assert_eq!(run.code, if report["reason"].is_null() { 0 } else { 3 });
        assert_eq!(report["reason"].is_null(), report["verdict"] == "valid");
        report["reason"].as_str().map(ToOwned::to_owned)
    };
    let token = place.token(&key, &["--jti", "t1"]);
    assert_eq!(reason(&token), None);
    let wrong = Key {
        id: key.id.clone(),
        secret: SECRET.to_owned(),
    };
    let unknown = Key {
        id: ID.to_owned(),
        secret: key.secret.clone(),
    };
    for (token, expected) in [
        (place.token(&wrong, &[]), "signature_invalid"),
        (place.token(&unknown, &[]), "key_unknown"),
        (place.token(&key, &["--exp", "-1h"]), "token_expired"),
        (
            place.token(&key, &["--nbf", "+1h", "--exp", "+2h"]),
            "token_not_yet_valid",
        ),
        (place.token(&key, &["--iat", "+1h"]), "token_not_yet_valid"),
        (place.token(&key, &["--ttl", "60d"]), "token_too_long"),
        (
            place.token(&key, &["--api", "https://else.example"]),
            "audience_mismatch",
        ),
        (place.token(&key, &["--alg", "HS384"]), "algorithm_mismatch"),
        (
            place.token(&key, &["--grant", r#"signal={"chanels":[]}"#]),
            "claim_invalid",
        ),
    ] {
        assert_eq!(reason(&token).as_deref(), Some(expected));
    }
    place.ok(&["app", "revoke-tokens", "demo", "--jti", "t1"]);
    assert_eq!(reason(&token).as_deref(), Some("token_revoked"));
    let fresh = place.token(&key, &["--iat", "-1m"]);
    assert_eq!(reason(&fresh), None);
    place.ok(&[
        "app",
        "revoke-tokens",
        "demo",
        "--identity",
        "alice",
        "--device",
        "web1",
    ]);
    assert_eq!(reason(&fresh).as_deref(), Some("token_revoked"));
    place.ok(&["key", "rotate", &key.id, "--overlap", "0s"]);
    assert_eq!(reason(&fresh).as_deref(), Some("key_expired"));
    place.ok(&["key", "revoke", &key.id]);
    assert_eq!(reason(&fresh).as_deref(), Some("key_revoked"));
    assert_eq!(
        place
            .run(&["token", "inspect", &fresh, "--data", "elsewhere"])
            .code,
        4
    );
}

#[test]
fn lines_are_answered_one_by_one() {
    let place = Place::new();
    let private = PrivateKey::generate(Algorithm::EdDsa).expect("generated");
    let jwk: Value =
        serde_json::from_str(&private.verifying_key().to_jwk(None).expect("public")).expect("JSON");
    place.write(
        "private.pem",
        private.to_pkcs8_pem().expect("it can be written").expose(),
    );
    let args = [
        "token",
        "create",
        "--key-id",
        ID,
        "--private-key",
        "private.pem",
    ];
    let jws = place.ok(&[&args[..], &["--identity", "a", "--device", "b"]].concat());
    let jws = jws.trim();
    let good = json!({"jwk": jwk, "jws": jws});
    let set = json!({"jwk": {"keys": [jwk]}, "jws": jws, "algs": ["EdDSA"]});
    let other = json!({"jwk": jwk, "jws": jws, "algs": ["ES256"]});
    let broken = json!({"jwk": jwk, "jws": &jws[..jws.len() - 4]});
    let input = format!("{good}\n{set}\n{other}\nnonsense\n\n{broken}\n{good}");
    let run = place.run_on(&["token", "verify", "--lines"], &input);
    assert_eq!(run.code, 0, "{}", run.err);
    let expected = [
        "valid", "valid", "invalid", "invalid", "invalid", "invalid", "valid",
    ];
    assert_eq!(run.out.lines().collect::<Vec<_>>(), expected);

    let args = ["token", "verify", "--lines", "--json"];
    let run = place.run_on(&args, &format!("{good}\nnonsense\n"));
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(run.out, "{\"valid\":true}\n{\"valid\":false}\n");
}

#[test]
fn lines_go_with_what_is_set_for_every_command_and_not_with_a_token() {
    let place = Place::new();
    place.write("elsewhere.toml", "");
    let lines = ["token", "verify", "--lines"];
    for (config, more) in [
        ("elsewhere.toml", &[][..]),
        ("", &["--config", "hexline.toml"]),
    ] {
        let run = place.run_with(&[&lines, more].concat(), &[("HEXLINE_CONFIG", config)]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{config}");
    }
    let with_key = place.run_with(&lines, &key().env());
    assert_eq!(with_key.code, 0, "{}", with_key.err);
    for more in [
        &["a.b.c"][..],
        &["--key-id", ID],
        &["--key-secret", SECRET],
        &["--secret-file", "-"],
        &["--public-key", "key.pem"],
        &["--alg", "HS256"],
        &["--url", "http://localhost:8000"],
        &["--data", "hexline-data"],
        &["--access", "client"],
        &["--grant", "signal"],
        &["--at", "+1h"],
    ] {
        let run = place.run(&[&lines, more].concat());
        assert_eq!(run.code, 2, "{more:?}: {}", run.err);
        assert!(run.err.contains("--lines"), "{more:?}: {}", run.err);
    }
}

// Regression: a token named port 8000 wherever the server was, and was refused there.
#[test]
fn a_token_and_the_hint_to_make_one_name_the_server_that_runs_here_or_the_configured_one() {
    let place = Place::new();
    let server = place.serve(&["--dev"]);
    let key = Key::of(&server.ready);
    let named = |token: &str, url: &str| {
        let claims = place.json(&["token", "inspect", token])["claims"].clone();
        assert_eq!(claims["aud"], format!("{url}/client/v1"));
    };
    named(&place.token(&key, &[]), &server.url());
    let made = place.run(&["key", "create"]);
    let hint = format!("token create --api {} ", server.url());
    assert!(made.err.contains(&hint), "{}", made.err);
    server.kill();

    place.write("hexline.toml", "listen = '127.0.0.1:0'\n");
    let args = ["token", "create", "--identity", "alice", "--device", "web1"];
    let unknown = place.run_with(&args, &key.env());
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("--api URL"), "{}", unknown.err);
    for (configuration, url) in [
        ("listen = '127.0.0.1:4711'", "http://localhost:4711"),
        (
            "public_url = 'https://chat.example/rt'",
            "https://chat.example/rt",
        ),
    ] {
        place.write("hexline.toml", configuration);
        named(&place.token(&key, &[]), url);
        let made = place.run(&["key", "create"]);
        assert!(made.err.contains(&format!("--api {url} ")), "{}", made.err);
    }
    named(
        &place.token(&key, &["--api", "https://else.example"]),
        "https://else.example",
    );
}
