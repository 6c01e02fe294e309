//! The HTTP doors: what they have in common, and every route in one table, `routes.rs`.
//!
//! A handler reads the request, asks `auth.rs` who makes it, calls a service, and writes the
//! answer. A door has its own state, over `App`, which knows no door. Failures leave by
//! [`error::Refusal`] as `{"code":…,"message":…}`. Query strings never
//! reach a log.
//!
//! To add a route: a handler in the file of its service, described by `#[utoipa::path]`, and a line
//! in its module's `routes`; for a new module a line in `routes.rs`. The description is the route: what
//! `routes!` mounts is what `/openapi.json` shows. What the doors refuse is added to every route in
//! `document.rs`.
//!
//! Invariant: there is no other way in. A route is mounted by `.routes(…)` with its description;
//! `.nest(…)` and `.fallback(…)` stand in `routes.rs` alone, and `.route(…)` nowhere. The tests of
//! `hostile` take their routes from the document, so that none escapes them.

pub(crate) mod auth_service;
pub(crate) mod body;
mod bounds;
pub(crate) mod client;
pub(crate) mod demo_tokens;
pub(crate) mod described;
mod docs;
mod document;
mod entrance;
pub(crate) mod error;
mod frame;
mod health;
pub(crate) mod json;
mod me;
pub(crate) mod operations;
pub(crate) mod paging;
pub(crate) mod request_id;
pub(crate) mod routes;
mod tokens;
pub(crate) mod trace;
pub(crate) mod upgrade;
pub(crate) mod webhooks;
