use std::collections::HashSet;

use hexline_model::Timestamp;
use hexline_token::{Access, Audiences, Rules, SingleKey, TokenBuilder, verify};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::keys::Key;

const NOW: i64 = 1_490_479_599;
const NAMES: [&str; 7] = [
    "hs256", "hs384", "hs512", "eddsa", "es256", "rs256", "ps256",
];

fn algorithm(key: &Key) -> jsonwebtoken::Algorithm {
    key.algorithm
        .name()
        .parse()
        .expect("the other library has all of ours")
}

fn encoding(key: &Key) -> EncodingKey {
    let json = key.json();
    if let Some(secret) = json["secret"].as_str() {
        return EncodingKey::from_secret(secret.as_bytes());
    }
    let pem = json["private_pem"].as_str().expect("a key pair").as_bytes();
    match key.name {
        "eddsa" => EncodingKey::from_ed_pem(pem),
        "es256" => EncodingKey::from_ec_pem(pem),
        _ => EncodingKey::from_rsa_pem(pem),
    }
    .expect("the other library reads it")
}

fn decoding(key: &Key) -> DecodingKey {
    let json = key.json();
    if let Some(secret) = json["secret"].as_str() {
        return DecodingKey::from_secret(secret.as_bytes());
    }
    let jwk = serde_json::from_value(key.jwk(None)).expect("a JWK");
    DecodingKey::from_jwk(&jwk).expect("the other library reads it")
}

fn registry(key: &Key) -> SingleKey {
    let rules = Rules::new(Audiences::new(["http://localhost:8000"]));
    SingleKey::new(key.id, key.private().verifying_key(), rules)
}

fn part() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9@.é😀\"\\\\]{1,20}"
}

fn profile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        // What serde_json reads exactly; all doubles: `properties.rs`.
        any::<i16>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Numbers as doubles, because that is what tokens hold.
fn as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().map(|n| n + 0.0)),
        Value::Array(elements) => elements.iter().map(as_doubles).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (k.clone(), as_doubles(v)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_other_library_reads_what_we_build(
        identity in part(), device in part(), profile in profile(), name in 0..NAMES.len(),
    ) {
        let key = Key::of(NAMES[name]);
        let token = key
            .sign(TokenBuilder::create())
            .identity(identity.as_str())
            .device(device.as_str())
            .grant("signal", true)
            .profile(profile.clone())
            .build_at(Timestamp::from_secs(NOW))
            .expect("builds");
        let mut validation = Validation::new(algorithm(key));
        validation.validate_exp = false;
        validation.set_audience(&["http://localhost:8000/client/v1"]);
        validation.required_spec_claims = HashSet::new();
        let decoded = decode::<Value>(&token, &decoding(key), &validation).expect("accepted");
        prop_assert_eq!(&decoded.claims["sub"], &json!(format!("{identity}/{device}")));
        prop_assert_eq!(as_doubles(&decoded.claims["profile"]), as_doubles(&profile));
        prop_assert_eq!(&decoded.claims["exp"], &json!(NOW + 3600));
    }

    #[test]
    fn we_read_what_the_other_library_builds(
        identity in part(), device in part(), profile in profile(), name in 0..NAMES.len(),
    ) {
        let key = Key::of(NAMES[name]);
        let claims = json!({
            "aud": "http://localhost:8000/client/v1",
            "sub": format!("{identity}/{device}"),
            "grants": {"chat": true},
            "iss": key.id,
            "iat": NOW,
            "exp": NOW + 60,
            "profile": profile,
        });
        let token = encode(&Header::new(algorithm(key)), &claims, &encoding(key)).expect("signs");
        let now = Timestamp::from_secs(NOW);
        let verified = verify(&token, Access::Client, &registry(key), now).expect("accepted");
        let subject = verified.claims.subject().expect("a client token");
        prop_assert_eq!(subject.to_string(), format!("{identity}/{device}"));
        let raw = verified.claims.profile().expect("there").get();
        prop_assert_eq!(serde_json::from_str::<Value>(raw).expect("JSON"), profile);
        prop_assert!(verified.claims.grants().chat().is_some());
    }

    #[test]
    fn both_refuse_a_changed_signature(flip in 0..256_usize, name in 0..NAMES.len()) {
        let key = Key::of(NAMES[name]);
        let token = key
            .sign(TokenBuilder::create())
            .identity("alice")
            .device("web1")
            .build_at(Timestamp::from_secs(NOW))
            .expect("builds");
        let (rest, signature) = token.rsplit_once('.').expect("three parts");
        let mut signature = signature.as_bytes().to_vec();
        let at = flip % (signature.len() - 1);
        signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
        let changed = format!("{rest}.{}", String::from_utf8(signature).expect("ASCII"));
        let mut validation = Validation::new(algorithm(key));
        validation.validate_exp = false;
        validation.validate_aud = false;
        prop_assert!(decode::<Value>(&changed, &decoding(key), &validation).is_err());
        let now = Timestamp::from_secs(NOW);
        prop_assert!(verify(&changed, Access::Client, &registry(key), now).is_err());
    }
}
