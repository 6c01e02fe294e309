use std::any::Any;

use bytes::Bytes;
use hexline_model::{Address, AppId, ChannelName};

/// One live connection, as fan-out sees it.
///
/// The caller that attached it gets its own type back from [`crate::Fanout::receivers`]: an
/// `Arc<dyn Receiver>` is an `Arc<dyn Any + Send + Sync>`, which can be downcast.
pub trait Receiver: Any + Send + Sync {
    /// Returns where it is.
    fn address(&self) -> &Address;

    /// Queues a message; `false` if it can't take it and is lost. Never blocks.
    fn deliver(&self, message: &Bytes) -> bool;

    /// Queues the reply to a call of its own, as [`Receiver::deliver`].
    fn answer(&self, reply: &Bytes) -> bool {
        self.deliver(reply)
    }

    /// Hears after each join and leave of how many channels it is a member now.
    fn member_of(&self, channels: usize) {
        let _ = channels;
    }
}

/// Encodes what fan-out itself has to say about members coming and going.
pub trait Announcer: Send + Sync {
    /// To the members: a newcomer.
    fn joined(&self, channel: &ChannelName, from: &Address) -> Bytes;

    /// To a newcomer: a member.
    fn join_back(&self, channel: &ChannelName, from: &Address) -> Bytes;

    /// To the members: one has gone.
    fn left(&self, channel: &ChannelName, from: &Address) -> Bytes;
}

/// Hears of connections that come and go, and of channels that get their first member and lose
/// their last.
///
/// Of one identity and of one channel all is told in turns, in the order in which it happens, inside
/// a lock: be quick, and don't call fan-out.
pub trait Observer: Send + Sync {
    /// A connection was attached; `first` if its identity had none.
    fn connected(&self, app: AppId, address: &Address, first: bool);

    /// A connection has gone; `last` if its identity has none any more.
    fn disconnected(&self, app: AppId, address: &Address, last: bool);

    /// A channel without members has one.
    fn occupied(&self, app: AppId, channel: &ChannelName);

    /// The last member has gone.
    fn vacated(&self, app: AppId, channel: &ChannelName);
}
