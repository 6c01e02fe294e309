//! Writes `vectors/tokens.json` and `vectors/webhooks.json`: `cargo run -p hexline-token --example vectors`.
//!
//! The same program text makes the cases in the tests, where they are compared with the file. To
//! add a case: a line in `build.rs`, `verify/` or `validate.rs`; then run this. Cases are numbered
//! in the order of the text, so add at the end of a list.
//!
//! ES256 and PS256 signatures differ each time they are made; the file's own are kept where what
//! is signed has not changed, so that running this twice changes nothing.

mod build;
mod cases;
mod check;
mod keys;
mod validate;
mod verify;
mod webhooks;

use std::path::Path;

/// Every case of `webhooks.json` holds, or says why not.
fn failures() -> Vec<String> {
    let document = webhooks::document();
    let cases = document["cases"].as_array().cloned().unwrap_or_default();
    let wrong = cases
        .iter()
        .filter(|case| case["expected"] != webhooks::outcome(case));
    wrong
        .map(|case| format!("{}: {}", case["title"], webhooks::outcome(case)))
        .collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/tokens.json");
    let previous = std::fs::read_to_string(&path).ok();
    let previous = previous.and_then(|text| serde_json::from_str(&text).ok());
    let document = cases::document(previous.as_ref());
    let mut failures = check::failures(&document);
    failures.extend(self::failures());
    for failure in &failures {
        eprintln!("{failure}");
    }
    if !failures.is_empty() {
        return Err("some cases do not hold; nothing was written".into());
    }
    std::fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")?;
    let path = path.with_file_name("webhooks.json");
    std::fs::write(
        &path,
        serde_json::to_string_pretty(&webhooks::document())? + "\n",
    )?;
    Ok(())
}
