use std::task::{Context, Poll};

use bytes::Bytes;
use hexline_model::{Clock, Monotonic, Timestamp};

use super::ending::Ending;
use super::outbox::Outbox;

/// What the socket drives: one connection's behaviour, without I/O.
///
/// Whatever it has to say goes into its outbox; whatever the socket needs to know is asked for.
pub trait FrameHandler: Send {
    /// What is to be written, and whether to close.
    fn outbox(&self) -> &Outbox;

    /// A text message arrived.
    fn handle_text(&mut self, now: Now, text: &str);

    /// A binary message arrived.
    fn handle_binary(&mut self, now: Now, bytes: Bytes);

    /// A ping, a pong or a fragment of a message arrived.
    fn handle_control(&mut self, now: Now);

    /// A moment that [`FrameHandler::poll_timeout`] named has come; `true` asks for a ping.
    fn handle_timeout(&mut self, now: Now) -> bool;

    /// When to call [`FrameHandler::handle_timeout`] next.
    fn poll_timeout(&self, now: Now) -> Monotonic;

    /// Until when no frame is to be handed over, if so.
    fn paused_until(&self) -> Option<Monotonic>;

    /// Goes on with what takes its time. Ready if anything was done; ask again then.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Whether no frame is to be handed over until [`FrameHandler::poll_calls`] has got on.
    fn is_full(&self) -> bool {
        false
    }

    /// The pause is over; so many bytes have waited unread until its end.
    fn handle_resume(&mut self, now: Now, unread: usize) {
        let _ = (now, unread);
    }

    /// It is read again, after a large answer or calls under way held that up.
    fn handle_unblocked(&mut self, now: Now) {
        let _ = now;
    }

    /// It has ended; nothing else is called any more.
    fn ended(&self, ending: Ending, now: Now) {
        let _ = (ending, now);
    }

    /// A message of so many bytes arrived.
    fn count_received(&self, bytes: usize) {
        let _ = bytes;
    }

    /// So many messages of so many bytes go out.
    fn count_sent(&self, messages: usize, bytes: usize) {
        let _ = (messages, bytes);
    }
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// By the calendar.
    pub wall: Timestamp,
    /// By the clock that never jumps.
    pub monotonic: Monotonic,
}

impl Now {
    /// Looks at both.
    pub fn of(clock: &dyn Clock) -> Self {
        // In this order: what is set by the two may ring too early, never too late.
        let monotonic = clock.monotonic();
        let wall = clock.now();
        Self { wall, monotonic }
    }
}
