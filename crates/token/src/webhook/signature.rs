use aws_lc_rs::{constant_time, digest};
use hexline_model::Timestamp;

use super::event::Event;
use crate::compact::Compact;
use crate::{Algorithm, Json, KeyValidationError, PrivateKey, VerifyingKey, base64url};

/// The MIME type of what is sent, [`Event`] as JSON.
pub const MEDIA_TYPE: &str = "application/hexline-event+json";

/// How long a signature is good for.
pub const LIFETIME_S: i64 = 300;

/// Signs what is sent to one webhook.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The key's id, the token's `iss`.
    pub key_id: &'a str,
    /// The key.
    pub key: &'a PrivateKey,
    /// The URL that it is sent to.
    pub audience: &'a str,
    /// The token's `jti`, never used twice.
    pub token_id: &'a str,
}

/// The keys that an app's server trusts: those of its app.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<(String, VerifyingKey)>);

/// A webhook that is what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What happened.
    pub event: Event,
    /// The token's `jti`: one that was seen before is a replay, refuse it.
    pub token_id: String,
    /// Which key signed.
    pub key_id: String,
    /// The URL that it was sent to.
    pub audience: String,
    /// Until when the signature is good: what was seen may be forgotten then.
    pub expires: Timestamp,
}

/// Why a webhook is not to be believed. Answer 401 and do nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No `Bearer` token.
    #[error("the Authorization header has no Bearer token")]
    NoToken,
    /// No webhook's token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A key that is not among those that are trusted.
    #[error("the token is signed with a key that is not trusted here")]
    KeyUnknown,
    /// An algorithm that is not the key's.
    #[error("the token's algorithm is not the key's")]
    AlgorithmMismatch,
    /// Not signed with the key that it names.
    #[error("the token's signature is wrong")]
    SignatureInvalid,
    /// Too old: late, or replayed.
    #[error("the token has expired")]
    Expired,
    /// From the future: somebody's clock is wrong.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The body is not the one that was signed.
    #[error("the body is not the one that was signed")]
    BodyAltered,
    /// The body is what was signed, and no event.
    #[error("the body is no event")]
    NoEvent,
}

impl WebhookError {
    /// Its name, for programs and for `vectors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Malformed(_) => "token_malformed",
            Self::KeyUnknown => "key_unknown",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::SignatureInvalid => "signature_invalid",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::BodyAltered => "body_altered",
            Self::NoEvent => "no_event",
        }
    }
}

impl Signer<'_> {
    /// What goes into `Authorization`. `None` only if the machine's cryptography fails.
    pub fn sign(&self, body: &[u8], now: Timestamp) -> Option<String> {
        let header = format!(r#"{{"typ":"{TYPE}","alg":"{}"}}"#, self.key.algorithm());
        let claims = Json::Object(vec![
            ("iss".to_owned(), Json::String(self.key_id.to_owned())),
            ("aud".to_owned(), Json::String(self.audience.to_owned())),
            ("iat".to_owned(), seconds(now.as_secs())),
            ("exp".to_owned(), seconds(now.as_secs() + LIFETIME_S)),
            ("jti".to_owned(), Json::String(self.token_id.to_owned())),
            ("sha256".to_owned(), Json::String(hash(body))),
        ]);
        let token = crate::jws::sign_unchecked(&header, claims.to_string().as_bytes(), self.key)?;
        Some(format!("Bearer {token}"))
    }
}

impl Keys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts a key of the app by its id and secret (HS256).
    pub fn key(self, id: impl Into<String>, secret: &str) -> Result<Self, KeyValidationError> {
        let key = VerifyingKey::hmac(Algorithm::Hs256, secret.as_bytes())?;
        Ok(self.verifying_key(id, key))
    }

    /// Trusts a key of any algorithm.
    #[must_use]
    pub fn verifying_key(mut self, id: impl Into<String>, key: VerifyingKey) -> Self {
        self.0.push((id.into(), key));
        self
    }

    fn find(&self, id: &str) -> Option<&VerifyingKey> {
        let mut keys = self.0.iter();
        keys.find(|(own, _)| own == id).map(|(_, key)| key)
    }
}

