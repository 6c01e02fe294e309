//! Fuzz targets for tokens. The first byte says what the rest is; see each target.

use std::sync::LazyLock;

use hexline_model::Timestamp;
use hexline_token::{
    Access, Algorithm, Audiences, Grants, Json, KeySet, PrivateKey, Rules, SingleKey,
    UnverifiedToken, VerifyingKey, explain, explain_offline, jws,
};

/// Every parser of untrusted text, on the same text.
pub fn parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data.get(1..).unwrap_or_default());
    if let Ok(token) = UnverifiedToken::parse(&text) {
        for json in [token.header_json(), token.claims_json()] {
            let general = serde_json::from_str::<&serde_json::value::RawValue>(json);
            let general = general.expect("no more lenient than others");
            assert!(general.get().starts_with('{'));
        }
        let _ = (
            token.issuer(),
            token.key_id(),
            token.audience(),
            token.subject(),
        );
        let _ = (token.expires(), token.issued(), token.likely_access());
    }
    if let Ok(grants) = Grants::parse(&text) {
        let written = serde_json::to_string(&grants).expect("grants can be written");
        assert_eq!(
            Grants::parse(&written),
            Ok(grants),
            "read differently the second time"
        );
    }
    if let Ok(ceiling) = Grants::parse_ceiling(&text) {
        assert_eq!(
            Grants::parse(&text),
            Ok(ceiling),
            "a ceiling is read otherwise than grants"
        );
    }
    if let Ok(json) = Json::parse(&text) {
        let written = json.to_string();
        assert_eq!(
            Json::parse(&written).map(|json| json.to_string()),
            Ok(written)
        );
    }
    let _ = KeySet::parse(&text);
    let _ = VerifyingKey::from_jwk(&text);
    let _ = PrivateKey::from_jwk(&text);
    let _ = VerifyingKey::from_pem(None, &text);
    let _ = jws::verify_line(&text);
}

/// A whole token (`t`), claims to be signed (`c`), or a header to be signed (`h`); anything else
/// counts as a token. Explaining must say what verifying says.
pub fn verify(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&b't', &[]));
    let good = format!(r#"{{"iss":"{ISSUER}","iat":{NOW},"exp":{NOW}}}"#);
    let token = match first {
        b'c' => jws::sign_unchecked(r#"{"alg":"HS256"}"#, rest, &KEY.0),
        b'h' => jws::sign_unchecked(&String::from_utf8_lossy(rest), good.as_bytes(), &KEY.0),
        _ => Some(String::from_utf8_lossy(rest).into_owned()),
    };
    let token = token.expect("signing works");
    let now = Timestamp::from_secs(NOW);
    for access in [Access::Client, Access::Platform] {
        let verified = hexline_token::verify(&token, access, &KEY.1, now);
        let explained = explain(&token, access, &KEY.1, None, now);
        assert_eq!(
            explained.reason(),
            verified.as_ref().err().map(|rejection| rejection.reason),
            "explaining and verifying disagree"
        );
        if let Ok(verified) = verified {
            assert_eq!(verified.claims.issuer(), ISSUER);
            assert_eq!(
                verified.claims.subject().is_some(),
                access == Access::Client
            );
            let _ = verified.permissions().opens_socket();
            let any = Rules::new(Audiences::any_base());
            for found in [
                explain(&token, None, &KEY.1, None, now),
                explain_offline(&token, None, &any, None, now),
            ] {
                assert_eq!(
                    found.reason(),
                    None,
                    "the inspector refuses what a door accepts"
                );
            }
        }
    }
    let _ = explain_offline(&token, None, &Rules::new(Audiences::any_base()), None, now);
}

const NOW: i64 = 1_490_479_599;
const ISSUER: &str = "b234fdb83571400f9b62e204d735126e";

static KEY: LazyLock<(PrivateKey, SingleKey)> = LazyLock::new(|| {
    let secret = b"zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";
    let key = PrivateKey::hmac(Algorithm::Hs256, secret).expect("long enough");
    let rules = Rules::new(Audiences::new(["http://localhost:8000"]));
    let registry = SingleKey::new(ISSUER, key.verifying_key(), rules);
    (key, registry)
});
