use std::collections::BTreeSet;

use hexline_token::Reason;
use serde_json::Value;

use crate::{cases, check};

fn file() -> Value {
    let text = include_str!("../../../../vectors/tokens.json");
    serde_json::from_str(text).expect("the file is JSON")
}

#[test]
fn the_file_is_what_the_program_writes() {
    let file = file();
    let made = cases::document(Some(&file));
    for (ours, theirs) in made["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(file["cases"].as_array().into_iter().flatten())
    {
        assert_eq!(
            ours, theirs,
            "run `cargo run -p hexline-token --example vectors`"
        );
    }
    assert!(
        made == file,
        "run `cargo run -p hexline-token --example vectors`"
    );
}

#[test]
fn every_case_of_the_file_holds() {
    assert_eq!(check::failures(&file()), Vec::<String>::new());
}

#[test]
fn every_reason_has_a_case() {
    let file = file();
    let seen: BTreeSet<_> = file["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|case| case["reason"].as_str())
        .collect();
    for reason in Reason::ALL {
        assert!(seen.contains(reason.code()), "{reason}");
    }
}

#[test]
fn titles_tell_the_cases_apart() {
    let file = file();
    let mut seen = BTreeSet::new();
    for case in file["cases"].as_array().into_iter().flatten() {
        assert!(
            seen.insert((case["kind"].to_string(), case["title"].to_string())),
            "{}",
            case["title"]
        );
    }
    assert!(seen.len() > 120);
}
