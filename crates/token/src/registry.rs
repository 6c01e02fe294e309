use std::sync::Arc;
use std::time::Duration;

use hexline_model::Timestamp;

use crate::{Audiences, Claims, Grants, KeySet, VerifyingKey};

/// Knows keys and revocations. Answers from memory: it is asked for every token.
pub trait Registry {
    /// A usable key with what belongs to it; cheap to clone, such as an [`Arc`].
    type Entry: KeyEntry;

    /// The key that a token names.
    ///
    /// For a key registered as a JWKS, `issuer` names the registration and `kid` picks the JWK
    /// ([`KeySet::select`]). For any other key a `kid` must equal the issuer ([`kid_fits`]).
    fn key(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> KeyStatus<Self::Entry>;

    /// The key of a token that this one was exchanged for ([`Claims::sources`]): it must be one of
    /// the same app as `entry`.
    fn source(&self, entry: &Self::Entry, issuer: &str, now: Timestamp) -> KeyStatus<()>;

    /// Whether a token of that key was revoked, alone or with others, or with one that it was
    /// exchanged for, whether whom it is for is held out, or its app disabled.
    fn revocation(&self, entry: &Self::Entry, claims: &Claims, now: Timestamp)
    -> Option<RevokedBy>;

    /// Whether [`revocation`](Self::revocation) can know: if not, explaining says "not reached".
    fn knows_revocations(&self) -> bool {
        true
    }
}

/// A usable key and the rules of its app.
pub trait KeyEntry {
    /// The key itself.
    fn verifying_key(&self) -> &VerifyingKey;

    /// What the app asks of its tokens.
    fn rules(&self) -> &Rules;

    /// What tokens of this key can grant at most; `None` for no limit.
    fn ceiling(&self) -> Option<&Arc<Grants>>;
}

/// What a registry knows of a key.
#[derive(Debug, Clone)]
pub enum KeyStatus<E> {
    /// It may be used.
    Usable(E),
    /// There is none.
    Unknown,
    /// It was revoked.
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        at: Timestamp,
    },
}

/// By what a token that is otherwise good was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedBy {
    /// By its `jti`.
    Token,
    /// By the `jti` of a token that it was exchanged for.
    Source,
    /// With all tokens that were issued up to a moment.
    IssuedBefore {
        /// Whose tokens.
        scope: RevocationScope,
        /// The moment.
        at: Timestamp,
    },
    /// Whom it is for stays out for a while, with whatever token.
    Held {
        /// All of an identity, or one of its devices.
        scope: RevocationScope,
        /// Until when.
        until: Timestamp,
    },
    /// Its app is disabled.
    AppDisabled,
}

/// Whose tokens were revoked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationScope {
    /// All of the app.
    App,
    /// All of an identity.
    Identity,
    /// All of a device.
    Device,
}

/// What an app asks of its tokens.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whom tokens may be meant for.
    pub audiences: Arc<Audiences>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp`.
    pub longest_ttl: Duration,
    /// Whether a token must have an `exp`.
    pub exp_required: bool,
}

/// A registry of one key that is at hand: for checking a token without a server's data.
///
/// It knows nothing of revocations.
///
/// ```
/// use hexline_model::Timestamp;
/// use hexline_token::{verify, Access, Algorithm, Audiences, Rules, SingleKey, TokenBuilder, VerifyingKey};
/// let secret = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";
/// let now = Timestamp::from_secs(1_490_479_599);
/// let token = TokenBuilder::create()
///     .key("b234fdb83571400f9b62e204d735126e", secret)
///     .identity("alice")
///     .device("web1")
///     .build_at(now)?;
/// let registry = SingleKey::new(
///     "b234fdb83571400f9b62e204d735126e",
///     VerifyingKey::hmac(Algorithm::Hs256, secret.as_bytes())?,
///     Rules::new(Audiences::new(["http://localhost:8000"])),
/// );
/// let verified = verify(&token, Access::Client, &registry, now)?;
/// assert_eq!(verified.claims.subject().expect("a client token").to_string(), "alice/web1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SingleKey {
    issuer: String,
    keys: Keys,
    rules: Rules,
    ceiling: Option<Arc<Grants>>,
}

/// The key of a [`SingleKey`].
#[derive(Debug, Clone)]
pub struct SingleKeyEntry {
    key: VerifyingKey,
    rules: Rules,
    ceiling: Option<Arc<Grants>>,
}

#[derive(Debug, Clone)]
enum Keys {
    One(VerifyingKey),
    Set(KeySet),
}

/// Whether a header's `kid` may stand beside that `iss`, for a key that is not of a JWKS.
pub fn kid_fits(issuer: &str, kid: Option<&str>) -> bool {
    kid.is_none_or(|kid| kid == issuer)
}

impl RevocationScope {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::App => "the app",
            Self::Identity => "the identity",
            Self::Device => "the device",
        }
    }
}

impl Rules {
    /// The default rules: 10 s of leeway, at most 30 days, `exp` required.
    pub fn new(audiences: Audiences) -> Self {
        Self {
            audiences: Arc::new(audiences),
            leeway: Duration::from_secs(10),
            longest_ttl: Duration::from_hours(30 * 24),
            exp_required: true,
        }
    }
}

impl SingleKey {
    /// One key and its id.
    pub fn new(issuer: impl Into<String>, key: VerifyingKey, rules: Rules) -> Self {
        Self {
            issuer: issuer.into(),
            keys: Keys::One(key),
            rules,
            ceiling: None,
        }
    }

    /// A registered JWKS and the registration's id.
    pub fn of_set(issuer: impl Into<String>, set: KeySet, rules: Rules) -> Self {
        Self {
            issuer: issuer.into(),
            keys: Keys::Set(set),
            rules,
            ceiling: None,
        }
    }

    /// The key's ceiling.
    #[must_use]
    pub fn ceiling(mut self, ceiling: Grants) -> Self {
        self.ceiling = Some(Arc::new(ceiling));
        self
    }
}

impl Registry for SingleKey {
    type Entry = SingleKeyEntry;

    fn key(&self, issuer: &str, kid: Option<&str>, _: Timestamp) -> KeyStatus<SingleKeyEntry> {
        let key = match &self.keys {
            _ if issuer != self.issuer => None,
            Keys::One(key) => Some(key).filter(|_| kid_fits(issuer, kid)),
            Keys::Set(set) => set.select(kid),
        };
        key.map_or(KeyStatus::Unknown, |key| {
            KeyStatus::Usable(SingleKeyEntry {
                key: key.clone(),
                rules: self.rules.clone(),
                ceiling: self.ceiling.clone(),
            })
        })
    }

    /// One key says nothing of others.
    fn source(&self, _: &SingleKeyEntry, _: &str, _: Timestamp) -> KeyStatus<()> {
        KeyStatus::Usable(())
    }

    fn revocation(&self, _: &SingleKeyEntry, _: &Claims, _: Timestamp) -> Option<RevokedBy> {
        None
    }

    fn knows_revocations(&self) -> bool {
        false
    }
}

impl KeyEntry for SingleKeyEntry {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn ceiling(&self) -> Option<&Arc<Grants>> {
        self.ceiling.as_ref()
    }
}

impl<E: KeyEntry + ?Sized> KeyEntry for Arc<E> {
    fn verifying_key(&self) -> &VerifyingKey {
        (**self).verifying_key()
    }

    fn rules(&self) -> &Rules {
        (**self).rules()
    }

    fn ceiling(&self) -> Option<&Arc<Grants>> {
        (**self).ceiling()
    }
}
