use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// One tick a second for all who watch live figures; none while nobody does.
///
/// A watcher that is slow misses ticks, and nothing waits for it. [`close`](Self::close) ends all
/// of them at once, so that a server that stops waits for none.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    watchers: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// The ticker, while it runs.
    ticks: Option<Arc<watch::Sender<()>>>,
    is_closed: bool,
}

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    ticks: watch::Receiver<()>,
    watchers: Arc<AtomicUsize>,
}

impl Feed {
    /// Begins to watch; `None` if too many do, or if the server stops.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Watcher> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed || self.watchers.load(Ordering::SeqCst) >= MOST {
            return None;
        }
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let ticks = if let Some(ticks) = &state.ticks {
            ticks.subscribe()
        } else {
            let (sender, receiver) = watch::channel(());
            state.ticks = Some(Arc::new(sender));
            tokio::spawn(tick(Arc::clone(self)));
            receiver
        };
        Some(Watcher {
            ticks,
            watchers: Arc::clone(&self.watchers),
        })
    }

    /// Lets nobody begin to watch any more.
    pub(crate) fn refuse(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
    }

    /// Ends what is watched, for good.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.ticks = None;
    }

    /// Ticks once; false when there is nobody any more.
    fn tick(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = state.ticks.as_ref().is_some_and(|t| t.send(()).is_ok());
        if !heard {
            state.ticks = None;
        }
        heard
    }
}

async fn tick(feed: Arc<Feed>) {
    let mut interval = tokio::time::interval(PERIOD);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.tick().await;
    loop {
        interval.tick().await;
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
        self.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

const PERIOD: Duration = Duration::from_secs(1);
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_ticker_serves_all_and_rests_when_nobody_watches() {
        let feed = Arc::new(Feed::default());
        let (mut one, mut two) = (feed.watch().expect("room"), feed.watch().expect("room"));
        assert!(one.next().await && two.next().await);
        drop((one, two));
        assert!(!feed.tick(), "nobody is there");
        let mut again = feed.watch().expect("room");
        assert!(again.next().await);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_every_watcher_and_lets_no_more_in() {
        let feed = Arc::new(Feed::default());
        let mut watcher = feed.watch().expect("room");
        feed.close();
        assert!(!watcher.next().await);
        assert!(feed.watch().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_watchers_and_no_more() {
        let feed = Arc::new(Feed::default());
        let mut all: Vec<Watcher> = std::iter::from_fn(|| feed.watch()).collect();
        assert_eq!(all.len(), MOST);
        all.pop();
        assert!(feed.watch().is_some());
    }
}
