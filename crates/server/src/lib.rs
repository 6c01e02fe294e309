//! The Hexline server: what wires the services, the gateway and the doors into one process.
//!
//! `server.rs` starts and stops a server, `wiring.rs` makes its parts, `upkeep.rs` is what has to be done
//! every now and then. `accept/` takes its sockets,
//! `adapters/` reach out, `telemetry.rs` counts. `config/` is what it is told, `datadir.rs` and
//! `records.rs` where it keeps things, `claim.rs` and `node.rs` that nobody else works there, `control/`
//! how administrators reach it.
//!
//! Invariants: no rule about apps, keys or channels stands here (they are in the services), and no
//! route (they are in the doors); no global state, so that several servers run in one process.
//!
//! To add an option: `config/mod.rs`. To add something that is done every now and then: a `Duty` in
//! `upkeep.rs`.

mod accept;
mod adapters;
mod claim;
pub mod config;
pub mod control;
pub mod datadir;
mod node;
pub mod records;
mod server;
mod telemetry;
mod upkeep;
mod wiring;

pub use accept::files_for_sockets;
pub use adapters::tls::crypto_provider;
pub use hexline_api::DEMO_APP;
pub use server::{DevApp, Running, Server, ServerBuilder};
