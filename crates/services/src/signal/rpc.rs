//! Wire in, wire out: one function per method, no rules.

use hexline_fanout::{Link, Presence};
use hexline_model::{ChannelName, Destination};
use hexline_protocol::signal::{
    Delivered, JoinParams, Joined, LeaveParams, PublishParams, SendParams,
};
use hexline_protocol::{Done, Reply};

use super::{Outlet, SignalError, SignalService};
use crate::{Caller, Effect, Join, Outcome};

/// `signal.send`
pub fn send(
    service: &SignalService,
    caller: &Caller,
    outlet: Outlet<'_>,
    params: &SendParams<'_>,
) -> Result<Outcome<Delivered>, SignalError> {
    let to = Destination::parse(params.to.as_str())?;
    let message = || params.push(caller.from());
    let count = match &params.id {
        None => service.send(caller, outlet, &to, message)?,
        Some(id) => service.send_in(
            caller,
            outlet,
            &ChannelName::parse(id.as_str())?,
            &to,
            message,
        )?,
    };
    Ok(Outcome::reply(Delivered::to(count)))
}

/// `signal.join`
pub fn join(
    service: &SignalService,
    caller: &Caller,
    link: &Link,
    params: &JoinParams<'_>,
) -> Result<Outcome<Joined>, SignalError> {
    let channel = ChannelName::parse(params.id.as_str())?;
    let presence = service.join(caller, link, &channel, params.presence)?;
    Ok(Outcome::Join(Join {
        channel,
        presence,
        recall: None,
        reply: |wanted: Presence, joined| {
            Reply::of(&Joined::new(joined.visible || !wanted.is_visible()))
        },
    }))
}

/// `signal.leave`
pub fn leave(params: &LeaveParams<'_>) -> Result<Outcome<Done>, SignalError> {
    // Leaving a channel twice is no error.
    let channel = ChannelName::parse(params.id.as_str())?;
    Ok(Outcome::then(Done {}, Effect::Leave(channel)))
}

/// `signal.publish`
pub fn publish(
    service: &SignalService,
    caller: &Caller,
    outlet: Outlet<'_>,
    params: &PublishParams<'_>,
) -> Result<Outcome<Delivered>, SignalError> {
    let channel = ChannelName::parse(params.id.as_str())?;
    let message = |_| params.push(caller.from());
    let published = service.publish(caller, outlet, &channel, message)?;
    Ok(Outcome::reply(Delivered::to(published.delivered)))
}
