use std::time::Duration;

use hexline_model::{Entropy, Timestamp};

/// When what failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long after it was queued it is given up.
    pub give_up_after: Duration,
}

impl Backoff {
    /// When the next attempt is due after `failures` failed ones; `None` if it is to be given up.
    /// The pause varies by a fifth, so that many that failed together do not come back together.
    pub fn next(
        &self,
        queued: Timestamp,
        failures: u32,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Option<Timestamp> {
        let age = now.as_millis().saturating_sub(queued.as_millis());
        let left = millis(self.give_up_after).saturating_sub(age);
        if left <= 0 {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(30);
        let pause = millis(self.first).saturating_mul(1_i64 << doublings);
        let pause = pause.min(millis(self.longest)).max(1);
        let mut byte = [0];
        entropy.fill(&mut byte);
        // Between 0.8 and 1.2.
        let jittered = pause.saturating_mul(800 + i64::from(byte[0]) * 400 / 255) / 1000;
        // The last attempt is made when its time is over, not before.
        let pause = jittered.max(1).min(left);
        Some(Timestamp::from_millis(
            now.as_millis().saturating_add(pause),
        ))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_after_a_day() {
        let backoff = Backoff {
            first: Duration::from_secs(5),
            longest: Duration::from_hours(1),
            give_up_after: Duration::from_hours(24),
        };
        let entropy = SeededEntropy::new(1);
        let queued = Timestamp::from_secs(1000);
        let mut now = queued;
        let mut failures = 0;
        loop {
            failures += 1;
            let Some(next) = backoff.next(queued, failures, now, &entropy) else {
                break;
            };
            let pause = next.as_millis() - now.as_millis();
            let plain = (5000_i64 << (failures - 1).min(20)).min(3_600_000);
            let last = next.as_millis() - queued.as_millis() == 24 * 3_600_000;
            assert!(
                last || (plain * 8 / 10..=plain * 12 / 10).contains(&pause),
                "{pause}"
            );
            now = next;
        }
        assert_eq!(now.as_secs() - queued.as_secs(), 24 * 3600);
        assert!((30..45).contains(&failures), "{failures}");
    }
}
