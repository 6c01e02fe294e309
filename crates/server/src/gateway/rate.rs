use std::time::Duration;

use hexline_model::Moment;

/// The calls that one connection may make: a bucket that fills at a steady rate.
///
/// An empty bucket does not refuse: it says how long not to read from the socket, so that nothing
/// is lost, and tells when patience has run out.
#[derive(Debug)]
pub(crate) struct CallRate {
    /// Thousandths of a call; below zero after a batch larger than what was left.
    milli_calls: i64,
    refilled: Moment,
    /// Since when the connection has been over its rate without a break.
    over_since: Option<Moment>,
    per_second: u32,
    burst: u32,
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
        let milli_calls = i64::from(burst) * 1000;
        Self {
            milli_calls,
            refilled: now,
            over_since: None,
            per_second,
            burst,
            patience,
        }
    }

    /// Counts calls that arrived and says what to do next.
    pub(crate) fn spend(&mut self, calls: usize, now: Moment) -> Verdict {
        self.refill(now);
        if self.milli_calls >= 1000 && !self.at_the_edge() {
            self.over_since = None;
        }
        self.milli_calls -= i64::try_from(calls).unwrap_or(i64::MAX / 2000) * 1000;
        if self.milli_calls >= 1000 {
            return Verdict::Read;
        }
        let since = *self.over_since.get_or_insert(now);
        let missing = u64::try_from(1000 - self.milli_calls).unwrap_or(0);
        let wait = Duration::from_millis(missing.div_ceil(u64::from(self.per_second.max(1))));
        if now.plus(wait).since(since) > self.patience {
            return Verdict::Exhausted;
        }
        Verdict::Wait(now.plus(wait))
    }

    /// A bucket that holds just what the last wait gave it has not recovered.
    fn at_the_edge(&self) -> bool {
        self.over_since.is_some() && self.milli_calls < 2000
    }

    fn refill(&mut self, now: Moment) {
        let elapsed = i64::try_from(now.since(self.refilled).as_millis()).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(i64::from(self.per_second));
        self.milli_calls = self
            .milli_calls
            .saturating_add(gained)
            .min(i64::from(self.burst) * 1000);
        self.refilled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> CallRate {
        CallRate::new(Moment::default(), 50, 100, Duration::from_secs(5))
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
        let mut rate = rate();
        let mut now = at(0);
        let mut calls = 0;
        loop {
            calls += 1;
            match rate.spend(1, now) {
                Verdict::Read => {}
                Verdict::Wait(until) => now = until,
                Verdict::Exhausted => break,
            }
        }
        assert_eq!((now, calls), (at(5000), 350));
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
}
