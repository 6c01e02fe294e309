use hexline_bus::Link;
use hexline_protocol::signal::Call as SignalCall;
use hexline_protocol::{Call, ErrorCode, RawCall, Reply};
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

/// Reads a call and takes it to its service. The reply is JSON.
pub(crate) fn dispatch(
    services: &Services,
    caller: &Caller,
    link: &mut dyn Link,
    raw: &RawCall<'_>,
    note: impl FnOnce(&'static str),
) -> Result<Outcome<Reply>, CallFailure> {
    let call = Call::parse(raw)?;
    note(call.row().name);
    let signals = &services.signal;
    let outcome = match &call {
        Call::Signal(SignalCall::Send(p)) => signal::rpc::send(signals, caller, link, p)?.written(),
        Call::Signal(SignalCall::Join(p)) => signal::rpc::join(signals, caller, link, p)?.written(),
        Call::Signal(SignalCall::Leave(p)) => signal::rpc::leave(p)?.written(),
        Call::Signal(SignalCall::Publish(p)) => {
            signal::rpc::publish(signals, caller, link, p)?.written()
        }
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
