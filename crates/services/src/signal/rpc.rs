//! Wire in, wire out: one function per method, no rules.

use hexline_bus::{Link, Presence};
use hexline_model::{ChannelName, Destination};
use hexline_protocol::signal::{self, DONE, HIDDEN, Leave, Publish, Send, delivered};

use super::{SignalError, SignalService};
use crate::{Caller, Effect, Join, Outcome};

/// `signal.send`
pub fn send(
    service: &SignalService,
    caller: &Caller,
    link: &mut dyn Link,
    params: &Send<'_>,
) -> Result<Outcome<String>, SignalError> {
    let to = Destination::parse(&params.to)?;
    let message = || params.push(caller.from());
    let count = match &params.id {
        None => service.send(caller, link, &to, message)?,
        Some(id) => service.send_in(caller, link, &ChannelName::parse(id)?, &to, message)?,
    };
    Ok(Outcome::reply(delivered(count)))
}

/// `signal.join`
pub fn join(
    service: &SignalService,
    caller: &Caller,
    link: &dyn Link,
    params: &signal::Join<'_>,
) -> Result<Outcome<String>, SignalError> {
    let channel = ChannelName::parse(&params.id)?;
    let presence = service.join(caller, link, &channel, params.presence)?;
    Ok(Outcome::Join(Join {
        channel,
        presence,
        reply: |wanted: Presence, visible| {
            let result = if wanted.is_visible() && !visible {
                HIDDEN
            } else {
                DONE
            };
            result.to_owned()
        },
    }))
}

/// `signal.leave`
pub fn leave(params: &Leave<'_>) -> Result<Outcome<String>, SignalError> {
    // Leaving a channel twice is no error.
    let channel = ChannelName::parse(&params.id)?;
    Ok(Outcome::then(DONE.to_owned(), Effect::Leave(channel)))
}

/// `signal.publish`
pub fn publish(
    service: &SignalService,
    caller: &Caller,
    link: &mut dyn Link,
    params: &Publish<'_>,
) -> Result<Outcome<String>, SignalError> {
    let channel = ChannelName::parse(&params.id)?;
    let count = service.publish(caller, link, &channel, || params.push(caller.from()))?;
    Ok(Outcome::reply(delivered(count)))
}
