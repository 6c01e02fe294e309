//! Tokens, what they are checked against, and the verdict. To add a case: a line at the end of
//! the list that it belongs to.

mod claims;
mod form;
mod grants;
mod keys;
mod sources;

use hexline_token::jws::sign_unchecked;
use serde_json::{Value, json};

use crate::keys::Key;

/// The `iat` of most tokens here, and the time at which they are checked.
const NOW: i64 = 1_490_479_599;

/// What a case does not say otherwise.
pub(crate) fn default_policy() -> Value {
    json!({
        "audiences": ["http://localhost:8000"],
        "leeway_ms": 10_000,
        "longest_ttl_s": 2_592_000,
        "exp_required": true,
        "jwks": [],
        "revoked_keys": {},
        "expired_keys": {},
        "ceilings": {},
        "revocations": [],
        "app_disabled": false,
    })
}

/// Tokens, what they are checked against, and the verdict.
pub(crate) fn cases() -> Vec<Value> {
    let mut list = List::default();
    form::form(&mut list);
    keys::keys(&mut list);
    keys::algorithms(&mut list);
    claims::audiences(&mut list);
    claims::times(&mut list);
    claims::claims(&mut list);
    sources::sources(&mut list);
    grants::revocations(&mut list);
    grants::grants(&mut list);
    list.0
}

#[derive(Default)]
struct List(Vec<Value>);

impl List {
    /// Adds a case; `more` overrides its members.
    fn add(&mut self, title: &str, token: String, reason: &str, more: &Value) {
        let mut case = json!({
            "kind": "verify",
            "title": title,
            "token": Value::String(token),
            "access": "client",
            "now_ms": NOW * 1000,
            "policy": {},
            "reason": if reason.is_empty() { Value::Null } else { json!(reason) },
        });
        for (name, value) in more.as_object().expect("an object") {
            case[name] = value.clone();
        }
        self.0.push(case);
    }

    fn refused(&mut self, title: &str, token: String, reason: &str) {
        self.add(title, token, reason, &json!({}));
    }

    fn valid(&mut self, title: &str, token: String) {
        self.add(title, token, "", &json!({}));
    }
}

/// A token with a right signature over whatever it says.
fn forge(key: &str, header: &str, claims: &str) -> String {
    sign_unchecked(header, claims.as_bytes(), &Key::of(key).private()).expect("signs")
}

fn signed(claims: &str) -> String {
    forge("hs256", HEADER, claims)
}

/// Good claims of a key, with some of them replaced (`null` takes one away).
fn claims_of(key: &str, replace: &Value) -> String {
    let mut claims = json!({
        "aud": "http://localhost:8000/client/v1",
        "sub": "alice/web1",
        "grants": {"signal": true},
        "iss": Key::of(key).id,
        "iat": NOW,
        "exp": NOW + 3600,
    });
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in replace.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims.to_string()
}

fn with(replace: &Value) -> String {
    signed(&claims_of("hs256", replace))
}

/// The same token, but the last character of its signature has a bit set that is not used.
fn unused_bits(token: &str) -> String {
    let last = token.bytes().last().expect("not empty");
    let next = char::from(last + 1); // a signature of 32 bytes leaves the two lowest bits unused
    format!("{}{next}", &token[..token.len() - 1])
}

fn seconds(seconds: i64) -> f64 {
    i32::try_from(seconds).expect("before 2038").into()
}

const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
