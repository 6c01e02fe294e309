use bytes::Bytes;
use hexline_bus::Link;
use hexline_model::{ChannelKind, ChannelName, Destination};

use super::SignalError;
use crate::Caller;

/// Who may say what to whom.
#[derive(Debug, Clone)]
pub struct SignalService {
    channels_per_connection: usize,
}

impl SignalService {
    /// `channels_per_connection` bounds the open channels that one connection may be in.
    pub fn new(channels_per_connection: usize) -> Self {
        Self {
            channels_per_connection,
        }
    }

    /// A direct message. Returns how many connections it was queued for.
    pub fn send(
        &self,
        caller: &Caller,
        link: &mut dyn Link,
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
        link: &mut dyn Link,
        channel: &ChannelName,
        to: &Destination,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        may_publish(caller, channel)?;
        Ok(link.send_in(channel, to, &message()))
    }

    /// Becomes a member; with `presence`, a visible one.
    pub fn join(
        &self,
        caller: &Caller,
        link: &mut dyn Link,
        channel: &ChannelName,
        presence: bool,
    ) -> Result<(), SignalError> {
        may_enter(caller, channel)?;
        let open = |name: &ChannelName| name.kind() == ChannelKind::Open;
        if !link.is_member(channel) && link.count(&open) >= self.channels_per_connection {
            return Err(SignalError::TooManyChannels {
                limit: self.channels_per_connection,
            });
        }
        link.join(channel, presence);
        Ok(())
    }

    /// Stops being a member. Leaving a channel twice is no error.
    pub fn leave(&self, link: &mut dyn Link, channel: &ChannelName) {
        link.leave(channel);
    }

    /// A message to every other member of a channel.
    pub fn publish(
        &self,
        caller: &Caller,
        link: &mut dyn Link,
        channel: &ChannelName,
        message: impl FnOnce() -> Bytes,
    ) -> Result<usize, SignalError> {
        may_publish(caller, channel)?;
        Ok(link.publish(channel, &message()))
    }
}

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
