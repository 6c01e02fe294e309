use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use hexline_protocol::CloseCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc};

use crate::error::{CallError, ConnectError};

/// What happens on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server tells something.
    Push(Push),
    /// The connection has ended. The last event of a [`Client`](crate::Client)'s stream.
    Closed(Closed),
    /// Of [`Reconnecting`](crate::Reconnecting) only: a connection is open; remembered channels
    /// are being joined again.
    Opened,
    /// Of [`Reconnecting`](crate::Reconnecting) only: joining a remembered channel again was
    /// refused, and the channel is forgotten.
    ChannelLost {
        /// The channel.
        channel: String,
        /// Why.
        error: CallError,
    },
    /// Of [`Reconnecting`](crate::Reconnecting) only: no connection came about.
    Failed {
        /// Why.
        error: FailedAttempt,
        /// When the next attempt follows; `None` if none will.
        retry_in: Option<Duration>,
    },
}

/// Why an attempt to connect failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailedAttempt {
    /// The callback gave no token.
    #[error("no token: {0}")]
    NoToken(Box<dyn std::error::Error + Send + Sync>),
    /// The connection was not made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// A push: a method with its parameters, e.g. `signal.send`.
#[derive(Clone)]
pub struct Push {
    /// The method's name.
    pub method: String,
    /// The parameters, an object, byte for byte as they came.
    pub params: Box<RawValue>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The code of the close frame; `None` if the connection was lost without one.
    pub code: Option<u16>,
    /// The reason, for people.
    pub reason: String,
}

/// The events of one connection, in order. A stream that ends after [`Event::Closed`].
///
/// Whoever does not read it stops the socket from being read once the queue is full, answers to
/// calls included, and is closed by the server in the end. To hear nothing, drop it.
pub struct Events {
    received: mpsc::UnboundedReceiver<(Event, u32)>,
    budget: Arc<Semaphore>,
    _keep_open: Box<dyn Any + Send + Sync>,
}

impl Push {
    /// The parameters as a type of one's own.
    pub fn params_as<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.params.get())
    }
}

impl Closed {
    /// Whether the server may be asked again: not after a code from 4500 to 4999.
    pub fn may_reconnect(&self) -> bool {
        self.code.is_none_or(CloseCode::reconnect)
    }

    pub(crate) fn lost(reason: impl Into<String>) -> Self {
        Self {
            code: None,
            reason: reason.into(),
        }
    }
}

impl Events {
    /// The next event; `None` after the last.
    pub async fn recv(&mut self) -> Option<Event> {
        let (event, cost) = self.received.recv().await?;
        self.budget.add_permits(cost as usize);
        Some(event)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.budget.close();
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.received.poll_recv(cx).map(|next| {
            let (event, cost) = next?;
            self.budget.add_permits(cost as usize);
            Some(event)
        })
    }
}

/// The sending end: bounded in bytes, so that a flood of small pushes (everyone in a channel
/// introduces themselves) fits, and a flood of large ones does not fill the memory.
#[derive(Clone)]
pub(crate) struct EventSender {
    sent: mpsc::UnboundedSender<(Event, u32)>,
    budget: Arc<Semaphore>,
    limit: u32,
}

/// A queue of events of so many bytes. What keeps the connection open lives as long as `Events`.
pub(crate) fn queue(bytes: usize, keep_open: impl Any + Send + Sync) -> (EventSender, Events) {
    let limit = u32::try_from(bytes.clamp(EVENT_OVERHEAD, MAX_QUEUE)).expect("clamped below 1 GiB");
    let budget = Arc::new(Semaphore::new(limit as usize));
    let (sent, received) = mpsc::unbounded_channel();
    let sender = EventSender {
        sent,
        budget: Arc::clone(&budget),
        limit,
    };
    (
        sender,
        Events {
            received,
            budget,
            _keep_open: Box::new(keep_open),
        },
    )
}

impl EventSender {
    /// Waits for room, then queues it. Nobody listening is fine.
    pub(crate) async fn push(&self, event: Event) {
        let bytes = match &event {
            Event::Push(push) => push.params.get().len() + push.method.len(),
            _ => 0,
        };
        let cost = u32::try_from(bytes + EVENT_OVERHEAD)
            .unwrap_or(u32::MAX)
            .min(self.limit);
        if let Ok(permit) = self.budget.acquire_many(cost).await {
            permit.forget();
            let _ = self.sent.send((event, cost));
        }
    }

    /// Queues the event that nothing follows, whether there is room or not.
    pub(crate) fn last(&self, event: Event) {
        let _ = self.sent.send((event, 0));
    }
}

// What a push says is between people.
impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events(..)")
    }
}

/// What an event weighs beside its text.
const EVENT_OVERHEAD: usize = 128;
const MAX_QUEUE: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn push(bytes: usize) -> Event {
        let params = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2)));
        Event::Push(Push {
            method: String::new(),
            params: params.expect("JSON"),
        })
    }

    #[test]
    fn a_full_queue_waits_until_something_was_read() {
        let (sender, mut events) = queue(1000, ());
        assert!(sender.push(push(700)).now_or_never().is_some());
        assert!(sender.push(push(700)).now_or_never().is_none());
        assert!(events.recv().now_or_never().flatten().is_some());
        assert!(sender.push(push(700)).now_or_never().is_some());
    }

    #[test]
    fn one_event_larger_than_the_queue_still_fits_an_empty_one() {
        let (sender, _events) = queue(1000, ());
        assert!(sender.push(push(5000)).now_or_never().is_some());
    }

    #[test]
    fn with_nobody_listening_nothing_waits() {
        let (sender, events) = queue(1000, ());
        drop(events);
        for _ in 0..10 {
            assert!(sender.push(push(900)).now_or_never().is_some());
        }
    }

    #[test]
    fn the_close_code_tells_whether_to_come_back() {
        for (code, may) in [
            (None, true),
            (Some(1000), true),
            (Some(4001), true),
            (Some(4501), false),
        ] {
            assert_eq!(
                Closed {
                    code,
                    reason: String::new()
                }
                .may_reconnect(),
                may,
                "{code:?}"
            );
        }
    }
}
