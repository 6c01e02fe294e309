//! The client against a small server of its own, over real sockets.

mod calls;
mod connecting;
mod reconnecting;
mod server;
