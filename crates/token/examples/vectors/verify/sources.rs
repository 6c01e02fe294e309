use serde_json::{Value, json};

use super::{List, NOW, with};
use crate::keys::Key;

/// Tokens that others were exchanged for, by the claim `src`.
pub(super) fn sources(list: &mut List) {
    let other = Key::of("other").id;
    let of = |sources: Value| with(&json!({"jti": "j1", "src": sources}));
    let one = || of(json!([{"iss": other, "jti": "s1"}]));
    let policy = |policy: Value| json!({"policy": policy});
    list.valid("a src with a key and a jti", one());
    list.valid("a src without a jti", of(json!([{"iss": other}])));
    list.valid("an empty src", of(json!([])));
    let entry = |n: u8| json!({"iss": other, "jti": format!("s{n}")});
    list.valid("a src of four", of((1..=4).map(entry).collect()));
    list.add(
        "a src whose key was revoked",
        one(),
        "key_revoked",
        &policy(json!({"revoked_keys": {"other": NOW - 60}})),
    );
    list.add(
        "a src whose key has expired",
        one(),
        "key_expired",
        &policy(json!({"expired_keys": {"other": NOW - 60}})),
    );
    list.refused(
        "a src whose key is unknown",
        of(json!([{"iss": other}, {"iss": "00000000000000000000000000000000"}])),
        "key_unknown",
    );
    list.add(
        "a src that was revoked by its jti",
        of(json!([{"iss": other}, {"iss": other, "jti": "s1"}])),
        "token_revoked",
        &policy(json!({"revocations": [{"jti": "s1"}]})),
    );
    list.add(
        "a src where another jti was revoked",
        one(),
        "",
        &policy(json!({"revocations": [{"jti": "s2"}]})),
    );
    for (title, sources) in [
        ("a src of five", (1..=5).map(entry).collect()),
        ("a src that is no list", json!({"iss": other})),
        ("a src with a text in it", json!([other])),
        ("a src without an iss", json!([{"jti": "s1"}])),
        ("a src with an empty iss", json!([{"iss": ""}])),
        ("a src with an iss that is no string", json!([{"iss": 1}])),
        (
            "a src with an empty jti",
            json!([{"iss": other, "jti": ""}]),
        ),
        (
            "a src with a member that nobody knows",
            json!([{"iss": other, "sub": "alice/web1"}]),
        ),
    ] {
        list.refused(title, of(sources), "claim_invalid");
    }
}
