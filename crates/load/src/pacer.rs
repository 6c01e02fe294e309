use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::stop::Stop;
use crate::stopwatch::Stopwatch;

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    /// When, in nanoseconds of the stopwatch.
    pub(crate) due_ns: u64,
    /// Which route it takes.
    pub(crate) route: usize,
}

/// An open-loop schedule: message `n` is due at `start + n / rate`, sent by sender `n` modulo
/// their number, on route `n` modulo theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) rate: u32,
    pub(crate) routes: usize,
}

impl Schedule {
    /// When message `n` is due; `None` after the last.
    fn due_ns(&self, n: u64) -> Option<u64> {
        let after = u128::from(n) * 1_000_000_000 / u128::from(self.rate.max(1));
        let due = self.start_ns.checked_add(u64::try_from(after).ok()?)?;
        (due < self.end_ns).then_some(due)
    }

    /// Hands each message to its sender when it is due. In a thread of its own: the runtime's
    /// timers are a millisecond coarse, a thread's sleep some 60 µs.
    pub(crate) fn keep(
        self,
        stopwatch: Stopwatch,
        senders: Vec<UnboundedSender<Tick>>,
        stop: Stop,
    ) {
        if senders.is_empty() || self.routes == 0 {
            return;
        }
        thread::spawn(move || {
            for n in 0_u64.. {
                let Some(due_ns) = self.due_ns(n) else { return };
                loop {
                    let wait = due_ns.saturating_sub(stopwatch.ns());
                    if stop.is_set() {
                        return;
                    }
                    if wait == 0 {
                        break;
                    }
                    thread::sleep(Duration::from_nanos(wait).min(LONGEST_SLEEP));
                }
                let tick = Tick {
                    due_ns,
                    route: nth(n, self.routes),
                };
                // A sender that has lost its connection sends no more; that shows in the report.
                let _ = senders[nth(n, senders.len())].send(tick);
            }
        });
    }
}

fn nth(n: u64, of: usize) -> usize {
    usize::try_from(n % of as u64).expect("less than a usize")
}

/// How soon a stop is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_as_many_as_the_rate_says() {
        let schedule = Schedule {
            start_ns: 1_000,
            end_ns: 3_000_001_000,
            rate: 7,
            routes: 1,
        };
        let due: Vec<u64> = (0..).map_while(|n| schedule.due_ns(n)).collect();
        assert_eq!(due.len(), 21);
        assert_eq!(
            (due[0], due[7], due[14]),
            (1_000, 1_000_001_000, 2_000_001_000)
        );
    }

    #[tokio::test]
    async fn senders_and_routes_take_turns_and_nothing_comes_early() {
        let stopwatch = Stopwatch::start();
        let start_ns = stopwatch.ns();
        let schedule = Schedule {
            start_ns,
            end_ns: start_ns + 20_000_000,
            rate: 1_000,
            routes: 3,
        };
        let (one, mut first) = tokio::sync::mpsc::unbounded_channel();
        let (two, mut second) = tokio::sync::mpsc::unbounded_channel();
        schedule.keep(stopwatch, vec![one, two], Stop::never());
        let mut routes = Vec::new();
        for _ in 0..10 {
            for sender in [&mut first, &mut second] {
                let tick = sender.recv().await.expect("a message");
                assert!(stopwatch.ns() >= tick.due_ns);
                routes.push(tick.route);
            }
        }
        assert_eq!(routes[..7], [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(first.recv().await, None);
    }
}
