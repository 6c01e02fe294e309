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
//! To add a method: its params in the domain's file, with what `openrpc.rs` is to say of it, a row in
//! `call.rs`, a snapshot test.
//! Numbers stand in one table each: `code.rs` and `close.rs`.

mod call;
mod close;
mod code;
mod fields;
mod frame;
mod openrpc;
pub mod signal;

pub use call::{Call, CallError};
pub use close::CloseCode;
pub use code::ErrorCode;
pub use fields::{Fields, FieldsError};
pub use frame::{Id, Incoming, Item, PING, PONG, RawCall, batch, error, parse, result};
pub use openrpc::{Answer, Kind, Method, Param, Push, openrpc};
