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
    form(&mut list);
    keys(&mut list);
    algorithms(&mut list);
    audiences(&mut list);
    times(&mut list);
    claims(&mut list);
    revocations(&mut list);
    grants(&mut list);
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
            "token": token,
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

fn form(list: &mut List) {
    let good = with(&json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let bad = "token_malformed";
    list.valid("a good token", good.clone());
    list.refused("an empty text", String::new(), bad);
    list.refused("one part", parts[1].to_owned(), bad);
    list.refused("two parts", format!("{}.{}", parts[0], parts[1]), bad);
    list.refused("four parts", format!("{good}.{}", parts[2]), bad);
    list.refused(
        "five parts, as encrypted tokens have",
        format!("{good}.."),
        bad,
    );
    list.refused("white space at the end", format!("{good}\n"), bad);
    list.refused("padding", format!("{good}="), bad);
    list.refused(
        "the alphabet of plain base64",
        format!("{}.{}.+{}", parts[0], parts[1], &parts[2][1..]),
        bad,
    );
    list.refused("unused bits that are not zero", unused_bits(&good), bad);
    list.refused(
        "the JSON serialisation",
        format!(r#"{{"payload":"{}"}}"#, parts[1]),
        bad,
    );
    list.refused(
        "a header that is no JSON",
        forge("hs256", "alg=HS256", &claims_of("hs256", &json!({}))),
        bad,
    );
    list.refused(
        "a header that is no object",
        forge("hs256", "\"HS256\"", &claims_of("hs256", &json!({}))),
        bad,
    );
    list.refused("claims that are no JSON", signed("iss=b234"), bad);
    list.refused("claims that are no object", signed("[]"), bad);
    list.refused(
        "claims followed by something",
        signed(&format!("{}x", claims_of("hs256", &json!({})))),
        bad,
    );
    list.valid("white space in the JSON", {
        let claims = claims_of("hs256", &json!({}))
            .replace(':', " :\t")
            .replace("http :\t//localhost :\t", "http://localhost:");
        forge("hs256", "{ \"alg\" : \"HS256\" }\r\n", &claims)
    });
    let duplicate = claims_of("hs256", &json!({})).replacen('{', "{\"sub\":\"bob/web1\",", 1);
    list.refused("a claim twice", signed(&duplicate), bad);
    let escaped = claims_of("hs256", &json!({})).replacen('{', "{\"s\\u0075b\":\"bob/web1\",", 1);
    list.refused(
        "a claim twice, once with an escape in its name",
        signed(&escaped),
        bad,
    );
    let deep = claims_of("hs256", &json!({})).replacen('{', "{\"profile\":[{\"a\":1,\"a\":2}],", 1);
    list.refused("a member twice deep inside the profile", signed(&deep), bad);
    list.refused(
        "a header member twice",
        forge(
            "hs256",
            r#"{"alg":"HS256","alg":"HS256"}"#,
            &claims_of("hs256", &json!({})),
        ),
        bad,
    );
    let levels = |n: usize| {
        let profile = format!("{}{}", "[".repeat(n), "]".repeat(n));
        signed(&claims_of("hs256", &json!({})).replacen(
            '{',
            &format!("{{\"profile\":{profile},"),
            1,
        ))
    };
    list.valid("16 levels", levels(15));
    list.refused("17 levels", levels(16), bad);
    let filled = |n: usize| with(&json!({"profile": "x".repeat(n)}));
    let room = (0..6144)
        .rev()
        .find(|n| filled(*n).len() <= 8192)
        .expect("fits");
    list.valid("as long as a token may be", filled(room));
    list.refused("more than 8192 bytes", filled(room + 2), bad);
    let raw = |profile: &str| {
        signed(&claims_of("hs256", &json!({})).replacen(
            '{',
            &format!("{{\"profile\":{profile},"),
            1,
        ))
    };
    list.refused("half of a surrogate pair", raw(r#""\ud83d""#), bad);
    list.valid("a whole surrogate pair, escaped", raw(r#""\ud83d\ude00""#));
    list.refused("a control character in a string", raw("\"\t\""), bad);
    list.refused("a number with a leading zero", raw("01"), bad);
    list.refused("NaN", raw("NaN"), bad);
    list.refused(
        "bytes that are not UTF-8",
        {
            let mut claims = claims_of("hs256", &json!({"profile": "?"})).into_bytes();
            let at = claims.iter().position(|b| *b == b'?').expect("there");
            claims[at] = 0xff;
            sign_unchecked(HEADER, &claims, &Key::of("hs256").private()).expect("signs")
        },
        bad,
    );
    let header = |header: &str| forge("hs256", header, &claims_of("hs256", &json!({})));
    list.refused(
        "crit",
        header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#),
        bad,
    );
    list.refused("an empty crit", header(r#"{"alg":"HS256","crit":[]}"#), bad);
    list.refused("b64", header(r#"{"alg":"HS256","b64":true}"#), bad);
    list.valid("no typ", header(r#"{"alg":"HS256"}"#));
    list.valid(
        "typ in lower case",
        header(r#"{"alg":"HS256","typ":"jwt"}"#),
    );
    list.refused(
        "another typ",
        header(r#"{"alg":"HS256","typ":"at+jwt"}"#),
        bad,
    );
    list.refused(
        "a typ that is no string",
        header(r#"{"alg":"HS256","typ":null}"#),
        bad,
    );
    list.refused(
        "a kid that is no string",
        header(r#"{"alg":"HS256","kid":1}"#),
        bad,
    );
    list.valid(
        "members of the header that nobody knows",
        header(r#"{"alg":"HS256","x":{"y":[1]}}"#),
    );
    list.refused("no iss", with(&json!({"iss": null})), bad);
    list.refused("an iss that is no string", with(&json!({"iss": 1})), bad);
}

fn keys(list: &mut List) {
    let hs256 = Key::of("hs256").id;
    list.refused(
        "an unknown iss",
        with(&json!({"iss": "00000000000000000000000000000000"})),
        "key_unknown",
    );
    list.refused(
        "the iss in upper case",
        with(&json!({"iss": hs256.to_uppercase()})),
        "key_unknown",
    );
    list.refused("an empty iss", with(&json!({"iss": ""})), "key_unknown");
    let escaped = claims_of("hs256", &json!({})).replace(hs256, &hs256.replacen('b', "\\u0062", 1));
    list.valid("an iss with an escape", signed(&escaped));
    let kid = |kid: &str| {
        forge(
            "hs256",
            &format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#),
            &claims_of("hs256", &json!({})),
        )
    };
    list.valid("a kid that equals the iss", kid(hs256));
    list.refused(
        "a kid that does not equal the iss",
        kid("k1"),
        "key_unknown",
    );
    list.refused(
        "a kid of another key",
        kid(Key::of("other").id),
        "key_unknown",
    );
    list.add(
        "a revoked key",
        with(&json!({})),
        "key_revoked",
        &json!({"policy": {"revoked_keys": {"hs256": NOW - 60}}}),
    );
    list.add(
        "an expired key",
        with(&json!({})),
        "key_expired",
        &json!({"policy": {"expired_keys": {"hs256": NOW - 60}}}),
    );
    list.add(
        "a key that expires later",
        with(&json!({})),
        "",
        &json!({"policy": {"expired_keys": {"hs256": NOW + 60}}}),
    );
    let set = json!({"policy": {"jwks": [{"id": "set1", "document": {"keys": [
        Key::of("eddsa").jwk(Some("a")),
        Key::of("es256").jwk(Some("b")),
        {"kty": "RSA", "use": "enc", "kid": "c", "n": "AQAB", "e": "AQAB"},
    ]}}, {"id": "set2", "document": {"keys": [Key::of("rs256").jwk(Some("a"))]}}]}});
    let of_set = |key: &str, id: &str, header: &str| {
        forge(key, header, &claims_of(key, &json!({"iss": id})))
    };
    list.add(
        "kid picks the first key of a set",
        of_set("eddsa", "set1", r#"{"alg":"EdDSA","kid":"a"}"#),
        "",
        &set,
    );
    list.add(
        "kid picks the second key of a set",
        of_set("es256", "set1", r#"{"alg":"ES256","kid":"b"}"#),
        "",
        &set,
    );
    list.add(
        "kid picks a key of another algorithm",
        of_set("eddsa", "set1", r#"{"alg":"EdDSA","kid":"b"}"#),
        "algorithm_mismatch",
        &set,
    );
    list.add(
        "an unknown kid of a set",
        of_set("eddsa", "set1", r#"{"alg":"EdDSA","kid":"z"}"#),
        "key_unknown",
        &set,
    );
    list.add(
        "a kid of a key that is not for signing",
        of_set("rs256", "set1", r#"{"alg":"RS256","kid":"c"}"#),
        "key_unknown",
        &set,
    );
    list.add(
        "no kid where a set has two keys",
        of_set("eddsa", "set1", r#"{"alg":"EdDSA"}"#),
        "key_unknown",
        &set,
    );
    list.add(
        "no kid where a set has one key",
        of_set("rs256", "set2", r#"{"alg":"RS256"}"#),
        "",
        &set,
    );
    list.add(
        "the kid of another set",
        of_set("es256", "set2", r#"{"alg":"ES256","kid":"b"}"#),
        "key_unknown",
        &set,
    );
    list.add(
        "a kid as iss",
        of_set("eddsa", "a", r#"{"alg":"EdDSA","kid":"a"}"#),
        "key_unknown",
        &set,
    );
}

fn algorithms(list: &mut List) {
    for key in [
        "hs384", "hs512", "eddsa", "es256", "rs256", "ps256", "binary",
    ] {
        let algorithm = Key::of(key).algorithm;
        let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#);
        list.valid(
            &format!("signed with the key {key}"),
            forge(key, &header, &claims_of(key, &json!({}))),
        );
    }
    let claims = claims_of("hs256", &json!({}));
    let none = forge("hs256", r#"{"alg":"none"}"#, &claims);
    let unsigned = none.rsplit_once('.').expect("three parts").0;
    let mismatch = "algorithm_mismatch";
    list.refused(
        "alg none without a signature",
        format!("{unsigned}."),
        mismatch,
    );
    list.refused("alg none with a signature", none, mismatch);
    list.refused(
        "alg None",
        forge("hs256", r#"{"alg":"None"}"#, &claims),
        mismatch,
    );
    list.refused(
        "alg in lower case",
        forge("hs256", r#"{"alg":"hs256"}"#, &claims),
        mismatch,
    );
    list.refused(
        "no alg",
        forge("hs256", r#"{"typ":"JWT"}"#, &claims),
        mismatch,
    );
    list.refused(
        "an alg that is no string",
        forge("hs256", r#"{"alg":["HS256"]}"#, &claims),
        mismatch,
    );
    list.refused(
        "HS512 with a key for HS256",
        forge("hs256", r#"{"alg":"HS512"}"#, &claims),
        mismatch,
    );
    list.refused(
        "PS256 with a key for RS256",
        forge(
            "ps256",
            r#"{"alg":"PS256"}"#,
            &claims_of("rs256", &json!({})),
        ),
        mismatch,
    );
    list.refused(
        "an HMAC with a public key's id",
        forge("hs256", HEADER, &claims_of("rs256", &json!({}))),
        mismatch,
    );
    list.refused(
        "another algorithm that nobody knows",
        forge("hs256", r#"{"alg":"XS999"}"#, &claims),
        mismatch,
    );
    let invalid = "signature_invalid";
    list.refused(
        "signed with another secret",
        forge("other", HEADER, &claims),
        invalid,
    );
    let good = signed(&claims);
    let (rest, signature) = good.rsplit_once('.').expect("three parts");
    list.refused("no signature", format!("{rest}."), invalid);
    list.refused(
        "a shorter signature",
        format!("{rest}.{}", &signature[..40]),
        invalid,
    );
    list.refused(
        "a longer signature",
        format!("{rest}.AAAA{signature}"),
        invalid,
    );
    let bob = signed(&claims.replace("alice", "bobby"));
    let (bob, _) = bob.rsplit_once('.').expect("three parts");
    list.refused(
        "the signature of another token",
        format!("{bob}.{signature}"),
        invalid,
    );
    let jwk = Key::of("eddsa").jwk(None);
    for (name, value) in [
        ("jwk", jwk.to_string()),
        ("jku", r#""https://attacker.example/jwks""#.to_owned()),
        ("x5u", r#""https://attacker.example/cert""#.to_owned()),
        ("x5c", r#"["MIIB"]"#.to_owned()),
    ] {
        let header = format!(r#"{{"alg":"HS256","{name}":{value}}}"#);
        list.valid(
            &format!("{name} is not read"),
            forge("hs256", &header, &claims),
        );
    }
    let embedded = format!(r#"{{"alg":"EdDSA","jwk":{jwk}}}"#);
    list.refused(
        "signed with an embedded key",
        forge("eddsa", &embedded, &claims),
        mismatch,
    );
    let zero = format!(
        "{}.{}",
        forge(
            "es256",
            r#"{"alg":"ES256"}"#,
            &claims_of("es256", &json!({}))
        )
        .rsplit_once('.')
        .expect("three parts")
        .0,
        "A".repeat(86)
    );
    list.refused("an ECDSA signature of zeros", zero, invalid);
}

fn audiences(list: &mut List) {
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

fn times(list: &mut List) {
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
        with(&json!({"exp": f(NOW) + 0.5})),
        "",
        &at(NOW * 1000 + 10_499),
    );
    list.add(
        "a fractional exp that has passed",
        with(&json!({"exp": f(NOW) + 0.5})),
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

fn claims(list: &mut List) {
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
}

fn revocations(list: &mut List) {
    let revoked = "token_revoked";
    let by = |revocation: Value| json!({"policy": {"revocations": [revocation]}});
    let token = || with(&json!({"jti": "j1"}));
    list.add(
        "revoked by its jti",
        token(),
        revoked,
        &by(json!({"jti": "j1"})),
    );
    list.add(
        "another jti revoked",
        token(),
        "",
        &by(json!({"jti": "j2"})),
    );
    list.add(
        "a token without a jti is not revoked by one",
        with(&json!({})),
        "",
        &by(json!({"jti": "j1"})),
    );
    list.add(
        "revoked with the app's tokens issued until then",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW})),
    );
    list.add(
        "issued a second later",
        token(),
        "",
        &by(json!({"issued_before_s": NOW - 1})),
    );
    list.add(
        "an iat within the same second",
        with(&json!({"iat": f(NOW) + 0.75})),
        revoked,
        &by(json!({"issued_before_s": NOW})),
    );
    list.add(
        "revoked with the identity's tokens",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW, "identity": "alice"})),
    );
    list.add(
        "another identity's tokens revoked",
        token(),
        "",
        &by(json!({"issued_before_s": NOW, "identity": "bob"})),
    );
    list.add(
        "revoked with the device's tokens",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW, "identity": "alice", "device": "web1"})),
    );
    list.add(
        "another device's tokens revoked",
        token(),
        "",
        &by(json!({"issued_before_s": NOW, "identity": "alice", "device": "web2"})),
    );
    list.add(
        "the app is disabled",
        token(),
        revoked,
        &json!({"policy": {"app_disabled": true}}),
    );
    list.add(
        "what is wrong with the claims is said before the revocation",
        with(&json!({"sub": "alice", "jti": "j1"})),
        "claim_invalid",
        &by(json!({"jti": "j1"})),
    );
}

fn grants(list: &mut List) {
    let missing = "grant_missing";
    let needs = |service: &str| json!({"needs": service});
    let token = |grants: &Value| with(&json!({"grants": grants}));
    list.add(
        "the grant is there",
        token(&json!({"signal": true})),
        "",
        &needs("signal"),
    );
    list.add(
        "the grant is an empty object",
        token(&json!({"signal": {}})),
        "",
        &needs("signal"),
    );
    list.add(
        "the grant is false",
        token(&json!({"signal": false})),
        missing,
        &needs("signal"),
    );
    list.add(
        "the grant is not there",
        token(&json!({"chat": true})),
        missing,
        &needs("signal"),
    );
    list.add(
        "no grants at all",
        with(&json!({"grants": null})),
        missing,
        &needs("push"),
    );
    list.add(
        "the key's ceiling allows it",
        token(&json!({"chat": true})),
        "",
        &json!({
            "needs": "chat", "policy": {"ceilings": {"hs256": {"chat": true}}}
        }),
    );
    list.add(
        "the key's ceiling does not allow it",
        token(&json!({"chat": true})),
        missing,
        &json!({
            "needs": "chat", "policy": {"ceilings": {"hs256": {"signal": true}}}
        }),
    );
    list.add(
        "what narrowed grants allow",
        token(&json!({
            "signal": {"channels": ["news.*", "lobby"], "publish": false},
            "chat": {"conversations": ["c1"], "create": false},
            "video": {"sessions": ["s1"], "publish": ["audio"]}
        })),
        "",
        &json!({"asks": [
            ["join_channel", "news.sport", true], ["join_channel", "news.", true],
            ["join_channel", "news", false], ["join_channel", "lobby", true],
            ["join_channel", "lobby2", false], ["publish", "lobby", false],
            ["use_conversation", "c1", true], ["use_conversation", "c2", false],
            ["create_conversation", "", false], ["join_session", "s1", true],
            ["join_session", "s2", false], ["publish_media", "audio", true],
            ["publish_media", "video", false]
        ]}),
    );
    list.add("token and ceiling must both allow a call", token(&json!({"signal": {"channels": ["a*"]}})), "", &json!({
        "policy": {"ceilings": {"hs256": {"signal": {"channels": ["ab", "b"], "publish": false}}}},
        "asks": [
            ["join_channel", "ab", true], ["join_channel", "ac", false],
            ["join_channel", "b", false], ["publish", "ab", false]
        ]
    }));
    list.add(
        "the parts of the platform API",
        with(&json!({
            "aud": "http://localhost:8000/platform/v1", "sub": null,
            "grants": {"platform": {"tokens": true, "keys": false}}
        })),
        "",
        &json!({"access": "platform", "asks": [
            ["platform", "tokens", true], ["platform", "keys", false], ["platform", "users", false]
        ]}),
    );
}

/// The same token, but the last character of its signature has a bit set that is not used.
fn unused_bits(token: &str) -> String {
    let last = token.bytes().last().expect("not empty");
    let next = char::from(last + 1); // a signature of 32 bytes leaves the two lowest bits unused
    format!("{}{next}", &token[..token.len() - 1])
}

fn f(seconds: i64) -> f64 {
    i32::try_from(seconds).expect("before 2038").into()
}

const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
