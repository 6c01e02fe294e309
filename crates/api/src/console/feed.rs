use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_model::{Clock, ConsoleSessionId, Sleep};
use tokio::sync::watch;

/// One tick a second for all who watch live figures; none while nobody does.
///
/// A watcher that is slow misses ticks, and nothing waits for it. [`close`](Self::close) ends all
/// of them at once, so that a server that stops waits for none.
pub struct Feed {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The ticker, while it runs.
    ticks: Option<Arc<watch::Sender<()>>>,
    /// How many watch in each session; none is 0.
    watchers: HashMap<ConsoleSessionId, usize>,
    is_closed: bool,
}

/// Why somebody may not watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatchError {
    /// The session has as many as it may.
    #[error("this session follows {MOST_OF_SESSION} streams already: end one of them first")]
    Session,
    /// The server has, or it stops.
    #[error("too many follow the figures already, or the server is stopping")]
    Server,
}

/// Somebody who watches.
pub(crate) struct Watcher {
    ticks: watch::Receiver<()>,
    session: ConsoleSessionId,
    feed: Arc<Feed>,
}

impl Feed {
    /// Ticks by a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::default();
        Self { clock, state }
    }

    /// Begins to watch, in a session.
    pub(crate) fn watch(
        self: &Arc<Self>,
        session: ConsoleSessionId,
    ) -> Result<Watcher, WatchError> {
        let mut state = self.lock();
        if state.is_closed || state.watchers.values().sum::<usize>() >= MOST {
            return Err(WatchError::Server);
        }
        let own = state.watchers.entry(session).or_default();
        if *own >= MOST_OF_SESSION {
            return Err(WatchError::Session);
        }
        *own += 1;
        let ticks = if let Some(ticks) = &state.ticks {
            ticks.subscribe()
        } else {
            let (sender, receiver) = watch::channel(());
            state.ticks = Some(Arc::new(sender));
            let due = self.clock.sleep(PERIOD);
            tokio::spawn(tick(Arc::clone(self), due));
            receiver
        };
        Ok(Watcher {
            ticks,
            session,
            feed: Arc::clone(self),
        })
    }

    /// Lets nobody begin to watch any more.
    pub fn refuse(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
    }

    /// Ends what is watched, for good.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.ticks = None;
    }

    /// Ticks once; false when there is nobody any more.
    fn tick(&self) -> bool {
        let mut state = self.lock();
        let heard = state.ticks.as_ref().is_some_and(|t| t.send(()).is_ok());
        if !heard {
            state.ticks = None;
        }
        heard
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tick(feed: Arc<Feed>, mut due: Sleep) {
    loop {
        due.await;
        due = feed.clock.sleep(PERIOD);
        if !feed.tick() {
            return;
        }
    }
}

impl Watcher {
    /// Waits for the next tick; false when it is over.
    pub(crate) async fn next(&mut self) -> bool {
        self.ticks.changed().await.is_ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        if let Some(own) = state.watchers.get_mut(&self.session) {
            *own -= 1;
            if *own == 0 {
                state.watchers.remove(&self.session);
            }
        }
    }
}

const PERIOD: Duration = Duration::from_secs(1);
const MOST: usize = 200;
const MOST_OF_SESSION: usize = 8;

#[cfg(test)]
mod tests {
    use hexline_model::{ManualClock, SystemEntropy, Timestamp};

    use super::*;

    #[tokio::test]
    async fn one_ticker_serves_all_and_rests_when_nobody_watches() {
        let (feed, clock) = feed();
        let session = session();
        let watch = || feed.watch(session).expect("room");
        let (mut one, mut two) = (watch(), watch());
        clock.advance(PERIOD);
        assert!(one.next().await && two.next().await);
        drop((one, two));
        assert!(!feed.tick(), "nobody is there");
        let mut again = watch();
        clock.advance(PERIOD);
        assert!(again.next().await);
    }

    #[tokio::test]
    async fn closing_ends_every_watcher_and_lets_no_more_in() {
        let (feed, _) = feed();
        let mut watcher = feed.watch(session()).expect("room");
        feed.close();
        assert!(!watcher.next().await);
        assert_eq!(feed.watch(session()).err(), Some(WatchError::Server));
    }

    #[tokio::test]
    async fn there_are_so_many_watchers_and_no_more() {
        let (feed, _) = feed();
        let mut all: Vec<Watcher> = std::iter::from_fn(|| feed.watch(session()).ok()).collect();
        assert_eq!(all.len(), MOST);
        assert_eq!(feed.watch(session()).err(), Some(WatchError::Server));
        all.pop();
        assert!(feed.watch(session()).is_ok());
    }

    #[tokio::test]
    async fn a_session_has_its_share_of_watchers_and_leaves_nothing_behind() {
        let (feed, _) = feed();
        let (one, other) = (session(), session());
        let mut own: Vec<Watcher> = std::iter::from_fn(|| feed.watch(one).ok()).collect();
        assert_eq!(own.len(), MOST_OF_SESSION);
        assert_eq!(feed.watch(one).err(), Some(WatchError::Session));
        assert!(feed.watch(other).is_ok());
        own.pop();
        assert!(feed.watch(one).is_ok());
        drop(own);
        assert!(feed.lock().watchers.is_empty());
    }

    fn feed() -> (Arc<Feed>, ManualClock) {
        let clock = ManualClock::new(Timestamp::default());
        (Arc::new(Feed::new(Arc::new(clock.clone()))), clock)
    }

    fn session() -> ConsoleSessionId {
        ConsoleSessionId::generate(&SystemEntropy)
    }
}
