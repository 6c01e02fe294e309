//! Fan-out between live connections: who hears a message, and in which order.
//!
//! A connection is a [`Receiver`]; [`Bus::attach`] gives it a [`Link`], through which it joins
//! channels and speaks. The bus moves encoded messages and knows nothing of their content.
//!
//! Promises, held by every implementation and by `tests/conformance`:
//!
//! * **Order.** What one link sends reaches any one receiver in the order sent, whatever mix of
//!   direct messages, publishes, joins and leaves it is.
//! * **Presence.** Of two visible members each learns of the other, however they race. A
//!   newcomer's `join_back`s are queued before anything that a member sends it afterwards.
//! * **Answer first.** Of a join its caller is told before anything that follows from it.
//! * **Room.** No channel has more visible members than a join allows, however they race: what a
//!   newcomer is told at once is bounded. One too many is a member all the same, a hidden one.
//! * **Never to the sender.** A link's own receiver hears nothing that the link sends.
//! * **Apps are worlds.** Nothing attached under one app hears anything of another.
//! * **No waiting.** No call blocks on a receiver; one that can't take a message loses itself, not
//!   the others.
//! * **No leftovers.** A dropped link has left its channels, and the others were told.
//!
//! To add an implementation: implement [`Bus`] and [`Link`], run the conformance suite on it.

mod local;
mod page;
mod roster;

use std::sync::Arc;

use bytes::Bytes;
use hexline_model::{Address, AppId, ChannelName, Destination, Identity, Route};

pub use local::LocalBus;
pub use page::smallest;
pub use roster::Roster;

/// One live connection, as the bus sees it.
pub trait Receiver: Send + Sync {
    /// Where it is.
    fn address(&self) -> &Address;

    /// Queues a message; `false` if it can't take it and is lost. Never blocks.
    fn deliver(&self, message: &Bytes) -> bool;

    /// Told after each join and leave of how many channels it is a member now.
    fn member_of(&self, channels: usize) {
        let _ = channels;
    }
}

/// Encodes what the bus itself has to say about members coming and going.
pub trait Announcer: Send + Sync {
    /// To the members: a newcomer.
    fn joined(&self, channel: &ChannelName, from: &Address) -> Bytes;

    /// To a newcomer: a member.
    fn join_back(&self, channel: &ChannelName, from: &Address) -> Bytes;

    /// To the members: one has gone.
    fn left(&self, channel: &ChannelName, from: &Address) -> Bytes;
}

/// Whether a member is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It hears what is published, and neither hears nor is told of who comes and goes.
    Hidden,
    /// It is announced, if with it so many members at most are; there is always room for one.
    Visible {
        /// How many.
        at_most: usize,
    },
}

/// Hears of channels that get their first member and lose their last.
pub trait Occupancy: Send + Sync {
    /// A channel without members has one.
    fn occupied(&self, app: AppId, channel: &ChannelName);

    /// The last member has gone. Of one channel both are told in turns, in the order in which they
    /// happen; whoever hears of it must be quick and must not call the bus.
    fn vacated(&self, app: AppId, channel: &ChannelName);
}

impl Presence {
    /// Whether it is announced.
    pub fn is_visible(self) -> bool {
        matches!(self, Self::Visible { .. })
    }
}

/// A channel as an app's server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// How many connections are members.
    pub members: usize,
    /// How many of them are announced.
    pub visible: usize,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Where it is.
    pub address: Address,
    /// Whether it is announced to the others.
    pub visible: bool,
}

/// A device of an identity that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name.
    pub device: Box<str>,
    /// How many connections it has, never none.
    pub connections: usize,
}

/// Carries messages between the connections of an app.
pub trait Bus: Send + Sync {
    /// Makes a connection reachable at its address until the link is dropped.
    fn attach(&self, app: AppId, receiver: Arc<dyn Receiver>) -> Box<dyn Link>;

    /// Sends to every connection that the destination names, on nobody's behalf. Returns how many
    /// took it.
    fn send(&self, app: AppId, to: &Destination, message: &Bytes) -> usize;

    /// Sends to every member of a channel, on nobody's behalf. Returns how many took it.
    fn publish(&self, app: AppId, channel: &ChannelName, message: &Bytes) -> usize;

    /// How many channels have members.
    fn channels(&self) -> usize;

    /// The channels of an app that have members, whose names begin with `prefix` and come after
    /// `after`: at most `limit`, in the order of their names' bytes.
    fn channels_of(
        &self,
        app: AppId,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Vec<ChannelView>;

    /// One channel of an app, if it has members.
    fn channel(&self, app: AppId, name: &ChannelName) -> Option<ChannelView>;

    /// The members of a channel whose routes come after `after`: at most `limit`, in the order of
    /// their routes, which is none that means anything.
    fn members_of(
        &self,
        app: AppId,
        channel: &ChannelName,
        after: Option<Route>,
        limit: usize,
    ) -> Vec<MemberView>;

    /// The connected devices of an identity whose names come after `after`: at most `limit`, in
    /// the order of their names' bytes.
    fn devices_of(
        &self,
        app: AppId,
        identity: &Identity,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<DeviceView>;

    /// Whether an identity has a connection.
    fn is_online(&self, app: AppId, identity: &Identity) -> bool;
}

/// A connection's own end of the bus.
pub trait Link: Send {
    /// Becomes a member. The visible members and one that becomes visible are announced to each
    /// other. Joining again changes the presence; without a change nothing happens. One that finds
    /// no room among the visible is a hidden member; looking and joining are one step, so no race
    /// lets one more in. Returns whether it is visible now.
    ///
    /// `reply` is called with the same, once and in the same step: when the channel has its newcomer, and
    /// before anybody is told. It must be quick and must not call the bus.
    fn join_with(
        &mut self,
        channel: &ChannelName,
        presence: Presence,
        reply: &mut dyn FnMut(bool),
    ) -> bool;

    /// [`Link::join_with`] for whom the answer is nobody's concern.
    fn join(&mut self, channel: &ChannelName, presence: Presence) -> bool {
        self.join_with(channel, presence, &mut |_| ())
    }

    /// Stops being a member; `false` if it was none.
    fn leave(&mut self, channel: &ChannelName) -> bool;

    /// Whether it is a member.
    fn is_member(&self, channel: &ChannelName) -> bool;

    /// How many of the channels it is a member of satisfy a condition.
    fn count(&self, condition: &dyn Fn(&ChannelName) -> bool) -> usize;

    /// Sends to every other member of a channel. Returns how many took it.
    fn publish(&mut self, channel: &ChannelName, message: &Bytes) -> usize;

    /// Sends to every other connection that the destination names. Returns how many took it.
    fn send(&mut self, to: &Destination, message: &Bytes) -> usize;

    /// Sends to every other member of a channel that the destination names.
    fn send_in(&mut self, channel: &ChannelName, to: &Destination, message: &Bytes) -> usize;
}
