use crate::program::{Key, Place};

const SECRET: &str = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";
const OLD_ID: &str = "b234fdb83571400f9b62e204d735126e";

#[test]
fn an_app_is_made_listed_changed_and_disabled() {
    let place = Place::new();
    let app = place.json(&["app", "create", "demo"]);
    assert_eq!(app["name"], "demo");
    assert_eq!(place.run(&["app", "create", "demo"]).code, 5);
    assert_eq!(place.run(&["app", "create", "No Name"]).code, 2);
    assert_eq!(place.run(&["app", "show", "nobody"]).code, 4);
    let id = app["id"].as_str().expect("an id");
    assert!(place.ok(&["app", "show", id]).contains("demo"));
    let set = [
        "app",
        "set",
        "demo",
        "--longest-ttl",
        "1h",
        "--origin",
        "https://a.example",
    ];
    let app = place.json(&set);
    assert_eq!(app["settings"]["longest_ttl"], 3600);
    assert_eq!(app["settings"]["origins"][0], "https://a.example");
    let app = place.json(&["app", "set", "demo", "--any-origin"]);
    assert_eq!(app["settings"]["origins"].as_array().map(Vec::len), Some(0));
    assert_eq!(app["settings"]["longest_ttl"], 3600);
    assert_eq!(place.run(&["app", "set", "demo"]).code, 2);
    assert!(place.json(&["app", "disable", "demo", "--yes"])["disabled_ms"].is_i64());
    assert!(place.ok(&["app", "list"]).contains("disabled"));
    assert!(place.json(&["app", "enable", "demo"])["disabled_ms"].is_null());
}

