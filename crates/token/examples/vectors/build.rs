use hexline_model::Timestamp;
use hexline_token::{Json, TokenBuilder};
use serde_json::{Value, json};

use crate::keys::Key;

/// The moment of the reference token.
const NOW_MS: i64 = 1_490_479_599_000;

/// Input of a builder and the token that comes out.
pub(crate) fn cases() -> Vec<Value> {
    let mut cases = Vec::new();
    for (title, key, calls) in inputs() {
        cases.push(case(title, key, NOW_MS, &calls));
    }
    let client = json!([["identity", "alice"], ["device", "web1"]]);
    cases.push(case(
        "iat is in whole seconds, rounded down",
        "hs256",
        NOW_MS + 999,
        &client,
    ));
    for (title, calls) in refusals() {
        cases.push(json!({
            "kind": "build_refused", "title": title, "key": "hs256", "now_ms": NOW_MS, "calls": calls,
        }));
    }
    cases
}

/// Runs the calls of a case on a builder.
pub(crate) fn run(key: &str, now_ms: i64, calls: &Value) -> Result<String, String> {
    let mut builder = TokenBuilder::create();
    if key != "none" {
        builder = Key::of(key).sign(builder);
    }
    for call in calls.as_array().expect("a list of calls") {
        let text = |n: usize| call[n].as_str().unwrap_or_default();
        let whole = || call[1].as_i64().unwrap_or_default();
        builder = match text(0) {
            "access" => builder.access(text(1)),
            "api" => builder.api(text(1)),
            "env" => builder.env(text(1)),
            "aud" => builder.aud(text(1)),
            "identity" => builder.identity(text(1)),
            "device" => builder.device(text(1)),
            "grant" => builder.grant(text(1), call[2].clone()),
            "grants" => builder.grants(call[1].clone()),
            "profile" => builder.profile(call[1].clone()),
            "profile_json" => builder.profile(Json::parse(text(1)).map_err(|e| e.to_string())?),
            "ttl" => builder.ttl(whole().unsigned_abs()),
            "exp" => builder.exp(whole()),
            "nbf" => builder.nbf(whole()),
            "jti" => builder.jti(text(1)),
            "kid" => builder.kid(text(1)),
            "key" => builder.key(text(1), text(2)),
            other => return Err(format!("no such call: {other}")),
        };
    }
    builder
        .build_at(Timestamp::from_millis(now_ms))
        .map_err(|error| error.to_string())
}

fn case(title: &str, key: &str, now_ms: i64, calls: &Value) -> Value {
    let token = run(key, now_ms, calls).unwrap_or_else(|error| panic!("{title}: {error}"));
    let unverified = hexline_token::UnverifiedToken::parse(&token).expect("well formed");
    json!({
        "kind": "build",
        "title": title,
        "key": key,
        "now_ms": now_ms,
        "calls": calls,
        "header": unverified.header_json(),
        "claims": unverified.claims_json(),
        "signature": if matches!(key, "es256" | "ps256") { "random" } else { "exact" },
        "token": token,
    })
}

