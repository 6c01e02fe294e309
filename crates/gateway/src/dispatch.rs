use std::future::Future;
use std::pin::Pin;

use hexline_fanout::Link;
use hexline_protocol::signal::Call as SignalCall;
use hexline_protocol::{Call, ErrorCode, RawCall, Reply};
use hexline_services::signal::{self, Outlet, SignalService};
use hexline_services::{Caller, Failure, Outcome};

/// Takes calls to where they are carried out.
pub trait Dispatch: Send + Sync {
    /// Reads a call and carries it out, or begins to. `note` is told the method.
    fn dispatch(
        &self,
        caller: &Caller,
        link: &mut Link,
        call: &RawCall<'_>,
        note: &dyn Fn(&'static str),
    ) -> Result<Step, CallFailure>;
}

/// What becomes of a call.
pub enum Step {
    /// It is done.
    Done(Outcome<Reply>),
    /// It takes its time.
    Later(Later),
}

/// A call under way. It owns its parameters and services, and knows nothing of the connection that
/// waits for it: it may outlive it.
pub type Later = Pin<Box<dyn Future<Output = Result<Outcome<Reply>, CallFailure>> + Send>>;

/// Why a call failed: what the caller is told.
#[derive(Debug)]
pub struct CallFailure {
    /// By what it is told from others.
    pub code: ErrorCode,
    /// In words.
    pub message: String,
}

/// The services that calls go to.
pub struct Services {
    /// Signalling.
    pub signal: SignalService,
}

impl Dispatch for Services {
    fn dispatch(
        &self,
        caller: &Caller,
        link: &mut Link,
        call: &RawCall<'_>,
        note: &dyn Fn(&'static str),
    ) -> Result<Step, CallFailure> {
        let call = Call::parse(call)?;
        note(call.row().name);
        let signals = &self.signal;
        let outcome = match &call {
            Call::Signal(SignalCall::Send(p)) => {
                signal::rpc::send(signals, caller, Outlet::Connection(link), p)?.written()
            }
            Call::Signal(SignalCall::Join(p)) => {
                signal::rpc::join(signals, caller, link, p)?.written()
            }
            Call::Signal(SignalCall::Leave(p)) => signal::rpc::leave(p)?.written(),
            Call::Signal(SignalCall::Publish(p)) => {
                signal::rpc::publish(signals, caller, Outlet::Connection(link), p)?.written()
            }
        };
        Ok(Step::Done(outcome))
    }
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
