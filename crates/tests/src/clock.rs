use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hexline_model::{Clock, ManualClock, Monotonic, Sleep, SystemClock, Timestamp};

/// The clock of a server whose time a test owns: for the server no time passes unless the test says
/// so. No silence grows, no timer rings, no bucket fills.
///
/// Its calendar goes with the machine's, by which a test makes tokens and one-time codes, and is
/// ahead of it by all that has passed.
#[derive(Clone)]
pub struct TestClock {
    system: SystemClock,
    timers: Timers,
    ahead_ms: Arc<AtomicI64>,
}

#[derive(Clone)]
enum Timers {
    Owned(ManualClock),
    /// For tests that cannot own the time, because the kernel or a browser does.
    Machine,
}

impl TestClock {
    /// A clock that shows the machine's time and then stands still.
    pub fn new() -> Self {
        Self::with(Timers::Owned(ManualClock::new(Timestamp::default())))
    }

    /// A clock that goes with the machine's and can be turned forward.
    pub fn of_machine() -> Self {
        Self::with(Timers::Machine)
    }

    /// Lets time pass. With a clock that goes by itself only the calendar's.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).expect("a span that people live to see");
        // The calendar first: see the invariants of `hexline_model::Clock`.
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
        if let Timers::Owned(timers) = &self.timers {
            timers.advance(by);
        }
    }

    fn with(timers: Timers) -> Self {
        Self {
            system: SystemClock::new(),
            timers,
            ahead_ms: Arc::default(),
        }
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(self.system.now().as_millis().saturating_add(ahead))
    }

    fn monotonic(&self) -> Monotonic {
        match &self.timers {
            Timers::Owned(timers) => timers.monotonic(),
            Timers::Machine => self.system.monotonic(),
        }
    }

    fn sleep_until(&self, at: Monotonic) -> Sleep {
        match &self.timers {
            Timers::Owned(timers) => timers.sleep_until(at),
            Timers::Machine => self.system.sleep_until(at),
        }
    }
}
