use crate::program::Place;

#[test]
fn an_operator_is_invited_changed_and_removed_without_a_server() {
    let place = Place::with_app();
    let made = place.json(&[
        "operator",
        "add",
        "Adam@example.org",
        "--role",
        "admin",
        "--app",
        "demo",
    ]);
    assert_eq!(made["operator"]["email"], "adam@example.org");
    assert_eq!(made["operator"]["apps"][0], "demo");
    assert_eq!(made["operator"]["state"], "invited");
    let link = made["invitation_url"].as_str().expect("a link");
    assert!(link.starts_with("http://localhost:8000/console/invitation#"));
    let show = ["operator", "show", "adam@example.org"];
    assert!(place.ok(&show).contains("admin"));
    assert!(place.ok(&["operator", "list"]).contains("invited"));
    let reset = place.json(&["operator", "reset", "adam@example.org"]);
    assert_ne!(reset["invitation_url"], link, "the old link is dead");
    let changed = place.json(&["operator", "role", "adam@example.org", "viewer"]);
    assert_eq!(changed["role"], "viewer");
    assert!(changed["apps"].is_null(), "all of them");
    let id = changed["id"].as_str().expect("an id");
    assert_eq!(
        place.json(&["operator", "disable", id])["state"],
        "disabled"
    );
    assert_eq!(place.json(&["operator", "enable", id])["state"], "invited");
    place.ok(&["operator", "remove", id]);
    assert_eq!(place.run(&show).code, 4);
}

#[test]
fn what_is_wrong_with_an_operator_has_its_exit_code() {
    let place = Place::with_app();
    place.ok(&["operator", "add", "adam@example.org"]);
    for (args, code) in [
        (&["operator", "add", "adam@example.org"][..], 5),
        (&["operator", "add", "no address"], 2),
        (&["operator", "add", "b@example.org", "--role", "king"], 2),
        (&["operator", "add", "b@example.org", "--app", "none"], 4),
        (&["operator", "show", "nobody@example.org"], 4),
        (&["operator", "role", "nobody@example.org", "owner"], 4),
    ] {
        assert_eq!(place.run(args).code, code, "{args:?}");
    }
}

#[test]
fn a_link_that_could_not_be_written_is_not_lost_silently() {
    let place = Place::with_app();
    let run = place.run_unread(&["operator", "add", "adam@example.org"]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("operator reset adam@example.org"),
        "{}",
        run.err
    );
}

#[test]
fn a_running_server_makes_the_link_with_its_own_url() {
    let place = Place::new();
    let server = place.serve(&[]);
    let made = place.json(&["operator", "add", "olga@example.org", "--role", "owner"]);
    let link = made["invitation_url"].as_str().expect("a link");
    assert!(link.starts_with(&format!("{}/console/invitation#", server.url())));
}
