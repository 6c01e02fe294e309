use std::time::Duration;

use hexline_model::Moment;

/// The calls that one connection may make: a bucket that fills at a steady rate.
///
/// An empty bucket does not refuse: it says how long not to read from the socket, so that nothing
/// is lost, and tells when patience has run out. A frame that arrives as soon as it is read again
/// had been waiting, and the connection is still over its rate; one that arrives later was not,
/// and the connection is within it.
#[derive(Debug)]
pub(crate) struct CallRate {
    /// Thousandths of a call; below zero after a batch larger than what was left.
    milli_calls: i64,
    refilled: Moment,
    /// Since when the connection has been over its rate without a break.
    over_since: Option<Moment>,
    per_second: u32,
    /// What the bucket holds when it is full.
    capacity: i64,
    patience: Duration,
}

/// What to do about the next frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read on.
    Read,
    /// Don't read before then.
    Wait(Moment),
    /// It has been over its rate for too long.
    Exhausted,
}

impl CallRate {
    pub(crate) fn new(now: Moment, per_second: u32, burst: u32, patience: Duration) -> Self {
        // Room for what tells a recovered connection from one that waits, however small the burst.
        let capacity = (i64::from(burst) * 1000).max(recovered(per_second));
        Self {
            milli_calls: capacity,
            refilled: now,
            over_since: None,
            per_second,
            capacity,
            patience,
        }
    }

    /// Counts calls that arrived and says what to do next.
    pub(crate) fn spend(&mut self, calls: usize, now: Moment) -> Verdict {
        self.refill(now);
        if self.milli_calls >= recovered(self.per_second) {
            self.over_since = None;
        }
        self.milli_calls -= i64::try_from(calls).unwrap_or(i64::MAX / 2000) * 1000;
        if self.milli_calls >= 1000 {
            return Verdict::Read;
        }
        let missing = u64::try_from(1000 - self.milli_calls).unwrap_or(0);
        let wait = Duration::from_millis(missing.div_ceil(u64::from(self.per_second.max(1))));
        // Who spends no more than there was is not over its rate, but whatever comes next may be.
        let within = self.over_since.is_none() && self.milli_calls >= 0;
        let since = *self.over_since.get_or_insert(now);
        if !within && now.plus(wait).since(since) > self.patience {
            return Verdict::Exhausted;
        }
        Verdict::Wait(now.plus(wait))
    }

    fn refill(&mut self, now: Moment) {
        let elapsed = i64::try_from(now.since(self.refilled).as_millis()).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(i64::from(self.per_second));
        self.milli_calls = self.milli_calls.saturating_add(gained).min(self.capacity);
        self.refilled = now;
    }
}

/// What the bucket of a connection holds that was read in vain for a while: one call, which is
/// what it waited for, and what it has gained since, up to another.
fn recovered(per_second: u32) -> i64 {
    1000 + (i64::from(per_second) * SLACK_MS).min(1000)
}

/// A frame that waited may come so much later, because timers and tasks do.
const SLACK_MS: i64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> CallRate {
        rate_of(50, 100)
    }

    fn rate_of(per_second: u32, burst: u32) -> CallRate {
        CallRate::new(Moment::default(), per_second, burst, Duration::from_secs(5))
    }

    /// Calls as soon as it is read; when it is closed, and after how many calls.
    fn hammer(rate: &mut CallRate) -> Option<(Moment, usize)> {
        let mut now = at(0);
        for calls in 1..1000 {
            match rate.spend(1, now) {
                Verdict::Read => {}
                Verdict::Wait(until) => now = until,
                Verdict::Exhausted => return Some((now, calls)),
            }
        }
        None
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_what_follows_waits_its_turn() {
        let mut rate = rate();
        for _ in 0..99 {
            assert_eq!(rate.spend(1, at(0)), Verdict::Read);
        }
        assert_eq!(rate.spend(1, at(0)), Verdict::Wait(at(20)));
        assert_eq!(rate.spend(1, at(20)), Verdict::Wait(at(40)));
        assert_eq!(rate.spend(1, at(1000)), Verdict::Read);
    }

    #[test]
    fn patience_ends_after_five_seconds_without_a_break() {
        assert_eq!(hammer(&mut rate()), Some((at(5000), 350)));
    }

    #[test]
    fn a_pause_gives_patience_back() {
        let mut rate = rate();
        let mut now = at(0);
        for _ in 0..10 {
            for _ in 0..300 {
                match rate.spend(1, now) {
                    Verdict::Read => {}
                    Verdict::Wait(until) => now = until,
                    Verdict::Exhausted => panic!("a pause between bursts is a break"),
                }
            }
            now = now.plus(Duration::from_secs(2));
        }
    }

    #[test]
    fn a_batch_counts_each_of_its_calls() {
        let mut rate = rate();
        assert_eq!(rate.spend(150, at(0)), Verdict::Wait(at(1020)));
        assert_eq!(rate.spend(400, at(1020)), Verdict::Exhausted);
    }

    #[test]
    fn a_burst_of_one_closes_who_hammers_and_nobody_within_the_rate() {
        assert_eq!(hammer(&mut rate_of(50, 1)), Some((at(5000), 252)));
        for gap in [21, 25, 100, 1000] {
            let mut rate = rate_of(50, 1);
            for n in 0..5000 {
                let verdict = rate.spend(1, at(n * gap));
                assert_ne!(verdict, Verdict::Exhausted, "call {n}, one in {gap} ms");
            }
        }
    }

    #[test]
    fn one_call_a_second_is_a_rate_like_any_other() {
        assert_eq!(hammer(&mut rate_of(1, 1)), Some((at(4950), 6)));
        assert_eq!(hammer(&mut rate_of(1, 100)), Some((at(5000), 105)));
        for (burst, gap) in [(1, 1001), (1, 1020), (1, 1500), (100, 1020), (100, 1500)] {
            let mut rate = rate_of(1, burst);
            // At first all that it may, then one after the other.
            for _ in 1..burst {
                assert_ne!(rate.spend(1, at(0)), Verdict::Exhausted);
            }
            for n in 0..5000 {
                let verdict = rate.spend(1, at(n * gap));
                assert_ne!(verdict, Verdict::Exhausted, "call {n}, one in {gap} ms");
            }
        }
    }

    #[test]
    fn frames_that_waited_are_late_now_and_then_and_waited_all_the_same() {
        for (per_second, burst) in [(1, 1), (50, 1), (50, 100), (1000, 1000)] {
            let mut rate = rate_of(per_second, burst);
            let mut now = at(0);
            let mut late = 0;
            let closed = (0..20_000).any(|_| match rate.spend(1, now) {
                Verdict::Read => false,
                Verdict::Wait(until) => {
                    late = (late + 1) % 3;
                    now = until.plus(Duration::from_millis(late));
                    false
                }
                Verdict::Exhausted => true,
            });
            assert_eq!(closed, per_second < 1000, "{per_second} a second");
        }
    }

    #[test]
    fn without_patience_a_whole_burst_is_still_within_the_rate() {
        let mut rate = CallRate::new(at(0), 1, 10, Duration::ZERO);
        for _ in 0..9 {
            assert_eq!(rate.spend(1, at(0)), Verdict::Read);
        }
        assert_eq!(rate.spend(1, at(0)), Verdict::Wait(at(1000)));
        assert_eq!(rate.spend(1, at(1000)), Verdict::Exhausted);
    }
}
