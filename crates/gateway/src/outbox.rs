use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hexline_protocol::CloseCode;
use prometheus_client::metrics::gauge::Gauge;

/// What waits to be written to one connection, bounded in bytes.
///
/// Whoever has something to say pushes; the connection's own task takes. A push that would go
/// over the bound closes the connection as too slow, drops what waited, and harms nobody else.
/// Messages taken stay counted until `written`.
///
/// An answer was asked for, and may be larger than the bound if there was room before it: it does
/// not show that its reader is slow. What comes after it finds the room that it would have found
/// without.
///
/// While a batch is carried out, messages are held back (`hold`): they count, and go out
/// behind its answer. A stop closes only when every answer that is owed is in the queue.
pub struct Outbox {
    state: Mutex<State>,
    limit: usize,
    /// Bytes waiting in all outboxes together.
    total: Arc<Gauge>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outgoing>,
    /// How many messages, the last of the queue, are held back behind an answer to come.
    held: usize,
    /// Bytes in the queue and in the hands of the socket.
    bytes: usize,
    /// How much of them does not count: an answer that is larger than the bound.
    beyond: usize,
    closing: Option<(CloseCode, Closing)>,
    nudged: bool,
    /// What is pushed is held back.
    holds: bool,
    /// Calls are under way that will be answered.
    owes_answers: bool,
    waiting: Option<(Waker, WaitsFor)>,
}

/// How far a close has got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// What waits is written first.
    AfterQueue,
    /// What waits is not written.
    Now,
    /// The socket knows.
    Taken,
}

/// A message to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// UTF-8, by construction.
    Text(Bytes),
    /// Anything.
    Binary(Bytes),
}

/// What the socket's task sleeps for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Anything,
    /// It can't write: new messages are no news.
    Close,
}

/// What the socket has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Write the messages that were taken; so many bytes are to be reported as written.
    Messages(usize),
    /// Nothing is left to write: close.
    Close(CloseCode),
    /// Something about the connection has changed: look at its deadlines again.
    Nudge,
}

