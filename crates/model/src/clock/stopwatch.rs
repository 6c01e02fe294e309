use std::time::{Duration, Instant};

/// Measures how long a piece of work takes on this machine, for metrics and logs alone.
///
/// It is no [`Clock`](crate::Clock): nothing that a server does depends on what it shows.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    #[expect(
        clippy::disallowed_methods,
        reason = "work takes as long as it takes, whatever the time is said to be"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