/// Checks a webhook: the `Authorization` header, and the body as it came, before anything parses
/// it. Five minutes and ten seconds after it was signed it is refused.
///
/// Whether it was meant for this URL, and whether its `jti` was seen before, is for the caller to
/// ask of the [`Delivery`].
pub fn verify(
    authorization: &str,
    body: &[u8],
    keys: &Keys,
    now: Timestamp,
) -> Result<Delivery, WebhookError> {
    let (scheme, token) = authorization
        .trim()
        .split_once(' ')
        .ok_or(WebhookError::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(WebhookError::NoToken);
    }
    let parts = Compact::split(token.trim()).map_err(|_| WebhookError::Malformed("three parts"))?;
    let header = object(parts.header)?;
    if text(&header, "typ")? != TYPE {
        return Err(WebhookError::Malformed("its typ is not a webhook's"));
    }
    if ["crit", "b64"]
        .iter()
        .any(|name| member(&header, name).is_some())
    {
        return Err(WebhookError::Malformed(
            "its header wants more than is known",
        ));
    }
    let claims = object(parts.payload)?;
    let key_id = text(&claims, "iss")?;
    let key = keys.find(key_id).ok_or(WebhookError::KeyUnknown)?;
    if text(&header, "alg")? != key.algorithm().to_string() {
        return Err(WebhookError::AlgorithmMismatch);
    }
    let signature =
        base64url::decode(parts.signature).ok_or(WebhookError::Malformed("its signature"))?;
    if !key.verify(parts.signed.as_bytes(), &signature) {
        return Err(WebhookError::SignatureInvalid);
    }
    let (issued, expires) = (moment(&claims, "iat")?, moment(&claims, "exp")?);
    let now = now.as_secs();
    if expires.min(issued + LIFETIME_S) + LEEWAY_S <= now {
        return Err(WebhookError::Expired);
    }
    if issued > now + LEEWAY_S {
        return Err(WebhookError::NotYetValid);
    }
    let (wanted, found) = (text(&claims, "sha256")?, hash(body));
    if constant_time::verify_slices_are_equal(wanted.as_bytes(), found.as_bytes()).is_err() {
        return Err(WebhookError::BodyAltered);
    }
    Ok(Delivery {
        event: serde_json::from_slice(body).map_err(|_| WebhookError::NoEvent)?,
        token_id: text(&claims, "jti")?.to_owned(),
        key_id: key_id.to_owned(),
        audience: text(&claims, "aud")?.to_owned(),
        expires: Timestamp::from_secs(expires + LEEWAY_S),
    })
}

type Members = Vec<(String, Json)>;

fn object(part: &str) -> Result<Members, WebhookError> {
    let malformed = WebhookError::Malformed("no JSON objects in base64url");
    let bytes = base64url::decode(part).ok_or(malformed.clone())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed.clone())?;
    match Json::parse(text) {
        Ok(Json::Object(members)) => Ok(members),
        _ => Err(malformed),
    }
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Json> {
    members
        .iter()
        .find(|(own, _)| own == name)
        .map(|(_, value)| value)
}

fn text<'a>(members: &'a Members, name: &'static str) -> Result<&'a str, WebhookError> {
    match member(members, name) {
        Some(Json::String(text)) => Ok(text),
        _ => Err(WebhookError::Malformed(name)),
    }
}

