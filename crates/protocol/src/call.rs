use crate::code::ErrorCode;
use crate::fields::{Fields, FieldsError};
use crate::frame::RawCall;
use crate::openrpc::Method;
use crate::signal;

/// The one table of methods: each row is a variant, how its parameters are read, and what
/// `/openrpc.json` says of it.
macro_rules! calls {
    ($($name:literal => $variant:ident($($params:ident)::+),)+) => {
        /// Every method that a client may call, with its parameters read.
        ///
        /// Add a method to the table and the compiler names what is left to write.
        pub enum Call<'a> {
            $(#[doc = concat!("`", $name, "`")] $variant($($params)::+<'a>),)+
        }

        impl<'a> Call<'a> {
            /// Every method, with its description.
            pub const METHODS: &'static [(&'static str, &'static Method)] =
                &[$(($name, &$($params)::+::METHOD),)+];

            /// Reads the parameters of a call.
            pub fn parse(call: &RawCall<'a>) -> Result<Self, CallError> {
                let read: fn(Fields<'a>) -> Result<Self, CallError> = match call.method.as_ref() {
                    $($name => |f| <$($params)::+>::parse(f).map(Self::$variant),)+
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
                    $(Self::$variant(_) => $name,)+
                }
            }
        }
    };
}

calls! {
    "signal.send" => SignalSend(signal::Send),
    "signal.join" => SignalJoin(signal::Join),
    "signal.leave" => SignalLeave(signal::Leave),
    "signal.publish" => SignalPublish(signal::Publish),
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

impl CallError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownMethod => ErrorCode::MethodNotFound,
            Self::Params(_) | Self::Missing(_) => ErrorCode::InvalidParams,
        }
    }
}
