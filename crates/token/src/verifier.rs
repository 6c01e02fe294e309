//! The table of docs/tokens.md, row by row. [`verify`] runs the rows and stops at the first that
//! fails; explaining runs the same functions, so the two cannot disagree.

use std::borrow::Cow;

use hexline_model::{Subject, Timestamp};
use serde_json::value::RawValue;

use crate::audience::Named;
use crate::error::quote;
use crate::json::{Kind, Reader};
use crate::unverified::Claim;
use crate::{
    Access, Claims, Grants, KeyEntry, KeyStatus, Permissions, Reason, Registry, Rejection,
    RevokedBy, Rules, Source, UnverifiedToken, VerifyingKey, claims,
};

/// A token that passed, and the key it was signed with.
#[derive(Debug, Clone)]
pub struct Verified<E> {
    /// The key's entry in the registry.
    pub entry: E,
    /// What the token says.
    pub claims: Claims,
}

impl<E: KeyEntry> Verified<E> {
    /// What the token may do, the key's ceiling considered.
    pub fn permissions(&self) -> Permissions {
        Permissions::new(self.claims.grants.clone(), self.entry.ceiling().cloned())
    }
}

/// Checks a token by the rows 1 to 8 of the table in docs/tokens.md, in that order; the first
/// failing row decides. Row 9, the grant, is asked of [`Verified::permissions`] for each call.
///
/// No I/O: it takes what the registry knows, and the time.
pub fn verify<R: Registry>(
    token: &str,
    access: Access,
    registry: &R,
    now: Timestamp,
) -> Result<Verified<R::Entry>, Rejection> {
    let token = UnverifiedToken::parse(token)?;
    let entry = key(&token, registry, now)?;
    algorithm(&token, entry.verifying_key())?;
    signature(&token, entry.verifying_key())?;
    audience(&token, access, entry.rules())?;
    let times = times(&token, entry.rules(), now)?;
    let content = content(&token, access)?;
    let claims = assemble(&token, times, content);
    revocation(&claims, &entry, registry, now)?;
    Ok(Verified { entry, claims })
}

/// What row 6 reads.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) issued: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
}

/// What row 7 reads.
pub(crate) struct Content {
    pub(crate) subject: Option<Subject>,
    pub(crate) grants: Grants,
    pub(crate) token_id: Option<Box<str>>,
    pub(crate) sources: Box<[Source]>,
}

/// Row 2.
pub(crate) fn key<R: Registry>(
    token: &UnverifiedToken<'_>,
    registry: &R,
    now: Timestamp,
) -> Result<R::Entry, Rejection> {
    let status = registry.key(token.issuer(), token.key_id(), now);
    let entry = usable(status, "a key", || named_key(token))?;
    // What cannot be read is refused with the other claims.
    let sources = token.sources_claim().and_then(claims::sources);
    for source in sources.iter().flatten() {
        let status = registry.source(&entry, source.issuer(), now);
        let named = || format!("a src with iss {}", quote(source.issuer()));
        usable(status, "a src with a key", named)?;
    }
    Ok(entry)
}

fn usable<E>(
    status: KeyStatus<E>,
    what: &str,
    named: impl FnOnce() -> String,
) -> Result<E, Rejection> {
    let (reason, found) = match status {
        KeyStatus::Usable(entry) => return Ok(entry),
        KeyStatus::Unknown => (Reason::KeyUnknown, named()),
        KeyStatus::Revoked { at } => (
            Reason::KeyRevoked,
            format!("{what} that was revoked at {at}"),
        ),
        KeyStatus::Expired { at } => (Reason::KeyExpired, format!("{what} that expired at {at}")),
    };
    Err(Rejection::new(reason, found, "the id of a usable key"))
}

/// Row 3.
pub(crate) fn algorithm(token: &UnverifiedToken<'_>, key: &VerifyingKey) -> Result<(), Rejection> {
    let wanted = key.algorithm().name();
    match token.algorithm_name() {
        Some(name) if name == wanted => Ok(()),
        found => {
            let found = found.map_or("no alg".to_owned(), |name| format!("alg {}", quote(name)));
            let expected = format!("{wanted}, which the key was made for");
            Err(Rejection::new(Reason::AlgorithmMismatch, found, expected))
        }
    }
}

