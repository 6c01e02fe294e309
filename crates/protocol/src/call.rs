use crate::code::ErrorCode;
use crate::fields::{Fields, FieldsError};
use crate::frame::RawCall;
use crate::signal;

/// Every method that a client may call, with its parameters read.
///
/// Add a method here and the compiler names what is left to write.
pub enum Call<'a> {
    /// `signal.send`
    SignalSend(signal::Send<'a>),
    /// `signal.join`
    SignalJoin(signal::Join<'a>),
    /// `signal.leave`
    SignalLeave(signal::Leave<'a>),
    /// `signal.publish`
    SignalPublish(signal::Publish<'a>),
}

/// Why a call cannot be made as it stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such method.
    #[error("there is no such method")]
    UnknownMethod,
    /// The parameters do not fit.
    #[error(transparent)]
    Params(#[from] FieldsError),
    /// A parameter that the method needs is absent or null.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl<'a> Call<'a> {
    /// Reads the parameters of a call.
    pub fn parse(call: &RawCall<'a>) -> Result<Self, CallError> {
        let read: fn(Fields<'a>) -> Result<Self, CallError> = match call.method.as_ref() {
            "signal.send" => |f| signal::Send::parse(f).map(Self::SignalSend),
            "signal.join" => |f| signal::Join::parse(f).map(Self::SignalJoin),
            "signal.leave" => |f| signal::Leave::parse(f).map(Self::SignalLeave),
            "signal.publish" => |f| signal::Publish::parse(f).map(Self::SignalPublish),
            _ => return Err(CallError::UnknownMethod),
        };
        read(
            call.params
                .map(Fields::parse)
                .transpose()?
                .unwrap_or_default(),
        )
    }

    /// The method's name, for metrics and logs.
    pub fn method(&self) -> &'static str {
        match self {
            Self::SignalSend(_) => "signal.send",
            Self::SignalJoin(_) => "signal.join",
            Self::SignalLeave(_) => "signal.leave",
            Self::SignalPublish(_) => "signal.publish",
        }
    }
}

impl CallError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownMethod => ErrorCode::MethodNotFound,
            Self::Params(_) | Self::Missing(_) => ErrorCode::InvalidParams,
        }
    }
}
