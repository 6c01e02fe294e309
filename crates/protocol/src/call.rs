use serde_json::value::RawValue;

use crate::error::CallError;
use crate::frame::RawCall;
use crate::rows::{PushRow, Row};
use crate::{session, signal};

/// The services whose methods clients call; a method's name begins with its service's.
macro_rules! services {
    ($($(#[$about:meta])* $variant:ident($service:ident $(<$lifetime:lifetime>)?),)+) => {
        /// Every method that a client may call, with its parameters read.
        ///
        /// The methods stand in one table, by service. Add one there, and the compiler names what
        /// is left to write.
        pub enum Call<'a> {
            $($(#[$about])* $variant($service::Call $(<$lifetime>)?),)+
        }

        impl<'a> Call<'a> {
            /// Reads the parameters of a call.
            pub fn parse(call: &RawCall<'a>) -> Result<Self, CallError> {
                let method = call.method.as_ref();
                let service = method.split_once('.').map(|(service, _)| service);
                let read = match service {
                    $(Some(stringify!($service)) => {
                        let read = $service::Call::parse(method, call.params);
                        read.map(|read| read.map(Self::$variant))
                    })+
                    _ => None,
                };
                read.unwrap_or(Err(CallError::UnknownMethod))
            }

            /// What the table says of the method.
            pub fn row(&self) -> &'static Row {
                match self {
                    $(Self::$variant(call) => call.row(),)+
                }
            }

            /// The whole table.
            pub fn rows() -> impl Iterator<Item = &'static Row> {
                [$($service::Call::ROWS),+].into_iter().flatten()
            }
        }
    };
}

services! {
    /// `signal.*`
    Signal(signal<'a>),
    /// `session.*`
    Session(session),
}

/// Everything that the server says by itself.
#[non_exhaustive]
pub enum Push<'a> {
    /// `signal.*`
    Signal(signal::Push<'a>),
}

impl Call<'_> {
    /// The row of a method.
    pub fn find_row(method: &str) -> Option<&'static Row> {
        Self::rows().find(|row| row.name == method)
    }
}

impl<'a> Push<'a> {
    /// Reads a push. `None` if there is none of that name, or it is not of the form that the table
    /// gives.
    pub fn parse(method: &str, params: &'a RawValue) -> Option<Self> {
        let read = signal::Push::parse(method, Some(params))?;
        read.ok().map(Self::Signal)
    }

    /// All rows.
    pub fn rows() -> impl Iterator<Item = &'static PushRow> {
        signal::Push::ROWS.iter()
    }
}
