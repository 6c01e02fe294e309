use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{AppId, Clock, Device, Identity, KeyId, Subject, Timestamp};
use hexline_token::{
    Claims, Grants, KeyEntry as _, MOST_SOURCES, Permissions, PlatformGrant, PrivateKey, Source,
    TokenBuilder, Verified,
};
use serde_json::Value;

use super::error::TokenError;
use crate::apps::UnknownApp;
use crate::keys::{KeyError, KeyHandle, KeyService, SigningKey};

/// Mints access tokens. Answers from memory.
pub struct TokenService {
    keys: Arc<KeyService>,
    /// The server's base URL, which the tokens name as their audience.
    url: String,
    clock: Arc<dyn Clock>,
}

/// Which key of the app signs; always an HMAC key, for the server has no other's private part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The one that the app names for it.
    App,
    /// The one that the app names for it, and if there is none that may sign, this one: the key of
    /// an app server that asks.
    AppOr(KeyId),
    /// This one alone: the key of an API key.
    Key(KeyId),
}

/// An order for a client token.
#[derive(Clone)]
pub struct Order {
    /// Whose token it is.
    pub identity: Identity,
    /// On which device.
    pub device: Device,
    /// What it grants, as in the claim.
    pub grants: Value,
    /// What the caller may hand out; `None` is no limit.
    pub within: Option<Grants>,
    /// How long it lives, in whole seconds; unset, an hour or the app's longest.
    pub ttl: Option<Duration>,
    /// When it ends at the latest: with the key of the caller.
    pub until: Option<Timestamp>,
    /// Something about the user, for whoever reads the token.
    pub profile: Option<Value>,
    /// A name by which it can be revoked.
    pub jti: Option<String>,
}

/// What of a token may be made narrower in its place.
#[derive(Clone, Default)]
pub struct Narrower {
    /// What the new one grants; unset, what the old one says, if its key's ceiling allows all of it.
    pub grants: Option<Value>,
    /// How long it lives; at the longest, and unless set, as long as the old one.
    pub ttl: Option<Duration>,
    /// When it ends at the latest: with the key of the caller.
    pub until: Option<Timestamp>,
    /// Its name; unset, that of the old one, so that who revokes the one revokes both.
    pub jti: Option<String>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// The token.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// What it grants.
    pub grants: Grants,
    /// The key that signed it.
    pub key: KeyId,
}

/// What is to be signed, all of it decided.
struct Draft<'a> {
    subject: Subject,
    grants: Grants,
    expires: Timestamp,
    profile: Option<Value>,
    jti: Option<&'a str>,
    sources: &'a [Source],
}

impl TokenService {
    /// Mints with the keys of this service, for this base URL.
    pub fn new(keys: Arc<KeyService>, url: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let url = url.into();
        Self { keys, url, clock }
    }

    /// Makes a client token for a user of an app.
    pub fn mint(&self, app: AppId, signer: Signer, order: Order) -> Result<Minted, TokenError> {
        let grants = read_grants(&order.grants)?;
        if let Some(limit) = &order.within {
            let limited = |beyond| TokenError::Beyond {
                beyond,
                limit: "the caller's own allowance",
            };
            grants.within(limit).map_err(limited)?;
        }
        let expires = within(self.expires(app, order.ttl)?, order.until);
        let subject = Subject {
            identity: order.identity,
            device: order.device,
        };
        self.sign(
            app,
            signer,
            Draft {
                subject,
                grants,
                expires,
                profile: order.profile,
                jti: order.jti.as_deref(),
                sources: &[],
            },
        )
    }

    /// Makes a narrower token in the place of a client token of the app that was just verified:
    /// the same user and device, no grant beyond what the old one really gives, no longer life. It
    /// names the old one in `src`, and whatever ends that one ends it too.
    pub fn exchange(
        &self,
        app: AppId,
        signer: Signer,
        old: &Verified<KeyHandle>,
        order: Narrower,
    ) -> Result<Minted, TokenError> {
        let Narrower {
            grants,
            ttl,
            until,
            jti,
        } = order;
        let (entry, claims) = (&old.entry, &old.claims);
        let subject = claims.subject().filter(|_| entry.app() == app);
        let subject = subject.ok_or(TokenError::Foreign)?.clone();
        let permissions = Permissions::new(claims.grants().clone(), entry.ceiling().cloned());
        let grants = match grants {
            Some(grants) => read_grants(&grants)?,
            None => claims.grants().clone(),
        };
        for limit in [Some(permissions.token()), permissions.ceiling()] {
            let limited = |beyond| TokenError::Beyond {
                beyond,
                limit: "the token that is exchanged",
            };
            limit.map_or(Ok(()), |limit| grants.within(limit).map_err(limited))?;
        }
        let ends = match (claims.expires(), entry.end()) {
            (Some(token), Some(key)) => Some(token.min(key)),
            (token, key) => token.or(key),
        };
        let expires = match (ttl, ends) {
            (None, Some(ends)) => ends.min(self.longest(app)?),
            (ttl, ends) => {
                let wanted = self.expires(app, ttl)?;
                ends.map_or(wanted, |ends| ends.min(wanted))
            }
        };
        let sources = sources_of(claims)?;
        let profile = claims.profile();
        let profile = profile.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let jti = jti.as_deref().or(claims.token_id());
        let draft = Draft {
            subject,
            grants,
            expires: within(expires, until),
            profile,
            jti,
            sources: &sources,
        };
        self.sign(app, signer, draft)
    }

