use std::borrow::Cow;

use hexline_model::{Subject, Timestamp};

use crate::claims;
use crate::compact::{Compact, Header, flawed, malformed, refused};
use crate::json::{Flaw, Kind, Reader};
use crate::{Access, Audiences, Rejection};

/// A token whose form is right and of which nothing else is known.
///
/// For finding the key, and for a client that reads its own token. What it says is not to be
/// believed before [`verify`](crate::verify) has passed.
///
/// ```
/// use hexline_token::{Reason, UnverifiedToken};
/// let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrMSJ9.";
/// let token = UnverifiedToken::parse(token)?;
/// assert_eq!((token.issuer(), token.algorithm_name()), ("k1", Some("HS256")));
/// let refusal = UnverifiedToken::parse("not a token").err().expect("malformed");
/// assert_eq!(refusal.reason, Reason::TokenMalformed);
/// # Ok::<(), hexline_token::Rejection>(())
/// ```
pub struct UnverifiedToken<'a> {
    compact: Compact<'a>,
    /// Header and claims, decoded, one after the other.
    parts: String,
    header_length: usize,
    signature: Vec<u8>,
    algorithm: Option<Text>,
    kid: Option<Text>,
    issuer: Text,
    members: Members,
}

/// A piece of `parts`.
#[derive(Clone, Copy)]
struct Span {
    start: u16,
    end: u16,
}

/// A string of `parts`, or what it unescapes to.
enum Text {
    Plain(Span),
    Unescaped(Box<str>),
}

/// Where the claims stand that are looked at after the signature.
#[derive(Default)]
struct Members {
    audience: Option<(Kind, Span)>,
    subject: Option<(Kind, Span)>,
    grants: Option<(Kind, Span)>,
    issued: Option<(Kind, Span)>,
    expires: Option<(Kind, Span)>,
    not_before: Option<(Kind, Span)>,
    token_id: Option<(Kind, Span)>,
    profile: Option<(Kind, Span)>,
    sources: Option<(Kind, Span)>,
}

/// A claim as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) kind: Kind,
    pub(crate) json: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a token by the first row of the table in docs/tokens.md.
    pub fn parse(text: &'a str) -> Result<Self, Rejection> {
        let compact = Compact::split(text)?;
        let mut bytes = Vec::with_capacity(compact.signed.len());
        Compact::decode(compact.header, "header", &mut bytes)?;
        let header_length = bytes.len();
        Compact::decode(compact.payload, "payload", &mut bytes)?;
        let mut signature = Vec::with_capacity(64);
        Compact::decode(compact.signature, "signature", &mut signature)?;
        let parts = String::from_utf8(bytes)
            .ok()
            .filter(|parts| parts.is_char_boundary(header_length))
            .ok_or_else(|| malformed("bytes that are not UTF-8", "JSON in UTF-8"))?;
        let (header, claims) = parts.split_at(header_length);
        let header = Header::read(header)?;
        let algorithm = header.algorithm.map(|text| Text::new(text, &parts));
        let kid = header.kid.map(|text| Text::new(text, &parts));
        let (issuer, members) =
            Members::read(claims, &parts).map_err(|flaw| flawed(flaw, "claims"))?;
        let issuer = issuer.ok_or_else(|| malformed("no iss in the claims", "a string"))?;
        Ok(Self {
            compact,
            parts,
            header_length,
            signature,
            algorithm,
            kid,
            issuer,
            members,
        })
    }

    /// `iss`: the key's id.
    pub fn issuer(&self) -> &str {
        self.issuer.resolve(&self.parts)
    }

    /// The header's `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.kid.as_ref().map(|text| text.resolve(&self.parts))
    }

    /// The header's `alg`, if it is a string.
    pub fn algorithm_name(&self) -> Option<&str> {
        self.algorithm
            .as_ref()
            .map(|text| text.resolve(&self.parts))
    }

    /// The header's JSON.
    pub fn header_json(&self) -> &str {
        &self.parts[..self.header_length]
    }

    /// The claims' JSON.
    pub fn claims_json(&self) -> &str {
        &self.parts[self.header_length..]
    }

    /// The first of `aud`.
    pub fn audience(&self) -> Option<Cow<'_, str>> {
        claims::audiences(self.audience_claim()?)
            .ok()?
            .into_iter()
            .next()
    }

    /// `sub`, if it is `identity/device`.
    pub fn subject(&self) -> Option<Subject> {
        let claim = self.subject_claim()?;
        Subject::parse(&Reader::new(claim.json).string().ok()?).ok()
    }

    /// `exp`, if it is a number.
    pub fn expires(&self) -> Option<Timestamp> {
        claims::time(self.expires_claim()?)
    }

    /// `iat`, if it is a number.
    pub fn issued(&self) -> Option<Timestamp> {
        claims::time(self.issued_claim()?)
    }

    /// Which door it seems to be made for: the one that its audiences name, else, and if they name
    /// both, by whether it has a `sub`.
    pub fn likely_access(&self) -> Access {
        let any = Audiences::any_base();
        let all = self
            .audience_claim()
            .and_then(|c| claims::audiences(c).ok());
        let all = all.unwrap_or_default();
        let mut named = all.iter().filter_map(|audience| any.access_of(audience));
        match named.next() {
            Some(first) if named.all(|other| other == first) => first,
            _ if self.members.subject.is_some() => Access::Client,
            _ => Access::Platform,
        }
    }

    /// The door that the first of its audiences that is one of ours names.
    pub(crate) fn named_access(&self, ours: &Audiences) -> Option<Access> {
        let all = claims::audiences(self.audience_claim()?).ok()?;
        all.iter().find_map(|audience| ours.access_of(audience))
    }

    pub(crate) fn signed(&self) -> &[u8] {
        self.compact.signed.as_bytes()
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// From when on it says it is good: the later one of `iat` and `nbf`.
    pub fn begins(&self) -> Option<Timestamp> {
        let claims = [self.issued_claim(), self.not_before_claim()];
        claims.into_iter().flatten().filter_map(claims::time).max()
    }

    pub(crate) fn audience_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.audience)
    }

    pub(crate) fn subject_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.subject)
    }

    pub(crate) fn grants_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.grants)
    }

    pub(crate) fn issued_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.issued)
    }

    pub(crate) fn expires_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.expires)
    }

    pub(crate) fn not_before_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.not_before)
    }

    pub(crate) fn token_id_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.token_id)
    }

    pub(crate) fn profile_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.profile)
    }

    pub(crate) fn sources_claim(&self) -> Option<Claim<'_>> {
        self.claim(self.members.sources)
    }

    fn claim(&self, member: Option<(Kind, Span)>) -> Option<Claim<'_>> {
        member.map(|(kind, span)| Claim {
            kind,
            json: span.resolve(&self.parts),
        })
    }
}

