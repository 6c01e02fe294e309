#![expect(clippy::too_many_lines, reason = "lists of cases")]

use serde_json::{Value, json};

use super::{List, NOW, claims_of, seconds, signed, with};

pub(super) fn audiences(list: &mut List) {
    let mismatch = "audience_mismatch";
    let aud = |aud: &Value| with(&json!({"aud": aud}));
    list.valid(
        "aud without the version",
        aud(&json!("http://localhost:8000/client")),
    );
    list.valid(
        "aud with a slash at the end",
        aud(&json!("http://localhost:8000/client/v1/")),
    );
    list.valid(
        "aud with scheme and host in upper case",
        aud(&json!("HTTP://LocalHost:8000/client/v1")),
    );
    list.refused(
        "aud with another path",
        aud(&json!("http://localhost:8000/Client/v1")),
        mismatch,
    );
    list.refused(
        "aud with another version",
        aud(&json!("http://localhost:8000/client/v2")),
        mismatch,
    );
    list.refused(
        "aud with another port",
        aud(&json!("http://localhost:8001/client/v1")),
        mismatch,
    );
    list.refused(
        "aud with another scheme",
        aud(&json!("https://localhost:8000/client/v1")),
        mismatch,
    );
    list.refused(
        "aud of another host",
        aud(&json!("https://api.dev.bit6.com/client/v1")),
        mismatch,
    );
    list.refused(
        "aud that only starts like ours",
        aud(&json!("http://localhost:8000.evil.example/client/v1")),
        mismatch,
    );
    list.refused(
        "aud with a query",
        aud(&json!("http://localhost:8000/client/v1?x")),
        mismatch,
    );
    list.refused(
        "the base alone",
        aud(&json!("http://localhost:8000")),
        mismatch,
    );
    list.refused("no aud", with(&json!({"aud": null})), mismatch);
    list.refused("an empty aud", aud(&json!("")), mismatch);
    list.valid(
        "an array with ours in it",
        aud(&json!([
            "https://else.example",
            "http://localhost:8000/client/v1"
        ])),
    );
    list.refused(
        "an array without ours",
        aud(&json!(["https://else.example"])),
        mismatch,
    );
    list.refused("an empty array", aud(&json!([])), mismatch);
    list.refused(
        "an array with something that is no string",
        aud(&json!(["http://localhost:8000/client/v1", 1])),
        mismatch,
    );
    list.refused("an aud that is a number", aud(&json!(8000)), mismatch);
    list.refused(
        "the door for platform tokens in a client's aud",
        aud(&json!("http://localhost:8000/platform/v1")),
        mismatch,
    );
    list.refused(
        "an aud that names both doors",
        aud(&json!([
            "http://localhost:8000/client/v1",
            "http://localhost:8000/platform/v1"
        ])),
        "claim_invalid",
    );
    list.valid(
        "client here and platform elsewhere",
        aud(&json!([
            "http://localhost:8000/client/v1",
            "https://else.example/platform/v1"
        ])),
    );
    list.valid(
        "platform elsewhere and client here",
        aud(&json!([
            "https://else.example/platform/v1",
            "http://localhost:8000/client/v1"
        ])),
    );
    list.valid(
        "the same audience in several spellings",
        aud(&json!([
            "http://localhost:8000/client",
            "HTTP://localhost:8000/client/v1/"
        ])),
    );
    list.refused(
        "both doors, but ours is the other one",
        aud(&json!([
            "https://else.example/client/v1",
            "http://localhost:8000/platform/v1"
        ])),
        mismatch,
    );
    list.add(
        "both doors, each at a base of ours",
        aud(&json!([
            "http://localhost:8000/client/v1",
            "https://example.org/platform/v1"
        ])),
        "claim_invalid",
        &json!({"policy": {"audiences": ["http://localhost:8000", "https://example.org"]}}),
    );
    let escaped = claims_of("hs256", &json!({}))
        .replace("localhost", "localh\\u006fst")
        .replace("/client", "\\/client");
    list.valid("an aud with escapes", signed(&escaped));
    let https =
        json!({"policy": {"audiences": ["https://Example.org:443/talk/", "http://[::1]:80"]}});
    list.add(
        "a base with a default port and a path",
        aud(&json!("https://example.org/talk/client")),
        "",
        &https,
    );
    list.add(
        "an aud with the default port",
        aud(&json!("https://example.org:443/talk/client/v1")),
        "",
        &https,
    );
    list.add(
        "an IPv6 base",
        aud(&json!("http://[::1]/client/v1")),
        "",
        &https,
    );
    list.add(
        "a base's path keeps its case",
        aud(&json!("https://example.org/Talk/client")),
        mismatch,
        &https,
    );
    list.add(
        "a base without its path",
        aud(&json!("https://example.org/client")),
        mismatch,
        &https,
    );
    let platform = with(
        &json!({"aud": "http://localhost:8000/platform/v1", "sub": null, "grants": {"platform": true}}),
    );
    list.add(
        "a platform token at the platform's door",
        platform.clone(),
        "",
        &json!({"access": "platform"}),
    );
    list.refused("a platform token at the client's door", platform, mismatch);
    list.add(
        "a client token at the platform's door",
        with(&json!({})),
        mismatch,
        &json!({"access": "platform"}),
    );
}

