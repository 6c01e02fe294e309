use serde_json::Value;

use crate::program::{Place, Run};

fn outcome(run: &Run, name: &str) -> String {
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    let checks = report["checks"].as_array().expect("checks").clone();
    let check = checks
        .iter()
        .find(|check| check["name"] == name)
        .expect("the check was run");
    check["outcome"].as_str().expect("an outcome").to_owned()
}

fn doctor(place: &Place, env: &[(&str, &str)]) -> Run {
    let env = [&[("HEXLINE_LISTEN", "127.0.0.1:0")], env].concat();
    place.run_with(&["doctor", "--json"], &env)
}

#[test]
fn a_fresh_directory_and_a_used_one_are_healthy() {
    let place = Place::new();
    assert_eq!(doctor(&place, &[]).code, 0);
    assert!(
        !place.path().join("hexline-data").exists(),
        "looking makes nothing"
    );
    place.ok(&["app", "create", "demo"]);
    let run = doctor(&place, &[]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(outcome(&run, "database"), "ok");
    let text = place.run_with(&["doctor"], &[("HEXLINE_LISTEN", "127.0.0.1:0")]);
    assert!(text.out.contains("master key"), "{}", text.out);
}

#[test]
fn what_is_wrong_is_named_with_a_remedy() {
    let place = Place::with_app();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(place.data("master.key"), open).expect("changed");
    place.write("bad.pem", "nothing");
    let tls = [
        ("HEXLINE_TLS_CERT_FILE", "bad.pem"),
        ("HEXLINE_TLS_KEY_FILE", "bad.pem"),
    ];
    let run = doctor(&place, &tls);
    assert_eq!(run.code, 1);
    assert_eq!(outcome(&run, "master key"), "fail");
    assert_eq!(outcome(&run, "TLS"), "fail");
    assert_eq!(outcome(&run, "data directory"), "ok");
    assert!(run.out.contains("chmod 600"), "{}", run.out);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let run = place.run_with(&["doctor", "--json"], &[("HEXLINE_LISTEN", &address)]);
    assert_eq!(outcome(&run, "listen"), "fail");

    let run = doctor(&place, &[("HEXLINE_DRAIN", "soon")]);
    assert_eq!(
        (run.code, outcome(&run, "configuration").as_str()),
        (1, "fail")
    );
}

#[test]
fn plain_http_on_a_public_address_is_warned_of() {
    let place = Place::with_app();
    let run = place.run_with(&["doctor", "--json"], &[("HEXLINE_LISTEN", "0.0.0.0:0")]);
    assert_eq!((run.code, outcome(&run, "network").as_str()), (0, "warn"));
    assert!(run.out.contains("public_url is not set"), "{}", run.out);
    let behind_a_proxy = [
        ("HEXLINE_LISTEN", "0.0.0.0:0"),
        ("HEXLINE_PUBLIC_URL", "https://chat.example"),
        ("HEXLINE_TRUSTED_PROXIES", "10.0.0.1"),
    ];
    let run = place.run_with(&["doctor", "--json"], &behind_a_proxy);
    assert!(!run.out.contains("\"network\""), "{}", run.out);
}

// Regression: any well-formed master key was called "ok", and the next start failed.
#[test]
fn a_master_key_of_another_database_is_found_out() {
    let place = Place::with_app();
    place.create_key();
    let fine = doctor(&place, &[]);
    assert_eq!(outcome(&fine, "master key"), "ok", "{}", fine.out);

    let other = Place::with_app();
    let right = std::fs::read(place.data("master.key")).expect("there");
    let wrong = std::fs::read(other.data("master.key")).expect("there");
    std::fs::write(place.data("master.key"), &wrong).expect("written");
    let run = doctor(&place, &[]);
    assert_eq!(
        (run.code, outcome(&run, "master key").as_str()),
        (1, "fail")
    );
    assert!(run.out.contains("fingerprint"), "{}", run.out);

    std::fs::copy(place.data("master.key"), place.data("master.key.next")).expect("copied");
    std::fs::write(place.data("master.key.next"), &right).expect("written");
    let run = doctor(&place, &[]);
    assert_eq!(
        (run.code, outcome(&run, "master key").as_str()),
        (0, "warn")
    );

    std::fs::remove_file(place.data("master.key.next")).expect("removed");
    std::fs::remove_file(place.data("master.key")).expect("removed");
    let run = doctor(&place, &[]);
    assert_eq!(
        (run.code, outcome(&run, "master key").as_str()),
        (1, "fail")
    );
}

#[test]
fn a_master_key_that_was_exchanged_under_a_running_server_is_found_out() {
    let place = Place::new();
    let server = place.serve(&[]);
    let listen = server.url().replace("http://localhost", "127.0.0.1");
    let doctor = || place.run_with(&["doctor", "--json"], &[("HEXLINE_LISTEN", &listen)]);
    assert_eq!(outcome(&doctor(), "master key"), "ok");
    let other = Place::with_app();
    let wrong = std::fs::read(other.data("master.key")).expect("there");
    std::fs::write(place.data("master.key"), &wrong).expect("written");
    let run = doctor();
    assert_eq!(
        (run.code, outcome(&run, "master key").as_str()),
        (1, "fail")
    );
}

#[test]
fn a_running_server_is_recognised() {
    let place = Place::new();
    let server = place.serve(&[]);
    let listen = server.url().replace("http://localhost", "127.0.0.1");
    let run = place.run_with(&["doctor", "--json"], &[("HEXLINE_LISTEN", &listen)]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(outcome(&run, "listen"), "ok");
    assert_eq!(outcome(&run, "reachable"), "ok");
}
