use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hexline_fanout::PendingJoin;
use hexline_model::Clock;
use hexline_protocol::{ErrorCode, Id, OwnedCall, OwnedId, Reply};
use hexline_services::Outcome;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::dispatch::{CallFailure, Later};
use super::responses::Responses;
use super::spawn::Spawn;

/// What a connection has asked for and was not answered yet: the frame whose calls are carried out, and
/// those behind it.
pub(super) struct CallsInFlight {
    /// The call that all others wait for.
    pub(super) running: Option<RunningCall>,
    pub(super) frame: Frame,
    behind: VecDeque<Frame>,
    /// Of all frames.
    calls: usize,
    bytes: usize,
}

/// A frame that was taken in and is not answered.
pub(super) struct Frame {
    /// What has not begun.
    pub(super) rest: VecDeque<Waiting>,
    pub(super) responses: Responses,
    calls: usize,
    bytes: usize,
}

/// One object of a frame whose turn has not come.
pub(super) enum Waiting {
    /// A call.
    Call(OwnedCall),
    /// What is no call: its response.
    Response(Bytes),
}

/// A call that runs as a task of the server. Dropping it loses the outcome, and stops nothing.
pub(super) enum RunningCall {
    /// A service carries it out.
    Call {
        /// To be echoed.
        id: Option<OwnedId>,
        /// What it comes to.
        outcome: oneshot::Receiver<Result<Outcome<Reply>, CallFailure>>,
    },
    /// What a member missed is fetched, and its response queued; with or without what was missed.
    Join {
        /// When that is done.
        done: oneshot::Receiver<()>,
        /// The response, where it goes out with those of a batch.
        response: oneshot::Receiver<Bytes>,
    },
}

/// What has run.
pub(super) enum Finished {
    /// A call, which has to be answered.
    Call(Result<Outcome<Reply>, CallFailure>),
    /// A join, which was; in a batch this is what it was answered.
    Join(Option<Bytes>),
}

impl CallsInFlight {
    pub(super) fn new(running: RunningCall, frame: Frame) -> Self {
        Self {
            running: Some(running),
            calls: frame.calls,
            bytes: frame.bytes,
            frame,
            behind: VecDeque::new(),
        }
    }

    /// Takes a frame in that waits for those before it.
    pub(super) fn wait(&mut self, frame: Frame) {
        self.calls += frame.calls;
        self.bytes += frame.bytes;
        self.behind.push_back(frame);
    }

    /// Ends a frame of which everything was carried out, and turns to the next; `false` if there is
    /// none.
    pub(super) fn next_frame(&mut self, connection: &Connection) -> bool {
        self.calls -= self.frame.calls;
        self.bytes -= self.frame.bytes;
        std::mem::take(&mut self.frame.responses).finish(connection);
        let Some(next) = self.behind.pop_front() else {
            return false;
        };
        next.responses.begin(connection);
        self.frame = next;
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls >= MAX_CALLS || self.bytes >= MAX_BYTES
    }
}

impl Frame {
    pub(super) fn new(
        rest: VecDeque<Waiting>,
        responses: Responses,
        calls: usize,
        bytes: usize,
    ) -> Self {
        Self {
            rest,
            responses,
            calls,
            bytes,
        }
    }
}

impl RunningCall {
    pub(super) fn spawn(spawn: &dyn Spawn, id: Option<Id<'_>>, future: Later) -> Self {
        let (sender, outcome) = oneshot::channel();
        spawn.spawn(Box::pin(async move {
            // Nobody waits for the outcome if the connection has gone.
            let _ = sender.send(future.await);
        }));
        Self::Call {
            id: id.map(Id::to_owned),
            outcome,
        }
    }

    pub(super) fn fetch(
        spawn: &dyn Spawn,
        clock: &Arc<dyn Clock>,
        fetch: PendingJoin,
        response: oneshot::Receiver<Bytes>,
    ) -> Self {
        let (sender, done) = oneshot::channel();
        // From now on and not from the task's first turn, which may come later.
        let until = clock.monotonic().plus(fetch.at_most());
        let clock = Arc::clone(clock);
        spawn.spawn(Box::pin(async move {
            if clock.timeout_at(until, fetch).await.is_err() {
                tracing::warn!("what a member missed was not fetched in time");
            }
            // Nobody waits for it if the connection has gone.
            let _ = sender.send(());
        }));
        Self::Join { done, response }
    }

    pub(super) fn id(&self) -> Option<Id<'_>> {
        match self {
            Self::Call { id, .. } => id.as_ref().map(OwnedId::as_id),
            Self::Join { .. } => None,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        match self {
            Self::Call { outcome, .. } => Pin::new(outcome).poll(cx).map(|outcome| {
                // It was cut off, or has panicked: what it did up to there is done.
                Finished::Call(outcome.unwrap_or_else(|_| Err(cut_off())))
            }),
            // Cut off, it was answered all the same: that nothing was recovered.
            Self::Join { done, response } => Pin::new(done)
                .poll(cx)
                .map(|_| Finished::Join(response.try_recv().ok())),
        }
    }
}

fn cut_off() -> CallFailure {
    CallFailure {
        code: ErrorCode::InternalError,
        message: "the call was begun and has not come to its end".to_owned(),
    }
}

/// Calls of one connection that were taken in and are not answered: with so many it is not read.
pub(super) const MAX_CALLS: usize = 64;

/// The same in bytes of their frames.
const MAX_BYTES: usize = 256 << 10;
