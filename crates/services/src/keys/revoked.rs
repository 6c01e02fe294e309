use std::collections::HashMap;

use hexline_model::{Identity, Subject, Timestamp};
use hexline_token::{RevocationScope, RevokedBy, Source};

use crate::revocations::{Revocation, Scope, SweepHorizon, Target};

/// The revocations of one app, laid out for the check that every token passes.
#[derive(Debug, Default)]
pub(super) struct RevokedTokens {
    tokens: HashMap<String, SingleToken>,
    app: Option<Timestamp>,
    identities: HashMap<Identity, Timestamp>,
    devices: HashMap<Subject, Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SingleToken {
    at: Timestamp,
    expires: Option<Timestamp>,
}

/// What a token is looked up by.
#[derive(Clone, Copy)]
pub(super) struct TokenMarks<'a> {
    pub(super) subject: Option<&'a Subject>,
    pub(super) token_id: Option<&'a str>,
    /// The tokens that it was exchanged for.
    pub(super) sources: &'a [Source],
    pub(super) issued: Timestamp,
}

impl RevokedTokens {
    /// Takes a revocation in, by the rule of the store: the stricter stays. True if that changed
    /// anything.
    pub(super) fn add(&mut self, revocation: &Revocation) -> bool {
        let at = revocation.at;
        let later = |old: &mut Timestamp| {
            let stricter = at > *old;
            *old = at.max(*old);
            stricter
        };
        match &revocation.target {
            Target::Token { jti, expires } => {
                let new = SingleToken {
                    at,
                    expires: *expires,
                };
                let Some(old) = self.tokens.get_mut(jti.as_str()) else {
                    self.tokens.insert(jti.as_str().to_owned(), new);
                    return true;
                };
                let before = *old;
                later(&mut old.at);
                old.expires = match (old.expires, expires) {
                    (Some(old), Some(new)) => Some(old.max(*new)),
                    _ => None,
                };
                before != *old
            }
            Target::IssuedBefore(Scope::App) => match &mut self.app {
                Some(old) => later(old),
                none => none.replace(at).is_none(),
            },
            Target::IssuedBefore(Scope::Identity(identity)) => {
                match self.identities.get_mut(identity) {
                    Some(old) => later(old),
                    None => self.identities.insert(identity.clone(), at).is_none(),
                }
            }
            Target::IssuedBefore(Scope::Device(subject)) => match self.devices.get_mut(subject) {
                Some(old) => later(old),
                None => self.devices.insert(subject.clone(), at).is_none(),
            },
        }
    }

    /// Forgets what names no living token any more.
    pub(super) fn sweep(&mut self, horizon: SweepHorizon) {
        self.tokens.retain(|_, token| match token.expires {
            Some(expires) => expires >= horizon.expired_before,
            None => horizon
                .issued_before
                .is_none_or(|horizon| token.at >= horizon),
        });
        let Some(horizon) = horizon.issued_before else {
            return;
        };
        self.app = self.app.filter(|at| *at >= horizon);
        self.identities.retain(|_, at| *at >= horizon);
        self.devices.retain(|_, at| *at >= horizon);
    }

    /// The revocation that names this token.
    pub(super) fn find(&self, token: TokenMarks<'_>) -> Option<RevokedBy> {
        if token
            .token_id
            .is_some_and(|jti| self.tokens.contains_key(jti))
        {
            return Some(RevokedBy::Token);
        }
        let mut sources = token.sources.iter().filter_map(Source::token_id);
        if sources.any(|jti| self.tokens.contains_key(jti)) {
            return Some(RevokedBy::Source);
        }
        // Whole seconds on both sides: a token made in the second of the revocation is caught.
        let caught = |at: Option<&Timestamp>, scope| {
            at.filter(|at| token.issued.as_secs() <= at.as_secs())
                .map(|at| RevokedBy::IssuedBefore { scope, at: *at })
        };
        caught(self.app.as_ref(), RevocationScope::App).or_else(|| {
            let subject = token.subject?;
            caught(
                self.identities.get(&subject.identity),
                RevocationScope::Identity,
            )
            .or_else(|| caught(self.devices.get(subject), RevocationScope::Device))
        })
    }

    /// Whether nothing is revoked, the usual case.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.app.is_none()
            && self.identities.is_empty()
            && self.devices.is_empty()
    }
}
