use serde_json::{Value, json};

use crate::keys::Key;

/// Keys that are taken or refused, and lines for `hexline token verify --lines`.
pub(crate) fn cases() -> Vec<Value> {
    let mut cases = Vec::new();
    for (title, jwk, accepted) in jwks() {
        cases.push(json!({"kind": "key", "title": title, "jwk": jwk, "accepted": accepted}));
    }
    for (title, set, accepted) in sets() {
        cases.push(json!({"kind": "key_set", "title": title, "jwks": set, "accepted": accepted}));
    }
    for (title, line, valid) in lines() {
        cases.push(json!({"kind": "line", "title": title, "line": line, "valid": valid}));
    }
    cases
}

fn changed(mut jwk: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        jwk.as_object_mut().expect("an object").remove(name);
    } else {
        jwk[name] = value;
    }
    jwk
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn jwks() -> Vec<(&'static str, Value, bool)> {
    let of = |name: &str| Key::of(name).jwk(None);
    let oct = |k: &str| json!({"kty": "oct", "alg": "HS256", "k": k});
    let (es256, eddsa, rs256) = (of("es256"), of("eddsa"), of("rs256"));
    vec![
        ("a P-256 key", es256.clone(), true),
        ("an Ed25519 key", eddsa.clone(), true),
        ("an RSA key", rs256.clone(), true),
        ("an RSA key for PS256", of("ps256"), true),
        (
            "a key without alg",
            changed(es256.clone(), "alg", Value::Null),
            true,
        ),
        (
            "a secret of 256 bits",
            oct("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
            true,
        ),
        (
            "a secret of 248 bits",
            oct("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg"),
            false,
        ),
        (
            "a secret with padding",
            oct("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            false,
        ),
        (
            "a secret shorter than the hash of HS512",
            json!({"kty": "oct", "alg": "HS512", "k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}),
            false,
        ),
        (
            "an RSA key of 1024 bits",
            changed(rs256.clone(), "n", json!(RSA_1024)),
            false,
        ),
        (
            "an RSA modulus with the fingerprint of CVE-2017-15361",
            changed(rs256.clone(), "n", json!(RSA_ROCA)),
            false,
        ),
        (
            "an RSA exponent of 1",
            changed(rs256.clone(), "e", json!("AQ")),
            false,
        ),
        (
            "an RSA exponent of 3",
            changed(rs256.clone(), "e", json!("Aw")),
            false,
        ),
        (
            "an even RSA exponent",
            changed(rs256.clone(), "e", json!("AQAC")),
            false,
        ),
        (
            "an RSA exponent of 41 bits",
            changed(rs256.clone(), "e", json!("AQAAAAAB")),
            false,
        ),
        (
            "a point that is not on P-256",
            changed(es256.clone(), "y", es256["x"].clone()),
            false,
        ),
        (
            "a coordinate of 31 bytes",
            changed(es256.clone(), "x", json!("A".repeat(42))),
            false,
        ),
        (
            "the neutral point of Ed25519",
            changed(eddsa.clone(), "x", json!(format!("AQ{}", "A".repeat(41)))),
            false,
        ),
        (
            "an Ed25519 key of order 4",
            changed(eddsa.clone(), "x", json!("A".repeat(43))),
            false,
        ),
        (
            "another curve",
            changed(es256.clone(), "crv", json!("P-384")),
            false,
        ),
        (
            "another type",
            changed(es256.clone(), "kty", json!("RSA")),
            false,
        ),
        ("no type", changed(es256.clone(), "kty", Value::Null), false),
        (
            "an alg of another type",
            changed(es256.clone(), "alg", json!("RS256")),
            false,
        ),
        (
            "an unsupported alg",
            changed(es256.clone(), "alg", json!("ES384")),
            false,
        ),
        (
            "use enc",
            changed(es256.clone(), "use", json!("enc")),
            false,
        ),
        ("no use", changed(es256.clone(), "use", Value::Null), true),
        (
            "key_ops verify",
            changed(es256.clone(), "key_ops", json!(["verify"])),
            true,
        ),
        (
            "key_ops without verify",
            changed(es256.clone(), "key_ops", json!(["sign"])),
            false,
        ),
        (
            "key_ops with verify twice",
            changed(es256.clone(), "key_ops", json!(["verify", "verify"])),
            false,
        ),
        (
            "key_ops with something unrelated",
            changed(es256.clone(), "key_ops", json!(["verify", "encrypt"])),
            false,
        ),
        (
            "a private key",
            changed(es256, "d", json!("A".repeat(43))),
            false,
        ),
    ]
}

fn sets() -> Vec<(&'static str, Value, bool)> {
    let of = |name: &str, kid: &str| Key::of(name).jwk(Some(kid));
    let oct = |kid: &str| json!({"kty": "oct", "kid": kid, "k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"});
    let encryption = changed(of("rs256", "c"), "use", json!("enc"));
    vec![
        (
            "two public keys",
            json!({"keys": [of("es256", "a"), of("eddsa", "b")]}),
            true,
        ),
        (
            "members that nobody knows",
            json!({"keys": [of("es256", "a")], "x": 1}),
            true,
        ),
        (
            "a key for encryption is passed over",
            json!({"keys": [of("es256", "a"), encryption]}),
            true,
        ),
        (
            "only a key for encryption",
            json!({"keys": [encryption]}),
            false,
        ),
        (
            "a key of an unknown type is passed over",
            json!({"keys": [of("es256", "a"), {"kty": "XYZ"}]}),
            true,
        ),
        (
            "the same kid twice",
            json!({"keys": [of("es256", "a"), of("eddsa", "a")]}),
            false,
        ),
        (
            "a secret among public keys",
            json!({"keys": [of("es256", "a"), oct("b")]}),
            false,
        ),
        ("secrets alone", json!({"keys": [oct("a")]}), false),
        (
            "a private key",
            json!({"keys": [changed(of("es256", "a"), "d", json!("AA"))]}),
            false,
        ),
        ("an empty set", json!({"keys": []}), false),
        ("no set", json!({}), false),
    ]
}

fn lines() -> Vec<(&'static str, Value, bool)> {
    let token = |key: &str, header: &str, payload: &[u8]| {
        let key = Key::of(key).private();
        hexline_token::jws::sign_unchecked(header, payload, &key).expect("signs")
    };
    let eddsa = Key::of("eddsa").jwk(Some("a"));
    let jws = token("eddsa", r#"{"alg":"EdDSA","kid":"a"}"#, b"not JSON");
    let rs256 = Key::of("rs256").jwk(Some("b"));
    let both = json!({"keys": [eddsa, rs256]});
    let nameless = token("eddsa", r#"{"alg":"EdDSA"}"#, b"");
    vec![
        (
            "a JWK and any payload",
            json!({"jwk": eddsa, "jws": jws}),
            true,
        ),
        ("a set", json!({"jwk": both, "jws": jws}), true),
        (
            "a set of one and no kid",
            json!({"jwk": {"keys": [eddsa]}, "jws": nameless}),
            true,
        ),
        (
            "a set of two and no kid",
            json!({"jwk": both, "jws": nameless}),
            false,
        ),
        (
            "a set without the kid",
            json!({"jwk": {"keys": [rs256]}, "jws": jws}),
            false,
        ),
        (
            "an allowed alg",
            json!({"jwk": eddsa, "jws": jws, "algs": ["HS256", "EdDSA"]}),
            true,
        ),
        (
            "an alg that is not allowed",
            json!({"jwk": eddsa, "jws": jws, "algs": ["HS256"]}),
            false,
        ),
        (
            "no alg is allowed",
            json!({"jwk": eddsa, "jws": jws, "algs": []}),
            false,
        ),
        ("another key", json!({"jwk": rs256, "jws": jws}), false),
        (
            "crit",
            json!({"jwk": eddsa, "jws": token("eddsa", r#"{"alg":"EdDSA","crit":["x"],"x":1}"#, b"")}),
            false,
        ),
        ("no key", json!({"jws": jws}), false),
        ("no jws", json!({"jwk": eddsa}), false),
        (
            "a secret's k is decoded",
            json!({
                "jwk": {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
                "jws": "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
            }),
            true,
        ),
    ]
}

/// The modulus of a key that is too short; its factors are forgotten.
const RSA_1024: &str = "wHNx_fvHhth97zo1QUzycWRFYAaHTcWn5uIXw3ee-cEL4_3xidxvJM94VfBNKDNVP7wdWp1euKlNd0h7LyeDa9QzndDzJZDZeKEAPdRtHLsH8zEilPLF-ik3VCCQc2i2jk2CfJkfImRYCwGD_HHaQR2GPHug9PXzG1Vdlao82ys";

/// A modulus of two primes that are powers of 65537 modulo small primes.
const RSA_ROCA: &str = "prdIZkLxSVV4FEvpxVHe2wcawvk5cMTFB9MAGkjrY0wKerkrlgiAlrbFesuLPSKYxnLczrfnQQvmeFPEtffXTnKkDjUmCysZmoE1HTIaGb-8SlwUQ2KjyLMMZeKcB_71thB8YN3RrARuVqwrJUHv-817R7cBDb9D3Vuv5eAwfpxWxwAmQln-oJ_3i3GHcGc9eD2Ao8zmFpT7RaTMsaPK0kO6tHoPM3sbLTUek630NPnNqvltwq4VXMfxStqH0aneFixJN7Q6Vg8FrPHyh2RXDJETObGEq6NLmG2klCS1y6n1gGfZAj9dW1Mz8GAbW4rRHw6VAG7f5LNW92Q0fT8tvQ";
