use std::sync::Mutex;
use std::time::Duration;

use hexline_model::{KeyId, Timestamp};
use hexline_token::{KeySet, VerifyingKey};

/// Asks the server to fetch a JWKS document and to hand it to
/// [`KeyRegistry::install_jwks`](super::KeyRegistry::install_jwks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksOrder {
    /// For which key.
    pub key: KeyId,
    /// From where; as the operator entered it.
    pub url: String,
}

/// The fetched keys of one JWKS URL. Orders are given out sparingly, whatever tokens ask for.
#[derive(Debug, Default)]
pub(super) struct JwksCache(Mutex<Fetched>);

#[derive(Debug, Default)]
struct Fetched {
    set: Option<KeySet>,
    at: Option<Timestamp>,
    ordered: Option<Timestamp>,
}

impl JwksCache {
    /// Takes in a fetched document. True if a key that was there is gone or has changed.
    pub(super) fn install(&self, set: KeySet, now: Timestamp) -> bool {
        let mut fetched = self.lock();
        let lost = fetched
            .set
            .as_ref()
            .is_some_and(|old| old.iter().any(|(kid, key)| !has(&set, kid, key)));
        fetched.set = Some(set);
        fetched.at = Some(now);
        lost
    }

    pub(super) fn select(&self, kid: Option<&str>) -> Option<VerifyingKey> {
        self.lock()
            .set
            .as_ref()
            .and_then(|set| set.select(kid))
            .cloned()
    }

    /// Whether the fetched document no longer has this key. Not so before the first fetch.
    pub(super) fn lost(&self, kid: Option<&str>, key: &VerifyingKey) -> bool {
        self.lock()
            .set
            .as_ref()
            .is_some_and(|set| !has(set, kid, key))
    }

    /// Whether to fetch now: for a `kid` that is not there, or because the document is old.
    /// After a yes the answer is no for a while, whether the fetch succeeds or not.
    pub(super) fn order(&self, wanted: Wanted<'_>, now: Timestamp) -> bool {
        let mut fetched = self.lock();
        let old = fetched.at.is_none_or(|at| now.since(at) >= MAX_AGE);
        let missing = match wanted {
            Wanted::Kid(kid) => fetched
                .set
                .as_ref()
                .is_none_or(|set| set.select(kid).is_none()),
            Wanted::Freshness => false,
        };
        let just_ordered = fetched
            .ordered
            .is_some_and(|at| at <= now && now.since(at) < PAUSE);
        let order = (old || missing) && !just_ordered;
        if order {
            fetched.ordered = Some(now);
        }
        order
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Fetched> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn has(set: &KeySet, kid: Option<&str>, key: &VerifyingKey) -> bool {
    set.select(kid)
        .is_some_and(|same| same.to_jwk(None) == key.to_jwk(None))
}

/// Why a fetch may be due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// A token names this `kid`, or none.
    Kid(Option<&'a str>),
    /// Nobody waits; the document may have grown old.
    Freshness,
}

const MAX_AGE: Duration = Duration::from_mins(10);
const PAUSE: Duration = Duration::from_secs(30);
