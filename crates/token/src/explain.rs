use std::fmt;

use hexline_model::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::quote;
use crate::verifier;
use crate::{
    Access, Grants, KeyEntry, Permissions, Reason, Registry, Rejection, Rules, Service,
    UnverifiedToken, base64url,
};

/// A token taken apart: every check of the table in docs/tokens.md, and what it came to.
///
/// Holds what the token says, so it is for the eyes of whoever holds the token; never for a log.
#[derive(Clone, Serialize)]
pub struct Explanation {
    /// The kind of token that it was checked as.
    pub access: Access,
    /// The nine checks, in order.
    pub checks: Vec<Check>,
    /// When it expires, if it says so.
    #[serde(serialize_with = "as_text")]
    pub expires: Option<Timestamp>,
    /// The header, if it can be read.
    pub header: Option<Box<RawValue>>,
    /// The claims, if they can be read.
    pub claims: Option<Box<RawValue>>,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its number, from 1.
    pub number: u8,
    /// What is checked, in a word or two.
    pub name: &'static str,
    /// What it came to.
    pub outcome: Outcome,
    /// The reason of the refusal, if it failed.
    pub reason: Option<Reason>,
    /// What was found.
    pub found: String,
    /// What was wanted.
    pub wanted: String,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not hold, and decides.
    Fail,
    /// An earlier check failed, or what it needs is not at hand.
    NotReached,
}

/// Runs every check with a registry. Without an access the token's own look decides; `grant` is
/// the service of row 9, which is not reached without one.
///
/// The first failing check has the reason that [`verify`](crate::verify) gives, always.
pub fn explain<R: Registry>(
    token: &str,
    access: impl Into<Option<Access>>,
    registry: &R,
    grant: impl Into<Option<Service>>,
    now: Timestamp,
) -> Explanation {
    let mut rows = Rows::new(token, access.into(), grant.into(), now);
    let Some(token) = rows.form(token) else {
        return rows.done();
    };
    let key = verifier::key(&token, registry, now);
    let wanted = "the id of a usable key".to_owned();
    let Some(entry) = rows.row(KEY, key, |_| (verifier::named_key(&token), wanted)) else {
        return rows.done();
    };
    let algorithm = verifier::algorithm(&token, entry.verifying_key());
    let name = entry.verifying_key().algorithm().name();
    rows.row(ALGORITHM, algorithm, |()| {
        (format!("alg {}", quote(name)), name.to_owned())
    });
    if !rows.failed {
        let signature = verifier::signature(&token, entry.verifying_key());
        let wanted = "one over exactly this header and payload".to_owned();
        rows.row(SIGNATURE, signature, |()| {
            ("the key's signature".to_owned(), wanted)
        });
    }
    let Some((times, content)) = rows.claims(&token, entry.rules()) else {
        return rows.done();
    };
    let claims = verifier::assemble(&token, times, content);
    let wanted = "a token that was not revoked";
    if registry.knows_revocations() {
        let revocation = verifier::revocation(&claims, &entry, registry, now);
        rows.row(REVOCATION, revocation, |()| {
            ("no revocation".to_owned(), wanted.to_owned())
        });
    } else {
        rows.skip(REVOCATION, "revocations are not at hand", wanted);
    }
    rows.grant(claims.grants, entry.ceiling().cloned());
    rows.done()
}

/// Runs the checks that need no key; those that do are not reached.
pub fn explain_offline(
    token: &str,
    access: impl Into<Option<Access>>,
    rules: &Rules,
    grant: impl Into<Option<Service>>,
    now: Timestamp,
) -> Explanation {
    let mut rows = Rows::new(token, access.into(), grant.into(), now);
    let Some(token) = rows.form(token) else {
        return rows.done();
    };
    rows.skip(
        KEY,
        &verifier::named_key(&token),
        "keys, which are not at hand",
    );
    let name = token
        .algorithm_name()
        .map_or("no alg".to_owned(), |name| format!("alg {}", quote(name)));
    rows.skip(ALGORITHM, &name, "the algorithm of the key");
    rows.skip(SIGNATURE, "a signature", "the key");
    let Some((_, content)) = rows.claims(&token, rules) else {
        return rows.done();
    };
    rows.skip(
        REVOCATION,
        "revocations are not at hand",
        "a token that was not revoked",
    );
    rows.grant(content.grants, None);
    rows.done()
}

impl Explanation {
    /// The check that decides, if one failed.
    pub fn failure(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|check| check.outcome == Outcome::Fail)
    }

    /// The reason of the refusal, if there is one.
    pub fn reason(&self) -> Option<Reason> {
        self.failure().and_then(|check| check.reason)
    }

    /// Whether no check failed and none was left out, the grant excepted if none was asked for.
    pub fn is_complete(&self) -> bool {
        self.checks
            .iter()
            .take(8)
            .all(|check| check.outcome == Outcome::Pass)
    }
}

impl fmt::Debug for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explanation")
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotReached => "not reached",
        })
    }
}

/// The rows so far.
struct Rows {
    explanation: Explanation,
    chosen: Option<Access>,
    grant: Option<Service>,
    now: Timestamp,
    failed: bool,
}

