//! The WebSocket gateway: from a socket that was upgraded to a connection that calls and is called.
//!
//! `frames.rs` reads and writes RFC 6455's frames without I/O, `socket.rs` does the reading, writing
//! and waiting for one connection over any `transport.rs`; neither knows rules. `handler.rs` is the
//! seam between them and what a connection does. `session.rs` is the rules of one client's connection
//! as a state machine without I/O: what arrives goes in, what to do comes out. `calls.rs` carries its calls
//! out, one after the other, and queues each answer before what follows from it; `dispatch.rs` takes each
//! to its service, `in_flight.rs` is those that take their time and run where `spawn.rs` says,
//! `responses.rs` is where the response goes. `rate.rs` counts calls, `ending.rs` is how a connection
//! ended, for the log.
//! `hub.rs` admits connections, by `limits.rs`, and closes those that may not go on; fan-out has them.
//! `exchange.rs` is how one goes on with another token. `connection.rs` is one of them as others see
//! it, `outbox.rs` what waits to be written to it, `peer.rs` where it comes from.
//! `connections.rs` is what people see of them and may do to them, `traffic.rs` and `metrics.rs` what is
//! counted, `log.rs` what the log says of clients. `echo.rs` is a handler that says everything back.
//!
//! Who lets a request in, and the HTTP of it, is elsewhere: nothing here knows HTTP.
//!
//! Invariants: one task per connection; nobody but that task writes to the socket; who has
//! something to say queues it and goes on; no lock is held across a write; a connection that
//! can't keep up is closed, and only that one.
//!
//! To add a method: its row in `protocol`, its rule in `services`, a line in `dispatch.rs`.

mod calls;
mod connection;
mod connections;
mod dispatch;
mod echo;
mod ending;
mod exchange;
mod frames;
mod handler;
mod hub;
mod in_flight;
mod limits;
mod log;
mod metrics;
mod outbox;
mod peer;
mod rate;
mod responses;
mod session;
mod socket;
#[cfg(test)]
mod socket_tests;
mod spawn;
#[cfg(test)]
mod tests;
mod traffic;
mod transport;

pub use connection::Connection;
pub use connections::{AppStats, ConnectionView, Connections, Counts, Filter, OnNode, Target};
pub use dispatch::{CallFailure, Dispatch, Later, Origin, Services, Step};
pub use echo::Echo;
pub use ending::Ending;
pub use exchange::ExchangeError;
pub use handler::{FrameHandler, Now};
pub use hub::{Admission, AdmissionError, Hub};
pub use limits::Limits;
pub use log::{LogLines, LogPeer, LoggedPeer};
pub use metrics::{LATENCIES, Metrics};
pub use outbox::Outbox;
pub use peer::Peer;
pub use session::{ClientSession, ClientSessionContext};
pub use socket::{SocketOptions, run as run_socket};
pub use spawn::{Spawn, Task};
pub use traffic::{Counted, Traffic};
pub use transport::Transport;