fn client(more: Value) -> Value {
    let mut calls = json!([["identity", "alice"], ["device", "web1"]]);
    let list = calls.as_array_mut().expect("a list");
    if let Value::Array(more) = more {
        list.extend(more);
    }
    calls
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn inputs() -> Vec<(&'static str, &'static str, Value)> {
    let mut inputs = vec![
        (
            "the reference token",
            "hs256",
            json!([
                ["env", "dev"],
                ["identity", "carol1"],
                ["device", "web-1"],
                ["grant", "signal", true],
                ["exp", 1_490_480_108]
            ]),
        ),
        (
            "the guide's sample",
            "hs256",
            json!([
                ["access", "client"],
                ["grants", {"chat": true, "signal": true, "video": true}],
                ["identity", "alice"],
                ["device", "web1"],
                ["ttl", 3600]
            ]),
        ),
        (
            "without ttl and exp a token lives an hour; grants are an empty object",
            "hs256",
            client(json!([])),
        ),
        ("ttl", "hs256", client(json!([["ttl", 60]]))),
        ("a ttl of zero", "hs256", client(json!([["ttl", 0]]))),
        ("exp", "hs256", client(json!([["exp", 1_500_000_000]]))),
        (
            "exp wins over ttl, whichever came first",
            "hs256",
            client(json!([["exp", 1_500_000_000], ["ttl", 60]])),
        ),
        (
            "nbf stands between iat and exp",
            "hs256",
            client(json!([["nbf", 1_490_479_600]])),
        ),
        (
            "jti stands after exp",
            "hs256",
            client(json!([["jti", "0123456789abcdef"]])),
        ),
        (
            "all claims in their order",
            "hs256",
            client(json!([
                ["profile", {"name": "Alice"}], ["jti", "j1"], ["nbf", 1_490_479_599], ["grant", "push", true]
            ])),
        ),
        ("env", "hs256", client(json!([["env", "prod"]]))),
        (
            "api",
            "hs256",
            client(json!([["api", "https://talk.example.org"]])),
        ),
        (
            "api with a path",
            "hs256",
            client(json!([["api", "https://example.org/talk"]])),
        ),
        (
            "slashes at the end of api are dropped",
            "hs256",
            client(json!([["api", "https://example.org/talk//"]])),
        ),
        (
            "the later of api and env counts",
            "hs256",
            client(json!([["api", "https://example.org"], ["env", "dev"]])),
        ),
        (
            "api is otherwise taken as it is",
            "hs256",
            client(json!([["api", "HTTPS://Example.org:443"]])),
        ),
        (
            "aud overrides api, env and access",
            "hs256",
            client(json!([
                ["aud", "http://127.0.0.1:8080/client"],
                ["api", "https://example.org"]
            ])),
        ),
        (
            "a platform token has no sub, even with identity and device",
            "hs256",
            client(json!([["access", "platform"], ["grant", "platform", true]])),
        ),
        (
            "a platform token without identity and device",
            "hs256",
            json!([
                ["access", "platform"], ["grants", {"platform": {"keys": true, "tokens": true}}]
            ]),
        ),
        (
            "grant keeps the order of the first calls",
            "hs256",
            client(json!([
                ["grant", "video", true],
                ["grant", "chat", true],
                ["grant", "signal", true]
            ])),
        ),
        (
            "granting again replaces the value in its place",
            "hs256",
            client(json!([
                ["grant", "video", true], ["grant", "chat", true], ["grant", "video", {"sessions": ["s1"]}]
            ])),
        ),
        (
            "grants replaces what was granted",
            "hs256",
            client(json!([
                ["grant", "push", true], ["grants", {"chat": true}]
            ])),
        ),
        (
            "grant adds after grants",
            "hs256",
            client(json!([
                ["grants", {"signal": true, "video": true}], ["grant", "chat", true]
            ])),
        ),
        (
            "narrowed grants",
            "hs256",
            client(json!([["grants", {
                "chat": {"conversations": ["c1"], "create": false},
                "signal": {"channels": ["news.*"], "publish": false},
                "video": {"publish": ["audio"], "sessions": ["s1"]}
            }]])),
        ),
        (
            "false and unknown services are written as given",
            "hs256",
            client(json!([
                ["grants", {"chat": false, "sms": {"to": ["+1"]}}]
            ])),
        ),
        (
            "an identity beyond ASCII stays UTF-8",
            "hs256",
            json!([["identity", "zoë 😀"], ["device", "überphone"]]),
        ),
        (
            "an identity of 256 bytes",
            "hs256",
            json!([["identity", "é".repeat(128)], ["device", "web1"]]),
        ),
        (
            "quotes and backslashes are escaped, a slash is not",
            "hs256",
            json!([
                ["identity", "a\"b\\c"],
                ["device", "web1"],
                ["profile", "a/b"]
            ]),
        ),
        (
            "control characters: short forms, else \\u00xx in lower case",
            "hs256",
            client(json!([[
                "profile",
                "\u{8}\u{9}\u{a}\u{c}\u{d}\u{0}\u{1}\u{b}\u{e}\u{1f}"
            ]])),
        ),
        (
            "DEL, C1 and line separators are not escaped",
            "hs256",
            client(json!([[
                "profile",
                "\u{7f}\u{80}\u{a0}\u{2028}\u{2029}\u{feff}\u{fffd}"
            ]])),
        ),
        (
            "characters beyond the BMP are not escaped",
            "hs256",
            client(json!([["profile", "😀𝄞"]])),
        ),
        (
            "member names are escaped like strings",
            "hs256",
            client(json!([["profile", {"a\"\n": 1}]])),
        ),
        (
            "a whole double prints without a point",
            "hs256",
            client(json!([["profile", [1.0, 100.0, -3.0, 1e3]]])),
        ),
        (
            "negative zero prints as zero",
            "hs256",
            client(json!([["profile", [-0.0, 0.0, 0]]])),
        ),
        (
            "fractions",
            "hs256",
            client(json!([[
                "profile",
                [0.1, -1.5, 4.35, 1_490_479_599.25, 0.3]
            ]])),
        ),
        (
            "big numbers switch to an exponent at 1e21",
            "hs256",
            client(json!([[
                "profile",
                [
                    1e20,
                    123_456_789_012_345_680_000.0,
                    1e21,
                    1.5e300,
                    1.234_567_890_123_456_8e21
                ]
            ]])),
        ),
        (
            "small numbers switch to an exponent below 1e-6",
            "hs256",
            client(json!([[
                "profile",
                [0.000_001, 0.000_001_25, 1e-7, 1.25e-9, 5e-324]
            ]])),
        ),
        (
            "the largest double",
            "hs256",
            client(json!([["profile", f64::MAX]])),
        ),
        (
            "integers beyond 2^53 are doubles",
            "hs256",
            client(json!([[
                "profile",
                [
                    9_007_199_254_740_991_i64,
                    9_007_199_254_740_993_i64,
                    u64::MAX
                ]
            ]])),
        ),
        (
            "null, booleans, empty values",
            "hs256",
            client(json!([["profile", [null, true, false, "", [], {}]]])),
        ),
        (
            "a profile of null is written",
            "hs256",
            client(json!([["profile", null]])),
        ),
        (
            "objects are sorted by name where the language has no order, at every depth",
            "hs256",
            client(json!([
                ["profile", {"B": 1, "a": {"y": 1, "z": 2}, "é": 3, "b": 2}]
            ])),
        ),
        (
            "profile as JSON text keeps its order and loses its white space",
            "hs256",
            client(json!([[
                "profile_json",
                "{ \"b\": 1.0, \"a\": [ \"\\u00e9\\/\", 1E3 ] }"
            ]])),
        ),
        (
            "the secret's text is the key, in UTF-8",
            "binary",
            client(json!([["grant", "signal", true]])),
        ),
        (
            "a kid in the header, for a key of a JWKS",
            "eddsa",
            client(json!([["kid", "2026-11"]])),
        ),
    ];
    for key in ["hs384", "hs512", "eddsa", "rs256", "es256", "ps256"] {
        inputs.push((
            match key {
                "hs384" => "HS384",
                "hs512" => "HS512",
                "eddsa" => "EdDSA",
                "rs256" => "RS256",
                "es256" => "ES256: header and claims are exact, the signature verifies",
                _ => "PS256: header and claims are exact, the signature verifies",
            },
            key,
            client(json!([
                ["grant", "signal", true],
                ["grant", "chat", true],
                ["ttl", 600]
            ])),
        ));
    }
    inputs
}

fn refusals() -> Vec<(&'static str, Value)> {
    let deep = format!("{}1{}", "[".repeat(15), "]".repeat(15));
    vec![
        ("no identity", json!([["device", "web1"]])),
        ("no device", json!([["identity", "alice"]])),
        (
            "an empty identity",
            json!([["identity", ""], ["device", "web1"]]),
        ),
        (
            "a slash in the identity",
            json!([["identity", "a/b"], ["device", "web1"]]),
        ),
        (
            "a slash in the device",
            json!([["identity", "a"], ["device", "b/c"]]),
        ),
        (
            "a control character in the identity",
            json!([["identity", "a\u{7}"], ["device", "web1"]]),
        ),
        (
            "white space around the device",
            json!([["identity", "a"], ["device", "web1 "]]),
        ),
        (
            "an identity of 257 bytes",
            json!([["identity", "x".repeat(257)], ["device", "web1"]]),
        ),
        ("another access", client(json!([["access", "admin"]]))),
        ("an empty jti", client(json!([["jti", ""]]))),
        (
            "a jti of 1025 bytes",
            client(json!([["jti", "j".repeat(1025)]])),
        ),
        (
            "a control character in the jti",
            client(json!([["jti", "a\u{7f}"]])),
        ),
        (
            "grants that are no object",
            client(json!([["grants", ["signal"]]])),
        ),
        (
            "an empty key id",
            client(json!([[
                "key",
                "",
                "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE"
            ]])),
        ),
        (
            "a secret of 31 bytes",
            client(json!([["key", "k1", "0123456789012345678901234567890"]])),
        ),
        (
            "a token of more than 8192 bytes",
            client(json!([["profile", "x".repeat(6000)]])),
        ),
        (
            "claims of more than 16 levels",
            client(json!([["profile_json", format!("[{deep}]")]])),
        ),
        (
            "a character that reorders text in the identity",
            json!([["identity", "alice\u{202e}"], ["device", "web1"]]),
        ),
        (
            "a character that hides in the device",
            json!([["identity", "alice"], ["device", "we\u{200b}b1"]]),
        ),
    ]
}
