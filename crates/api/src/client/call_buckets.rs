use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hexline_model::{AppId, Monotonic, Subject};

/// How many calls each device of an identity may make over HTTP: a bucket that fills evenly, counted
/// on this node alone.
#[derive(Debug, Default)]
pub struct CallBuckets(Mutex<HashMap<(AppId, Subject), FullAt>>);

/// When a bucket is full, in microseconds since the clock began: now and the time that it takes to
/// fill up what was taken out.
type FullAt = u64;

/// What a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketSize {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl CallBuckets {
    /// Takes so many calls out of a device's bucket, or says when there are enough.
    pub(crate) fn take(
        &self,
        device: (AppId, &Subject),
        calls: usize,
        size: BucketSize,
        now: Monotonic,
    ) -> Result<(), Duration> {
        let (app, subject) = device;
        let cost = 1_000_000 / u64::from(size.per_second.max(1));
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        let now = micros(now);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.entry((app, subject.clone())).or_insert(now);
        let after = (*full_at)
            .max(now)
            .saturating_add(cost.saturating_mul(calls));
        let over = after.saturating_sub(now + cost * u64::from(size.burst.max(1)));
        if over > 0 {
            return Err(Duration::from_millis(over.div_ceil(1000)));
        }
        *full_at = after;
        Ok(())
    }

    /// Forgets the devices whose buckets are full.
    pub fn forget_the_full(&self, now: Monotonic) {
        let now = micros(now);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, full_at| *full_at > now);
        buckets.shrink_to_fit();
    }
}

fn micros(now: Monotonic) -> u64 {
    now.as_millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    const SIZE: BucketSize = BucketSize {
        per_second: 50,
        burst: 100,
    };

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let buckets = CallBuckets::default();
        let app = AppId::generate(&SeededEntropy::new(1));
        let bob = Subject::parse("bob/web").expect("well formed");
        let take = |calls, ms| buckets.take((app, &bob), calls, SIZE, at(ms));
        assert_eq!(take(60, 1000), Ok(()));
        assert_eq!(take(40, 1000), Ok(()));
        assert_eq!(take(1, 1000), Err(Duration::from_millis(20)));
        assert_eq!(take(10, 1000), Err(Duration::from_millis(200)));
        assert_eq!(take(1, 1020), Ok(()), "what was refused cost nothing");
        assert_eq!(take(101, 9000), Err(Duration::from_millis(20)));
        assert_eq!(take(100, 9000), Ok(()));
    }

    #[test]
    fn each_device_of_each_app_has_its_own() {
        let buckets = CallBuckets::default();
        let apps = [1, 2].map(|seed| AppId::generate(&SeededEntropy::new(seed)));
        let devices = ["bob/web", "bob/phone"].map(|s| Subject::parse(s).expect("well formed"));
        for app in apps {
            for device in &devices {
                assert_eq!(buckets.take((app, device), 100, SIZE, at(0)), Ok(()));
                assert!(buckets.take((app, device), 1, SIZE, at(0)).is_err());
            }
        }
        buckets.forget_the_full(at(1999));
        assert!(
            buckets
                .take((apps[0], &devices[0]), 100, SIZE, at(1999))
                .is_err()
        );
        buckets.forget_the_full(at(2000));
        assert_eq!(buckets.0.lock().expect("no panic").len(), 0);
    }
}
