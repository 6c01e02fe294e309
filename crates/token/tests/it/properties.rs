use hexline_model::Timestamp;
use hexline_token::{
    Access, Audiences, Grants, Json, Reason, Rules, SingleKey, TokenBuilder, UnverifiedToken,
    explain, explain_offline, jws, verify,
};
use proptest::prelude::*;

use crate::keys::Key;

const NOW: i64 = 1_490_479_599;

fn registry(name: &str) -> SingleKey {
    let key = Key::of(name);
    let rules = Rules::new(Audiences::new(["http://localhost:8000"]));
    SingleKey::new(key.id, key.private().verifying_key(), rules)
}

fn token(name: &str) -> String {
    Key::of(name)
        .sign(TokenBuilder::create())
        .identity("alice")
        .device("web1")
        .grant("signal", true)
        .jti("j1")
        .build_at(Timestamp::from_secs(NOW))
        .expect("builds")
}

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

#[test]
fn any_single_bit_flip_of_a_token_is_refused() {
    for name in ["hs256", "eddsa"] {
        let (registry, token) = (registry(name), token(name));
        assert!(verify(&token, Access::Client, &registry, now()).is_ok());
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(
                verify(&changed, Access::Client, &registry, now()).is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn any_truncation_of_a_token_is_refused() {
    for name in ["hs256", "eddsa", "es256"] {
        let (registry, token) = (registry(name), token(name));
        for length in 0..token.len() {
            assert!(verify(&token[..length], Access::Client, &registry, now()).is_err());
            assert!(verify(&token[length + 1..], Access::Client, &registry, now()).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_what_is_verified(
        identity in "[^/\\p{C}\\s]{1,40}",
        device in "[^/\\p{C}\\s]{1,40}",
        ttl in 0..2_592_000_u64,
        jti in prop::option::of("\\PC{1,40}"),
        profile in any::<String>(),
    ) {
        let mut builder = Key::of("hs256")
            .sign(TokenBuilder::create())
            .identity(identity.as_str())
            .device(device.as_str())
            .ttl(ttl)
            .profile(profile.as_str());
        if let Some(jti) = &jti {
            builder = builder.jti(jti.as_str());
        }
        let token = builder.build_at(now()).expect("builds");
        let claims = verify(&token, Access::Client, &registry("hs256"), now()).expect("good").claims;
        let subject = claims.subject().expect("a client token");
        prop_assert_eq!(subject.identity.as_str(), identity);
        prop_assert_eq!(subject.device.as_str(), device);
        prop_assert_eq!(claims.token_id(), jti.as_deref());
        prop_assert_eq!(claims.issued(), now());
        let expires = now().as_secs() + i64::try_from(ttl).expect("small");
        prop_assert_eq!(claims.expires(), Some(Timestamp::from_secs(expires)));
        let read: String = serde_json::from_str(claims.profile().expect("there").get()).expect("JSON");
        prop_assert_eq!(read, profile);
    }

    #[test]
    fn no_parser_panics_on_any_text(text in any::<String>()) {
        let _ = UnverifiedToken::parse(&text);
        let _ = Grants::parse(&text);
        let _ = Json::parse(&text);
        let _ = jws::verify_line(&text);
        let _ = explain(&text, None, &registry("hs256"), None, now());
    }

    #[test]
    fn every_double_is_read_back_as_itself(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let text = Json::from(number).to_string();
        let read: f64 = text.parse().expect("a number");
        prop_assert_eq!(read.to_bits(), (number + 0.0).to_bits());
    }

    #[test]
    fn strings_are_read_back_as_themselves(text in any::<String>()) {
        let json = Json::from(text.as_str()).to_string();
        prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
    }

    #[test]
    fn explaining_agrees_with_verifying(
        seed in any::<u64>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        claims_only in any::<bool>(), platform in any::<bool>(), later in 0..8_000_000_i64,
    ) {
        let token = mutated(seed, &edits, claims_only);
        let access = if platform { Access::Platform } else { Access::Client };
        let at = Timestamp::from_millis(NOW * 1000 + later - 20_000);
        let registry = registry("hs256");
        let verified = verify(&token, access, &registry, at).err().map(|rejection| rejection.reason);
        let explained = explain(&token, access, &registry, None, at);
        prop_assert_eq!(explained.reason(), verified);
        if verified.is_none() {
            // Left to find the door itself, it finds the one that lets the token in.
            prop_assert_eq!(explain(&token, None, &registry, None, at).reason(), None);
            let any = Rules::new(Audiences::any_base());
            prop_assert_eq!(explain_offline(&token, None, &any, None, at).reason(), None);
        }
        prop_assert_eq!(explained.checks.len(), 9);
        let failure = explained.failure().map(|check| check.number);
        if let Some(failure) = failure {
            prop_assert_eq!(explained.checks.iter().filter(|c| c.reason.is_some()).count(), 1);
            prop_assert!(verified != Some(Reason::TokenMalformed) || failure == 1);
        }
    }
}

/// A token with a few bytes changed: of its text, or of its claims and then signed.
fn mutated(seed: u64, edits: &[(prop::sample::Index, u8)], claims_only: bool) -> String {
    let token = token(if seed.is_multiple_of(5) {
        "hs384"
    } else {
        "hs256"
    });
    let unverified = UnverifiedToken::parse(&token).expect("well formed");
    let mut bytes = if claims_only {
        unverified.claims_json().as_bytes().to_vec()
    } else {
        token.clone().into_bytes()
    };
    for (index, byte) in edits {
        let at = index.index(bytes.len());
        bytes[at] = *byte & 0x7f;
    }
    if claims_only {
        let header = r#"{"alg":"HS256"}"#;
        return jws::sign_unchecked(header, &bytes, &Key::of("hs256").private()).expect("signs");
    }
    String::from_utf8(bytes).expect("ASCII")
}