/// Row 4.
pub(crate) fn signature(token: &UnverifiedToken<'_>, key: &VerifyingKey) -> Result<(), Rejection> {
    if key.verify(token.signed(), token.signature()) {
        return Ok(());
    }
    let found = "a signature that this key did not make".to_owned();
    Err(Rejection::new(
        Reason::SignatureInvalid,
        found,
        "one over exactly this header and payload",
    ))
}

/// Row 5.
pub(crate) fn audience(
    token: &UnverifiedToken<'_>,
    access: Access,
    rules: &Rules,
) -> Result<(), Rejection> {
    let mismatch = |found: String| {
        Rejection::new(
            Reason::AudienceMismatch,
            found,
            rules.audiences.wanted(access),
        )
    };
    let claim = token
        .audience_claim()
        .ok_or_else(|| mismatch("no aud".to_owned()))?;
    let (named, first) = if let Some(only) = plain_string(claim) {
        (rules.audiences.judge([only], access), Cow::Borrowed(only))
    } else {
        let all = claims::audiences(claim).map_err(|kind| {
            let inside = if claim.kind == Kind::Array {
                " in it"
            } else {
                ""
            };
            mismatch(format!("an aud with {}{inside}, not strings", kind.name()))
        })?;
        let named = rules.audiences.judge(all.iter().map(|aud| &**aud), access);
        (named, all.into_iter().next().unwrap_or_default())
    };
    match named {
        Named::This => Ok(()),
        Named::Both => Err(Rejection::new(
            Reason::ClaimInvalid,
            "an aud that names both client and platform",
            format!("one that names {access} alone"),
        )),
        Named::Other => Err(mismatch(format!("aud {}", quote(&first)))),
    }
}

/// Row 6: first whether the claims are there and numbers, then `exp`, `nbf`, `iat`, the length.
pub(crate) fn times(
    token: &UnverifiedToken<'_>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Times, Rejection> {
    let issued = time(token.issued_claim(), "iat")?.ok_or_else(|| missing("iat"))?;
    let expires = time(token.expires_claim(), "exp")?;
    let not_before = time(token.not_before_claim(), "nbf")?;
    if expires.is_none() && rules.exp_required {
        return Err(missing("exp"));
    }
    if let Some(expires) = expires
        && expires <= now.minus(rules.leeway)
    {
        let expected = format!(
            "a time after {}",
            allowing(now.minus(rules.leeway), rules, "less")
        );
        return Err(Rejection::new(
            Reason::TokenExpired,
            format!("exp {expires}"),
            expected,
        ));
    }
    let latest = now.plus(rules.leeway);
    for (name, time) in [("nbf", not_before), ("iat", Some(issued))] {
        if let Some(time) = time
            && time > latest
        {
            let found = format!("{name} {time}");
            let expected = format!("a time not after {}", allowing(latest, rules, "more"));
            return Err(Rejection::new(Reason::TokenNotYetValid, found, expected));
        }
    }
    if let Some(expires) = expires
        && expires.since(issued) > rules.longest_ttl
    {
        let found = format!("{} s from iat to exp", expires.since(issued).as_secs_f64());
        let expected = format!("at most {} s", rules.longest_ttl.as_secs_f64());
        return Err(Rejection::new(Reason::TokenTooLong, found, expected));
    }
    Ok(Times {
        issued,
        expires,
        not_before,
    })
}

// The edge of what is accepted, and why it is not now.
fn allowing(edge: Timestamp, rules: &Rules, how: &str) -> String {
    format!(
        "{edge} (now, {} s {how} for clocks that differ)",
        rules.leeway.as_secs()
    )
}

/// Row 7: `sub`, then `grants`, then `jti`, then `src`.
pub(crate) fn content(token: &UnverifiedToken<'_>, access: Access) -> Result<Content, Rejection> {
    let subject = match (access, token.subject_claim()) {
        (Access::Client, Some(claim)) => Some(subject(claim)?),
        (Access::Client, None) => return Err(invalid("no sub", "identity/device")),
        (Access::Platform, Some(_)) => {
            return Err(invalid("a sub", "none in a platform token"));
        }
        (Access::Platform, None) => None,
    };
    let grants = match token.grants_claim() {
        None => Grants::default(),
        Some(claim) => Grants::parse(claim.json)
            .map_err(|error| invalid(format!("in grants {}", error.found), error.expected))?,
    };
    let token_id = match token.token_id_claim() {
        None => None,
        Some(claim) => Some(token_id(claim)?),
    };
    let sources = match token.sources_claim() {
        None => Box::default(),
        Some(claim) => claims::sources(claim)
            .ok_or_else(|| invalid("a src that no exchange wrote", claims::SRC_RULE))?,
    };
    Ok(Content {
        subject,
        grants,
        token_id,
        sources,
    })
}

