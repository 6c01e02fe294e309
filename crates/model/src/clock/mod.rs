//! What tells the time and waits for it. An argument everywhere, so that tests own it.
//!
//! * `system.rs`: the machine's clocks, and Tokio's timers (feature `timers`).
//! * `manual.rs`: a clock that stands still until it is told to move.
//! * `sleep.rs`: a timer of either, and the traits behind it.
//! * `timeout.rs`: a future that is waited for until a moment.
//! * `stopwatch.rs`: how long work takes, for metrics.
//!
//! Invariants: a deadline is a moment and no span, so that a timer that is set after its moment has
//! passed is ready at once; [`Clock::monotonic`] has reached the moment when its timer is ready. Who
//! needs both times asks for [`Clock::monotonic`] first: a clock that moves in between then makes a
//! span too short and never too long.
//!
//! To add a clock: implement [`Clock`], and [`Timer`] for what its `sleep_until` boxes.

mod manual;
mod sleep;
mod stopwatch;
mod system;
mod timeout;

pub use manual::ManualClock;
pub use sleep::{Elapsed, Sleep, Timer};
pub use stopwatch::Stopwatch;
pub use system::SystemClock;
pub use timeout::Timeout;

use std::time::Duration;

use crate::{Monotonic, Timestamp};

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// The calendar's time, which may jump when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// The time of a clock that never jumps.
    fn monotonic(&self) -> Monotonic;

    /// A timer that is ready at this moment, or at once if it has passed.
    fn sleep_until(&self, at: Monotonic) -> Sleep;

    /// A timer that is ready after this span.
    fn sleep(&self, span: Duration) -> Sleep {
        self.sleep_until(self.monotonic().plus(span))
    }
}

impl dyn Clock + '_ {
    /// Waits for a future, but for no longer than a span from now.
    pub fn timeout<F: Future>(&self, span: Duration, future: F) -> Timeout<F> {
        self.timeout_at(self.monotonic().plus(span), future)
    }

    /// Waits for a future, but no longer than until a moment.
    pub fn timeout_at<F: Future>(&self, at: Monotonic, future: F) -> Timeout<F> {
        Timeout::new(future, self.sleep_until(at))
    }
}
