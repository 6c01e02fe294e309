use bytes::Bytes;
use hexline_fanout::{Fanout, Link, Position, Published};
use hexline_model::{AppId, ChannelName, Destination};

/// The way that a caller's messages go out.
pub enum Outlet<'a> {
    /// From its connection, which hears nothing of them itself.
    Connection(&'a mut Link),
    /// From a caller without a connection: all hear them whom they concern.
    Node(&'a Fanout),
}

impl Outlet<'_> {
    /// The caller's end of its connection, if it has one.
    pub fn link(&self) -> Option<&Link> {
        match self {
            Self::Connection(link) => Some(link),
            Self::Node(_) => None,
        }
    }

    pub(super) fn send(self, app: AppId, to: &Destination, message: &Bytes) -> usize {
        match self {
            Self::Connection(link) => link.send(to, message),
            Self::Node(fanout) => fanout.send(app, to, message),
        }
    }

    pub(super) fn send_in(
        self,
        app: AppId,
        channel: &ChannelName,
        to: &Destination,
        message: &Bytes,
    ) -> usize {
        match self {
            Self::Connection(link) => link.send_in(channel, to, message),
            Self::Node(fanout) => fanout.send_in(app, channel, to, message),
        }
    }

    pub(super) fn publish(
        self,
        app: AppId,
        channel: &ChannelName,
        encode: impl FnOnce(Option<Position>) -> Bytes,
    ) -> Published {
        match self {
            Self::Connection(link) => link.publish(channel, encode),
            Self::Node(fanout) => fanout.publish(app, channel, encode),
        }
    }
}
