use bytes::Bytes;
use hexline_fanout::{Link, Position, Presence, Published};
use hexline_model::{ChannelKind, ChannelName, Destination};
use hexline_token::PlatformArea;

use super::{Outlet, SignalError};
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
        outlet: Outlet<'_>,
        to: &Destination,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        self.may_send(caller)?;
        Ok(outlet.send(caller.app, to, &message()))
    }

    /// A message to members of a channel whom the destination names.
    pub fn send_in(
        &self,
        caller: &Caller,
        outlet: Outlet<'_>,
        channel: &ChannelName,
        to: &Destination,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        self.may_publish(caller, channel)?;
        Ok(outlet.send_in(caller.app, channel, to, &message()))
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
        outlet: Outlet<'_>,
        channel: &ChannelName,
        message: impl FnOnce(Option<Position>) -> Bytes,
    ) -> Result<Published, SignalError> {
        self.may_publish(caller, channel)?;
        Ok(outlet.publish(caller.app, channel, message))
    }

    /// Whether the caller may send direct messages.
    pub fn may_send(&self, caller: &Caller) -> Result<(), SignalError> {
        let permissions = &caller.permissions;
        if caller.is_server() {
            return Ok(permissions.may_platform(PlatformArea::Users)?);
        }
        Ok(permissions.may_signal()?)
    }

    /// Whether the caller may publish at all, whatever the channel.
    pub fn may_publish_somewhere(&self, caller: &Caller) -> Result<(), SignalError> {
        let permissions = &caller.permissions;
        if caller.is_server() {
            return Ok(permissions.may_platform(PlatformArea::Channels)?);
        }
        Ok(permissions.may_signal()?)
    }

    /// Whether the caller may publish on this channel, and send messages that belong to it.
    pub fn may_publish(&self, caller: &Caller, channel: &ChannelName) -> Result<(), SignalError> {
        if caller.is_server() {
            self.may_publish_somewhere(caller)?;
            return match channel.kind() {
                ChannelKind::Open => Ok(()),
                // A server is a member of no conversation and no session.
                _ => Err(SignalError::NotOpen),
            };
        }
        match channel.kind() {
            ChannelKind::Open => Ok(caller.permissions.may_publish(channel.as_str())?),
            _ => may_enter(caller, channel),
        }
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
