use hexline_model::Timestamp;
use hexline_token::webhook::{self, Keys, LIFETIME_S, Signer};
use hexline_token::{Algorithm, PrivateKey, jws};
use serde_json::{Value, json};

/// What `vectors/webhooks.json` holds.
pub(crate) fn document() -> Value {
    let mut cases = good();
    cases.extend(bad());
    for (number, case) in cases.iter_mut().enumerate() {
        case["number"] = json!(number + 1);
    }
    json!({ "version": 1, "keys": [{ "id": ID, "secret": SECRET }], "cases": cases })
}

/// What a verifier makes of a case: the event's id, or the name of the refusal.
pub(crate) fn outcome(case: &Value) -> String {
    let text = |name: &str| case[name].as_str().expect("text").to_owned();
    let keys = Keys::new().key(ID, SECRET).expect("a good secret");
    let now = Timestamp::from_secs(case["now"].as_i64().expect("a time"));
    match webhook::verify(&text("authorization"), text("body").as_bytes(), &keys, now) {
        Ok(delivery) => delivery.event.id,
        Err(error) => error.code().to_owned(),
    }
}

fn good() -> Vec<Value> {
    let later = |by: i64, title: &str| case(title, &signed(BODY), BODY, NOW + by, "e1");
    vec![
        later(0, "at once"),
        later(LIFETIME_S + 9, "within the leeway after its end"),
        later(-10, "by a clock that is slow"),
        case(
            "a body of other bytes than ASCII",
            &signed(UNICODE),
            UNICODE,
            NOW,
            "e2",
        ),
        case(
            "the scheme in other letters",
            &signed(BODY).replacen("Bearer", "bEARER", 1),
            BODY,
            NOW,
            "e1",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn bad() -> Vec<Value> {
    let claims = format!(
        r#"{{"iss":"{ID}","aud":"https://example.com/hook","iat":{NOW},"exp":{},"jti":"j1","sha256":"x"}}"#,
        NOW + LIFETIME_S
    );
    let forged = |title: &str, header: &str, claims: &str, expected: &str| {
        let token = jws::sign_unchecked(header, claims.as_bytes(), &key()).expect("signs");
        case(title, &format!("Bearer {token}"), BODY, NOW, expected)
    };
    let other = PrivateKey::hmac(Algorithm::Hs256, "b".repeat(43).as_bytes()).expect("long enough");
    let stolen = jws::sign_unchecked(HEADER, claims.as_bytes(), &other).expect("signs");
    vec![
        case(
            "too late",
            &signed(BODY),
            BODY,
            NOW + LIFETIME_S + 10,
            "token_expired",
        ),
        case(
            "too early",
            &signed(BODY),
            BODY,
            NOW - 11,
            "token_not_yet_valid",
        ),
        case("another body", &signed(BODY), UNICODE, NOW, "body_altered"),
        case(
            "a body with a line more",
            &signed(BODY),
            &format!("{BODY}\n"),
            NOW,
            "body_altered",
        ),
        case("no body", &signed(BODY), "", NOW, "body_altered"),
        case(
            "a body that is no event",
            &signed("[]"),
            "[]",
            NOW,
            "no_event",
        ),
        case("no header", "", BODY, NOW, "no_token"),
        case("another scheme", "Basic YTpi", BODY, NOW, "no_token"),
        case("two parts", "Bearer a.b", BODY, NOW, "token_malformed"),
        case(
            "another secret",
            &format!("Bearer {stolen}"),
            BODY,
            NOW,
            "signature_invalid",
        ),
        forged(
            "an AccessToken's typ",
            r#"{"typ":"JWT","alg":"HS256"}"#,
            &claims,
            "token_malformed",
        ),
        forged("no typ", r#"{"alg":"HS256"}"#, &claims, "token_malformed"),
        forged(
            "alg none",
            r#"{"typ":"hexline-event+jwt","alg":"none"}"#,
            &claims,
            "algorithm_mismatch",
        ),
        forged(
            "crit",
            r#"{"typ":"hexline-event+jwt","alg":"HS256","crit":["x"]}"#,
            &claims,
            "token_malformed",
        ),
        forged(
            "an unknown key",
            HEADER,
            &claims.replace(ID, "nobody"),
            "key_unknown",
        ),
        forged("a hash of nothing", HEADER, &claims, "body_altered"),
        forged(
            "no hash",
            HEADER,
            &claims.replace("sha256", "sha1"),
            "token_malformed",
        ),
        forged(
            "a claim twice",
            HEADER,
            &claims.replace("\"jti\"", "\"iat\""),
            "token_malformed",
        ),
        forged(
            "an exp in text",
            HEADER,
            &claims.replace("1490479900", "\"1\""),
            "token_malformed",
        ),
        forged(
            "an exp far off does not make it live longer",
            HEADER,
            &claims
                .replace("1490479900", "1590479900")
                .replace("1490479600", "1490479000"),
            "token_expired",
        ),
    ]
}

fn signed(body: &str) -> String {
    let key = key();
    let signer = Signer {
        key_id: ID,
        key: &key,
        audience: "https://example.com/hook",
        token_id: "j1",
    };
    let now = Timestamp::from_secs(NOW);
    signer.sign(body.as_bytes(), now).expect("signs")
}

fn key() -> PrivateKey {
    PrivateKey::hmac(Algorithm::Hs256, SECRET.as_bytes()).expect("a good secret")
}

fn case(title: &str, authorization: &str, body: &str, now: i64, expected: &str) -> Value {
    json!({
        "title": title, "authorization": authorization, "body": body, "now": now,
        "expected": expected,
    })
}

const ID: &str = "b234fdb83571400f9b62e204d735126e";
const SECRET: &str = "aL3KoFV1mbzPqPhpjbsFYk5VFLkQwtnqkXG0eLPiTAM";
const HEADER: &str = r#"{"typ":"hexline-event+jwt","alg":"HS256"}"#;
const NOW: i64 = 1_490_479_600;
const BODY: &str = r#"{"id":"e1","type":"user.online","app":"a1","at_ms":1490479599000,"data":{"identity":"alice"}}"#;
const UNICODE: &str = r#"{"id":"e2","type":"user.online","app":"a1","at_ms":1490479599000,"data":{"identity":"Zoë ☃"}}"#;
