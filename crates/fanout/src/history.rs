//! What a channel remembers: the seam between fan-out and whatever keeps messages.
//!
//! [`HistoryRules`] say which channels have a history; a [`History`] gives positions to the messages
//! of one channel and holds the last of them. Every call but a fetch happens under the channel's
//! order.

use std::pin::Pin;

use bytes::Bytes;
use hexline_model::{AppId, ChannelName};

/// Where a message stands in the order of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history it belongs to: a channel that lost its own begins another.
    pub epoch: u64,
    /// Increasing within an epoch, not dense.
    pub offset: u64,
}

/// What a joining member wants to hear of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// The last messages, so many at most.
    Last(usize),
    /// Everything after a position, or nothing at all.
    Since(Position),
}

/// What a joining member is told of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Nothing: it did not ask, or there is no history.
    None,
    /// All that it asked for, in order, as it was delivered.
    Messages(Vec<Bytes>),
    /// It missed something that can't be told any more.
    NotRecovered,
}

/// A replay that has yet to arrive.
pub type Fetch = Pin<Box<dyn Future<Output = Replay> + Send>>;

/// What a history has to say at once.
pub enum Recalled {
    /// The replay.
    Now(Replay),
    /// It must be fetched: the messages up to [`History::position`] of this moment.
    Later(Fetch),
}

/// Says which channels have a history.
pub trait HistoryRules: Send + Sync {
    /// Opens the history of a channel, if it has one. Must be quick, and must not call fan-out.
    fn open(&self, app: AppId, channel: &ChannelName) -> Option<Box<dyn History>>;
}

/// Gives the messages of a channel their positions, and holds the last of them.
pub trait History: Send + Sync {
    /// Returns the position of the last message; of one that begins, the position before the first.
    fn position(&self) -> Position;

    /// Returns the position that the next message gets.
    fn next(&self) -> Position;

    /// Keeps a message at the position that [`History::next`] named.
    fn record(&mut self, position: Position, message: &Bytes);

    /// Recalls messages up to [`History::position`].
    fn recall(&mut self, recall: Recall) -> Recalled;

    /// Whether it holds nothing, so that its channel may be forgotten.
    fn is_empty(&self) -> bool;
}
