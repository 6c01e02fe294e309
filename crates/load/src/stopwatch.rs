use std::time::Duration;

use tokio::time::Instant;

/// This process' own clock: nanoseconds since the measurement was set up. It never jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn ns(self) -> u64 {
        nanos(self.0.elapsed())
    }

    /// The instant that so many nanoseconds name.
    pub(crate) fn instant(self, ns: u64) -> Instant {
        self.0 + Duration::from_nanos(ns)
    }
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
