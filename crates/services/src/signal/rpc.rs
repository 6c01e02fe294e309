//! Wire in, wire out: one function per method, no rules.

use hexline_bus::Link;
use hexline_model::{ChannelName, Destination};
use hexline_protocol::signal::{DONE, HIDDEN, Join, Leave, Publish, Send, delivered};

use super::{SignalError, SignalService};
use crate::Caller;

/// `signal.send`
pub fn send(
    service: &SignalService,
    caller: &Caller,
    link: &mut dyn Link,
    params: &Send<'_>,
) -> Result<String, SignalError> {
    let to = Destination::parse(&params.to)?;
    let message = || params.push(caller.from());
    let count = match &params.id {
        None => service.send(caller, link, &to, message)?,
        Some(id) => service.send_in(caller, link, &ChannelName::parse(id)?, &to, message)?,
    };
    Ok(delivered(count))
}

/// `signal.join`
pub fn join(
    service: &SignalService,
    caller: &Caller,
    link: &mut dyn Link,
    params: &Join<'_>,
) -> Result<String, SignalError> {
    let channel = ChannelName::parse(&params.id)?;
    let visible = service.join(caller, link, &channel, params.presence)?;
    let result = if params.presence && !visible {
        HIDDEN
    } else {
        DONE
    };
    Ok(result.to_owned())
}

/// `signal.leave`
pub fn leave(
    service: &SignalService,
    link: &mut dyn Link,
    params: &Leave<'_>,
) -> Result<String, SignalError> {
    service.leave(link, &ChannelName::parse(&params.id)?);
    Ok(DONE.to_owned())
}

/// `signal.publish`
pub fn publish(
    service: &SignalService,
    caller: &Caller,
    link: &mut dyn Link,
    params: &Publish<'_>,
) -> Result<String, SignalError> {
    let channel = ChannelName::parse(&params.id)?;
    let count = service.publish(caller, link, &channel, || params.push(caller.from()))?;
    Ok(delivered(count))
}
