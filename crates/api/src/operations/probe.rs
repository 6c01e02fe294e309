use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hexline_fanout::{Presence, Receiver};
use hexline_model::{Address, AppId, ChannelName, Entropy, Monotonic, Route, Stopwatch, Subject};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{Mutex, Notify};

use crate::app::App;

/// Proves that the server can do its work: a message through fan-out, a record through the store.
pub struct Probe {
    /// An app that no key belongs to: nobody hears or disturbs the probe.
    app: AppId,
    store: Arc<dyn StoreProbe>,
    node: Arc<dyn NodeStanding>,
    duration: Histogram,
    last: Mutex<Option<(Monotonic, Readiness)>>,
}

/// The database, as far as it is asked how it is.
#[async_trait]
pub trait StoreProbe: Send + Sync {
    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;

    /// Whether it is another process, without which what is connected goes on.
    fn is_shared(&self) -> bool;

    /// Writes a record and reads it.
    async fn probe(&self) -> Result<(), String>;

    /// What it says of itself, if it answers.
    async fn health(&self) -> Option<StoreHealth>;
}

/// What the database says of itself.
#[derive(Debug, Clone)]
pub struct StoreHealth {
    /// The version of its server.
    pub version: String,
    /// The version of the schema.
    pub schema: i64,
    /// Open connections to it.
    pub connections: u32,
    /// Whether what it acknowledges is on disk.
    pub durable: bool,
}

/// The server's place among those on its database.
pub trait NodeStanding: Send + Sync {
    /// Whether it is registered, or need not be.
    fn stands(&self) -> bool;
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) fanout: Part,
    pub(crate) store: Part,
    /// Whether the store is another process, without which what is connected goes on.
    shared: bool,
    /// Whether the server is registered on its database.
    pub(crate) registered: bool,
    draining: bool,
}

/// What a probe comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The server does its work.
    Ready,
    /// Something that it shares with others is away; what is connected works.
    Degraded,
    /// It is about to stop.
    Draining,
    /// It cannot deliver, or cannot write.
    Failed,
}

/// One part of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Ok,
    Failed,
    TimedOut,
}

impl Probe {
    /// `duration` is how long its probes take.
    pub fn new(
        entropy: &dyn Entropy,
        store: Arc<dyn StoreProbe>,
        node: Arc<dyn NodeStanding>,
        duration: Histogram,
    ) -> Self {
        Self {
            app: AppId::generate(entropy),
            store,
            node,
            duration,
            last: Mutex::default(),
        }
    }

    /// The last probe if it is younger than a second, else a new one; callers share it.
    pub(crate) async fn readiness(&self, app: &App) -> Readiness {
        let mut last = self.last.lock().await;
        let now = app.clock.monotonic();
        if let Some((at, readiness)) = last.as_ref()
            && now.since(*at) < FRESH
        {
            return Readiness {
                draining: app.hub.is_draining(),
                registered: self.node.stands(),
                ..readiness.clone()
            };
        }
        let stopwatch = Stopwatch::start();
        let shared = self.store.is_shared();
        let (fanout, store) = tokio::join!(
            self.probe_fanout(app),
            probe_store(app, self.store.as_ref(), shared)
        );
        self.duration.observe(stopwatch.elapsed().as_secs_f64());
        let readiness = Readiness {
            fanout,
            store,
            shared,
            registered: self.node.stands(),
            draining: app.hub.is_draining(),
        };
        let before = last
            .as_ref()
            .map_or(Status::Ready, |(_, last)| last.status());
        readiness.log_change(before);
        *last = Some((app.clock.monotonic(), readiness.clone()));
        readiness
    }

    /// The database, as far as it is asked how it is.
    pub(crate) fn store(&self) -> &dyn StoreProbe {
        self.store.as_ref()
    }

    async fn probe_fanout(&self, app: &App) -> Part {
        let (fanout, entropy) = (&app.fanout, app.entropy.as_ref());
        let subject = Subject::parse("probe/probe").expect("well formed");
        let channel = ChannelName::parse("probe").expect("well formed");
        let receiver = |entropy| {
            let address = Address::new(&subject, Route::generate(entropy));
            Arc::new(ProbeReceiver {
                address,
                heard: Notify::new(),
            })
        };
        let (silent, listener) = (receiver(entropy), receiver(entropy));
        let mut sender = fanout.attach(self.app, silent);
        let mut link = fanout.attach(self.app, Arc::clone(&listener) as _);
        // Hidden, it finds room everywhere.
        link.join(&channel, Presence::Hidden, |_| None);
        sender.publish(&channel, |_| Bytes::from_static(b"probe"));
        let heard = app.clock.timeout(PATIENCE, listener.heard.notified());
        match heard.await {
            Ok(()) => Part::Ok,
            Err(_) => Part::TimedOut,
        }
    }
}

async fn probe_store(app: &App, store: &dyn StoreProbe, shared: bool) -> Part {
    let patience = if shared { SHORT_PATIENCE } else { PATIENCE };
    match app.clock.timeout(patience, store.probe()).await {
        Ok(Ok(())) => Part::Ok,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the database fails its probe");
            Part::Failed
        }
        Err(_) => Part::TimedOut,
    }
}

impl Readiness {
    pub(crate) fn status(&self) -> Status {
        let stored = self.store == Part::Ok;
        if self.draining {
            Status::Draining
        } else if self.fanout != Part::Ok || !(stored || self.shared) {
            Status::Failed
        } else if stored && self.registered {
            Status::Ready
        } else {
            Status::Degraded
        }
    }

    fn log_change(&self, before: Status) {
        let (fanout, store) = (self.fanout.as_str(), self.store.as_str());
        let registered = self.registered;
        match self.status() {
            now if now == before => {}
            Status::Ready => tracing::info!("ready again"),
            Status::Draining => {}
            Status::Degraded => tracing::warn!(fanout, store, registered, "degraded"),
            Status::Failed => tracing::error!(fanout, store, registered, "not ready"),
        }
    }
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

impl Part {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
        }
    }
}

struct ProbeReceiver {
    address: Address,
    heard: Notify,
}

impl Receiver for ProbeReceiver {
    fn address(&self) -> &Address {
        &self.address
    }

    fn deliver(&self, _message: &Bytes) -> bool {
        self.heard.notify_one();
        true
    }
}

const FRESH: Duration = Duration::from_secs(1);

const PATIENCE: Duration = Duration::from_secs(2);

/// A caller may wait for no longer than a second.
const SHORT_PATIENCE: Duration = Duration::from_millis(750);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_store_that_is_away_degrades_and_ones_own_fails() {
        let readiness = |fanout, store, shared, registered, draining| Readiness {
            fanout,
            store,
            shared,
            registered,
            draining,
        };
        let (ok, late) = (Part::Ok, Part::TimedOut);
        for (readiness, wanted) in [
            (readiness(ok, ok, false, true, false), Status::Ready),
            (readiness(ok, ok, true, true, false), Status::Ready),
            (readiness(ok, late, true, true, false), Status::Degraded),
            (readiness(ok, ok, true, false, false), Status::Degraded),
            (
                readiness(ok, Part::Failed, false, true, false),
                Status::Failed,
            ),
            (readiness(late, ok, true, true, false), Status::Failed),
            (readiness(ok, ok, true, true, true), Status::Draining),
        ] {
            assert_eq!(readiness.status(), wanted, "{readiness:?}");
        }
    }
}
