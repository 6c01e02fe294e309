use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::mpsc;

use hexline_model::{Monotonic, SystemClock};
use serde_json::Value;

use crate::program::{Key, Place};

fn ids(place: &Place) -> BTreeSet<String> {
    let keys = place.json(&["key", "list"]);
    let keys = keys.as_array().expect("a list").clone();
    keys.iter()
        .map(|key| key["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn verifies(place: &Place, key: &Key) -> bool {
    let token = place.token(key, &[]);
    place
        .run(&["token", "verify", &token, "--data", "hexline-data"])
        .code
        == 0
}

// What a run printed before it was killed, if it was whole.
fn printed(out: &[u8]) -> Option<Key> {
    let value: Value = serde_json::from_slice(out).ok()?;
    Some(Key::of(&value))
}

#[test]
fn a_kill_in_the_middle_of_key_create_loses_no_key_that_was_printed() {
    let place = Place::with_app();
    let clock = SystemClock::new();
    let mut keys = vec![place.create_key()];
    let whole = clock.monotonic().since(Monotonic::default());
    for round in 0..ROUNDS {
        let mut command = place.command(&["key", "create", "--json"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        // Not to wait for something: to kill it at another moment of its life each time.
        std::thread::sleep(whole * round / (ROUNDS - 10));
        child.kill().expect("killed, or ended already");
        keys.extend(printed(&child.wait_with_output().expect("it ends").stdout));
    }
    keys.push(place.create_key());
    let known = ids(&place);
    for key in &keys {
        assert!(
            known.contains(&key.id),
            "{} was printed and is lost",
            key.id
        );
        assert!(verifies(&place, key));
    }
}

#[test]
fn a_kill_of_the_server_in_the_middle_of_key_create_loses_no_key_that_was_printed() {
    let place = Place::with_app();
    let mut keys = Vec::new();
    for kill_after in 1..=4 {
        let server = place.serve(&[]);
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (place, tell) = (&place, tell.clone());
                scope.spawn(move || {
                    for _ in 0..4 {
                        let run = place.run(&["key", "create", "--json"]);
                        let key = printed(run.out.as_bytes());
                        assert!(key.is_some() || run.code != 0, "{}", run.err);
                        tell.send(key).expect("somebody listens");
                    }
                });
            }
            drop(tell);
            keys.extend(told.iter().flatten().take(kill_after));
            // The other creators are in the middle of it.
            server.kill();
            keys.extend(told.iter().flatten());
        });
    }
    let known = ids(&place);
    assert!(keys.len() > 4);
    for key in &keys {
        assert!(
            known.contains(&key.id),
            "{} was printed and is lost",
            key.id
        );
    }
    assert!(verifies(&place, &keys[0]));
}

#[test]
fn a_restart_keeps_apps_keys_and_revocations() {
    let place = Place::new();
    let first = place.serve(&["--dev"]);
    let key = Key::of(&first.ready);
    let other = place.create_key();
    place.ok(&["app", "revoke-tokens", "demo", "--jti", "gone"]);
    place.ok(&["key", "revoke", &other.id]);
    first.kill();

    let second = place.serve(&["--dev"]);
    assert_eq!(
        Key::of(&second.ready).secret,
        key.secret,
        "the second dev start knows it again"
    );
    assert_eq!(place.json(&["key", "show", &other.id])["state"], "revoked");
    let token = place.token(
        &key,
        &["--jti", "gone", "--api", &second.url(), "--iat", "-1m"],
    );
    let run = place.run(&["token", "verify", &token, "--data", "hexline-data"]);
    assert!(run.out.starts_with("invalid: token_revoked"), "{}", run.out);
    assert_eq!(second.stop("-TERM"), Some(0));
    assert!(!place.data("control.sock").exists());
}

#[test]
fn the_master_key_is_rotated_with_and_without_a_server() {
    let place = Place::with_app();
    let key = place.create_key();
    let before = std::fs::read(place.data("master.key")).expect("there");
    assert_eq!(place.json(&["master-key", "rotate"])["secrets"], 1);
    let between = std::fs::read(place.data("master.key")).expect("there");
    assert_ne!(before, between);
    assert!(verifies(&place, &key));
    let server = place.serve(&[]);
    assert_eq!(place.json(&["master-key", "rotate"])["secrets"], 1);
    assert_ne!(
        between,
        std::fs::read(place.data("master.key")).expect("there")
    );
    let later = place.create_key();
    assert_eq!(server.stop("-INT"), Some(0));
    assert!(verifies(&place, &key) && verifies(&place, &later));
    // The key of before is not taken any more, and says what to do.
    std::fs::write(place.data("master.key"), before).expect("written");
    let run = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(run.code, 6);
    assert!(run.err.contains("HEXLINE_MASTER_KEY_FILE"), "{}", run.err);
}

#[test]
fn an_interrupted_rotation_is_settled_by_the_next_command() {
    let place = Place::with_app();
    let key = place.create_key();
    let old = std::fs::read(place.data("master.key")).expect("there");
    place.ok(&["master-key", "rotate"]);
    // As after a crash between the database's commit and the rename.
    std::fs::rename(place.data("master.key"), place.data("master.key.next")).expect("renamed");
    std::fs::write(place.data("master.key"), old).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(place.data("master.key"), mode).expect("changed");
    place.ok(&["key", "list"]);
    assert!(!place.data("master.key.next").exists());
    assert!(verifies(&place, &key));
}

// Regression: looking at a token settled a rotation that was under way in another process and
// removed the key that the database was about to be sealed with.
#[test]
fn looking_at_a_token_leaves_a_rotation_alone() {
    let place = Place::with_app();
    let key = place.create_key();
    let old = std::fs::read(place.data("master.key")).expect("there");
    let private = || std::os::unix::fs::PermissionsExt::from_mode(0o600);
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(place.data(name), bytes).expect("written");
        std::fs::set_permissions(place.data(name), private()).expect("changed");
    };
    // Before the commit: the next key is of no use yet.
    let other = Place::with_app();
    let next = std::fs::read(other.data("master.key")).expect("there");
    put("master.key.next", &next);
    assert!(verifies(&place, &key));
    assert_eq!(
        std::fs::read(place.data("master.key.next")).expect("still there"),
        next
    );
    // After it: the next key is the one in force.
    place.ok(&["master-key", "rotate"]);
    let new = std::fs::read(place.data("master.key")).expect("there");
    put("master.key.next", &new);
    put("master.key", &old);
    assert!(verifies(&place, &key));
    assert_eq!(
        std::fs::read(place.data("master.key.next")).expect("still there"),
        new
    );
    assert_eq!(std::fs::read(place.data("master.key")).expect("there"), old);
}

// Regression: commands that only look made a database and a master key wherever they were run.
#[test]
fn looking_makes_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("hexline-data")).expect("made");
    let key = Key {
        id: "f".repeat(32),
        secret: "s".repeat(43),
    };
    let token = place.token(&key, &[]);
    for command in [
        &["app", "list"][..],
        &["key", "list"],
        &["key", "create"],
        &["master-key", "rotate"],
        &["token", "verify", &token, "--data", "hexline-data"],
    ] {
        let run = place.run(command);
        assert_eq!(run.code, 4, "{command:?}: {}", run.err);
        assert!(run.err.contains("hexline app create"), "{}", run.err);
    }
    let made = std::fs::read_dir(place.path().join("hexline-data")).expect("listed");
    assert_eq!(made.count(), 0);
}

const ROUNDS: u32 = 40;
