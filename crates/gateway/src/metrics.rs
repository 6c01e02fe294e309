use std::sync::Arc;

use hexline_protocol::{CloseCode, ErrorCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What the gateway counts. Whoever makes it registers it.
///
/// Labels come from closed sets (methods, reasons, close codes); nothing that a client chooses
/// becomes a label.
pub struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) echoes: Gauge,
    pub(crate) opened: Counter,
    pub(crate) deliveries: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) outbox_bytes: Arc<Gauge>,
    /// Of a frame whose calls all end at once; of others what is done before the first that does not.
    pub(crate) call_duration: Histogram,
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

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Gauge::default(),
            echoes: Gauge::default(),
            opened: Counter::default(),
            deliveries: Counter::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            outbox_bytes: Arc::default(),
            call_duration: Histogram::new(LATENCIES),
            calls: Family::default(),
            rejects: Family::default(),
            closes: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds every figure to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
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
            "deliveries",
            "Messages queued for a connection on another's behalf",
            self.deliveries.clone(),
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
            "Time to carry out one frame's calls, up to the first that does not end at once",
            Unit::Seconds,
            self.call_duration.clone(),
        );
    }

    /// Counts a connection that was opened.
    pub fn opened(&self) {
        self.opened.inc();
    }

    /// Counts a call of a method.
    pub fn called(&self, method: &'static str) {
        self.calls.get_or_create(&MethodLabel { method }).inc();
    }

    /// Counts a refused request, upgrade or call.
    pub fn rejected(&self, code: ErrorCode) {
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
}

/// Upper bounds in seconds, from 10 µs to 10 s.
pub const LATENCIES: [f64; 13] = [
    0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0,
];