impl Members {
    /// Reads the claims, which are the end of `parts`, all of them strictly.
    fn read(claims: &str, parts: &str) -> Result<(Option<Text>, Self), Flaw> {
        let mut members = Self::default();
        let mut issuer = None;
        let mut reader = Reader::new(claims);
        reader.object(|reader, name| {
            let member = match name {
                "aud" => &mut members.audience,
                "sub" => &mut members.subject,
                "grants" => &mut members.grants,
                "iat" => &mut members.issued,
                "exp" => &mut members.expires,
                "nbf" => &mut members.not_before,
                "jti" => &mut members.token_id,
                "profile" => &mut members.profile,
                "src" => &mut members.sources,
                "iss" => {
                    let kind = reader.peek()?;
                    if kind != Kind::String {
                        return Err(refused(format!("{} as iss", kind.name()), "a string"));
                    }
                    issuer = Some(Text::new(reader.string()?, parts));
                    return Ok(());
                }
                _ => return reader.skip(),
            };
            let (kind, raw) = reader.raw()?;
            *member = Some((kind, Span::of(raw, parts)));
            Ok(())
        })?;
        reader.end()?;
        Ok((issuer, members))
    }
}

impl Span {
    /// Where a piece borrowed from `parts` stands in it.
    fn of(piece: &str, parts: &str) -> Self {
        let start = piece.as_ptr().addr() - parts.as_ptr().addr();
        let small = |at| u16::try_from(at).expect("a token has at most 8192 bytes");
        Self {
            start: small(start),
            end: small(start + piece.len()),
        }
    }

    fn resolve(self, parts: &str) -> &str {
        &parts[usize::from(self.start)..usize::from(self.end)]
    }
}

impl Text {
    /// `text` is borrowed from `parts`, or owned.
    fn new(text: Cow<'_, str>, parts: &str) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Plain(Span::of(text, parts)),
            Cow::Owned(text) => Self::Unescaped(text.into_boxed_str()),
        }
    }

    fn resolve<'b>(&'b self, parts: &'b str) -> &'b str {
        match self {
            Self::Plain(span) => span.resolve(parts),
            Self::Unescaped(text) => text,
        }
    }
}

impl std::fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnverifiedToken(..)")
    }
}