impl Outbox {
    pub(crate) fn new(limit: usize, total: Arc<Gauge>) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            total,
        }
    }

    /// Queues a message; `false` if the connection is closing, or closes because of it.
    pub(crate) fn push(&self, message: Outgoing) -> bool {
        let state = self.lock();
        if state.closing.is_some() {
            return false;
        }
        let Some(mut state) = self.count(state, message.cost(), false) else {
            return false;
        };
        state.queue.push_back(message);
        if state.holds {
            state.held += 1;
        } else {
            wake(state, WaitsFor::Anything);
        }
        true
    }

    /// Queues what the connection itself has asked for, however large, if there is room at all;
    /// ahead of what is held back.
    pub(crate) fn push_answer(&self, message: Outgoing) -> bool {
        let state = self.lock();
        if !state.takes_answers() {
            return false;
        }
        let has_room = state.beyond == 0 && state.bytes < self.limit;
        let Some(mut state) = self.count(state, message.cost(), has_room) else {
            return false;
        };
        let at = state.queue.len() - state.held;
        state.queue.insert(at, message);
        wake(state, WaitsFor::Anything);
        true
    }

    /// Counts a message to come. If it does not fit, the connection closes, and `None` is left.
    fn count<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        cost: usize,
        may_exceed: bool,
    ) -> Option<MutexGuard<'a, State>> {
        if state.bytes + cost > self.limit + state.beyond {
            if !may_exceed {
                self.close_now(state, CloseCode::TooSlow);
                return None;
            }
            state.beyond = cost;
        }
        state.bytes += cost;
        self.add(cost);
        Some(state)
    }

    /// Holds back what is pushed from now on, until [`Outbox::release`].
    pub(crate) fn hold(&self) {
        self.lock().holds = true;
    }

    /// Sends what was held back, and holds nothing back any more.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.holds = false;
        if std::mem::take(&mut state.held) > 0 {
            wake(state, WaitsFor::Anything);
        }
    }

    /// Says whether calls are under way: a stop waits for their answers.
    pub(crate) fn owe_answers(&self, owes: bool) {
        let mut state = self.lock();
        state.owes_answers = owes;
        if !owes && state.closing.is_some() {
            wake(state, WaitsFor::Close);
        }
    }

    /// Makes the connection's task look at its deadlines.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = true;
        wake(state, WaitsFor::Anything);
    }

    /// Closes after what waits has been written. The first reason to close stays.
    pub(crate) fn close_after_queue(&self, code: CloseCode) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.closing = Some((code, Closing::AfterQueue));
            wake(state, WaitsFor::Close);
        }
    }

    /// Closes at once: what waits is dropped.
    pub(crate) fn close(&self, code: CloseCode) {
        let state = self.lock();
        if matches!(state.closing, None | Some((_, Closing::AfterQueue))) {
            self.close_now(state, code);
        }
    }

    /// Whether an answer would be taken, so that a call may be carried out now: it is not closing, or
    /// for a stop, and no large answer is on its way.
    pub(crate) fn has_room_for_answers(&self) -> bool {
        let state = self.lock();
        state.takes_answers() && state.beyond == 0
    }

    /// Whether a large answer is on its way, so that no further one should be asked for yet.
    pub(crate) fn is_beyond(&self) -> bool {
        self.lock().beyond > 0
    }

    /// Why it is closing, if it is.
    pub(crate) fn closing(&self) -> Option<CloseCode> {
        self.lock().closing.map(|(code, _)| code)
    }

    /// Hands out messages of about `budget` bytes, one at least.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        budget: usize,
        mut hand_out: impl FnMut(Outgoing),
    ) -> Poll<Take> {
        let mut state = self.lock();
        let mut taken = 0;
        let mut ready = state.ready();
        while taken < budget
            && ready > 0
            && let Some(message) = state.queue.pop_front()
        {
            ready -= 1;
            taken += message.cost();
            hand_out(message);
        }
        if taken > 0 {
            if state.queue.is_empty() && state.queue.capacity() > KEPT_CAPACITY {
                state.queue = VecDeque::new();
            }
            return Poll::Ready(Take::Messages(taken));
        }
        if let Some((code, Closing::AfterQueue | Closing::Now)) = state.closing
            && !(state.owes_answers && state.takes_answers())
        {
            state.closing = Some((code, Closing::Taken));
            return Poll::Ready(Take::Close(code));
        }
        if std::mem::take(&mut state.nudged) {
            return Poll::Ready(Take::Nudge);
        }
        state.waiting = Some((cx.waker().clone(), WaitsFor::Anything));
        Poll::Pending
    }

    /// While nothing can be written: whether to close at once all the same.
    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<CloseCode> {
        let mut state = self.lock();
        if let Some((code, Closing::Now)) = state.closing {
            state.closing = Some((code, Closing::Taken));
            return Poll::Ready(code);
        }
        state.waiting = Some((cx.waker().clone(), WaitsFor::Close));
        Poll::Pending
    }

    /// The bytes of [`Take::Messages`] have left.
    pub(crate) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        let bytes = bytes.min(state.bytes);
        state.bytes -= bytes;
        if state.bytes <= self.limit {
            state.beyond = 0;
        }
        self.subtract(bytes);
    }

    fn close_now(&self, mut state: MutexGuard<'_, State>, code: CloseCode) {
        let waiting: usize = state.queue.iter().map(Outgoing::cost).sum();
        state.queue = VecDeque::new();
        state.held = 0;
        state.bytes -= waiting;
        self.subtract(waiting);
        state.closing = Some((code, Closing::Now));
        wake(state, WaitsFor::Close);
    }

    fn add(&self, bytes: usize) {
        self.total.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn subtract(&self, bytes: usize) {
        self.total.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether an answer is still written: to what was taken in before a stop as well.
    fn takes_answers(&self) -> bool {
        match self.closing {
            None | Some((CloseCode::GoingAway, Closing::AfterQueue)) => true,
            Some(_) => false,
        }
    }

    /// How many messages may be written. Behind an answer that will not come nothing waits.
    fn ready(&self) -> usize {
        if self.takes_answers() {
            self.queue.len() - self.held
        } else {
            self.queue.len()
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.lock().bytes;
        self.subtract(left);
    }
}

impl Outgoing {
    /// A message's bytes and what it takes to keep it: many small ones cost memory as well.
    fn cost(&self) -> usize {
        let (Self::Text(bytes) | Self::Binary(bytes)) = self;
        bytes.len() + OVERHEAD
    }
}

/// The task is woken outside the lock, and only if this is what it waits for.
fn wake(mut state: MutexGuard<'_, State>, news: WaitsFor) {
    let waiting = state
        .waiting
        .take_if(|(_, waits_for)| *waits_for == WaitsFor::Anything || news == WaitsFor::Close);
    drop(state);
    if let Some((waker, _)) = waiting {
        waker.wake();
    }
}

const OVERHEAD: usize = 48;

/// A queue that once was long gives its memory back.
const KEPT_CAPACITY: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(limit: usize) -> Outbox {
        Outbox::new(limit, Arc::default())
    }

    fn text(text: &'static str) -> Outgoing {
        Outgoing::Text(Bytes::from_static(text.as_bytes()))
    }

    fn take(outbox: &Outbox, budget: usize) -> (Poll<Take>, VecDeque<Outgoing>) {
        let mut batch = VecDeque::new();
        let mut cx = Context::from_waker(Waker::noop());
        let take = outbox.poll_take(&mut cx, budget, |message| batch.push_back(message));
        (take, batch)
    }

    #[test]
    fn messages_leave_in_order_and_within_the_budget() {
        let outbox = outbox(1000);
        for message in ["a", "b", "c"] {
            assert!(outbox.push(text(message)));
        }
        assert_eq!(take(&outbox, 50).1, [text("a"), text("b")]);
        assert_eq!(take(&outbox, 50).1, [text("c")]);
        assert_eq!(take(&outbox, 50).0, Poll::Pending);
    }

    #[test]
    fn what_is_being_written_still_counts() {
        let outbox = outbox(200);
        let message = Outgoing::Binary(Bytes::from(vec![b'x'; 100]));
        assert!(outbox.push(message.clone()));
        let (Poll::Ready(Take::Messages(bytes)), _) = take(&outbox, 1) else {
            panic!("a message")
        };
        assert_eq!(outbox.total.get(), 148);
        outbox.written(bytes);
        assert!(outbox.push(message.clone()));
        assert_eq!(outbox.total.get(), 148);
        assert!(!outbox.push(message), "over the bound");
        assert_eq!(outbox.total.get(), 0, "what waited was dropped");
        assert_eq!(
            take(&outbox, 1).0,
            Poll::Ready(Take::Close(CloseCode::TooSlow))
        );
        assert!(!outbox.push(text("")));
    }

    #[test]
    fn an_answer_may_be_larger_than_the_bound_if_there_was_room() {
        let outbox = outbox(200);
        let large = |outbox: &Outbox| outbox.push_answer(Outgoing::Binary(vec![b'x'; 5000].into()));
        let small = || Outgoing::Binary(vec![b'x'; 52].into());
        assert!(outbox.push(small()));
        assert!(large(&outbox) && outbox.is_beyond());
        assert!(outbox.push(small()), "there is as much room as before");
        let (Poll::Ready(Take::Messages(bytes)), _) = take(&outbox, 10_000) else {
            panic!("messages")
        };
        outbox.written(bytes);
        assert!(!outbox.is_beyond() && outbox.total.get() == 0);
        assert!(outbox.push(small()) && outbox.push(small()));
        assert!(!outbox.push(small()), "the bound is what it was");

        let second = self::outbox(200);
        assert!(large(&second));
        assert!(!large(&second), "one at a time");
        let full = self::outbox(100);
        assert!(full.push(small()));
        assert!(!large(&full), "there was no room");
    }

    #[test]
    fn a_drain_writes_the_queue_first_and_a_revocation_does_not() {
        let drained = outbox(1000);
        drained.push(text("a"));
        drained.close_after_queue(CloseCode::GoingAway);
        assert!(matches!(
            take(&drained, 1).0,
            Poll::Ready(Take::Messages(_))
        ));
        assert_eq!(
            take(&drained, 1).0,
            Poll::Ready(Take::Close(CloseCode::GoingAway))
        );
        assert_eq!(take(&drained, 1).0, Poll::Pending, "told once");

        let revoked = outbox(1000);
        revoked.push(text("a"));
        revoked.close_after_queue(CloseCode::GoingAway);
        revoked.close(CloseCode::Revoked);
        assert_eq!(
            take(&revoked, 1).0,
            Poll::Ready(Take::Close(CloseCode::Revoked))
        );
    }

    #[test]
    fn what_is_held_back_counts_and_goes_out_behind_the_answers() {
        let outbox = outbox(250);
        outbox.push(text("a"));
        outbox.hold();
        outbox.push(text("b"));
        outbox.push(text("c"));
        assert_eq!(take(&outbox, 1000).1, [text("a")]);
        assert_eq!(take(&outbox, 1000).0, Poll::Pending);
        assert!(outbox.push_answer(text("d")));
        assert_eq!(take(&outbox, 1000).1, [text("d")]);
        outbox.release();
        assert_eq!(take(&outbox, 1000).1, [text("b"), text("c")]);
        assert!(outbox.push(text("e")));
        assert!(!outbox.push(text("f")), "four are being written");
        assert_eq!(outbox.closing(), Some(CloseCode::TooSlow));
    }

    #[test]
    fn only_a_stop_waits_for_answers() {
        for code in [CloseCode::TokenExpired, CloseCode::GoingAway] {
            let outbox = outbox(1000);
            outbox.owe_answers(true);
            outbox.hold();
            outbox.push(text("a"));
            outbox.close_after_queue(code);
            assert!(!outbox.push(text("b")));
            if code == CloseCode::GoingAway {
                assert_eq!(take(&outbox, 1000).0, Poll::Pending);
                assert!(outbox.has_room_for_answers());
                assert!(outbox.push_answer(text("c")));
                outbox.release();
                assert_eq!(take(&outbox, 1000).1, [text("c"), text("a")]);
                assert_eq!(take(&outbox, 1000).0, Poll::Pending);
                outbox.owe_answers(false);
            } else {
                assert!(!outbox.has_room_for_answers());
                assert!(!outbox.push_answer(text("c")));
                assert_eq!(take(&outbox, 1000).1, [text("a")]);
            }
            assert_eq!(take(&outbox, 1000).0, Poll::Ready(Take::Close(code)));
            assert!(!outbox.push_answer(text("d")));
        }
    }

    #[test]
    fn a_blocked_writer_hears_of_a_close_but_not_of_messages() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let flag = Arc::new(Flag(false.into()));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let outbox = outbox(1000);
        assert_eq!(outbox.poll_close(&mut cx), Poll::Pending);
        outbox.push(text("a"));
        outbox.nudge();
        assert!(!flag.0.load(std::sync::atomic::Ordering::SeqCst));
        outbox.close(CloseCode::Revoked);
        assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(outbox.poll_close(&mut cx), Poll::Ready(CloseCode::Revoked));
    }
}
