//! What the server tells about itself: metrics, and how its log is set up.
//!
//! One [`Metrics`] per server, its registry in it, so that several servers run in one process.
//! Labels come from closed sets (methods, reasons, close codes); nothing that a client chooses
//! becomes a label.

use std::sync::Arc;

use hexline_gateway::LATENCIES;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The numbers behind `/metrics`.
pub(crate) struct Metrics {
    /// What `/metrics` shows.
    pub(crate) registry: Arc<Registry>,
    pub(crate) gateway: Arc<hexline_gateway::Metrics>,
    pub(crate) sockets_refused: Counter,
    pub(crate) sockets_evicted: Counter,
    pub(crate) webhook_events_dropped: Counter,
    pub(crate) http_duration: Histogram,
    pub(crate) probe_duration: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            gateway: Arc::default(),
            sockets_refused: Counter::default(),
            sockets_evicted: Counter::default(),
            webhook_events_dropped: Counter::default(),
            http_duration: Histogram::new(LATENCIES),
            probe_duration: Histogram::new(LATENCIES),
        };
        let mut registry = Registry::with_prefix("hexline");
        metrics.register(&mut registry);
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, r: &mut Registry) {
        self.gateway.register(r);
        r.register(
            "sockets_refused",
            "Accepted sockets closed at once, over a limit",
            self.sockets_refused.clone(),
        );
        r.register(
            "sockets_evicted",
            "Accepted sockets closed before their time to make room for others",
            self.sockets_evicted.clone(),
        );
        r.register(
            "webhook_events_dropped",
            "Events that no webhook was told of, over a limit",
            self.webhook_events_dropped.clone(),
        );
        r.register_with_unit(
            "http_request_duration",
            "Time to answer an HTTP request",
            Unit::Seconds,
            self.http_duration.clone(),
        );
        r.register_with_unit(
            "probe_duration",
            "Time for a readiness probe through bus and store",
            Unit::Seconds,
            self.probe_duration.clone(),
        );
        r.register(
            "build",
            "The running build",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }
}
