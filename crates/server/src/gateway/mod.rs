//! The WebSocket door: from an upgrade request to a connection that calls and is called.
//!
//! `upgrade.rs` lets a request in: token, origin, limits. `frames.rs` reads and writes RFC 6455's
//! frames without I/O, `socket.rs` does the reading, writing and waiting for one connection,
//! `transport.rs` is the socket that it was accepted on; none knows rules. `handler.rs` is the seam
//! between them and what a connection does. `session.rs` is the rules of one client's connection as a
//! state machine without I/O: what arrives goes in, what to do comes out. `dispatch.rs` takes each call to its service, `rate.rs` counts them, `ending.rs` is how a
//! connection ended, for the log. `hub.rs` knows every connection, admits and closes them.
//! `connection.rs` is one of them as others see it, `outbox.rs` what waits to be written to it.
//! `live.rs` is what people see of them and may do to them, `traffic.rs` what is counted.
//! `echo.rs` is a handler that says everything back.
//!
//! Invariants: one task per connection; nobody but that task writes to the socket; who has
//! something to say queues it and goes on; no lock is held across a write; a connection that
//! can't keep up is closed, and only that one.
//!
//! To add a method: a variant of `protocol::Call`, a line in `dispatch.rs`.

mod connection;
pub(crate) mod dispatch;
pub(crate) mod echo;
mod ending;
mod frames;
pub(crate) mod handler;
pub(crate) mod hub;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod metrics;
mod outbox;
pub(crate) mod peer;
mod rate;
pub(crate) mod session;
pub(crate) mod socket;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;
pub(crate) mod transport;
