use hexline_token::{Algorithm, KeySet, KeyValidationError, PrivateKey, VerifyingKey, jws};
use serde_json::{Value, json};

use crate::keys::Key;

const PAIRS: [&str; 4] = ["eddsa", "es256", "rs256", "ps256"];

fn signs_for(private: &PrivateKey, public: &VerifyingKey) -> bool {
    let header = json!({"alg": private.algorithm()}).to_string();
    let token = jws::sign_unchecked(&header, b"payload", private).expect("signs");
    let jwk: Value =
        serde_json::from_str(&public.to_jwk(None).expect("not a secret")).expect("JSON");
    jws::verify_line(&json!({"jwk": jwk, "jws": token}).to_string()).is_valid()
}

#[test]
fn a_pair_survives_being_written_and_read() {
    for name in PAIRS {
        let key = Key::of(name).private();
        let pem = key.to_pkcs8_pem().expect("not a secret");
        let again = PrivateKey::from_pkcs8_pem(key.algorithm(), pem.expose()).expect("sound");
        assert!(signs_for(&again, &key.verifying_key()), "{name}");
    }
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = PrivateKey::generate(algorithm).expect("made");
        assert!(signs_for(&key, &key.verifying_key()));
        assert!(!signs_for(
            &key,
            &PrivateKey::generate(algorithm)
                .expect("made")
                .verifying_key()
        ));
    }
    assert!(PrivateKey::generate(Algorithm::Hs256).is_err());
}

#[test]
fn a_private_jwk_signs_for_its_public_one() {
    let p256 = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    let key = PrivateKey::from_jwk(p256).expect("sound");
    assert!(signs_for(&key, &key.verifying_key()));
    let other = p256.replace("jpsQ", "kpsQ");
    assert_eq!(
        PrivateKey::from_jwk(&other).err(),
        Some(KeyValidationError::Inconsistent)
    );
    assert_eq!(
        VerifyingKey::from_jwk(p256).err(),
        Some(KeyValidationError::PrivateMember)
    );
    let rsa = PrivateKey::from_jwk(RSA_JWK).expect("sound");
    assert_eq!(rsa.algorithm(), Algorithm::Ps256);
    assert!(signs_for(&rsa, &rsa.verifying_key()));
    let mut swapped: Value = serde_json::from_str(RSA_JWK).expect("JSON");
    (swapped["p"], swapped["q"]) = (swapped["q"].clone(), swapped["p"].clone());
    let refused = PrivateKey::from_jwk(&swapped.to_string());
    assert_eq!(refused.err(), Some(KeyValidationError::Inconsistent));
}

#[test]
fn public_keys_are_read_from_pem() {
    for (pem, name) in [
        (ED25519_PEM, "eddsa"),
        (P256_PEM, "es256"),
        (RSA_PEM, "rs256"),
    ] {
        let key = VerifyingKey::from_pem(None, pem).expect("sound");
        assert_eq!(key.algorithm(), Key::of(name).algorithm);
        assert!(signs_for(&Key::of(name).private(), &key), "{name}");
    }
    let key = VerifyingKey::from_pem(Algorithm::Ps256, RSA_PEM).expect("sound");
    assert!(signs_for(&Key::of("ps256").private(), &key));
    assert!(VerifyingKey::from_pem(Algorithm::Es256, RSA_PEM).is_err());
    assert!(VerifyingKey::from_pem(Algorithm::Hs256, ED25519_PEM).is_err());
    let private = Key::of("es256")
        .private()
        .to_pkcs8_pem()
        .expect("not a secret");
    let refused = VerifyingKey::from_pem(None, private.expose());
    assert_eq!(refused.err(), Some(KeyValidationError::PrivateMember));
}

#[test]
fn broken_pem_is_refused_in_words() {
    for broken in [
        "",
        "hello",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ] {
        assert!(VerifyingKey::from_pem(None, broken).is_err(), "{broken}");
        assert!(
            PrivateKey::from_pkcs8_pem(None, broken).is_err(),
            "{broken}"
        );
    }
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    assert_eq!(
        PrivateKey::from_pkcs8_pem(None, encrypted).err(),
        Some(KeyValidationError::Encrypted)
    );
}

#[test]
fn any_changed_byte_of_a_public_key_file_is_read_or_refused_without_a_panic() {
    for pem in [ED25519_PEM, P256_PEM] {
        for at in 0..pem.len() {
            for byte in [b'A', b'z', b'/', b'\n', b'-'] {
                let mut bytes = pem.as_bytes().to_vec();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).expect("ASCII");
                let _ = VerifyingKey::from_pem(None, &text);
            }
        }
    }
}

#[test]
fn a_set_gives_its_keys_by_name() {
    let keys: Vec<Value> = ["eddsa", "es256"]
        .iter()
        .map(|n| Key::of(n).jwk(Some(n)))
        .collect();
    let set = KeySet::parse(&json!({"keys": keys}).to_string()).expect("sound");
    assert_eq!(set.len(), 2);
    assert_eq!(
        set.iter().map(|(kid, _)| kid).collect::<Vec<_>>(),
        [Some("eddsa"), Some("es256")]
    );
    let algorithm = |kid| set.select(kid).map(VerifyingKey::algorithm);
    assert_eq!(algorithm(Some("es256")), Some(Algorithm::Es256));
    assert_eq!((algorithm(None), algorithm(Some(""))), (None, None));
}

const ED25519_PEM: &str = include_str!("../../../../vectors/keys/ed25519.pub.pem");
const P256_PEM: &str = include_str!("../../../../vectors/keys/p256.pub.pem");
const RSA_PEM: &str = include_str!("../../../../vectors/keys/rsa.pub.pem");
const RSA_JWK: &str = include_str!("../../../../vectors/keys/rsa.jwk.json");