fn moment(members: &Members, name: &'static str) -> Result<i64, WebhookError> {
    match member(members, name) {
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        Some(Json::Number(number)) if (0.0..1e12).contains(number) => Ok(number.floor() as i64),
        _ => Err(WebhookError::Malformed(name)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds are far from 2^53")]
fn seconds(count: i64) -> Json {
    Json::Number(count as f64)
}

fn hash(body: &[u8]) -> String {
    base64url::encode(digest::digest(&digest::SHA256, body).as_ref())
}

const TYPE: &str = "hexline-event+jwt";
const LEEWAY_S: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "aL3KoFV1mbzPqPhpjbsFYk5VFLkQwtnqkXG0eLPiTAM";
    const ID: &str = "b234fdb83571400f9b62e204d735126e";
    const BODY: &[u8] = br#"{"id":"e1","type":"webhook.test","app":"a1","at_ms":5,"data":{}}"#;
    const NOW: i64 = 1_490_479_600;

    fn key() -> PrivateKey {
        PrivateKey::hmac(Algorithm::Hs256, SECRET.as_bytes()).expect("a good secret")
    }

    fn signed() -> String {
        let key = key();
        let signer = Signer {
            key_id: ID,
            key: &key,
            audience: "https://example.com/hook",
            token_id: "j1",
        };
        signer.sign(BODY, Timestamp::from_secs(NOW)).expect("signs")
    }

    fn checked(authorization: &str, body: &[u8], now: i64) -> Result<Delivery, WebhookError> {
        let keys = Keys::new().key(ID, SECRET).expect("a good secret");
        verify(authorization, body, &keys, Timestamp::from_secs(now))
    }

    fn forged(header: &str, claims: &str) -> Result<Delivery, WebhookError> {
        let token = crate::jws::sign_unchecked(header, claims.as_bytes(), &key());
        checked(&format!("Bearer {}", token.expect("signs")), BODY, NOW)
    }

    #[test]
    fn what_was_signed_is_believed_for_five_minutes() {
        let delivery = checked(&signed(), BODY, NOW).expect("good");
        assert_eq!(delivery.token_id, "j1");
        assert_eq!(delivery.audience, "https://example.com/hook");
        assert_eq!(delivery.event.at_ms, 5);
        assert!(checked(&signed(), BODY, NOW + 309).is_ok());
        for (now, wanted) in [
            (310, WebhookError::Expired),
            (-11, WebhookError::NotYetValid),
        ] {
            assert_eq!(checked(&signed(), BODY, NOW + now), Err(wanted));
        }
    }

    #[test]
    fn whatever_was_altered_is_refused() {
        let mut body = BODY.to_vec();
        body[10] ^= 1;
        assert_eq!(
            checked(&signed(), &body, NOW),
            Err(WebhookError::BodyAltered)
        );
        assert_eq!(checked(&signed(), b"", NOW), Err(WebhookError::BodyAltered));
        let good = signed();
        for at in "Bearer ".len()..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("ASCII");
            assert!(checked(&altered, BODY, NOW).is_err(), "{altered}");
        }
        for nothing in ["", "Bearer", "Basic abc", "Bearer a.b", "Bearer a.b.c.d"] {
            assert!(checked(nothing, BODY, NOW).is_err(), "{nothing}");
        }
    }

    #[test]
    fn another_key_is_not_trusted() {
        let other = "b".repeat(43);
        let keys = Keys::new().key(ID, &other).expect("long enough");
        let outcome = verify(&signed(), BODY, &keys, Timestamp::from_secs(NOW));
        assert_eq!(outcome, Err(WebhookError::SignatureInvalid));
        let keys = Keys::new().key("another", SECRET).expect("long enough");
        let outcome = verify(&signed(), BODY, &keys, Timestamp::from_secs(NOW));
        assert_eq!(outcome, Err(WebhookError::KeyUnknown));
    }

    #[test]
    fn an_access_token_is_no_webhook_and_a_webhook_no_access_token() {
        let token = crate::TokenBuilder::create()
            .key(ID, SECRET)
            .access("client")
            .identity("alice")
            .device("web")
            .build_at(Timestamp::from_secs(NOW))
            .expect("all is set");
        let refused = checked(&format!("Bearer {token}"), BODY, NOW);
        assert!(
            matches!(refused, Err(WebhookError::Malformed(_))),
            "{refused:?}"
        );
        let signed = signed();
        let webhook = signed.strip_prefix("Bearer ").expect("a bearer");
        assert!(crate::UnverifiedToken::parse(webhook).is_err());
    }

    #[test]
    fn a_header_or_claim_that_is_not_understood_is_refused() {
        let good = r#"{"typ":"hexline-event+jwt","alg":"HS256"}"#;
        let claims = |rest: &str| {
            format!(
                r#"{{"iss":"{ID}","aud":"u","iat":{NOW},"jti":"j","sha256":"{}"{rest}}}"#,
                hash(BODY)
            )
        };
        let whole = claims(r#","exp":1490479900"#);
        assert!(forged(good, &whole).is_ok());
        for header in [
            r#"{"typ":"JWT","alg":"HS256"}"#,
            r#"{"typ":"hexline-event+jwt","alg":"none"}"#,
            r#"{"typ":"hexline-event+jwt"}"#,
            r#"{"typ":"hexline-event+jwt","alg":"HS256","crit":["x"]}"#,
            r#"{"typ":"hexline-event+jwt","alg":"HS256","alg":"HS256"}"#,
        ] {
            assert!(forged(header, &whole).is_err(), "{header}");
        }
        for rest in [
            "",
            r#","exp":"1490479900""#,
            r#","exp":1e300"#,
            r#","exp":1490479900,"iat":1"#,
        ] {
            assert!(forged(good, &claims(rest)).is_err(), "{rest}");
        }
        // However far off its `exp` is.
        let long = claims(r#","exp":1590479900"#).replace(&NOW.to_string(), "1490479000");
        assert_eq!(forged(good, &long), Err(WebhookError::Expired));
    }
}
