use hexline_model::Timestamp;
use hexline_token::{
    Access, Audiences, PrivateKey, Rules, SingleKey, VerifyingKey, explain, jws, verify,
};
use serde_json::json;

use crate::keys::Key;

const NOW: i64 = 1_490_479_599;
const WHO: &str = "mallory-who-is-not-to-be-named";

fn registry() -> SingleKey {
    let key = Key::of("hs256");
    let rules = Rules::new(Audiences::new(["http://localhost:8000"]));
    SingleKey::new(key.id, key.private().verifying_key(), rules)
}

fn secret() -> String {
    Key::of("hs256").json()["secret"]
        .as_str()
        .expect("a secret")
        .to_owned()
}

#[test]
fn no_message_holds_the_token_the_secret_or_the_subject() {
    let mut seen = 0;
    for (name, value) in [
        ("aud", json!(7)),
        ("sub", json!(WHO)),
        ("sub", json!(format!("{WHO}/"))),
        ("sub", json!(format!("{WHO}/a/b"))),
        ("sub", json!(format!(" {WHO}/a"))),
        ("sub", json!([WHO])),
        ("exp", json!(1)),
        ("exp", json!(WHO)),
        ("nbf", json!(NOW * 2)),
        ("grants", json!([WHO])),
        (
            "grants",
            json!({"signal": {"channels": [format!("{WHO}*x")]}}),
        ),
        ("jti", json!([WHO])),
        ("iss", json!("0")),
    ] {
        let mut claims = json!({
            "aud": "http://localhost:8000/client/v1", "sub": format!("{WHO}/web1"), "grants": {},
            "iss": Key::of("hs256").id, "iat": NOW, "exp": NOW + 60
        });
        claims[name] = value;
        let claims = claims.to_string();
        for key in ["hs256", "other"] {
            let token = jws::sign_unchecked(
                r#"{"alg":"HS256"}"#,
                claims.as_bytes(),
                &Key::of(key).private(),
            );
            let token = token.expect("signs");
            for text in [token.clone(), format!("{token}."), token.replace('.', "..")] {
                let refused = verify(
                    &text,
                    Access::Client,
                    &registry(),
                    Timestamp::from_secs(NOW),
                );
                let rejection = refused.expect_err("something is wrong with it");
                let explanation =
                    explain(&text, None, &registry(), None, Timestamp::from_secs(NOW));
                for message in [
                    rejection.to_string(),
                    format!("{rejection:?}"),
                    format!("{explanation:?}"),
                ] {
                    assert!(!message.contains(WHO), "{message}");
                    assert!(!message.contains(&secret()), "{message}");
                    assert!(
                        !token.split('.').any(|part| message.contains(part)),
                        "{message}"
                    );
                }
                assert!(rejection.to_string().starts_with(rejection.reason.code()));
                assert!(!rejection.found.is_empty() && !rejection.expected.is_empty());
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 13 * 2 * 3);
}

#[test]
fn what_the_token_says_is_cut_short_and_escaped() {
    let long = format!("\u{1b}[31m{}", "x".repeat(3000));
    for (header, claims) in [
        (json!({"alg": long}), json!({"iss": Key::of("hs256").id})),
        (json!({"alg": "HS256", "kid": long}), json!({"iss": "1"})),
        (json!({"alg": "HS256", "typ": long}), json!({"iss": "1"})),
        (json!({"alg": "HS256"}), json!({"iss": long})),
        (
            json!({"alg": "HS256"}),
            json!({"iss": Key::of("hs256").id, "aud": long}),
        ),
    ] {
        let key = Key::of("hs256").private();
        let token = jws::sign_unchecked(&header.to_string(), claims.to_string().as_bytes(), &key);
        let token = token.expect("signs");
        let refused = verify(
            &token,
            Access::Client,
            &registry(),
            Timestamp::from_secs(NOW),
        );
        let message = refused.expect_err("something is wrong with it").to_string();
        assert!(message.len() < 400, "{message}");
        assert!(!message.chars().any(char::is_control), "{message}");
    }
}

#[test]
fn keys_do_not_print() {
    let private = Key::of("hs256").private();
    let text = format!("{private:?} {:?} {:?}", private.verifying_key(), registry());
    assert!(!text.contains(&secret()), "{text}");
    let short = PrivateKey::hmac(hexline_token::Algorithm::Hs256, b"hunter2").expect_err("short");
    assert_eq!(
        short.to_string(),
        "found an HMAC secret of 56 bits, expected at least 256"
    );
    let jwk = r#"{"kty":"oct","k":"aHVudGVyMg"}"#;
    let error = VerifyingKey::from_jwk(jwk).expect_err("short").to_string();
    assert!(!error.contains("aHVudGVyMg"), "{error}");
}
