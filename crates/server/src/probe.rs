use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hexline_bus::{Bus, Presence, Receiver};
use hexline_model::{Address, AppId, ChannelName, Entropy, Moment, Route, Subject};
use hexline_store::Database;
use tokio::sync::{Mutex, Notify};

use crate::app::App;

/// Proves that the server can do its work: a message through the bus, a record through the store.
pub(crate) struct Probe {
    /// An app that no key belongs to: nobody hears or disturbs the probe.
    app: AppId,
    last: Mutex<Option<(Moment, Readiness)>>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) bus: Part,
    pub(crate) store: Part,
    pub(crate) draining: bool,
}

/// One part of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Ok,
    Failed,
    TimedOut,
}

impl Probe {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        Self {
            app: AppId::generate(entropy),
            last: Mutex::default(),
        }
    }

    /// The last probe if it is younger than a second, else a new one; callers share it.
    pub(crate) async fn readiness(&self, app: &App) -> Readiness {
        let mut last = self.last.lock().await;
        let now = app.clock.moment();
        if let Some((at, readiness)) = last.as_ref()
            && now.since(*at) < FRESH
        {
            let draining = app.hub.is_draining();
            return Readiness {
                draining,
                ..readiness.clone()
            };
        }
        let start = tokio::time::Instant::now();
        let (bus, store) = tokio::join!(
            self.probe_bus(app.bus.as_ref(), app.entropy.as_ref()),
            probe_store(&app.database)
        );
        app.metrics
            .probe_duration
            .observe(start.elapsed().as_secs_f64());
        let readiness = Readiness {
            bus,
            store,
            draining: app.hub.is_draining(),
        };
        if !readiness.is_ready() {
            tracing::warn!(bus = bus.as_str(), store = store.as_str(), "not ready");
        }
        *last = Some((app.clock.moment(), readiness.clone()));
        readiness
    }

    async fn probe_bus(&self, bus: &dyn Bus, entropy: &dyn Entropy) -> Part {
        let subject = Subject::parse("probe/probe").expect("well formed");
        let channel = ChannelName::parse("probe").expect("well formed");
        let ear = |entropy| {
            let address = Address::new(&subject, Route::generate(entropy));
            Arc::new(Ear {
                address,
                heard: Notify::new(),
            })
        };
        let (speaker, listener) = (ear(entropy), ear(entropy));
        let mut mouth = bus.attach(self.app, speaker);
        let mut link = bus.attach(self.app, Arc::clone(&listener) as _);
        // Hidden, it finds room everywhere.
        let _ = link.join(&channel, Presence::Hidden);
        mouth.publish(&channel, &Bytes::from_static(b"probe"));
        match tokio::time::timeout(PATIENCE, listener.heard.notified()).await {
            Ok(()) => Part::Ok,
            Err(_) => Part::TimedOut,
        }
    }
}

async fn probe_store(database: &Database) -> Part {
    match tokio::time::timeout(PATIENCE, database.probe()).await {
        Ok(Ok(())) => Part::Ok,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store fails its probe");
            Part::Failed
        }
        Err(_) => Part::TimedOut,
    }
}

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        self.bus == Part::Ok && self.store == Part::Ok && !self.draining
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

struct Ear {
    address: Address,
    heard: Notify,
}

impl Receiver for Ear {
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
