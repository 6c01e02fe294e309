use std::time::Duration;

use hexline_model::Monotonic;

/// The calls that one connection may make: a bucket that fills at a steady rate, and once, when the
/// connection opens, holds more than it ever will again.
///
/// An empty bucket refuses nothing: it says how long not to read from the socket.
#[derive(Debug)]
pub(crate) struct CallRate {
    /// Thousandths of a call; below zero after a batch larger than what was left.
    milli_calls: i64,
    refilled: Monotonic,
    limits: CallLimits,
}

/// How many calls a connection may make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    pub(crate) per_second: u32,
    /// What the bucket holds when it is full.
    pub(crate) burst: u32,
    /// What it holds beyond that when the connection opens.
    pub(crate) opening: u32,
}

/// For how long a connection over its rate is held back before it is closed.
///
/// What still waits to be read tells a burst from a flood: of a burst it becomes less and less, of a
/// flood it does not. Time counts only while the rate holds the connection back, so a slow server
/// is never taken for a fast client.
#[derive(Debug)]
pub(crate) struct Patience {
    /// The least that waited so far; `None` while no more waits than is tolerated.
    low: Option<usize>,
    /// How long the connection was held back since then.
    held: Duration,
}

impl CallRate {
    pub(crate) fn new(now: Monotonic, limits: CallLimits) -> Self {
        Self {
            milli_calls: (i64::from(limits.burst) + i64::from(limits.opening)) * 1000,
            refilled: now,
            limits,
        }
    }

    /// Counts calls that arrived; says until when to read nothing, if they were too many.
    pub(crate) fn spend(&mut self, calls: usize, now: Monotonic) -> Option<Monotonic> {
        self.refill(now);
        self.milli_calls -= i64::try_from(calls).unwrap_or(i64::MAX / 2000) * 1000;
        let missing = u64::try_from(1000 - self.milli_calls)
            .ok()
            .filter(|missing| *missing > 0)?;
        let per_second = u64::from(self.limits.per_second.max(1));
        Some(now.plus(Duration::from_millis(missing.div_ceil(per_second))))
    }

    fn refill(&mut self, now: Monotonic) {
        let elapsed = i64::try_from(now.since(self.refilled).as_millis()).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(i64::from(self.limits.per_second));
        let full = i64::from(self.limits.burst.max(1)) * 1000;
        // What is left of the opening credit stays, and nothing is added to it.
        let filled = self.milli_calls.saturating_add(gained).min(full);
        self.milli_calls = self.milli_calls.max(filled);
        self.refilled = now;
    }
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            low: None,
            held: Duration::ZERO,
        }
    }

    /// The connection was held back for `span` and `unread` bytes of it wait now; `true` if that has
    /// gone on for longer than `most`.
    pub(crate) fn held(&mut self, span: Duration, unread: usize, most: Duration) -> bool {
        if unread <= TOLERATED {
            self.low = None;
            return false;
        }
        // By less than the step a flood's level goes up and down as well.
        if self.low.is_none_or(|low| unread + STEP <= low) {
            self.low = Some(unread);
            self.held = Duration::ZERO;
            return false;
        }
        self.held += span;
        self.held >= most
    }
}

/// So many bytes may wait for as long as they like.
pub(crate) const TOLERATED: usize = 64 << 10;

