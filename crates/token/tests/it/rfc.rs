use hexline_token::jws::{sign_unchecked, verify_line};
use hexline_token::{Algorithm, KeySet, PrivateKey, VerifyingKey};
use serde_json::json;

fn is_valid(jwk: &str, jws: &str) -> bool {
    verify_line(&format!(r#"{{"jwk":{jwk},"jws":"{jws}"}}"#)).is_valid()
}

#[test]
fn rfc_7515_a_1_is_an_hmac() {
    let key = PrivateKey::from_jwk(A1_KEY).expect("sound");
    let jws = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.{A1_SIGNATURE}");
    assert!(is_valid(A1_KEY, &jws));
    let header = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}";
    assert_eq!(sign_unchecked(header, JOE_TEXT.as_bytes(), &key), Some(jws));
}

#[test]
fn rfc_7515_a_2_is_rsa() {
    let jwk = json!({"kty": "RSA", "n": A2_MODULUS, "e": "AQAB"}).to_string();
    let jws = format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{A2_SIGNATURE}");
    assert!(is_valid(&jwk, &jws));
    assert!(!is_valid(&jwk.replace("AQAB", "AQAD"), &jws));
}

#[test]
fn rfc_7515_a_3_is_ecdsa() {
    assert!(is_valid(
        A3_KEY,
        &format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{A3_SIGNATURE}")
    ));
    let private = A3_KEY.replace(
        '}',
        r#","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#,
    );
    let key = PrivateKey::from_jwk(&private).expect("sound");
    let jws = sign_unchecked(r#"{"alg":"ES256"}"#, JOE_TEXT.as_bytes(), &key).expect("signs");
    assert!(is_valid(A3_KEY, &jws));
}

#[test]
fn rfc_7515_a_5_is_unsecured_and_refused() {
    let jws = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    for key in [A1_KEY, A3_KEY, RFC_8037_KEY] {
        assert!(!is_valid(key, &jws));
    }
}

#[test]
fn rfc_7520_4_1_and_4_4_verify() {
    let rsa = json!({
        "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig",
        "n": RFC_7520_MODULUS, "e": "AQAB"
    });
    let jws = format!("{RFC_7520_RSA_HEADER}.{DANGEROUS_BUSINESS}.{RFC_7520_RSA_SIGNATURE}");
    assert!(is_valid(&rsa.to_string(), &jws));
    let oct = json!({
        "kty": "oct", "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037", "use": "sig", "alg": "HS256",
        "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"
    });
    let header = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9";
    let jws = format!("{header}.{DANGEROUS_BUSINESS}.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0");
    assert!(is_valid(&oct.to_string(), &jws));
    assert!(is_valid(&json!({"keys": [oct]}).to_string(), &jws));
}

#[test]
fn rfc_7520_4_2_uses_an_algorithm_that_is_not_supported() {
    // PS384; the same key with another label must not make it valid.
    for alg in ["PS384", "PS256", "RS256"] {
        let rsa = json!({"kty": "RSA", "alg": alg, "n": RFC_7520_MODULUS, "e": "AQAB"});
        let header = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
        let jws = format!("{header}.{DANGEROUS_BUSINESS}.{RFC_7520_RSA_SIGNATURE}");
        assert!(!is_valid(&rsa.to_string(), &jws));
    }
}

#[test]
fn rfc_8037_a_4_is_ed25519() {
    let header = r#"{"alg":"EdDSA"}"#;
    let jws =
        format!("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{RFC_8037_SIGNATURE}");
    assert!(is_valid(RFC_8037_KEY, &jws));
    let private = RFC_8037_KEY.replace(
        '}',
        r#","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#,
    );
    let key = PrivateKey::from_jwk(&private).expect("sound");
    assert_eq!(
        sign_unchecked(header, b"Example of Ed25519 signing", &key),
        Some(jws)
    );
}

#[test]
fn rfc_8725_3_1_a_key_serves_one_algorithm_only() {
    // The public key's text as an HMAC secret, the classic confusion.
    let key = VerifyingKey::from_jwk(A3_KEY).expect("sound");
    let public = key.to_jwk(None).expect("not a secret");
    let secret = PrivateKey::hmac(Algorithm::Hs256, public.as_bytes()).expect("long enough");
    let jws = sign_unchecked(r#"{"alg":"HS256"}"#, b"x", &secret).expect("signs");
    assert!(!is_valid(&public, &jws));
    for algorithm in Algorithm::ALL {
        let jwk = A3_KEY.replacen('{', &format!(r#"{{"alg":"{algorithm}","#), 1);
        assert_eq!(
            VerifyingKey::from_jwk(&jwk).is_ok(),
            algorithm == Algorithm::Es256
        );
    }
}

#[test]
fn rfc_8725_3_4_keys_off_their_curve_are_refused() {
    let off = A3_KEY.replace(
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1",
    );
    assert!(VerifyingKey::from_jwk(&off).is_err());
    assert!(KeySet::parse(&format!(r#"{{"keys":[{off}]}}"#)).is_err());
}

const A1_KEY: &str = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const A1_SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const JOE_TEXT: &str =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
const A2_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const A3_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const A3_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RFC_7520_MODULUS: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
const RFC_7520_RSA_HEADER: &str =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
const DANGEROUS_BUSINESS: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
const RFC_7520_RSA_SIGNATURE: &str = "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
const RFC_8037_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RFC_8037_SIGNATURE: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
