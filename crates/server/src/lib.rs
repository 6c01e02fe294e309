//! The Hexline server: the doors, and what stands between them and the services.
//!
//! `server.rs` starts and stops a server and wires its parts into `app.rs`. `accept/` takes its
//! sockets, `tasks.rs` ends its tasks. `http/` has the routes, `auth.rs` the tokens at every door. `adapters/`
//! reach out, `probe.rs` and `telemetry.rs` tell how it is.
//! `config/` is what it is told, `datadir.rs` and `records.rs` where it keeps things, `claim.rs` and
//! `node.rs` that nobody else works there, `control/` how administrators reach it.
//!
//! Invariants: no rule about apps, keys or channels stands here (they are in the services); no
//! global state, so that several servers run in one process; what comes from outside is parsed at
//! the door into types that cannot be wrong, under a limit.
//!
//! To add a route: `http/mod.rs`. To add an option: `config/mod.rs`.

mod accept;
mod adapters;
mod app;
mod auth;
mod claim;
pub mod config;
mod console;
pub mod control;
pub mod datadir;
mod http;
mod limiter;
mod node;
mod platform;
mod probe;
pub mod records;
mod server;
mod tasks;
mod telemetry;

pub use accept::files_for_sockets;
pub use adapters::tls::crypto_provider;
pub use app::DEMO_APP;
pub use server::{DevApp, Running, Server, ServerBuilder};