const STEP: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits = CallLimits {
        per_second: 50,
        burst: 100,
        opening: 0,
    };

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_millis(ms)
    }

    fn rate(limits: CallLimits) -> CallRate {
        CallRate::new(at(0), limits)
    }

    /// Makes so many calls as soon as each may be made; when the last one was.
    fn hammer(rate: &mut CallRate, calls: usize) -> Monotonic {
        let mut now = at(0);
        for _ in 1..calls {
            now = rate.spend(1, now).unwrap_or(now);
        }
        rate.spend(1, now);
        now
    }

    #[test]
    fn a_burst_passes_and_what_follows_waits_its_turn() {
        let mut rate = rate(LIMITS);
        for _ in 0..99 {
            assert_eq!(rate.spend(1, at(0)), None);
        }
        assert_eq!(rate.spend(1, at(0)), Some(at(20)));
        assert_eq!(rate.spend(1, at(20)), Some(at(40)));
        assert_eq!(rate.spend(1, at(1000)), None);
    }

    #[test]
    fn the_opening_credit_is_spent_once() {
        let opening = CallLimits {
            opening: 1000,
            ..LIMITS
        };
        assert_eq!(hammer(&mut rate(opening), 1100), at(0));
        // 401 calls at 20 ms each.
        assert_eq!(hammer(&mut rate(opening), 1501), at(8020));
        let mut waits = rate(opening);
        for _ in 0..500 {
            assert_eq!(waits.spend(1, at(0)), None);
        }
        for _ in 0..599 {
            assert_eq!(waits.spend(1, at(60_000)), None, "time adds nothing to it");
        }
        assert_eq!(waits.spend(1, at(60_000)), Some(at(60_020)));
        for _ in 0..99 {
            assert_eq!(waits.spend(1, at(120_000)), None);
        }
        assert!(waits.spend(1, at(120_000)).is_some(), "a burst, no more");
    }

    #[test]
    fn a_batch_counts_each_of_its_calls() {
        let mut rate = rate(LIMITS);
        assert_eq!(rate.spend(150, at(0)), Some(at(1020)));
        assert_eq!(rate.spend(100, at(1020)), Some(at(3020)));
    }

    #[test]
    fn a_burst_of_one_is_one_call_after_the_other() {
        let mut rate = rate(CallLimits { burst: 1, ..LIMITS });
        for n in 0..1000 {
            assert_eq!(rate.spend(1, at(n * 20)), Some(at((n + 1) * 20)));
        }
    }

    const MOST: Duration = Duration::from_mins(1);
    const HOLD: Duration = Duration::from_millis(20);
    const HOLDS: usize = 60 * 50;

    #[test]
    fn what_becomes_less_is_waited_for_however_much_it_is() {
        let mut patience = Patience::new();
        let mut unread = 2_000_000;
        while unread > 0 {
            assert!(!patience.held(HOLD, unread, MOST), "{unread}");
            unread = unread.saturating_sub(60);
        }
    }

    #[test]
    fn a_level_that_stays_exhausts_patience() {
        let mut patience = Patience::new();
        let mut level = (0..).map(|n| TOLERATED + 1 + n % STEP);
        let mut holds = level.by_ref().take(HOLDS);
        assert!(!holds.any(|unread| patience.held(HOLD, unread, MOST)));
        assert!(patience.held(HOLD, level.next().expect("endless"), MOST));
    }

    #[test]
    fn a_level_that_falls_and_is_filled_up_again_exhausts_it_too() {
        let mut patience = Patience::new();
        let sawtooth = (0..).map(|n| 700_000 - n * 80 % 200_000);
        let closed = sawtooth
            .take(3 * HOLDS)
            .position(|unread| patience.held(HOLD, unread, MOST));
        assert!(closed.is_some_and(|n| n > HOLDS), "{closed:?}");
    }

    #[test]
    fn a_socket_that_was_read_empty_once_begins_again() {
        let mut patience = Patience::new();
        for _ in 0..3 {
            for _ in 0..HOLDS {
                assert!(!patience.held(HOLD, 2 * TOLERATED, MOST));
            }
            assert!(!patience.held(HOLD, TOLERATED, MOST));
        }
    }

    #[test]
    fn a_wait_longer_than_patience_is_no_reason_by_itself() {
        let mut patience = Patience::new();
        for step in 0..10 {
            let unread = 3 * TOLERATED - step * STEP;
            assert!(!patience.held(2 * MOST, unread, MOST), "{step}");
        }
    }
}
