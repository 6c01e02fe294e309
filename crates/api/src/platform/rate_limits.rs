use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hexline_model::{AppId, Monotonic};
use http::{HeaderMap, HeaderName, HeaderValue};

/// How many calls each app may make: a bucket of one minute's calls that fills evenly.
///
/// Counted on this node alone.
#[derive(Debug)]
pub struct RateLimits {
    per_minute: u32,
    apps: Mutex<HashMap<AppId, Bucket>>,
}

/// What one call found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    /// Seconds until the bucket is full.
    reset_s: u32,
    /// Seconds until there is one call more, if there is none.
    pub(crate) wait_s: Option<u32>,
}

/// Counted as the time that it takes to fill up what was taken out.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it is full, as microseconds since the clock began.
    full_us: u64,
}

impl RateLimits {
    /// Allows each app so many calls.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute.max(1),
            apps: Mutex::default(),
        }
    }

    /// Takes a call out of an app's bucket, if there is one.
    pub(crate) fn take(&self, app: AppId, now: Monotonic) -> Allowance {
        let cost = MINUTE_US / u64::from(self.per_minute);
        let now = now.as_millis().saturating_mul(1000);
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = apps.entry(app).or_insert(Bucket { full_us: now });
        let before = bucket.full_us.max(now);
        let after = before + cost;
        let over = after.saturating_sub(now + cost * u64::from(self.per_minute));
        if over == 0 {
            bucket.full_us = after;
        }
        let missing = bucket.full_us.max(now) - now;
        let taken = missing.div_ceil(cost);
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        Allowance {
            limit: self.per_minute,
            remaining: self.per_minute.saturating_sub(taken),
            reset_s: seconds(missing),
            wait_s: (over > 0).then(|| seconds(over).max(1)),
        }
    }

    /// Forgets the apps whose buckets are full.
    pub fn forget_the_full(&self, now: Monotonic) {
        let now = now.as_millis().saturating_mul(1000);
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.retain(|_, bucket| bucket.full_us > now);
    }
}

impl Allowance {
    /// Says it to the caller.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", self.limit),
            ("ratelimit-remaining", self.remaining),
            ("ratelimit-reset", self.reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

fn seconds(us: u64) -> u32 {
    let seconds = Duration::from_micros(us).as_millis().div_ceil(1000);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

const MINUTE_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn a_bucket_holds_a_minutes_calls_and_fills_evenly() {
        let allowances = RateLimits::new(60);
        let entropy = SeededEntropy::new(1);
        let (app, other) = (AppId::generate(&entropy), AppId::generate(&entropy));
        let at = |ms| allowances.take(app, Monotonic::from_millis(ms));
        for left in (0..60).rev() {
            let found = at(0);
            assert_eq!((found.remaining, found.wait_s), (left, None));
        }
        let found = at(0);
        assert_eq!(
            (found.remaining, found.wait_s, found.reset_s),
            (0, Some(1), 60)
        );
        assert_eq!(
            allowances.take(other, Monotonic::from_millis(0)).remaining,
            59
        );
        assert_eq!(at(999).wait_s, Some(1), "what was refused costs nothing");
        assert_eq!(at(1000).wait_s, None);
        assert_eq!(at(1000).wait_s, Some(1));
        assert_eq!(at(11_000).remaining, 9);
        allowances.forget_the_full(Monotonic::from_millis(62_000));
        assert!(allowances.apps.lock().expect("unpoisoned").is_empty());
    }
}
