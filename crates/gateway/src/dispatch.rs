use hexline_bus::Link;
use hexline_protocol::{Call, ErrorCode, RawCall};
use hexline_services::signal::{self, SignalService};
use hexline_services::{Caller, Failure, Outcome};

/// The services that calls go to.
pub struct Services {
    /// Signalling.
    pub signal: SignalService,
}

/// Why a call failed: what the caller is told.
#[derive(Debug)]
pub(crate) struct CallFailure {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

/// Reads a call and takes it to its service. The reply is JSON and never `null`.
pub(crate) fn dispatch(
    services: &Services,
    caller: &Caller,
    link: &mut dyn Link,
    raw: &RawCall<'_>,
    note: impl FnOnce(&'static str),
) -> Result<Outcome<String>, CallFailure> {
    let call = Call::parse(raw)?;
    note(call.method());
    let outcome = match &call {
        Call::SignalSend(p) => signal::rpc::send(&services.signal, caller, link, p)?,
        Call::SignalJoin(p) => signal::rpc::join(&services.signal, caller, link, p)?,
        Call::SignalLeave(p) => signal::rpc::leave(p)?,
        Call::SignalPublish(p) => signal::rpc::publish(&services.signal, caller, link, p)?,
    };
    Ok(outcome)
}

/// The one way in which an error of a service becomes the error of a call.
impl<F: Failure> From<F> for CallFailure {
    fn from(failure: F) -> Self {
        if !failure.is_for_caller() {
            tracing::error!(error = %failure, "a service failed");
        }
        Self {
            code: failure.code(),
            message: failure.message(),
        }
    }
}
