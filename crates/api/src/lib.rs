//! Every HTTP door of Hexline: what devices call, the platform API, the Console and its pages, the
//! sign-in service, health and documents, and the upgrade to a WebSocket.
//!
//! `kit/` is what the doors have in common, `app.rs` the services that all of them share. One folder per
//! door: `client/`, `auth/`, `platform/`, `console/`, `operations/`, `docs/`; each has its own state over
//! `App`, which knows no door. `routes.rs` is the table of all of them. `tasks.rs` runs what outlives a
//! request.
//!
//! A handler reads the request, asks who makes it, calls a service, and writes the answer. Failures
//! leave by `kit/error.rs` as `{"code":…,"message":…}`. Query strings never reach a log.
//!
//! To add a route: a handler in the file of its subject, described by `#[utoipa::path]`, and a line in
//! its file's or door's `routes`; for a new door a line in `routes.rs`. The description is the route: what
//! `routes!` mounts is what `/openapi.json` shows. What the doors refuse is added to every route in
//! `docs/document.rs`.
//!
//! Invariants: there is no other way in. A route is mounted by `.routes(…)` with its description;
//! `.nest(…)` and `.fallback(…)` stand in `routes.rs` alone, and `.route(…)` nowhere. The tests of
//! `hostile` take their routes from the document, so that none escapes them. No rule about apps, keys or
//! channels stands here: they are in the services.

mod app;
mod auth;
mod client;
mod console;
mod docs;
mod kit;
mod limiter;
mod operations;
mod platform;
mod routes;
mod tasks;

pub use app::{App, Options, invitation_url};
pub use auth::{AuthState, Throttle};
pub use client::ClientState;
pub use client::call_buckets::CallBuckets;
pub use client::demo_tokens::{DEMO_APP, DemoTokens};
pub use client::upgrade::{SocketDriver, SocketHandler};
pub use console::feed::Feed;
pub use console::state::{ConsoleState, Places};
pub use kit::authenticator::{KeySets, Lookup, Proxies, RefusalObserver, TokenAuthenticator};
pub use kit::request_id::RequestIds;
pub use limiter::KeyedLimiter;
pub use operations::OperationsState;
pub use operations::probe::{NodeStanding, Probe, StoreHealth, StoreProbe};
pub use platform::rate_limits::RateLimits;
pub use platform::state::PlatformState;
pub use routes::{Api, Front};
pub use tasks::Tasks;