impl Rows {
    fn new(token: &str, chosen: Option<Access>, grant: Option<Service>, now: Timestamp) -> Self {
        let mut parts = token.split('.');
        let mut part = || {
            let bytes = base64url::decode(parts.next()?)?;
            RawValue::from_string(String::from_utf8(bytes).ok()?).ok()
        };
        let explanation = Explanation {
            access: chosen.unwrap_or_default(),
            checks: Vec::with_capacity(NAMES.len()),
            expires: None,
            header: part(),
            claims: part(),
        };
        Self {
            explanation,
            chosen,
            grant,
            now,
            failed: false,
        }
    }

    fn form<'a>(&mut self, text: &'a str) -> Option<UnverifiedToken<'a>> {
        let token = UnverifiedToken::parse(text);
        if let Ok(token) = &token {
            self.explanation.expires = token.expires();
            self.explanation.access = self.chosen.unwrap_or_else(|| token.likely_access());
        }
        let found = format!("three parts of {} bytes in all", text.len());
        self.row(FORM, token, |_| {
            (found, "a JWS of at most 8192 bytes, strict JSON".to_owned())
        })
    }

    /// Rows 5 to 7.
    fn claims(
        &mut self,
        token: &UnverifiedToken<'_>,
        rules: &Rules,
    ) -> Option<(verifier::Times, verifier::Content)> {
        if self.failed {
            return None;
        }
        // Of several audiences those of other servers say nothing about this one's doors.
        if self.chosen.is_none()
            && !rules.audiences.is_any()
            && let Some(access) = token.named_access(&rules.audiences)
        {
            self.explanation.access = access;
        }
        let access = self.explanation.access;
        let audience = verifier::audience(token, access, rules);
        let found = token
            .audience()
            .map_or(String::new(), |aud| format!("aud {}", quote(&aud)));
        if rules.audiences.is_any() && audience.is_ok() {
            // It has the form of one; whose it is, nobody here can say.
            self.skip(
                AUDIENCE,
                &found,
                "one of the server, which is not known here",
            );
        } else {
            let wanted = rules.audiences.wanted(access);
            self.row(AUDIENCE, audience, |()| (found, wanted))?;
        }
        let now = self.now;
        let times = verifier::times(token, rules, now);
        let times = self.row(TIMES, times, |times| {
            let until = times
                .expires
                .map_or("without end".to_owned(), |exp| format!("to {exp}"));
            (
                format!("from {} {until}", times.issued),
                format!("a span around {now}"),
            )
        })?;
        let content = verifier::content(token, access);
        let content = self.row(CLAIMS, content, |content| {
            let subject = if content.subject.is_some() {
                "a sub"
            } else {
                "no sub"
            };
            let wanted = match access {
                Access::Client => "identity/device and grants",
                Access::Platform => "no sub, and grants",
            };
            (
                format!("{subject}, {}", content.grants.names()),
                wanted.to_owned(),
            )
        })?;
        Some((times, content))
    }

    fn grant(&mut self, grants: Grants, ceiling: Option<std::sync::Arc<Grants>>) {
        if self.failed {
            return;
        }
        let permissions = Permissions::new(grants, ceiling);
        let Some(service) = self.grant else {
            return self.skip(GRANT, &permissions.found(), "the grant that a call needs");
        };
        let answer = permissions.may_use(service);
        self.row(GRANT, answer, |()| {
            (permissions.found(), format!("the grant {service}"))
        });
    }

    fn row<T>(
        &mut self,
        number: u8,
        answer: Result<T, Rejection>,
        passed: impl FnOnce(&T) -> (String, String),
    ) -> Option<T> {
        let (outcome, reason, (found, wanted), value) = match answer {
            Ok(value) => (Outcome::Pass, None, passed(&value), Some(value)),
            Err(no) => (
                Outcome::Fail,
                Some(no.reason),
                (no.found, no.expected),
                None,
            ),
        };
        self.failed |= value.is_none();
        let name = name(number);
        self.explanation.checks.push(Check {
            number,
            name,
            outcome,
            reason,
            found,
            wanted,
        });
        value
    }

    fn skip(&mut self, number: u8, found: &str, wanted: &str) {
        if self.failed {
            return;
        }
        self.explanation
            .checks
            .push(not_reached(number, found, wanted));
    }

    fn done(mut self) -> Explanation {
        let reached = self.explanation.checks.len();
        for number in (1..).take(NAMES.len()).skip(reached) {
            self.explanation.checks.push(not_reached(number, "", ""));
        }
        self.explanation
    }
}

fn not_reached(number: u8, found: &str, wanted: &str) -> Check {
    Check {
        number,
        name: name(number),
        outcome: Outcome::NotReached,
        reason: None,
        found: found.to_owned(),
        wanted: wanted.to_owned(),
    }
}

fn name(number: u8) -> &'static str {
    NAMES[usize::from(number) - 1]
}

#[expect(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
fn as_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

const FORM: u8 = 1;
const KEY: u8 = 2;
const ALGORITHM: u8 = 3;
const SIGNATURE: u8 = 4;
const AUDIENCE: u8 = 5;
const TIMES: u8 = 6;
const CLAIMS: u8 = 7;
const REVOCATION: u8 = 8;
const GRANT: u8 = 9;

const NAMES: [&str; 9] = [
    "form",
    "key",
    "algorithm",
    "signature",
    "audience",
    "times",
    "claims",
    "revocation",
    "grant",
];
