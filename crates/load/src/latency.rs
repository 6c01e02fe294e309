use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::payload::due_ns;

/// Counts what arrives, and how long it took. Split into shards by connection, so that threads
/// seldom meet.
#[derive(Debug)]
pub(crate) struct Tally {
    shards: Vec<Mutex<Shard>>,
}

/// Which messages are measured, told by when they are due. Set once everyone is there.
#[derive(Debug)]
pub(crate) struct Window {
    from_ns: AtomicU64,
    split_ns: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    received: u64,
    phases: [Histogram<u64>; 2],
}

/// A distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Window {
    /// Measures nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            from_ns: AtomicU64::new(u64::MAX),
            split_ns: AtomicU64::new(u64::MAX),
        }
    }

    /// Measures messages due from `from_ns` on, apart before and after `split_ns`.
    pub(crate) fn set(&self, from_ns: u64, split_ns: u64) {
        self.split_ns.store(split_ns, Ordering::Relaxed);
        self.from_ns.store(from_ns, Ordering::Relaxed);
    }

    /// 0 before the split, 1 after it, `None` if it is not measured.
    pub(crate) fn phase(&self, due_ns: u64) -> Option<usize> {
        (due_ns >= self.from_ns.load(Ordering::Relaxed))
            .then(|| usize::from(due_ns >= self.split_ns.load(Ordering::Relaxed)))
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        let shard = || {
            Mutex::new(Shard {
                received: 0,
                phases: [histogram(), histogram()],
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    /// Notes a frame that connection `number` received.
    pub(crate) fn arrived(&self, window: &Window, number: usize, frame: &str, now_ns: u64) {
        let Some(due) = due_ns(frame) else { return };
        let mut shard = lock(&self.shards[number % self.shards.len()]);
        shard.received += 1;
        if let Some(phase) = window.phase(due) {
            shard.phases[phase].saturating_record(now_ns.saturating_sub(due));
        }
    }

    /// How many have arrived, measured or not.
    pub(crate) fn received(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).received).sum()
    }

    /// The latencies of one phase, 0 or 1.
    pub(crate) fn phase(&self, phase: usize) -> Percentiles {
        let mut sum = histogram();
        for shard in &self.shards {
            sum.add(&lock(shard).phases[phase])
                .expect("all have the same bounds");
        }
        Percentiles::of(&sum)
    }

    /// The latencies of both phases together.
    pub(crate) fn all(&self) -> Percentiles {
        let mut sum = histogram();
        for shard in &self.shards {
            for phase in &lock(shard).phases {
                sum.add(phase).expect("all have the same bounds");
            }
        }
        Percentiles::of(&sum)
    }
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
        }
    }
}

/// From 1 µs to 2 min, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 120_000_000_000, 3).expect("the bounds are in order")
}

fn millis(ns: u64) -> f64 {
    (ns as f64 / 1_000.0).round() / 1_000.0
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(due: u64) -> String {
        format!(r#"{{"params":{{"t":{due}}}}}"#)
    }

    fn window(from_ns: u64, split_ns: u64) -> Window {
        let window = Window::new();
        window.set(from_ns, split_ns);
        window
    }

    #[test]
    fn latency_counts_from_when_a_message_was_due() {
        let (tally, window) = (Tally::new(), window(0, u64::MAX));
        for n in 1..=1000_u64 {
            let (due, now) = (n * 7_000_000, n * 7_000_000 + n * 1_000_000);
            tally.arrived(
                &window,
                usize::try_from(n).expect("small"),
                &frame(due),
                now,
            );
        }
        let found = tally.all();
        assert_eq!((found.count, tally.received()), (1000, 1000));
        for (found, expected) in [
            (found.p50, 500.0),
            (found.p90, 900.0),
            (found.p99, 990.0),
            (found.p999, 999.0),
            (found.max, 1000.0),
        ] {
            assert!(
                (found - expected).abs() < expected / 500.0,
                "{found} for {expected}"
            );
        }
    }

    #[test]
    fn the_warm_up_is_counted_but_not_measured_and_phases_are_kept_apart() {
        let (tally, window) = (Tally::new(), window(1_000, 2_000));
        for due in [10, 999, 1_000, 1_999, 2_000, 2_001, 9_999] {
            tally.arrived(&window, 0, &frame(due), due + 1_000_000);
        }
        assert_eq!(tally.received(), 7);
        assert_eq!(
            (
                tally.phase(0).count,
                tally.phase(1).count,
                tally.all().count
            ),
            (2, 3, 5)
        );
    }

    #[test]
    fn a_clock_that_seems_to_go_backwards_and_an_endless_wait_are_both_recorded() {
        let (tally, window) = (Tally::new(), window(0, u64::MAX));
        tally.arrived(&window, 0, &frame(5), 4);
        tally.arrived(&window, 0, &frame(5), u64::MAX);
        assert_eq!(tally.all().count, 2);
    }

    #[test]
    fn nothing_is_measured_before_the_window_is_set() {
        assert_eq!(Window::new().phase(u64::MAX - 1), None);
    }
}
