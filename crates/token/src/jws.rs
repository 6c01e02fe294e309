//! Checking signatures alone: [`open`] for tokens of somebody else's, such as the ID tokens of a
//! sign-in provider, and [`verify_line`], which is what `hexline token verify --lines` does.
//!
//! Each line is `{"jwk": … , "jws": "…", "algs": ["…"]}`, where `jwk` is a JWK or a set
//! `{"keys": […]}`, and `algs`, if it is there, lists the algorithms that are allowed. Checked are
//! the serialisation, the rules for headers, the validation of keys, the algorithm and the
//! signature; the payload may be any bytes, and no claim is looked at. An `oct` key's `k` is
//! base64url-decoded. In a set `kid` picks the key, optional only if one is usable. Whatever is
//! wrong with a line, it is `invalid`: a line never stops the lines after it.

use std::borrow::Cow;
use std::fmt;

use crate::compact::{Compact, Header};
use crate::json::{Flaw, Kind, Reader};
use crate::{Algorithm, KeySet, PrivateKey, VerifyingKey, base64url};

/// What a token of somebody else's says, its signature checked against their published keys.
///
/// Nothing but the form, the header, the algorithm and the signature is checked: the claims are
/// the caller's to judge. Strict like everything here: no member stands twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// The claims, a JSON object.
    pub payload: String,
    /// By which algorithm it is signed; never a symmetric one.
    pub algorithm: Algorithm,
}

/// Why a token of somebody else's is not theirs. Its text never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no JWT that can be read.
    #[error("found {found}, expected {expected}")]
    Malformed {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Not signed, signed with a shared secret, or by an algorithm that its maker does not use.
    #[error("found the algorithm {found}, expected one of {expected}")]
    Algorithm {
        /// The algorithm, or `none`.
        found: String,
        /// Those that are taken.
        expected: String,
    },
    /// No published key has its `kid`: perhaps the keys were changed since they were fetched.
    #[error("no published key has the token's kid")]
    KeyUnknown,
    /// The signature does not fit.
    #[error("the signature does not fit the published key")]
    Signature,
}

/// Checks a JWT of somebody else's against their published keys. `algorithms` are those that
/// they announce; the key decides which of them it is, and a symmetric one is never taken.
pub fn open(token: &str, keys: &KeySet, algorithms: &[Algorithm]) -> Result<Signed, OpenError> {
    let compact = Compact::split(token).map_err(OpenError::from)?;
    let (mut header, mut payload, mut signature) = (Vec::new(), Vec::new(), Vec::new());
    Compact::decode(compact.header, "header", &mut header)?;
    Compact::decode(compact.payload, "payload", &mut payload)?;
    Compact::decode(compact.signature, "signature", &mut signature)?;
    let unreadable = |part: &str| OpenError::Malformed {
        found: format!("a {part} that is not UTF-8"),
        expected: "a JSON object".to_owned(),
    };
    let header = std::str::from_utf8(&header).map_err(|_| unreadable("header"))?;
    let header = Header::read(header)?;
    let wrong = |found: String| OpenError::Algorithm {
        found,
        expected: algorithms
            .iter()
            .map(|a| a.name())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let name = header.algorithm.as_deref().unwrap_or("none");
    let algorithm = Algorithm::parse(name)
        .ok()
        .filter(|found| !found.is_symmetric() && algorithms.contains(found))
        .ok_or_else(|| wrong(crate::error::quote(name)))?;
    let key = keys
        .select(header.kid.as_deref())
        .ok_or(OpenError::KeyUnknown)?;
    if key.algorithm() != algorithm {
        return Err(wrong(algorithm.name().to_owned()));
    }
    if !key.verify(compact.signed.as_bytes(), &signature) {
        return Err(OpenError::Signature);
    }
    let payload = String::from_utf8(payload).map_err(|_| unreadable("payload"))?;
    match crate::Json::parse(&payload) {
        Ok(crate::Json::Object(_)) => Ok(Signed { payload, algorithm }),
        Ok(_) => Err(OpenError::Malformed {
            found: "another JSON value as payload".to_owned(),
            expected: "a JSON object".to_owned(),
        }),
        Err(error) => Err(OpenError::Malformed {
            found: format!("a payload where it {error}"),
            expected: "a JSON object".to_owned(),
        }),
    }
}

/// What a token of somebody else's is signed over: what it is known by, for a signature may have
/// several spellings. `None` if it has not three parts.
pub fn signed_part(token: &str) -> Option<&str> {
    Compact::split(token).ok().map(|compact| compact.signed)
}

impl From<crate::Rejection> for OpenError {
    fn from(rejection: crate::Rejection) -> Self {
        Self::Malformed {
            found: rejection.found,
            expected: rejection.expected,
        }
    }
}

// A token is about a person.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({})", self.algorithm)
    }
}

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
