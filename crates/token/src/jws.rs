//! Checking signatures alone: what `hexline token verify --lines` does.
//!
//! Each line is `{"jwk": … , "jws": "…", "algs": ["…"]}`, where `jwk` is a JWK or a set
//! `{"keys": […]}`, and `algs`, if it is there, lists the algorithms that are allowed. Checked are
//! the serialisation, the rules for headers, the screening of keys, the algorithm and the
//! signature; the payload may be any bytes, and no claim is looked at. An `oct` key's `k` is
//! base64url-decoded. In a set `kid` picks the key, optional only if one is usable. Whatever is
//! wrong with a line, it is `invalid`: a line never stops the lines after it.

use std::borrow::Cow;
use std::fmt;

use crate::compact::{Compact, Header};
use crate::json::{Flaw, Kind, Reader};
use crate::{Algorithm, KeySet, PrivateKey, VerifyingKey, base64url};

/// What is to be said of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineVerdict {
    /// The signature is that of the key, and nothing is wrong with either.
    Valid,
    /// Anything else.
    Invalid,
}

/// Checks one line.
///
/// ```
/// use hexline_token::jws::{verify_line, LineVerdict};
/// // RFC 7515, appendix A.1.
/// let line = r#"{"jwk":{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
///   "jws":"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}"#;
/// assert_eq!(verify_line(line), LineVerdict::Valid);
/// assert_eq!(verify_line(&line.replace("dBjf", "dBjg")), LineVerdict::Invalid);
/// assert_eq!(verify_line("what is this"), LineVerdict::Invalid);
/// ```
pub fn verify_line(line: &str) -> LineVerdict {
    match checked(line) {
        Some(()) => LineVerdict::Valid,
        None => LineVerdict::Invalid,
    }
}

/// Signs any header and any payload, neither of which is looked at: for tests that need a wrong
/// token with a right signature. `None` only if the machine's cryptography fails.
pub fn sign_unchecked(header: &str, payload: &[u8], key: &PrivateKey) -> Option<String> {
    let mut token = base64url::encode(header.as_bytes());
    token.push('.');
    base64url::encode_into(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    base64url::encode_into(&signature, &mut token);
    Some(token)
}

impl LineVerdict {
    /// Whether it is valid.
    pub fn is_valid(self) -> bool {
        self == Self::Valid
    }
}

impl fmt::Display for LineVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        })
    }
}

/// A line's members.
#[derive(Default)]
struct Line<'a> {
    /// The JSON of a JWK or of a set.
    key: Option<&'a str>,
    jws: Option<Cow<'a, str>>,
    algorithms: Option<Vec<Cow<'a, str>>>,
}

fn checked(line: &str) -> Option<()> {
    let line = Line::read(line).ok()?;
    let jws = line.jws?;
    let compact = Compact::split(&jws).ok()?;
    let (mut header, mut payload, mut signature) = (Vec::new(), Vec::new(), Vec::new());
    Compact::decode(compact.header, "header", &mut header).ok()?;
    Compact::decode(compact.payload, "payload", &mut payload).ok()?;
    Compact::decode(compact.signature, "signature", &mut signature).ok()?;
    let header = Header::read(std::str::from_utf8(&header).ok()?).ok()?;
    let algorithm = Algorithm::parse(header.algorithm.as_deref()?).ok()?;
    if let Some(allowed) = &line.algorithms
        && !allowed.iter().any(|name| name == algorithm.name())
    {
        return None;
    }
    let key = select(line.key?, header.kid.as_deref())?;
    let fits = key.algorithm() == algorithm;
    (fits && key.verify(compact.signed.as_bytes(), &signature)).then_some(())
}

fn select(json: &str, kid: Option<&str>) -> Option<VerifyingKey> {
    let mut is_set = false;
    Reader::new(json)
        .object(|reader, name| {
            is_set |= name == "keys";
            reader.skip()
        })
        .ok()?;
    if is_set {
        return KeySet::parse_any(json).ok()?.select(kid).cloned();
    }
    VerifyingKey::from_jwk(json).ok()
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Self, Flaw> {
        let mut line = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|reader, name| {
            match name {
                "jwk" => line.key = Some(reader.raw()?.1),
                "jws" => line.jws = Some(reader.string()?),
                "algs" if reader.peek()? != Kind::Null => {
                    let mut names = Vec::new();
                    reader.array(|reader| {
                        names.push(reader.string()?);
                        Ok(())
                    })?;
                    line.algorithms = Some(names);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(line)
    }
}
