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

mod apps;
mod audit;
pub(crate) mod feed;
pub(crate) mod guard;
mod health;
mod keys;
mod live;
mod operators;
pub(crate) mod pages;
mod passkeys;
mod profile;
mod session;
mod sign_in;
mod snippets;
pub(crate) mod state;
mod tokens;
mod webhooks;

use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use hexline_protocol::ErrorCode;
use http::Method;
use utoipa_axum::router::OpenApiRouter;

use crate::console::state::ConsoleState;
use crate::kit::error::Refusal;

/// Every route of the Console's API.
pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    session::routes()
        .merge(profile::routes())
        .merge(passkeys::routes())
        .merge(operators::routes())
        .merge(webhooks::routes())
        .merge(apps::routes())
        .merge(keys::routes())
        .merge(tokens::routes())
        .merge(live::routes())
        .merge(audit::routes())
        .merge(health::routes())
        .merge(sign_in::routes())
}

/// Every route, with other sites kept out.
pub(crate) fn guarded(state: &ConsoleState) -> OpenApiRouter<ConsoleState> {
    let (routes, api) = routes().split_for_parts();
    let site = guard::Site::new(&state.places.urls);
    let routes = routes
        .layer(from_fn(run_to_completion))
        .layer(from_fn_with_state(site, guard::same_site));
    let mut routes = OpenApiRouter::from(routes);
    *routes.get_openapi_mut() = api;
    routes
}

/// Carries a change to its end, even if the browser hangs up: what was changed without an entry in
/// the audit log would be nobody's deed.
async fn run_to_completion(request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    tokio::spawn(next.run(request)).await.unwrap_or_else(|_| {
        tracing::error!("a request handler panicked");
        Refusal::new(ErrorCode::InternalError, "a fault of the server").into_response()
    })
}
