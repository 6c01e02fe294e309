//! What the server answers to those who mean it harm, by classes.
//!
//! Each file is a class and says in its head what it promises. `./check` counts the tests of each
//! class and fails where there are none; a test here fails where a class is not counted.
//!
//! Invariant: what a class goes through (operations, settings that hold a URL) it takes from
//! `/openapi.json`, so that what is new is covered without a line here, or the class fails and
//! names it.
//!
//! To add a class: a file here, and a line in `suites` of `./check`.

mod cross_app;
mod malformed_http;
mod malformed_websocket;
mod races;
mod routes;
mod sockets;
mod ssrf;

/// The folder that a crate stands in.
const CRATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn every_class_is_counted_by_check() {
    let check = std::fs::read_to_string(format!("{CRATES}/../check")).expect("the script");
    let files = std::fs::read_dir(format!("{CRATES}/tests/tests/it/hostile")).expect("this folder");
    let mut classes = 0;
    for file in files {
        let name = file.expect("a file").file_name();
        let name = name.to_str().expect("a plain name").replace(".rs", "");
        if name == "mod" {
            continue;
        }
        let line = format!("\"tests|hostile: {name}|hostile::{name}\"");
        assert!(check.contains(&line), "suites of ./check wants {line}");
        classes += 1;
    }
    assert!(classes > 0, "there are classes");
}
