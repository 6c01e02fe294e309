//! What the server tells about itself: metrics, and how its log is set up.
//!
//! One [`Metrics`] per server, its registry in it, so that several servers run in one process.
//! Labels come from closed sets (methods, reasons, close codes); nothing that a client chooses
//! becomes a label.

use std::sync::Arc;

use hexline_protocol::{CloseCode, ErrorCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The numbers behind `/metrics`.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: Gauge,
    pub(crate) echoes: Gauge,
    pub(crate) opened: Counter,
    pub(crate) sockets_refused: Counter,
    pub(crate) sockets_evicted: Counter,
    pub(crate) deliveries: Counter,
    pub(crate) webhook_events_dropped: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) outbox_bytes: Arc<Gauge>,
    pub(crate) call_duration: Histogram,
    pub(crate) http_duration: Histogram,
    pub(crate) probe_duration: Histogram,
    calls: Family<MethodLabel, Counter>,
    rejects: Family<ReasonLabel, Counter>,
    closes: Family<CloseLabel, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CloseLabel {
    code: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hexline"),
            connections: Gauge::default(),
            echoes: Gauge::default(),
            opened: Counter::default(),
            sockets_refused: Counter::default(),
            sockets_evicted: Counter::default(),
            deliveries: Counter::default(),
            webhook_events_dropped: Counter::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            outbox_bytes: Arc::default(),
            call_duration: Histogram::new(LATENCIES),
            http_duration: Histogram::new(LATENCIES),
            probe_duration: Histogram::new(LATENCIES),
            calls: Family::default(),
            rejects: Family::default(),
            closes: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "connections",
            "Live WebSocket connections",
            self.connections.clone(),
        );
        r.register("echoes", "Live echo connections", self.echoes.clone());
        r.register(
            "connections_opened",
            "WebSocket connections opened",
            self.opened.clone(),
        );
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
            "deliveries",
            "Messages queued for a connection on another's behalf",
            self.deliveries.clone(),
        );
        r.register(
            "webhook_events_dropped",
            "Events that no webhook was told of, over a limit",
            self.webhook_events_dropped.clone(),
        );
        r.register(
            "messages_received",
            "WebSocket messages received",
            self.messages_in.clone(),
        );
        r.register(
            "messages_sent",
            "WebSocket messages sent",
            self.messages_out.clone(),
        );
        r.register_with_unit(
            "received",
            "Payload received by WebSocket",
            Unit::Bytes,
            self.bytes_in.clone(),
        );
        r.register_with_unit(
            "sent",
            "Payload sent by WebSocket",
            Unit::Bytes,
            self.bytes_out.clone(),
        );
        r.register_with_unit(
            "outbox",
            "Waiting to be written, over all connections",
            Unit::Bytes,
            Gauge::clone(&self.outbox_bytes),
        );
        r.register("calls", "Calls by method", self.calls.clone());
        r.register(
            "rejects",
            "Refused requests, upgrades and calls",
            self.rejects.clone(),
        );
        r.register(
            "closes",
            "Connections closed by the server, by code",
            self.closes.clone(),
        );
        r.register_with_unit(
            "call_duration",
            "Time to carry out one frame's calls",
            Unit::Seconds,
            self.call_duration.clone(),
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

    pub(crate) fn called(&self, method: &'static str) {
        self.calls.get_or_create(&MethodLabel { method }).inc();
    }

    pub(crate) fn rejected(&self, code: ErrorCode) {
        self.rejects
            .get_or_create(&ReasonLabel {
                reason: code.text(),
            })
            .inc();
    }

    pub(crate) fn closed(&self, code: CloseCode) {
        self.closes
            .get_or_create(&CloseLabel {
                code: code.number(),
            })
            .inc();
    }

    /// The text that Prometheus reads.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string does not fail");
        text
    }
}

/// Upper bounds in seconds, from 10 µs to 10 s.
const LATENCIES: [f64; 13] = [
    0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0,
];
