use std::borrow::Cow;
use std::fmt;

use hexline_model::{Subject, Timestamp};
use serde_json::value::RawValue;

use crate::Grants;
use crate::json::{Flaw, Kind, Reader, parse_number, write_string};
use crate::unverified::Claim;

/// What a verified token says.
#[derive(Clone)]
pub struct Claims {
    pub(crate) issuer: Box<str>,
    pub(crate) subject: Option<Subject>,
    pub(crate) grants: Grants,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) token_id: Option<Box<str>>,
    pub(crate) profile: Option<Box<RawValue>>,
    pub(crate) sources: Box<[Source]>,
}

/// A token that another one was exchanged for: an entry of the claim `src`, which a server's
/// exchange writes and no builder.
///
/// A token stands only while the keys of its sources do, and none of them was revoked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source {
    issuer: Box<str>,
    token_id: Option<Box<str>>,
}

impl Claims {
    /// `iss`: the key's id.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`: who, on which device. Every client token has one, no platform token does.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// `grants`, without the key's ceiling.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// `iat`.
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// `exp`, which an app may do without.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// `nbf`.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// `profile`, as it is written.
    pub fn profile(&self) -> Option<&RawValue> {
        self.profile.as_deref()
    }

    /// `src`: the tokens that this one was exchanged for, the first one first; usually none.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }
}

impl Source {
    /// The token of this key, with this `jti` if it has one.
    pub fn new(issuer: impl Into<Box<str>>, token_id: Option<&str>) -> Self {
        Self {
            issuer: issuer.into(),
            token_id: token_id.map(Box::from),
        }
    }

    /// Its `iss`: the id of the key that signed it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    pub(crate) fn write(&self, text: &mut String) {
        text.push_str("{\"iss\":");
        write_string(&self.issuer, text);
        if let Some(id) = &self.token_id {
            text.push_str(",\"jti\":");
            write_string(id, text);
        }
        text.push('}');
    }
}

// A jti may name a person.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?})", self.issuer)
    }
}

// A token is about a person.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("grants", &self.grants)
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Whether a `jti` is one that can be revoked: 1 to 1024 bytes without control characters.
pub fn jti_fits(id: &str) -> bool {
    (1..=LONGEST_JTI).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// The strings of `aud`; else the sort of value that is not one.
pub(crate) fn audiences(claim: Claim<'_>) -> Result<Vec<Cow<'_, str>>, Kind> {
    let mut reader = Reader::new(claim.json);
    let mut found = Vec::new();
    match claim.kind {
        Kind::String => found.push(reader.string().map_err(|_| Kind::String)?),
        Kind::Array => {
            let mut wrong = None;
            let read = reader.array(|reader| {
                match reader.peek()? {
                    Kind::String => found.push(reader.string()?),
                    kind => {
                        wrong = Some(kind);
                        reader.skip()?;
                    }
                }
                Ok(())
            });
            if let Some(kind) = wrong {
                return Err(kind);
            }
            read.map_err(|_| Kind::Array)?;
        }
        kind => return Err(kind),
    }
    Ok(found)
}

/// The entries of `src`; `None` if they are not as an exchange writes them.
pub(crate) fn sources(claim: Claim<'_>) -> Option<Box<[Source]>> {
    let mut found = Vec::new();
    let read = Reader::new(claim.json).array(|reader| {
        let (mut issuer, mut token_id) = (None, None);
        reader.object(|reader, name| {
            match name {
                "iss" => issuer = Some(reader.string()?),
                "jti" => token_id = Some(reader.string()?),
                _ => return Err(Flaw::Syntax),
            }
            Ok(())
        })?;
        let fits = token_id.as_deref().is_none_or(jti_fits) && found.len() < MOST_SOURCES;
        let issuer = issuer.filter(|issuer| fits && !issuer.is_empty());
        let issuer = issuer.ok_or(Flaw::Syntax)?;
        found.push(Source::new(issuer, token_id.as_deref()));
        Ok(())
    });
    read.ok().map(|()| found.into_boxed_slice())
}

/// A claim that is a time: seconds since the epoch, perhaps with a fraction, to the millisecond.
pub(crate) fn time(claim: Claim<'_>) -> Option<Timestamp> {
    if claim.kind != Kind::Number {
        return None;
    }
    let seconds = parse_number(claim.json)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and so far off is far enough"
    )]
    let millis = (seconds * 1000.0).round() as i64;
    Some(Timestamp::from_millis(millis))
}

/// How many sources a token can have.
pub const MOST_SOURCES: usize = 4;
pub(crate) const SRC_RULE: &str = "at most 4 objects with an iss and perhaps a jti";
pub(crate) const JTI_RULE: &str = "1 to 1024 bytes without control characters";
const LONGEST_JTI: usize = 1024;
