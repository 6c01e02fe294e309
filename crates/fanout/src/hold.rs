//! Deliveries that wait until a connection has been told what it missed.
//!
//! While a replay is fetched everything for that connection waits, not only the channel's pushes: a
//! direct message must not overtake what its sender published before. With no replay under way
//! there is nothing here but a zero.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use hexline_model::{ChannelName, Route};

use crate::link::Joined;
use crate::{Position, Receiver, Replay, lock};

/// How much may wait for one connection while its replay is fetched, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    /// How many messages.
    pub messages: usize,
    /// How many bytes of messages.
    pub bytes: usize,
    /// How long a fetch may take. The runner of the fetch keeps to it ([`crate::PendingJoin::at_most`]).
    pub fetch: Duration,
}

/// Makes the reply to a join; `None` if its caller wants none.
pub(crate) type Reply = Box<dyn FnOnce(Joined) -> Option<Bytes> + Send>;

/// What is held for the connections of an app.
pub(crate) struct Holds {
    limits: HoldLimits,
    /// How many connections something is held for. Changed with the lock held.
    count: AtomicUsize,
    /// How many joins have waited.
    joins: AtomicU64,
    by_route: Mutex<HashMap<Route, Hold>>,
}

/// What is held for one connection, in order.
struct Hold {
    receiver: Arc<dyn Receiver>,
    queue: VecDeque<Held>,
    messages: usize,
    bytes: usize,
}

enum Held {
    Push(Bytes),
    Answer(Bytes),
    Join(WaitingJoin),
}

/// A join whose replay is fetched.
pub(crate) struct WaitingJoin {
    pub(crate) channel: ChannelName,
    pub(crate) visible: bool,
    pub(crate) position: Option<Position>,
    pub(crate) reply: Reply,
    /// Of this join alone; [`Holds::begin`] sets it.
    pub(crate) number: u64,
    /// Set when it has arrived, or is waited for no longer.
    pub(crate) replay: Option<Replay>,
    /// Who fetches it.
    pub(crate) fetching: Fetching,
}

/// Who is woken when a join is waited for no longer.
#[derive(Default)]
pub(crate) struct Fetching(Option<Waker>);

impl Holds {
    pub(crate) fn new(limits: HoldLimits) -> Self {
        Self {
            limits,
            count: AtomicUsize::new(0),
            joins: AtomicU64::new(0),
            by_route: Mutex::default(),
        }
    }

    /// Holds everything for a connection from now on, until the join is settled. Returns the join's
    /// number. Called under the order of the join's channel.
    pub(crate) fn begin(&self, receiver: &Arc<dyn Receiver>, mut join: WaitingJoin) -> u64 {
        let mut holds = lock(&self.by_route);
        let hold = match holds.entry(receiver.address().route()) {
            Entry::Occupied(here) => here.into_mut(),
            Entry::Vacant(here) => {
                self.count.fetch_add(1, Ordering::Release);
                here.insert(Hold::new(Arc::clone(receiver)))
            }
        };
        join.number = self.joins.fetch_add(1, Ordering::Relaxed);
        let number = join.number;
        hold.queue.push_back(Held::Join(join));
        number
    }

    /// Takes the replay of a join: what waited for it goes out.
    pub(crate) fn settle(&self, route: Route, number: u64, replay: Replay) {
        self.change(route, |hold| {
            if let Some(join) = hold.waiting().find(|join| join.number == number) {
                join.replay = Some(replay);
            }
        });
    }

    /// Whether a join still waits for its replay. If so, who asks is woken when it does not.
    pub(crate) fn is_waiting(&self, route: Route, number: u64, waker: &Waker) -> bool {
        let mut holds = lock(&self.by_route);
        let Some(hold) = holds.get_mut(&route) else {
            return false;
        };
        let Some(join) = hold.waiting().find(|join| join.number == number) else {
            return false;
        };
        join.fetching.0 = Some(waker.clone());
        true
    }

    pub(crate) fn limits(&self) -> HoldLimits {
        self.limits
    }

    /// Waits for no replay of this channel any more.
    pub(crate) fn give_up(&self, route: Route, channel: &ChannelName) {
        self.change(route, |hold| {
            for join in hold.waiting().filter(|join| join.channel == *channel) {
                join.replay = Some(Replay::NotRecovered);
            }
        });
    }

    /// Drops what is held for a connection that has gone.
    pub(crate) fn discard(&self, route: Route) {
        // Dropped out of the lock.
        let _discarded = self.change(route, |hold| std::mem::take(&mut hold.queue));
    }