pub(super) fn times(list: &mut List) {
    let at = |ms: i64| json!({"now_ms": ms});
    let end = (NOW + 3600) * 1000;
    let invalid = "claim_invalid";
    list.add(
        "the last millisecond of exp plus leeway",
        with(&json!({})),
        "",
        &at(end + 9_999),
    );
    list.add(
        "exp plus leeway",
        with(&json!({})),
        "token_expired",
        &at(end + 10_000),
    );
    list.add(
        "long after exp",
        with(&json!({})),
        "token_expired",
        &at(end + 86_400_000),
    );
    list.add(
        "an iat ahead by the leeway",
        with(&json!({})),
        "",
        &at(NOW * 1000 - 10_000),
    );
    list.add(
        "an iat ahead by more than the leeway",
        with(&json!({})),
        "token_not_yet_valid",
        &at(NOW * 1000 - 10_001),
    );
    list.valid(
        "an nbf ahead by the leeway",
        with(&json!({"nbf": NOW + 10})),
    );
    list.refused(
        "an nbf ahead by more than the leeway",
        with(&json!({"nbf": NOW + 11})),
        "token_not_yet_valid",
    );
    list.valid("30 days", with(&json!({"exp": NOW + 2_592_000})));
    list.refused(
        "30 days and a second",
        with(&json!({"exp": NOW + 2_592_001})),
        "token_too_long",
    );
    list.add(
        "longer than the app allows",
        with(&json!({})),
        "token_too_long",
        &json!({"policy": {"longest_ttl_s": 3599}}),
    );
    list.add(
        "no leeway",
        with(&json!({})),
        "token_expired",
        &json!({"policy": {"leeway_ms": 0}, "now_ms": end}),
    );
    list.refused("no iat", with(&json!({"iat": null})), invalid);
    list.refused("no exp", with(&json!({"exp": null})), invalid);
    list.add(
        "no exp where the app allows it",
        with(&json!({"exp": null})),
        "",
        &json!({"policy": {"exp_required": false}}),
    );
    list.refused(
        "an exp that is a string",
        with(&json!({"exp": (NOW + 3600).to_string()})),
        invalid,
    );
    list.refused(
        "an iat that is a string",
        with(&json!({"iat": NOW.to_string()})),
        invalid,
    );
    list.refused(
        "an nbf that is a boolean",
        with(&json!({"nbf": true})),
        invalid,
    );
    let null = claims_of("hs256", &json!({})).replacen('{', "{\"nbf\":null,", 1);
    list.refused("an nbf of null", signed(&null), invalid);
    list.add(
        "a fractional exp that has not passed",
        with(&json!({"exp": seconds(NOW) + 0.5})),
        "",
        &at(NOW * 1000 + 10_499),
    );
    list.add(
        "a fractional exp that has passed",
        with(&json!({"exp": seconds(NOW) + 0.5})),
        "token_expired",
        &at(NOW * 1000 + 10_500),
    );
    let exponent = claims_of("hs256", &json!({})).replace(&NOW.to_string(), "1.490479599e9");
    list.valid("an iat with an exponent", signed(&exponent));
    let huge = claims_of("hs256", &json!({})).replace(&(NOW + 3600).to_string(), "1e300");
    list.refused("an exp of 1e300", signed(&huge), "token_too_long");
    let infinite = claims_of("hs256", &json!({})).replace(&(NOW + 3600).to_string(), "1e999");
    list.refused("an exp that no double holds", signed(&infinite), invalid);
    list.refused(
        "an exp of minus one",
        with(&json!({"exp": -1})),
        "token_expired",
    );
    list.refused(
        "expired is said before not yet valid",
        with(&json!({"exp": NOW - 60, "nbf": NOW + 60})),
        "token_expired",
    );
    list.refused(
        "a missing claim is said before expired",
        with(&json!({"exp": NOW - 60, "iat": null})),
        invalid,
    );
    list.refused(
        "not yet valid is said before too long",
        with(&json!({"nbf": NOW + 60, "exp": NOW + 9_000_000})),
        "token_not_yet_valid",
    );
}