    fn sign(&self, app: AppId, signer: Signer, draft: Draft<'_>) -> Result<Minted, TokenError> {
        let (key, ends) = self.signing_key(app, signer)?;
        let expires = ends.map_or(draft.expires, |ends| ends.min(draft.expires));
        // The claim counts whole seconds; what was promised is not exceeded by the rest of one.
        let expires = expires.as_millis().div_euclid(1000);
        let private = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .map_err(hexline_token::BuildError::from)?;
        let grants = serde_json::to_value(&draft.grants).expect("grants are JSON");
        let mut builder = TokenBuilder::create()
            .signing_key(key.id.to_string(), private)
            .api(&self.url)
            .identity(draft.subject.identity.as_str())
            .device(draft.subject.device.as_str())
            .grants(grants)
            .exp(expires);
        if let Some(profile) = draft.profile {
            builder = builder.profile(profile);
        }
        if let Some(jti) = draft.jti {
            builder = builder.jti(jti);
        }
        Ok(Minted {
            token: builder.build_exchanged_at(self.clock.now(), draft.sources)?,
            expires: Timestamp::from_secs(expires),
            grants: draft.grants,
            key: key.id,
        })
    }

    /// The key that signs, and when it ends.
    fn signing_key(
        &self,
        app: AppId,
        signer: Signer,
    ) -> Result<(SigningKey, Option<Timestamp>), KeyError> {
        let key = match signer {
            Signer::App => self.keys.signing_key(app),
            Signer::Key(key) => self.keys.signing_key_of(app, key),
            Signer::AppOr(key) => match self.keys.signing_key(app) {
                Err(KeyError::NoSigningKey { .. }) => self.keys.signing_key_of(app, key),
                found => found,
            },
        }?;
        let record = self.keys.registry().key_record(key.id);
        Ok((key, record.and_then(|record| record.end())))
    }

    fn expires(&self, app: AppId, ttl: Option<Duration>) -> Result<Timestamp, TokenError> {
        let longest = self.longest_ttl(app)?;
        let ttl = ttl.unwrap_or_else(|| DEFAULT_TTL.min(longest));
        let (found, most) = (ttl.as_secs(), longest.as_secs());
        if !(1..=most).contains(&found) {
            return Err(TokenError::Ttl { found, most });
        }
        Ok(self.issued().plus(Duration::from_secs(found)))
    }

    fn longest(&self, app: AppId) -> Result<Timestamp, TokenError> {
        Ok(self.issued().plus(self.longest_ttl(app)?))
    }

    fn longest_ttl(&self, app: AppId) -> Result<Duration, KeyError> {
        let found = self.keys.registry().app(app);
        let unknown = || UnknownApp::from(app);
        Ok(found.ok_or_else(unknown)?.settings.longest_ttl)
    }

    /// The `iat` of what is made now.
    fn issued(&self) -> Timestamp {
        Timestamp::from_secs(self.clock.now().as_millis().div_euclid(1000))
    }
}

fn within(expires: Timestamp, until: Option<Timestamp>) -> Timestamp {
    until.map_or(expires, |until| until.min(expires))
}

/// What a token that is exchanged for this one names in `src`.
fn sources_of(old: &Claims) -> Result<Vec<Source>, TokenError> {
    let mut sources = old.sources().to_vec();
    let own = Source::new(old.issuer(), old.token_id());
    if !sources.contains(&own) {
        sources.push(own);
    }
    if sources.len() > MOST_SOURCES {
        return Err(TokenError::Exchanged);
    }
    Ok(sources)
}

/// Reads grants for a client token as strictly as a ceiling: whoever wrote them is there to be
/// told.
fn read_grants(grants: &Value) -> Result<Grants, TokenError> {
    let grants = Grants::parse_ceiling(&grants.to_string())?;
    if grants.platform() != PlatformGrant::default() {
        return Err(TokenError::Platform);
    }
    Ok(grants)
}

impl fmt::Debug for TokenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenService")
    }
}

// A token does not print, nor who it is for.
impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minted(by {}, until {})", self.key, self.expires)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order(..)")
    }
}

impl fmt::Debug for Narrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Narrower(..)")
    }
}

const DEFAULT_TTL: Duration = Duration::from_hours(1);
