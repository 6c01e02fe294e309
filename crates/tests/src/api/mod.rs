//! `/openapi.json` as a test reads it: operations, schemas, and input made from them.
//!
//! [`Document`] finds the operations and checks values against schemas; `generate.rs` makes a
//! request that an operation should take, and many that differ from it in one thing; `edges.rs`
//! those at the bounds of what it describes; [`ApiWorld`] is a
//! server to send them to, with what they name.
//!
//! Invariants: what is not described is not there: a member that no schema names is a fault, and so
//! is a status or a content type that an operation does not list.

mod document;
mod edges;
mod generate;
mod pattern;
mod schema;
mod world;

pub use document::{Document, Operation, Parameter, Place};
pub use edges::Edge;
pub use generate::{Hints, Input, wrong_values};
pub use world::{ApiWorld, Credentials};
