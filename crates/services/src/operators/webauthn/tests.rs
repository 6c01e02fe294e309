use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair};

use super::authenticator::{AuthenticatorData, of_attestation};
use super::cose::PublicKey;
use super::*;

const PARTY: &str = "https://rt.example.org/hex";

#[test]
fn a_relying_party_is_a_name_and_its_pages() {
    let others = [
        "https://rt.example.org:8443".to_owned(),
        "https://other.example.org".to_owned(),
    ];
    let party = RelyingParty::of("https://RT.example.org:443/hex", &others).expect("a name");
    assert_eq!(party.id(), "rt.example.org");
    assert_eq!(
        party.origins,
        ["https://rt.example.org", "https://rt.example.org:8443"]
    );
    for address in ["http://127.0.0.1:8000", "https://[::1]:8000", "nothing"] {
        assert_eq!(RelyingParty::of(address, &[]), None, "{address}");
    }
}

#[test]
fn edwards_and_rsa_keys_verify_what_they_signed_and_nothing_else() {
    let edwards = Ed25519KeyPair::generate().expect("a key");
    let mut cose = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 32];
    cose.extend_from_slice(edwards.public_key().as_ref());
    let key = PublicKey::parse(&cose).expect("a key");
    let signature = edwards.sign(b"message");
    assert_eq!(key.verify(b"message", signature.as_ref()), Ok(()));
    let refused = Err(CeremonyError::Signature);
    assert_eq!(key.verify(b"massage", signature.as_ref()), refused);

    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    // SEQUENCE { INTEGER n of 256 bytes and a zero, INTEGER 65537 }
    let der = rsa.public_key().as_ref();
    assert_eq!(der[265..], [0x02, 0x03, 0x01, 0x00, 0x01]);
    // {1: 3, 3: -257, -1: n, -2: e}
    let mut cose = vec![
        0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00,
    ];
    cose.extend_from_slice(&der[9..265]);
    cose.extend_from_slice(&[0x21, 0x43, 0x01, 0x00, 0x01]);
    let key = PublicKey::parse(&cose).expect("a key");
    let mut signature = vec![0; rsa.public_modulus_len()];
    rsa.sign(
        &signature::RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        b"message",
        &mut signature,
    )
    .expect("it signs");
    assert_eq!(key.verify(b"message", &signature), Ok(()));
    assert_eq!(key.verify(b"massage", &signature), refused);
}

#[test]
fn a_key_whose_members_contradict_is_refused() {
    let point = [0x21, 0x58, 32].iter().chain(&[1; 32]).copied();
    let rest: Vec<u8> = point.chain([0x22, 0x58, 32]).chain([2; 32]).collect();
    let key = |head: &[u8]| PublicKey::parse(&[head, &rest].concat()).err();
    // EC2, ES256, P-256: all is well, and then each of them is not.
    assert_eq!(key(&[0xa5, 1, 2, 3, 0x26, 0x20, 1]), None);
    for head in [
        [0xa5, 1, 1, 3, 0x26, 0x20, 1],
        [0xa5, 1, 2, 3, 0x27, 0x20, 1],
        [0xa5, 1, 2, 3, 0x26, 0x20, 2],
    ] {
        assert_eq!(key(&head), Some(CeremonyError::Key), "{head:?}");
    }
    // A member that stands twice, and one that is missing.
    let twice = [0xa6, 1, 2, 1, 2, 3, 0x26, 0x20, 1];
    assert_eq!(key(&twice), Some(CeremonyError::Malformed));
    assert_eq!(key(&[0xa4, 1, 2, 3, 0x26]), Some(CeremonyError::Malformed));
}

#[test]
fn what_is_cut_off_left_over_or_too_deep_is_refused() {
    let mut data = digest::digest(&digest::SHA256, b"x").as_ref().to_vec();
    data.extend_from_slice(&[0x05, 0, 0, 0, 9]);
    let read = AuthenticatorData::parse(&data).expect("well formed");
    assert!(read.user_present && read.user_verified && read.attested.is_none());
    assert_eq!(read.sign_count, 9);
    for length in 0..data.len() {
        assert!(AuthenticatorData::parse(&data[..length]).is_err());
    }
    let longer = [&data[..], &[0]].concat();
    assert!(AuthenticatorData::parse(&longer).is_err());
    // It says that a credential follows, and none does.
    data[32] |= 0x40;
    assert!(AuthenticatorData::parse(&data).is_err());

    // Arrays in arrays, and a text that says it is 4 GiB long.
    assert!(of_attestation(&[0x81; 5000]).is_err());
    assert!(of_attestation(&[0xa1, 0x7a, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(of_attestation(b"\xa2\x68authData\x41a\x68authData\x41b").is_err());
    assert_eq!(of_attestation(b"\xa1\x68authData\x41a"), Ok(b"a".to_vec()));
}

#[test]
fn hostile_input_is_refused_and_nothing_panics() {
    let party = RelyingParty::of(PARTY, &[]).expect("a name");
    let long = "A".repeat(100_000);
    for text in ["", "A", "%%%", "e30", long.as_str()] {
        let registration = Registration {
            client_data: text.to_owned(),
            attestation: text.to_owned(),
        };
        let refused = party.register(&registration, |_| true);
        assert_eq!(refused, Err(CeremonyError::Malformed));
    }
    proptest::proptest!(|(bytes in proptest::collection::vec(0u8.., 0..300))| {
        let _ = AuthenticatorData::parse(&bytes);
        let _ = of_attestation(&bytes);
        let _ = PublicKey::parse(&bytes);
    });
}
