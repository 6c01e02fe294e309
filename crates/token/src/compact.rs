//! The JWS compact serialisation (RFC 7515 §3.1, §7.1) and what a header may say (§4).

use std::borrow::Cow;

use crate::error::quote;
use crate::json::{Flaw, Kind, Reader};
use crate::{Algorithm, Reason, Rejection, base64url};

/// A token's three parts, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'a> {
    /// Header, dot, payload: what is signed.
    pub(crate) signed: &'a str,
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
}

/// What of a header is used. Everything else in it is neither read nor believed.
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Option<Cow<'a, str>>,
    pub(crate) kid: Option<Cow<'a, str>>,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(text: &'a str) -> Result<Self, Rejection> {
        if text.len() > MAX_BYTES {
            let found = format!("{} bytes", text.len());
            return Err(malformed(found, "at most 8192"));
        }
        let (header, rest) = text.split_once('.').ok_or_else(|| miscounted(text))?;
        let (payload, signature) = rest.split_once('.').ok_or_else(|| miscounted(text))?;
        if signature.contains('.') {
            return Err(miscounted(text));
        }
        let signed = &text[..header.len() + 1 + payload.len()];
        Ok(Self {
            signed,
            header,
            payload,
            signature,
        })
    }

    /// Decodes one of the parts; `name` says which, for the message.
    pub(crate) fn decode(part: &str, name: &str, bytes: &mut Vec<u8>) -> Result<(), Rejection> {
        base64url::decode_into(part, bytes).ok_or_else(|| {
            malformed(
                format!("a {name} in another spelling"),
                "canonical base64url without padding",
            )
        })
    }
}

impl<'a> Header<'a> {
    pub(crate) fn read(json: &'a str) -> Result<Self, Rejection> {
        // What every builder of ours writes needs no parser.
        if let Some(name) = json
            .strip_prefix(USUAL)
            .and_then(|rest| rest.strip_suffix("\"}"))
            && Algorithm::parse(name).is_ok()
        {
            return Ok(Self {
                algorithm: Some(Cow::Borrowed(name)),
                kid: None,
            });
        }
        let mut header = Self {
            algorithm: None,
            kid: None,
        };
        let mut reader = Reader::new(json);
        reader
            .object(|reader, name| match name {
                "alg" => {
                    match reader.peek()? {
                        Kind::String => header.algorithm = Some(reader.string()?),
                        _ => reader.skip()?, // as if there were none
                    }
                    Ok(())
                }
                "kid" => match reader.peek()? {
                    Kind::String => {
                        header.kid = Some(reader.string()?);
                        Ok(())
                    }
                    kind => Err(refused(format!("{} as kid", kind.name()), "a string")),
                },
                "typ" => match reader.peek()? {
                    Kind::String => {
                        let kind = reader.string()?;
                        if kind.eq_ignore_ascii_case("JWT") {
                            return Ok(());
                        }
                        Err(refused(format!("typ {}", quote(&kind)), "JWT or no typ"))
                    }
                    kind => Err(refused(format!("{} as typ", kind.name()), "JWT or no typ")),
                },
                "cty" => match reader.peek()? {
                    // A token in a token: what is signed would not be what is read.
                    Kind::String if reader.string()?.eq_ignore_ascii_case("JWT") => {
                        Err(refused("cty JWT".to_owned(), "claims, not another token"))
                    }
                    Kind::String => Ok(()),
                    _ => reader.skip(),
                },
                "crit" | "b64" | "zip" => {
                    Err(refused(format!("the member {name}"), "no extensions"))
                }
                _ => reader.skip(),
            })
            .and_then(|()| reader.end())
            .map_err(|flaw| flawed(flaw, "header"))?;
        Ok(header)
    }
}

pub(crate) fn malformed(found: impl Into<String>, expected: impl Into<String>) -> Rejection {
    Rejection::new(Reason::TokenMalformed, found, expected)
}

fn miscounted(text: &str) -> Rejection {
    let found = match text.split('.').count() {
        1 => "1 part".to_owned(),
        parts => format!("{parts} parts"),
    };
    malformed(found, "three, separated by dots")
}

/// A refusal because of what one of the parts holds.
pub(crate) fn flawed(flaw: Flaw, part: &str) -> Rejection {
    let (found, expected) = match flaw {
        Flaw::Unexpected(kind) => (kind.name().to_owned(), "a JSON object".to_owned()),
        flaw => flaw.describe(),
    };
    malformed(format!("{found} in the {part}"), expected)
}

pub(crate) fn refused(found: String, expected: &str) -> Flaw {
    Flaw::Refused {
        found,
        expected: expected.to_owned(),
    }
}

/// How most headers begin, up to the name of the algorithm.
const USUAL: &str = r#"{"typ":"JWT","alg":""#;

/// The longest token, in bytes.
pub(crate) const MAX_BYTES: usize = 8 * 1024;
