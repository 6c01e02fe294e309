use serde_json::{Map, Value, json};

use crate::keys::KEYS;
use crate::{build, validate, verify};

/// The whole document; `previous` lends its ES256 and PS256 signatures.
pub(crate) fn document(previous: Option<&Value>) -> Value {
    let old = previous.and_then(|document| document["cases"].as_array());
    let mut cases = Vec::new();
    let all = build::cases()
        .into_iter()
        .chain(verify::cases())
        .chain(validate::cases());
    for (mut case, number) in all.zip(1..) {
        case["number"] = json!(number);
        keep_signature(&mut case, old);
        cases.push(case);
    }
    let keys: Map<_, _> = KEYS
        .iter()
        .map(|key| (key.name.to_owned(), key.json()))
        .collect();
    json!({
        "about": "Hexline access tokens; how to use this file: vectors/README.md",
        "version": 1,
        "keys": keys,
        "policy": verify::default_policy(),
        "cases": cases,
    })
}

fn keep_signature(case: &mut Value, old: Option<&Vec<Value>>) {
    let Some(token) = case["token"].as_str().map(str::to_owned) else {
        return;
    };
    if !is_random(&token) {
        return;
    }
    let signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
    let same = old.into_iter().flatten().find_map(|other| {
        let kept = other["token"].as_str()?;
        (other["title"] == case["title"] && signed(kept) == signed(&token)).then_some(kept)
    });
    if let Some(kept) = same {
        case["token"] = json!(kept);
    }
}

/// Whether a token's signature would be another one each time.
pub(crate) fn is_random(token: &str) -> bool {
    hexline_token::UnverifiedToken::parse(token)
        .is_ok_and(|token| matches!(token.algorithm_name(), Some("ES256" | "PS256")))
}
