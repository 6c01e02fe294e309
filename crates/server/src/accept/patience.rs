use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hexline_model::{Monotonic, Sleep};

use super::place::Place;

/// The deadline of a connection that waits for its client.
///
/// It is polled after the connection was. The alarm is set once and looks again when it rings: a
/// deadline only ever moves ahead, so a busy connection touches no timer.
pub(super) struct Patience {
    place: Arc<Place>,
    limit: Duration,
    turn: u32,
    since: Monotonic,
    alarm: Sleep,
    is_armed: bool,
}

impl Patience {
    /// Counts from `since`, when the socket was accepted.
    pub(super) fn new(place: Arc<Place>, limit: Duration, since: Monotonic) -> Self {
        Self {
            turn: place.turn(),
            limit,
            since,
            alarm: place.limiter.clock().sleep_until(since.plus(limit)),
            place,
            is_armed: true,
        }
    }

    /// Ready when the client has let the server wait for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let turn = self.place.turn();
        if self.turn != turn {
            self.turn = turn;
            self.since = self.place.limiter.clock().monotonic();
            self.place.set_waiting_since(self.since);
        }
        if !self.place.waits_for_client() {
            return Poll::Pending;
        }
        let deadline = self.since.plus(self.limit);
        loop {
            if !self.is_armed {
                self.alarm.reset(deadline);
                self.is_armed = true;
            }
            ready!(Pin::new(&mut self.alarm).poll(cx));
            self.is_armed = false;
            if self.place.limiter.clock().monotonic() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