pub(super) fn claims(list: &mut List) {
    let invalid = "claim_invalid";
    let sub = |sub: &Value| with(&json!({"sub": sub}));
    list.refused("no sub", with(&json!({"sub": null})), invalid);
    list.refused("a sub without a device", sub(&json!("alice")), invalid);
    list.refused(
        "a sub of three parts",
        sub(&json!("alice/web1/r1")),
        invalid,
    );
    list.refused("an empty identity", sub(&json!("/web1")), invalid);
    list.refused("an empty device", sub(&json!("alice/")), invalid);
    list.refused(
        "white space around the identity",
        sub(&json!(" alice/web1")),
        invalid,
    );
    list.refused(
        "a control character in the device",
        sub(&json!("alice/we\u{7f}b")),
        invalid,
    );
    list.refused(
        "an identity of 257 bytes",
        sub(&json!(format!("{}/web1", "x".repeat(257)))),
        invalid,
    );
    list.valid(
        "an identity of 256 bytes",
        sub(&json!(format!("{}/web1", "x".repeat(256)))),
    );
    list.valid("an identity beyond ASCII", sub(&json!("zoë 😀/web1")));
    list.refused(
        "a sub that is no string",
        sub(&json!(["alice", "web1"])),
        invalid,
    );
    let platform = |replace: &Value| {
        let mut claims = json!({"aud": "http://localhost:8000/platform/v1", "sub": null});
        for (name, value) in replace.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        with(&claims)
    };
    list.add(
        "a platform token with a sub",
        platform(&json!({"sub": "alice/web1"})),
        invalid,
        &json!({"access": "platform"}),
    );
    list.refused("a jti that is no string", with(&json!({"jti": 7})), invalid);
    let jti = |jti: &str| with(&json!({"jti": jti}));
    list.valid("a jti of 1024 bytes", jti(&"é".repeat(512)));
    list.valid("a jti with a space and a slash", jti("a b/c"));
    list.refused("an empty jti", jti(""), invalid);
    list.refused("a jti of 1025 bytes", jti(&"j".repeat(1025)), invalid);
    list.refused("a jti with a line break", jti("a\nb"), invalid);
    list.refused("a jti with U+0085", jti("a\u{85}b"), invalid);
    list.valid("no grants", with(&json!({"grants": null})));
    for grants in [
        json!([]),
        json!(true),
        json!({"signal": "yes"}),
        json!({"signal": 1}),
        json!({"signal": {"channel": ["a"]}}),
        json!({"signal": {"channels": "a"}}),
        json!({"signal": {"channels": ["a*b"]}}),
        json!({"signal": {"channels": [""]}}),
        json!({"signal": {"publish": "no"}}),
        json!({"chat": {"conversations": [1]}}),
        json!({"chat": {"create": 0}}),
        json!({"push": {"topics": []}}),
        json!({"video": {"publish": ["smell"]}}),
        json!({"video": {"publish": true}}),
        json!({"platform": {"token": true}}),
        json!({"platform": {"tokens": "yes"}}),
    ] {
        list.refused(
            &format!("grants {grants}"),
            with(&json!({"grants": grants})),
            invalid,
        );
    }
    let null = claims_of("hs256", &json!({})).replace("{\"signal\":true}", "{\"signal\":null}");
    list.refused("a grant of null", signed(&null), invalid);
    list.valid(
        "an unknown service, whatever it says",
        with(&json!({"grants": {"sms": {"x": [1]}}})),
    );
    list.valid(
        "a profile of any sort",
        with(&json!({"profile": [1, "two"]})),
    );
    list.valid(
        "claims that nobody knows",
        with(&json!({"scope": {"x": 1}})),
    );
    for found in HIDING {
        let code = u32::from(found);
        list.refused(
            &format!("U+{code:04X} in the identity"),
            sub(&json!(format!("al{found}ice/web1"))),
            invalid,
        );
    }
    list.refused(
        "U+200B at the end of the device",
        sub(&json!("alice/web1\u{200b}")),
        invalid,
    );
    list.valid(
        "joiners, which some languages need",
        sub(&json!("\u{646}\u{200c}\u{647}/\u{1f469}\u{200d}\u{1f680}")),
    );
}

/// They hide or reorder text.
const HIDING: [char; 12] = [
    '\u{200b}', '\u{2060}', '\u{feff}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];
