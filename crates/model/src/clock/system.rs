use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{Monotonic, Timestamp};

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose moments start now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The calendar's time, which may jump when the machine's clock is set.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine"
    )]
    pub fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        Timestamp::from_millis(match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        })
    }

    /// The time since the clock was made.
    pub fn monotonic(&self) -> Monotonic {
        Monotonic::default().plus(self.start.elapsed())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "timers")]
mod timers {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::{Duration, Instant};

    use pin_project_lite::pin_project;

    use super::SystemClock;
    use crate::{Clock, Monotonic, Sleep, Timer, Timestamp};

    /// Its timers are Tokio's: they are made within a runtime.
    impl Clock for SystemClock {
        fn now(&self) -> Timestamp {
            Self::now(self)
        }

        fn monotonic(&self) -> Monotonic {
            Self::monotonic(self)
        }

        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that waits for the machine"
        )]
        fn sleep_until(&self, at: Monotonic) -> Sleep {
            let sleep = tokio::time::sleep_until(instant(self.start, at));
            Sleep::new(SystemTimer {
                sleep,
                start: self.start,
            })
        }
    }

    pin_project! {
        struct SystemTimer {
            #[pin]
            sleep: tokio::time::Sleep,
            start: Instant,
        }
    }

    impl Future for SystemTimer {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.project().sleep.poll(cx)
        }
    }

    impl Timer for SystemTimer {
        fn reset(self: Pin<&mut Self>, at: Monotonic) {
            let this = self.project();
            let at = instant(*this.start, at);
            this.sleep.reset(at);
        }
    }

    fn instant(start: Instant, at: Monotonic) -> tokio::time::Instant {
        let after = Duration::from_millis(at.as_millis()).min(FAR);
        tokio::time::Instant::from_std(start + after)
    }

    /// Nobody lives to see it, and every platform can count so far.
    const FAR: Duration = Duration::from_hours(24 * 365 * 30);

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_timer_costs_an_idle_connection_no_more_than_one_of_tokio() {
            let cacheline = |bytes: usize| bytes.next_multiple_of(64);
            let (own, bare) = (size_of::<SystemTimer>(), size_of::<tokio::time::Sleep>());
            assert_eq!(cacheline(own), cacheline(bare), "{own} and {bare} bytes");
        }

        #[tokio::test]
        async fn the_moment_has_come_when_its_timer_is_ready() {
            let clock = SystemClock::new();
            let mut sleep = clock.sleep_until(Monotonic::default());
            (&mut sleep).await;
            for after in [1, 3] {
                let at = clock.monotonic().plus(Duration::from_millis(after));
                sleep.reset(at);
                (&mut sleep).await;
                assert!(clock.monotonic() >= at);
            }
            let never = clock.sleep_until(Monotonic::from_millis(u64::MAX));
            let clock: &dyn Clock = &clock;
            assert!(clock.timeout(Duration::ZERO, never).await.is_err());
        }
    }
}
