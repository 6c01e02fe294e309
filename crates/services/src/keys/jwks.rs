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
    /// The last document that arrived, and when.
    document: Option<(KeySet, Timestamp)>,
    attempt: Attempt,
}

/// What became of the last attempt to fetch the document.
#[derive(Debug, Default)]
enum Attempt {
    #[default]
    None,
    UnderWay {
        since: Timestamp,
    },
    Succeeded {
        at: Timestamp,
    },
    Failed {
        at: Timestamp,
    },
}

impl JwksCache {
    /// Takes in a fetched document. True if a key that was there is gone or has changed.
    pub(super) fn install(&self, set: KeySet, now: Timestamp) -> bool {
        let mut fetched = self.lock();
        let lost = fetched
            .set()
            .is_some_and(|old| old.iter().any(|(kid, key)| !has(&set, kid, key)));
        fetched.document = Some((set, now));
        fetched.attempt = Attempt::Succeeded { at: now };
        lost
    }

    /// Notes that the document could not be fetched. What there was stays for a day: its owner
    /// may have withdrawn a key meanwhile, and nobody here would know.
    pub(super) fn fail(&self, now: Timestamp) {
        let mut fetched = self.lock();
        fetched.attempt = Attempt::Failed { at: now };
        if fetched
            .document
            .as_ref()
            .is_some_and(|(_, at)| now.since(*at) >= TRUST)
        {
            fetched.document = None;
        }
    }

    pub(super) fn select(&self, kid: Option<&str>) -> Option<VerifyingKey> {
        self.lock().select(kid).cloned()
    }

    /// Whether the fetched document no longer has this key. Not so before the first fetch.
    pub(super) fn lost(&self, kid: Option<&str>, key: &VerifyingKey) -> bool {
        self.lock().set().is_some_and(|set| !has(set, kid, key))
    }

    /// Whether to fetch now: for a `kid` that is not there, or because the document is old.
    /// After a yes the answer is no for a while; for a short one if the fetch fails.
    pub(super) fn order(&self, wanted: Wanted<'_>, now: Timestamp) -> bool {
        let mut fetched = self.lock();
        let due = match wanted {
            Wanted::Kid(kid) => fetched.is_old(now) || fetched.select(kid).is_none(),
            Wanted::Freshness => fetched.is_old(now),
        };
        let order = due && fetched.attempt.rests_for(now).is_zero();
        if order {
            fetched.attempt = Attempt::UnderWay { since: now };
        }
        order
    }

    /// If it cannot be said whether this `kid` is known, because it is not here and the document
    /// as it is now could not be fetched: how long until there may be another attempt.
    pub(super) fn undecided(&self, kid: Option<&str>, now: Timestamp) -> Option<Duration> {
        let fetched = self.lock();
        let current = matches!(fetched.attempt, Attempt::Succeeded { .. });
        (!current && fetched.select(kid).is_none())
            .then(|| fetched.attempt.rests_for(now).min(PAUSE_AFTER_FAILURE))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Fetched> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Fetched {
    fn set(&self) -> Option<&KeySet> {
        self.document.as_ref().map(|(set, _)| set)
    }

    fn select(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        self.set()?.select(kid)
    }

    fn is_old(&self, now: Timestamp) -> bool {
        // Fetched in the future: the calendar was set back, and nobody knows how old it is.
        self.document
            .as_ref()
            .is_none_or(|(_, at)| *at > now || now.since(*at) >= MAX_AGE)
    }
}

impl Attempt {
    /// How long until there may be another one.
    fn rests_for(&self, now: Timestamp) -> Duration {
        let (since, pause) = match self {
            Self::None => return Duration::ZERO,
            Self::UnderWay { since } => (*since, PAUSE),
            Self::Succeeded { at } => (*at, PAUSE),
            Self::Failed { at } => (*at, PAUSE_AFTER_FAILURE),
        };
        if since > now {
            return Duration::ZERO;
        }
        pause.saturating_sub(now.since(since))
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
const TRUST: Duration = Duration::from_hours(24);
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use hexline_token::{Algorithm, PrivateKey};

    use super::*;

    fn set(kid: &str) -> KeySet {
        let key = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
        let jwk = key.verifying_key().to_jwk(Some(kid)).expect("a public key");
        KeySet::parse(&format!(r#"{{"keys":[{jwk}]}}"#)).expect("a set")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + second)
    }

    const A: Option<&str> = Some("a");

    #[test]
    fn a_failed_fetch_is_tried_again_sooner_than_a_good_one() {
        let cache = JwksCache::default();
        assert!(cache.order(Wanted::Kid(A), at(0)));
        cache.fail(at(2));
        assert!(!cache.order(Wanted::Kid(A), at(6)));
        assert!(cache.order(Wanted::Kid(A), at(7)));
        cache.install(set("b"), at(8));
        assert!(!cache.order(Wanted::Kid(A), at(37)));
        assert!(cache.order(Wanted::Kid(A), at(38)));
    }

    #[test]
    fn without_the_document_nobody_can_say_that_a_kid_is_unknown() {
        let cache = JwksCache::default();
        assert!(cache.undecided(A, at(0)).is_some(), "never fetched");
        assert!(cache.order(Wanted::Kid(A), at(0)));
        assert!(cache.undecided(A, at(0)).is_some(), "not there yet");
        cache.fail(at(1));
        assert_eq!(cache.undecided(A, at(2)), Some(Duration::from_secs(4)));
        cache.install(set("b"), at(10));
        assert_eq!(cache.undecided(A, at(11)), None, "it is not in there");
        cache.fail(at(100));
        assert!(cache.undecided(A, at(100)).is_some(), "it may be by now");
        assert_eq!(cache.undecided(Some("b"), at(100)), None, "it is here");
    }

    #[test]
    fn a_document_that_cannot_be_fetched_again_is_trusted_for_a_day() {
        let cache = JwksCache::default();
        cache.install(set("a"), at(0));
        cache.fail(at(86_399));
        assert!(cache.select(A).is_some());
        cache.fail(at(86_400));
        assert!(cache.select(A).is_none());
        assert!(
            cache.undecided(A, at(86_400)).is_some(),
            "unavailable, not unknown"
        );
    }

    #[test]
    fn after_the_calendar_was_set_back_the_document_is_old() {
        let cache = JwksCache::default();
        cache.install(set("a"), at(0));
        assert!(!cache.order(Wanted::Freshness, at(31)));
        assert!(cache.order(Wanted::Freshness, at(-86_400)));
        assert!(!cache.order(Wanted::Freshness, at(-86_399)), "under way");
    }
}
