//! Accepted sockets: who may hold one, for how long, and what speaks HTTP on it.
//!
//! `listener.rs` is the accept loop and `connection.rs` one accepted socket: the TLS handshake, then
//! HTTP/1.1 until the end or an upgrade. `limiter.rs` counts the sockets and decides which of them gives
//! way, `place.rs` is what is known of one, `socket.rs` its bytes, `upgraded.rs` what drives it as a
//! WebSocket. `patience.rs` is the deadline of
//! a connection that waits for its client, `exchange.rs` tells it when a request and its answer
//! begin and end.
//!
//! Invariants: a client that is waited for has a deadline, `limits.header_patience`: for the TLS handshake
//! with the first request head, for each further head, for the next bytes of a body, for the next
//! request of an idle connection. A running answer and an upgraded connection have none here; their
//! writes have one of their own. No version detection: what is not HTTP/1 is refused.

mod connection;
mod exchange;
mod limiter;
mod listener;
mod patience;
mod place;
mod socket;
mod upgraded;

pub use limiter::files_for_sockets;
pub(crate) use limiter::{ConnectionLimiter, SocketLimits, most_sockets};
pub(crate) use listener::{Doors, DoorsOptions};
pub(crate) use socket::LimitedStream;
pub(crate) use upgraded::Upgrades;
