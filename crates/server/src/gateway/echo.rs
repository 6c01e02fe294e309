use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hexline_model::Moment;
use hexline_protocol::CloseCode;

use super::outbox::{Outbox, Outgoing};
use super::session::{Conversation, Now};
use crate::telemetry::Metrics;

/// Says back every message as it came: for testing clients, networks, and our own socket code.
pub(crate) struct Echo {
    outbox: Outbox,
    heard: Moment,
}

impl Echo {
    pub(crate) fn new(metrics: &Metrics, now: Now) -> Self {
        let outbox = Outbox::new(4 * Self::MAX_MESSAGE, Arc::clone(&metrics.outbox_bytes));
        Self {
            outbox,
            heard: now.moment,
        }
    }

    /// The largest message, in bytes.
    pub(crate) const MAX_MESSAGE: usize = 16 << 20;

    /// Nobody needs an echo that nobody uses.
    const IDLE_CLOSE: Duration = Duration::from_secs(75);
}

impl Conversation for Echo {
    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn handle_text(&mut self, now: Now, text: &str) {
        self.heard = now.moment;
        let _ = self
            .outbox
            .push(Outgoing::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn handle_binary(&mut self, now: Now, bytes: Bytes) {
        self.heard = now.moment;
        let _ = self.outbox.push(Outgoing::Binary(bytes));
    }

    fn handle_control(&mut self, now: Now) {
        self.heard = now.moment;
    }

    fn handle_timeout(&mut self, now: Now) -> bool {
        if now.moment.since(self.heard) >= Self::IDLE_CLOSE {
            self.outbox.close_after_queue(CloseCode::Idle);
        }
        false
    }

    fn poll_timeout(&self, _now: Now) -> Moment {
        self.heard.plus(Self::IDLE_CLOSE)
    }

    fn paused_until(&self) -> Option<Moment> {
        None
    }
}