#[test]
fn an_app_is_renamed_limited_and_deleted() {
    let place = Place::with_app();
    let key = place.create_key();
    let id = place.json(&["app", "show", "demo"])["id"].clone();
    let renamed = place.json(&["app", "rename", "demo", "shop"]);
    assert_eq!((&renamed["id"], &renamed["name"]), (&id, &"shop".into()));
    assert_eq!(place.run(&["app", "rename", "demo", "x"]).code, 4);
    assert_eq!(place.run(&["app", "rename", "shop", "No Name"]).code, 2);
    let limited = place.json(&["app", "set", "shop", "--limit-connections", "5"]);
    assert_eq!(limited["settings"]["limits"]["connections"], 5);
    let set = ["app", "set", "shop", "--limit-devices", "2"];
    let limits = place.json(&set)["settings"]["limits"].clone();
    assert_eq!(
        (&limits["connections"], &limits["devices_per_identity"]),
        (&5.into(), &2.into())
    );
    assert!(place.ok(&["app", "show", "shop"]).contains("at most 5"));
    let unset = ["app", "set", "shop", "--limit-connections", "0"];
    let limits = place.json(&unset)["settings"]["limits"].clone();
    assert!(limits["connections"].is_null() && limits["devices_per_identity"] == 2);
    for unsure in [
        &["app", "delete", "shop"][..],
        &["app", "delete", "shop", "--confirm", "demo"],
    ] {
        assert_eq!(place.run(unsure).code, 2, "{unsure:?}");
    }
    assert_eq!(place.run(&["key", "show", &key.id]).code, 0);
    let deleted = place.json(&["app", "delete", "shop", "--confirm", "shop"]);
    assert_eq!(deleted["id"], id);
    assert_eq!(place.run(&["key", "show", &key.id]).code, 4);
    place.ok(&["app", "create", "shop"]);
    assert!(
        place
            .ok(&["app", "delete", "shop", "--yes"])
            .contains("Deleted app shop")
    );
    assert_eq!(
        place.json(&["app", "list"]).as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn a_key_is_named_anew() {
    let place = Place::with_app();
    let key = place.create_key();
    let labelled = place.json(&["key", "label", &key.id, "the web shop"]);
    assert_eq!(labelled["label"], "the web shop");
    assert_eq!(
        place.json(&["key", "show", &key.id])["label"],
        "the web shop"
    );
    assert_eq!(place.run(&["key", "label", &key.id, "a\nb"]).code, 2);
}

#[test]
fn a_key_is_made_rotated_and_revoked_without_a_server() {
    let place = Place::with_app();
    let first = place.create_key();
    assert_eq!(first.id.len(), 32);
    assert!(first.secret.len() >= 43);
    let rotated = place.json(&["key", "rotate", &first.id, "--overlap", "1h"]);
    let second = Key::of(&rotated);
    assert_eq!(rotated["replaces"]["state"], "retiring");
    assert_eq!(place.json(&["key", "show", &second.id])["signs"], true);
    assert_eq!(
        place.json(&["key", "revoke", &second.id])["state"],
        "revoked"
    );
    assert_eq!(place.run(&["key", "rotate", &second.id]).code, 5);
    assert_eq!(place.run(&["key", "revoke", &"f".repeat(32)]).code, 4);
    assert_eq!(place.run(&["key", "show", "x"]).code, 2);
    let listed = place.ok(&["key", "list"]);
    assert!(
        listed.contains("retiring") && listed.contains("revoked"),
        "{listed}"
    );
    for key in [&first, &second] {
        assert!(!listed.contains(&key.secret), "a secret is shown once");
        assert!(!place.ok(&["key", "show", &key.id]).contains(&key.secret));
    }
}

#[test]
fn a_key_id_that_an_app_has_taken_is_released_for_another_one() {
    let place = Place::with_app();
    place.json(&["app", "create", "real"]);
    place.write("secret", SECRET);
    let import = |app: &str| {
        let hmac = ["--hmac", OLD_ID, "--secret-file", "secret"];
        place.run(&[&["key", "import", "--app", app][..], &hmac].concat())
    };
    assert_eq!(import("demo").code, 0);
    assert_eq!(import("real").code, 5, "it is taken");
    let released = place.json(&["key", "release", OLD_ID]);
    assert_eq!(released["state"], "revoked");
    assert_eq!(released["made"], serde_json::json!([]));
    assert_eq!(import("demo").code, 5, "not by the same app again");
    let taken = import("real");
    assert_eq!(taken.code, 0, "{}", taken.err);
    assert_eq!(place.json(&["key", "show", OLD_ID])["app"], "real");
    assert_eq!(place.run(&["key", "release", &"f".repeat(32)]).code, 4);
}

#[test]
fn a_secret_that_nobody_read_is_a_failure_that_names_the_key() {
    let place = Place::with_app();
    let first = place.create_key();
    for (args, json) in [
        (&["key", "create"][..], false),
        (&["key", "create", "--json"], true),
        (&["key", "rotate", &first.id], false),
    ] {
        let run = place.run_unread(args);
        assert_eq!(run.code, 1, "{args:?}: {}", run.err);
        assert_eq!(run.err.starts_with('{'), json, "{}", run.err);
        let listed = place.json(&["key", "list"]);
        let ids = listed.as_array().expect("keys").iter();
        let newest = ids.max_by_key(|key| key["created_ms"].as_i64());
        let id = newest.expect("a key")["id"].as_str().expect("an id");
        assert!(run.err.contains(id), "{args:?}: {}", run.err);
    }
    assert_eq!(place.run_unread(&["key", "list"]).code, 0);
}

#[test]
fn with_several_apps_a_key_needs_to_know_its_own() {
    let place = Place::with_app();
    place.ok(&["app", "create", "other"]);
    let refused = place.run(&["key", "create"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--app"), "{}", refused.err);
    assert_eq!(
        place.json(&["key", "create", "--app", "other"])["app"],
        "other"
    );
    assert_eq!(
        place
            .json(&["key", "list", "--app", "demo"])
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

#[test]
fn without_an_app_the_way_to_one_is_told() {
    let place = Place::new();
    let refused = place.run(&["key", "create"]);
    assert_eq!(refused.code, 4);
    assert!(
        refused.err.contains("hexline app create"),
        "{}",
        refused.err
    );
    assert!(
        !place.path().join("hexline-data").exists(),
        "nothing is made in passing"
    );
}

#[test]
fn keys_from_elsewhere_are_imported_and_weak_ones_refused() {
    let place = Place::with_app();
    let import = ["key", "import", "--hmac", OLD_ID, "--secret-file", "-"];
    let imported = place.run_on(&[&import[..], &["--json"]].concat(), &format!("{SECRET}\n"));
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert!(!imported.out.contains(SECRET));
    assert_eq!(place.run_on(&import, SECRET).code, 5, "it is there already");
    let weak = [
        "key",
        "import",
        "--hmac",
        &"a".repeat(32),
        "--secret-file",
        "-",
    ];
    assert_eq!(place.run_on(&weak, "hunter2").code, 2);

    let key = hexline_token::PrivateKey::generate(hexline_token::Algorithm::Es256);
    let public = key
        .expect("generated")
        .verifying_key()
        .to_jwk(None)
        .expect("a public key");
    place.write("key.jwk", &public);
    let shown = place.json(&["key", "import", "--public", "key.jwk", "--label", "signer"]);
    assert_eq!(
        (&shown["kind"], &shown["algorithm"]),
        (&"public_jwk".into(), &"ES256".into())
    );
    place.write("keys.json", &format!("{{\"keys\":[{public}]}}"));
    assert_eq!(
        place.json(&["key", "import", "--jwks", "keys.json"])["kind"],
        "jwks"
    );
    let url = "https://keys.example/jwks.json";
    assert_eq!(
        place.json(&["key", "import", "--jwks-url", url])["kind"],
        "jwks_url"
    );
    assert_eq!(
        place
            .run(&["key", "import", "--jwks-url", "http://keys.example/"])
            .code,
        2
    );
    assert_eq!(place.run(&["key", "import"]).code, 2);
    assert_eq!(
        place
            .run(&["key", "import", "--public", "missing.pem"])
            .code,
        2
    );
}

#[test]
fn a_ceiling_is_taken_as_it_is_typed_or_refused() {
    let place = Place::with_app();
    let create = |ceiling: &str| place.run(&["key", "create", "--ceiling", ceiling, "--json"]);
    let made = create(r#"{"signal":{"publish":false}}"#);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains(r#""publish":false"#), "{}", made.out);
    for (ceiling, named) in [
        (r#"{"signal":{"publish":false},"signal":true}"#, "signal"),
        (r#"{"singal":true}"#, "singal"),
        (r#"{"signal":{"publihs":false}}"#, "publihs"),
        ("signal", "JSON"),
    ] {
        let refused = create(ceiling);
        assert_eq!(refused.code, 2, "{ceiling}: {}", refused.out);
        assert!(refused.err.contains(named), "{ceiling}: {}", refused.err);
    }
    assert_eq!(
        place.json(&["key", "list"]).as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn the_kind_of_tokens_to_revoke_must_be_told() {
    let place = Place::with_app();
    let revoke = |more: &[&str]| {
        place
            .run(&[&["app", "revoke-tokens", "demo"], more].concat())
            .code
    };
    assert_eq!(revoke(&[]), 2);
    assert_eq!(revoke(&["--device", "web1"]), 2);
    assert_eq!(revoke(&["--jti", "a", "--all"]), 2);
    assert_eq!(revoke(&["--identity", "a/b"]), 2);
    assert_eq!(revoke(&["--jti", "a"]), 0);
    assert_eq!(
        revoke(&[
            "--identity",
            "bob",
            "--device",
            "web1",
            "--issued-before",
            "-1h"
        ]),
        0
    );
    assert_eq!(revoke(&["--all"]), 0);
}
