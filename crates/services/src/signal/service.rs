use bytes::Bytes;
use hexline_fanout::{Link, Position, Presence, Published};
use hexline_model::{ChannelKind, ChannelName, Destination};

use super::SignalError;
use crate::Caller;

/// Who may say what to whom.
#[derive(Debug, Clone)]
pub struct SignalService {
    channels_per_connection: usize,
    presence_per_channel: usize,
}

impl SignalService {
    /// `channels_per_connection` bounds the open channels that one connection may be in.
    pub fn new(channels_per_connection: usize) -> Self {
        Self {
            channels_per_connection,
            presence_per_channel: PRESENCE_PER_CHANNEL,
        }
    }

    /// Bounds the presence members of one channel: a newcomer is told of all of them at once. One
    /// more is a member without presence.
    #[must_use]
    pub fn presence_per_channel(self, presence_per_channel: usize) -> Self {
        Self {
            presence_per_channel,
            ..self
        }
    }

    /// A direct message. Returns how many connections it was queued for.
    pub fn send(
        &self,
        caller: &Caller,
        link: &mut Link,
        to: &Destination,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        caller.permissions.may_signal()?;
        Ok(link.send(to, &message()))
    }

    /// A message to members of a channel whom the destination names.
    pub fn send_in(
        &self,
        caller: &Caller,
        link: &mut Link,
        channel: &ChannelName,
        to: &Destination,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        may_publish(caller, channel)?;
        Ok(link.send_in(channel, to, &message()))
    }

    /// Whether the caller may become a member, and as what: with `presence`, a visible one while there
    /// is room.
    pub fn join(
        &self,
        caller: &Caller,
        link: &Link,
        channel: &ChannelName,
        presence: bool,
    ) -> Result<Presence, SignalError> {
        may_enter(caller, channel)?;
        let open = |name: &ChannelName| name.kind() == ChannelKind::Open;
        if !link.is_member(channel) && link.count(open) >= self.channels_per_connection {
            return Err(SignalError::TooManyChannels {
                limit: self.channels_per_connection,
            });
        }
        Ok(if presence {
            Presence::Visible {
                at_most: self.presence_per_channel,
            }
        } else {
            Presence::Hidden
        })
    }

    /// A message to every other member of a channel, made when its position is known.
    pub fn publish(
        &self,
        caller: &Caller,
        link: &mut Link,
        channel: &ChannelName,
        message: impl FnOnce(Option<Position>) -> Bytes,
    ) -> Result<Published, SignalError> {
        may_publish(caller, channel)?;
        Ok(link.publish(channel, message))
    }
}

/// Unless it is set: what is told of so many fits an outbox of 1 MiB.
const PRESENCE_PER_CHANNEL: usize = 1000;

fn may_enter(caller: &Caller, channel: &ChannelName) -> Result<(), SignalError> {
    let permissions = &caller.permissions;
    match channel.kind() {
        ChannelKind::Open => Ok(permissions.may_join_channel(channel.as_str())?),
        // Until a service says who its members are, nobody is one.
        ChannelKind::Conversation => {
            permissions.may_chat()?;
            Err(SignalError::NotMember)
        }
        ChannelKind::Session => {
            permissions.may_video()?;
            Err(SignalError::NotMember)
        }
        ChannelKind::Reserved => Err(SignalError::Reserved),
    }
}

fn may_publish(caller: &Caller, channel: &ChannelName) -> Result<(), SignalError> {
    match channel.kind() {
        ChannelKind::Open => Ok(caller.permissions.may_publish(channel.as_str())?),
        _ => may_enter(caller, channel),
    }
}
