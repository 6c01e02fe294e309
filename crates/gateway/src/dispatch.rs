use std::future::Future;
use std::pin::Pin;

use hexline_model::Timestamp;
use hexline_protocol::session::Call as SessionCall;
use hexline_protocol::signal::Call as SignalCall;
use hexline_protocol::{Call, ErrorCode, RawCall, Reply};
use hexline_services::session::{self, SessionService};
use hexline_services::signal::{self, Outlet, SignalService};
use hexline_services::{Caller, Failure, Outcome};

/// Takes calls to where they are carried out.
pub trait Dispatch: Send + Sync {
    /// Reads a call and carries it out, or begins to. `note` is told the method.
    fn dispatch(
        &self,
        origin: Origin<'_>,
        call: &RawCall<'_>,
        note: &dyn Fn(&'static str),
    ) -> Result<Step, CallFailure>;
}

/// Who makes a call, and from where: a connection, or a request over HTTP that stands alone.
pub struct Origin<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// How what it says goes out.
    pub outlet: Outlet<'a>,
    /// When the caller's token or key ends; only who wants to know asks.
    pub expires: &'a dyn Fn() -> Option<Timestamp>,
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
    /// What callers may know of their own access.
    pub session: SessionService,
}

impl Dispatch for Services {
    fn dispatch(
        &self,
        origin: Origin<'_>,
        call: &RawCall<'_>,
        note: &dyn Fn(&'static str),
    ) -> Result<Step, CallFailure> {
        let Origin {
            caller,
            outlet,
            expires,
        } = origin;
        if outlet.link().is_none() && Call::find_row(&call.method).is_some_and(|m| m.needs_socket) {
            return Err(CallFailure::needs_socket());
        }
        // Over HTTP there is a response to every request.
        let is_wanted = call.id.is_some() || outlet.link().is_none();
        let call = Call::parse(call)?;
        note(call.row().name);
        let signals = &self.signal;
        let outcome = match &call {
            Call::Signal(SignalCall::Send(p)) => {
                signal::rpc::send(signals, caller, outlet, p)?.written(is_wanted)
            }
            Call::Signal(SignalCall::Join(p)) => {
                let link = outlet.link().ok_or_else(CallFailure::needs_socket)?;
                signal::rpc::join(signals, caller, link, p)?.written(is_wanted)
            }
            Call::Signal(SignalCall::Leave(p)) => signal::rpc::leave(p)?.written(is_wanted),
            Call::Signal(SignalCall::Publish(p)) => {
                signal::rpc::publish(signals, caller, outlet, p)?.written(is_wanted)
            }
            Call::Session(SessionCall::Info(p)) => {
                session::rpc::info(&self.session, caller, expires(), p)?.written(is_wanted)
            }
        };
        Ok(Step::Done(outcome))
    }
}

impl CallFailure {
    /// The call has no connection to act on.
    pub fn needs_socket() -> Self {
        let message = "the method concerns the caller's own connection, and over HTTP there is none; \
                       call it on a WebSocket";
        Self {
            code: ErrorCode::MethodNotFound,
            message: message.to_owned(),
        }
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
