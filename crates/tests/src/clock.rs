use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hexline_model::{Clock, Monotonic, Sleep, SystemClock, Timestamp};

/// The machine's clock, whose calendar a test can turn forward.
#[derive(Clone)]
pub struct TestClock {
    system: SystemClock,
    ahead_ms: Arc<AtomicI64>,
}

impl TestClock {
    /// A clock that shows the machine's time.
    pub fn new() -> Self {
        Self {
            system: SystemClock::new(),
            ahead_ms: Arc::default(),
        }
    }

    /// Turns the calendar forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("a span that people live to see");
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
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
        self.system.monotonic()
    }

    fn sleep_until(&self, at: Monotonic) -> Sleep {
        self.system.sleep_until(at)
    }
}
