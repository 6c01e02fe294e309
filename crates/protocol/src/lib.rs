//! The wire: JSON-RPC 2.0 frames, error and close codes, and the methods and pushes of each
//! service, as typed values.
//!
//! Text from a socket becomes an [`Incoming`], each call in it a typed [`Call`]; results and
//! pushes become [`Bytes`](bytes::Bytes) that hold exactly one UTF-8 text frame, encoded once
//! however many receive it. `docs/protocol.md` describes the same for people.
//!
//! Invariants: no I/O, no rules about who may do what; a response never has `"result":null`; a
//! push always has `params`; the application's own members pass through byte for byte.
//!
//! To add a method: a row in the table of its service's file, and the types of its parameters and its
//! result beside it. The variant of `Call`, the descriptions and the HTTP twin follow from the row.
//! A push likewise. To add a service: its file, and a line in `call.rs`.
//! Numbers stand in one table each: `code.rs` and `close.rs`.

mod answer;
mod call;
mod close;
mod code;
mod error;
mod fields;
mod frame;
mod openrpc;
mod params;
mod push;
mod rows;
pub mod session;
pub mod signal;

pub use answer::{Done, Reply};
pub use call::{Call, Push};
pub use close::CloseCode;
pub use code::ErrorCode;
pub use error::{CallError, FieldsError};
pub use fields::Fields;
pub use frame::{
    Id, Incoming, Item, OwnedCall, OwnedId, PING, PONG, RawCall, batch, error, parse, result,
};
pub use openrpc::openrpc;
pub use params::Name;
pub use rows::{HttpRoute, Kind, Method, PushRow, Row, Shape, Verb};