    /// Queues a message behind what is held for its receiver.
    pub(crate) fn deliver(&self, receiver: &dyn Receiver, message: &Bytes) -> bool {
        self.keep(receiver, || Held::Push(message.clone()))
            .unwrap_or_else(|| receiver.deliver(message))
    }

    /// Queues a reply behind what is held for its receiver.
    pub(crate) fn answer(&self, receiver: &dyn Receiver, reply: &Bytes) -> bool {
        self.keep(receiver, || Held::Answer(reply.clone()))
            .unwrap_or_else(|| receiver.answer(reply))
    }

    /// Returns itself if anything is held.
    ///
    /// A sender that sees nothing held has had nothing held of its own: when that began it was
    /// counted under the lock of the channel that the sender published to, and the count falls only
    /// after all of it was delivered.
    pub(crate) fn active(&self) -> Option<&Self> {
        (self.count.load(Ordering::Acquire) > 0).then_some(self)
    }

    /// Keeps one message more; `None` if nothing is held for the receiver.
    fn keep(&self, receiver: &dyn Receiver, held: impl FnOnce() -> Held) -> Option<bool> {
        self.active()?;
        let limits = self.limits;
        self.change(receiver.address().route(), |hold| {
            hold.push(held());
            if hold.messages > limits.messages || hold.bytes > limits.bytes {
                for join in hold.waiting() {
                    join.replay = Some(Replay::NotRecovered);
                }
            }
            true
        })
    }

    /// Changes what is held for a connection, and sends what waits for nothing any more.
    fn change<T>(&self, route: Route, change: impl FnOnce(&mut Hold) -> T) -> Option<T> {
        // Declared first, so that they are woken when the lock is free.
        let _answered;
        let mut holds = lock(&self.by_route);
        let hold = holds.get_mut(&route)?;
        let changed = change(hold);
        _answered = hold.flush();
        if hold.queue.is_empty() {
            holds.remove(&route);
            // Inside the lock and after the last delivery: a reader of it may then deliver directly.
            self.count.fetch_sub(1, Ordering::Release);
        }
        Some(changed)
    }
}

impl Hold {
    fn new(receiver: Arc<dyn Receiver>) -> Self {
        Self {
            receiver,
            queue: VecDeque::new(),
            messages: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, held: Held) {
        self.messages += 1;
        self.bytes += held.len();
        self.queue.push_back(held);
    }

    /// Sends from the front, up to the first join whose replay is not here. Returns who is to be woken,
    /// for their joins were answered.
    fn flush(&mut self) -> Vec<Fetching> {
        let mut answered = Vec::new();
        while let Some(held) = self.queue.pop_front_if(|held| held.is_ready()) {
            let receiver = self.receiver.as_ref();
            if !matches!(held, Held::Join(_)) {
                self.messages -= 1;
                self.bytes -= held.len();
            }
            match held {
                Held::Push(message) => {
                    receiver.deliver(&message);
                }
                Held::Answer(reply) => {
                    receiver.answer(&reply);
                }
                Held::Join(mut join) => {
                    answered.push(std::mem::take(&mut join.fetching));
                    if let Some(reply) = join.into_reply() {
                        receiver.answer(&reply);
                    }
                }
            }
        }
        answered
    }

    /// The joins whose replays are not here.
    fn waiting(&mut self) -> impl Iterator<Item = &mut WaitingJoin> {
        let joins = self.queue.iter_mut().filter_map(|held| match held {
            Held::Join(join) => Some(join),
            Held::Push(_) | Held::Answer(_) => None,
        });
        joins.filter(|join| join.replay.is_none())
    }
}

impl Held {
    fn is_ready(&self) -> bool {
        match self {
            Self::Push(_) | Self::Answer(_) => true,
            Self::Join(join) => join.replay.is_some(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Push(bytes) | Self::Answer(bytes) => bytes.len(),
            Self::Join(_) => 0,
        }
    }
}

impl WaitingJoin {
    fn into_reply(self) -> Option<Bytes> {
        (self.reply)(Joined {
            visible: self.visible,
            position: self.position,
            replay: self.replay.unwrap_or(Replay::NotRecovered),
        })
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Default for HoldLimits {
    /// Fits an outbox of 1 MiB beside what else waits in it.
    fn default() -> Self {
        Self {
            messages: 1000,
            bytes: 256 * 1024,
            fetch: Duration::from_secs(10),
        }
    }
}
