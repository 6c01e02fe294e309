use bytes::Bytes;
use hexline_fanout::Announcer;
use hexline_model::{Address, ChannelName};
use hexline_protocol::signal;

/// Says on the wire what fan-out has to say: who came and who went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Announcements;

impl Announcer for Announcements {
    fn joined(&self, channel: &ChannelName, from: &Address) -> Bytes {
        signal::joined(channel, from)
    }

    fn join_back(&self, channel: &ChannelName, from: &Address) -> Bytes {
        signal::join_back(channel, from)
    }

    fn left(&self, channel: &ChannelName, from: &Address) -> Bytes {
        signal::left(channel, from)
    }
}