pub(crate) fn assemble(token: &UnverifiedToken<'_>, times: Times, content: Content) -> Claims {
    Claims {
        issuer: token.issuer().into(),
        subject: content.subject,
        grants: content.grants,
        issued: times.issued,
        expires: times.expires,
        not_before: times.not_before,
        token_id: content.token_id,
        profile: token
            .profile_claim()
            .and_then(|claim| RawValue::from_string(claim.json.to_owned()).ok()),
        sources: content.sources,
    }
}

/// Row 8.
pub(crate) fn revocation<R: Registry>(
    claims: &Claims,
    entry: &R::Entry,
    registry: &R,
    now: Timestamp,
) -> Result<(), Rejection> {
    let found = match registry.revocation(entry, claims, now) {
        None => return Ok(()),
        Some(RevokedBy::Held { scope, until }) => {
            let found = format!(
                "a token for {} that is held out until {until}",
                scope.name()
            );
            let expected = "a token for who may come in";
            return Err(Rejection::new(Reason::TokenRevoked, found, expected).until(until));
        }
        Some(RevokedBy::Token) => "a token that was revoked by its jti".to_owned(),
        Some(RevokedBy::Source) => {
            "a token exchanged for one that was revoked by its jti".to_owned()
        }
        Some(RevokedBy::AppDisabled) => "a token of a disabled app".to_owned(),
        Some(RevokedBy::IssuedBefore { scope, at }) => {
            format!(
                "iat {}, revoked for {} up to {at}",
                claims.issued,
                scope.name()
            )
        }
    };
    Err(Rejection::new(
        Reason::TokenRevoked,
        found,
        "a token that was not revoked",
    ))
}

pub(crate) fn named_key(token: &UnverifiedToken<'_>) -> String {
    let issuer = quote(token.issuer());
    match token.key_id() {
        None => format!("iss {issuer}"),
        Some(kid) => format!("iss {issuer} with kid {}", quote(kid)),
    }
}

fn time(claim: Option<Claim<'_>>, name: &str) -> Result<Option<Timestamp>, Rejection> {
    let Some(claim) = claim else { return Ok(None) };
    let wrong = || {
        let found = match claim.kind {
            Kind::Number => format!("{name} out of range"),
            kind => format!("{} as {name}", kind.name()),
        };
        invalid(found, "a number of seconds")
    };
    claims::time(claim).map(Some).ok_or_else(wrong)
}

fn subject(claim: Claim<'_>) -> Result<Subject, Rejection> {
    let text = string(claim, "sub")?;
    Subject::parse(&text).map_err(|error| invalid(format!("a sub that {error}"), "identity/device"))
}

/// A `jti` by which the token can be revoked: a name that no revocation can name would be a way
/// around them.
fn token_id(claim: Claim<'_>) -> Result<Box<str>, Rejection> {
    let id = string(claim, "jti")?;
    if claims::jti_fits(&id) {
        return Ok(id.into());
    }
    Err(invalid(
        format!("a jti of {} bytes", id.len()),
        claims::JTI_RULE,
    ))
}

fn string<'a>(claim: Claim<'a>, name: &str) -> Result<Cow<'a, str>, Rejection> {
    let wrong = |_| invalid(format!("{} as {name}", claim.kind.name()), "a string");
    Reader::new(claim.json).string().map_err(wrong)
}

/// The text of a string without escapes.
fn plain_string(claim: Claim<'_>) -> Option<&str> {
    let text = claim.json.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

fn missing(name: &str) -> Rejection {
    invalid(format!("no {name}"), "a number of seconds")
}

fn invalid(found: impl Into<String>, expected: impl Into<String>) -> Rejection {
    Rejection::new(Reason::ClaimInvalid, found, expected)
}
