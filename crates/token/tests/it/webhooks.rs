use serde_json::Value;

use crate::webhook_cases;

fn file() -> Value {
    let text = include_str!("../../../../vectors/webhooks.json");
    serde_json::from_str(text).expect("the file is JSON")
}

#[test]
fn the_file_is_what_the_program_writes() {
    let same = file() == webhook_cases::document();
    assert!(same, "run `cargo run -p hexline-token --example vectors`");
}

#[test]
fn every_webhook_of_the_file_is_judged_as_it_says() {
    let file = file();
    let cases = file["cases"].as_array().expect("a list");
    assert!(cases.len() > 20);
    for case in cases {
        let found = webhook_cases::outcome(case);
        assert_eq!(
            found,
            case["expected"].as_str().expect("text"),
            "{}",
            case["title"]
        );
    }
}
