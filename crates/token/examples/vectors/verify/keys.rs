#![expect(clippy::too_many_lines, reason = "lists of cases")]

use serde_json::json;

use super::{HEADER, List, NOW, claims_of, forge, signed, with};
use crate::keys::Key;

pub(super) fn keys(list: &mut List) {
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

pub(super) fn algorithms(list: &mut List) {
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
