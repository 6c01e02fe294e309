//! Tokens of somebody else's, checked against their published keys.

use hexline_token::jws::{OpenError, open, sign_unchecked, signed_part};
use hexline_token::{Algorithm, KeySet, PrivateKey};

fn set(keys: &[(&str, &PrivateKey)]) -> KeySet {
    let jwks: Vec<String> = keys
        .iter()
        .map(|(kid, key)| {
            let key = key.verifying_key();
            key.to_jwk(Some(kid)).expect("a public key")
        })
        .collect();
    KeySet::parse(&format!(r#"{{"keys":[{}]}}"#, jwks.join(","))).expect("a set")
}

fn key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).expect("a key")
}

#[test]
fn a_token_opens_with_the_key_it_names_and_an_announced_algorithm() {
    let (one, two) = (key(Algorithm::Es256), key(Algorithm::EdDsa));
    let keys = set(&[("1", &one), ("2", &two)]);
    let both = [Algorithm::Es256, Algorithm::EdDsa];
    let payload = br#"{"sub":"alice"}"#;
    let token = sign_unchecked(r#"{"alg":"EdDSA","kid":"2"}"#, payload, &two).expect("signs");
    let signed = open(&token, &keys, &both).expect("it is theirs");
    assert_eq!(signed.payload.as_bytes(), payload);
    assert_eq!(signed.algorithm, Algorithm::EdDsa);
    assert!(!format!("{signed:?}").contains("alice"));
    assert!(matches!(
        open(&token, &keys, &both[..1]),
        Err(OpenError::Algorithm { .. })
    ));
    for (header, signer) in [
        (r#"{"alg":"EdDSA","kid":"1"}"#, &two),
        (r#"{"alg":"none","kid":"2"}"#, &two),
        (r#"{"kid":"2"}"#, &two),
        (r#"{"alg":"HS256","kid":"2"}"#, &two),
    ] {
        let token = sign_unchecked(header, payload, signer).expect("signs");
        let opened = open(&token, &keys, &Algorithm::ALL);
        assert!(
            matches!(opened, Err(OpenError::Algorithm { .. })),
            "{header}"
        );
    }
    let token = sign_unchecked(r#"{"alg":"EdDSA","kid":"3"}"#, payload, &two).expect("signs");
    assert_eq!(open(&token, &keys, &both), Err(OpenError::KeyUnknown));
    let token = sign_unchecked(r#"{"alg":"EdDSA","kid":"2"}"#, payload, &one).expect("signs");
    assert_eq!(open(&token, &keys, &both), Err(OpenError::Signature));
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let one = key(Algorithm::Es256);
    let keys = set(&[("1", &one)]);
    let jwk = one.verifying_key().to_jwk(Some("1")).expect("a public key");
    let secret = PrivateKey::hmac(Algorithm::Hs256, jwk.as_bytes()).expect("long enough");
    let token = sign_unchecked(r#"{"alg":"HS256","kid":"1"}"#, b"{}", &secret).expect("signs");
    let opened = open(&token, &keys, &Algorithm::ALL);
    assert!(
        matches!(opened, Err(OpenError::Algorithm { .. })),
        "{opened:?}"
    );
}

#[test]
fn what_two_readers_could_read_differently_is_not_opened() {
    let one = key(Algorithm::Es256);
    let keys = set(&[("1", &one)]);
    for payload in [r#"{"a":1,"a":2}"#, "[]", "1", "{", r#"{"a":{"b":1,"b":1}}"#] {
        let header = r#"{"alg":"ES256"}"#;
        let token = sign_unchecked(header, payload.as_bytes(), &one).expect("signs");
        let opened = open(&token, &keys, &[Algorithm::Es256]);
        assert!(
            matches!(opened, Err(OpenError::Malformed { .. })),
            "{payload}"
        );
    }
    assert_eq!(signed_part("a.b.c"), Some("a.b"));
    assert_eq!(signed_part("a.b"), None);
}
