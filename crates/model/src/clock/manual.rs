use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Clock, Sleep, Timer};
use crate::{Monotonic, Timestamp};

/// A clock that stands still until it is told to move. Its copies show the same time.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    monotonic: Monotonic,
    sleepers: BTreeMap<(Monotonic, u64), Waker>,
    /// Tells sleepers for the same moment apart.
    next: u64,
}

struct ManualTimer {
    clock: ManualClock,
    at: Monotonic,
    number: u64,
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(State {
            now,
            monotonic: Monotonic::default(),
            sleepers: BTreeMap::new(),
            next: 0,
        })))
    }

    /// Lets time pass, and wakes who slept until then.
    pub fn advance(&self, span: Duration) {
        let due = {
            let mut state = self.lock();
            state.now = state.now.plus(span);
            state.monotonic = state.monotonic.plus(span);
            let first_later = (state.monotonic, u64::MAX);
            let later = state.sleepers.split_off(&first_later);
            std::mem::replace(&mut state.sleepers, later)
        };
        // Not under the lock, which who is woken may want.
        due.into_values().for_each(Waker::wake);
    }

    /// Sets the calendar without letting time pass, as an administrator might.
    pub fn set(&self, now: Timestamp) {
        self.lock().now = now;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn monotonic(&self) -> Monotonic {
        self.lock().monotonic
    }

    fn sleep_until(&self, at: Monotonic) -> Sleep {
        let number = {
            let mut state = self.lock();
            state.next += 1;
            state.next
        };
        let clock = self.clone();
        Sleep::new(ManualTimer { clock, at, number })
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl Future for ManualTimer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        let key = (self.at, self.number);
        if self.at <= state.monotonic {
            state.sleepers.remove(&key);
            return Poll::Ready(());
        }
        state.sleepers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Timer for ManualTimer {
    fn reset(mut self: Pin<&mut Self>, at: Monotonic) {
        self.forget();
        self.at = at;
    }
}

impl ManualTimer {
    fn forget(&self) {
        self.clock.lock().sleepers.remove(&(self.at, self.number));
    }
}

impl Drop for ManualTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_secs(10))
    }

    fn is_ready(future: Pin<&mut impl Future>) -> bool {
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn setting_the_calendar_does_not_move_the_other_clock() {
        let clock = clock();
        clock.set(Timestamp::from_secs(1000));
        assert_eq!(clock.monotonic(), Monotonic::from_millis(0));
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            (clock.now().as_secs(), clock.monotonic().as_millis()),
            (1001, 1000)
        );
    }

    #[test]
    fn a_timer_is_ready_at_its_moment_and_not_before() {
        let clock = clock();
        let mut sleep = clock.sleep(Duration::from_secs(5));
        clock.advance(Duration::from_millis(4_999));
        assert!(!is_ready(Pin::new(&mut sleep)));
        clock.advance(Duration::from_millis(1));
        assert!(is_ready(Pin::new(&mut sleep)));
        sleep.reset(Monotonic::from_millis(6_000));
        assert!(!is_ready(Pin::new(&mut sleep)));
        sleep.reset(Monotonic::from_millis(1_000));
        assert!(is_ready(Pin::new(&mut sleep)), "its moment has passed");
        assert!(clock.lock().sleepers.is_empty());
    }

    #[tokio::test]
    async fn who_sleeps_is_woken_and_who_is_gone_leaves_nothing_behind() {
        let clock = clock();
        let moving = clock.clone();
        let slept = tokio::spawn(async move {
            let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
            tokio::join!(moving.sleep(two), moving.sleep(two), moving.sleep(one));
        });
        while clock.lock().sleepers.len() < 3 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(2));
        slept.await.expect("no panic");
        let mut sleep = clock.sleep(Duration::from_secs(1));
        assert!(!is_ready(Pin::new(&mut sleep)));
        drop(sleep);
        assert!(clock.lock().sleepers.is_empty());
    }

    #[test]
    fn what_comes_in_time_is_had_and_what_does_not_is_given_up() {
        let clock = clock();
        let clock_dyn: &dyn Clock = &clock;
        let second = Duration::from_secs(1);
        let mut prompt = pin!(clock_dyn.timeout(second, std::future::ready(1)));
        assert!(is_ready(prompt.as_mut()));
        let mut late = pin!(clock_dyn.timeout(second, std::future::pending::<()>()));
        assert!(!is_ready(late.as_mut()));
        clock.advance(second);
        assert!(is_ready(late));
    }
}
