use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::place::Place;

/// The deadline of a connection that waits for its client.
///
/// It is polled after the connection was. The alarm is set once and looks again when it rings: a
/// deadline only ever moves ahead, so a busy connection touches no timer.
pub(super) struct Patience {
    place: Arc<Place>,
    limit: Duration,
    turn: u32,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
    is_armed: bool,
}

impl Patience {
    /// Counts from `since`, when the socket was accepted.
    pub(super) fn new(place: Arc<Place>, limit: Duration, since: Instant) -> Self {
        Self {
            turn: place.turn(),
            place,
            limit,
            since,
            alarm: Box::pin(tokio::time::sleep_until(since + limit)),
            is_armed: true,
        }
    }

    /// Ready when the client has let the server wait for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let turn = self.place.turn();
        if self.turn != turn {
            self.turn = turn;
            self.since = Instant::now();
            self.place
                .set_waiting_since(self.place.gate.millis_at(self.since));
        }
        if !self.place.waits_for_client() {
            return Poll::Pending;
        }
        let deadline = self.since + self.limit;
        loop {
            if !self.is_armed {
                self.alarm.as_mut().reset(deadline);
                self.is_armed = true;
            }
            ready!(self.alarm.as_mut().poll(cx));
            self.is_armed = false;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
