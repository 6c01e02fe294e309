//! The Console's own API, below `/console/api`: what its pages use, and anybody may who holds an
//! operator's session.
//!
//! `guard.rs` says who is signed in and keeps other sites out; one file per subject has the
//! routes.
//!
//! Invariants: every handler but those of `session.rs` takes [`guard::Signed`] and asks it before
//! it reads or writes anything; what an operator does not see is `not_found`. What changes
//! something is recorded in the audit log. No answer holds a secret, but the one that was just
//! made.
//!
//! To add a route: a handler in the file of its subject with `#[utoipa::path]` and the tag
//! `console`, a line in that file's `routes`, and for a new file a line in [`routes`].

pub(crate) mod guard;
mod operators;
pub(crate) mod pages;
mod passkeys;
mod profile;
mod session;
mod webhooks;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::config::Config;

/// Every route of the Console's API.
pub(crate) fn routes(config: &Config) -> OpenApiRouter<Arc<App>> {
    let routes = session::routes()
        .merge(profile::routes())
        .merge(passkeys::routes())
        .merge(operators::routes())
        .merge(webhooks::routes());
    guarded(config, routes)
}

/// Keeps other sites out of all of them.
fn guarded(config: &Config, routes: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    let (routes, api) = routes.split_for_parts();
    let site = guard::Site::new(config);
    let routes = routes.layer(from_fn_with_state(site, guard::same_site));
    let mut routes = OpenApiRouter::from(routes);
    *routes.get_openapi_mut() = api;
    routes
}
