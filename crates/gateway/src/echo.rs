use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hexline_model::Monotonic;
use hexline_protocol::CloseCode;

use super::handler::{FrameHandler, Now};
use super::hub::Hub;
use super::metrics::Metrics;
use super::outbox::{Outbox, Outgoing};

/// Says back every message as it came: for testing clients, networks, and our own socket code.
///
/// Anyone may have one, and its messages may be large: so there are few.
pub struct Echo {
    outbox: Outbox,
    heard: Monotonic,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
}

impl Echo {
    /// `None` if there are too many.
    pub fn new(metrics: &Arc<Metrics>, hub: &Arc<Hub>, now: Now) -> Option<Self> {
        if metrics.echoes.inc() >= Self::MAX_ECHOES {
            metrics.echoes.dec();
            return None;
        }
        Some(Self {
            outbox: Outbox::new(2 * Self::MAX_MESSAGE, Arc::clone(&metrics.outbox_bytes)),
            heard: now.monotonic,
            hub: Arc::clone(hub),
            metrics: Arc::clone(metrics),
        })
    }

    /// The largest message, in bytes.
    pub const MAX_MESSAGE: usize = 16 << 20;

    const MAX_ECHOES: i64 = 16;

    /// Nobody needs an echo that nobody uses.
    const IDLE_CLOSE: Duration = Duration::from_secs(75);

    /// How often to see whether the server stops.
    const LOOK: Duration = Duration::from_secs(1);
}

impl FrameHandler for Echo {
    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn handle_text(&mut self, now: Now, text: &str) {
        self.heard = now.monotonic;
        let text = Bytes::copy_from_slice(text.as_bytes());
        let _ = self.outbox.push(Outgoing::Text(text));
    }

    fn handle_binary(&mut self, now: Now, bytes: Bytes) {
        self.heard = now.monotonic;
        let _ = self.outbox.push(Outgoing::Binary(bytes));
    }

    fn handle_control(&mut self, now: Now) {
        self.heard = now.monotonic;
    }

    fn handle_timeout(&mut self, now: Now) -> bool {
        if self.hub.is_draining() {
            self.outbox.close_after_queue(CloseCode::GoingAway);
        } else if now.monotonic.since(self.heard) >= Self::IDLE_CLOSE {
            self.outbox.close_after_queue(CloseCode::Idle);
        }
        false
    }

    fn poll_timeout(&self, now: Now) -> Monotonic {
        now.monotonic.plus(Self::LOOK)
    }

    fn paused_until(&self) -> Option<Monotonic> {
        None
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.metrics.echoes.dec();
    }
}
