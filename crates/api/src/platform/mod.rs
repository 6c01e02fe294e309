//! `/platform/v1`: what an app's own server may do, by its platform token.
//!
//! `middleware.rs` stands before every route: it verifies the token, counts the call against the app's
//! rate limit, and does a write that comes twice with the same `Idempotency-Key` only once. The
//! handlers take [`caller::Platform`], ask it for the part of the grant that they need, call a
//! service, and record what they changed in the audit log.
//!
//! Invariants: nothing is answered about another app than the caller's; what is not its own is
//! `not_found`. Nobody gets by a call what its own key may not give: a key or token that is handed
//! out is within the caller's ceiling.
//!
//! To add a route: a handler with `#[utoipa::path]`, the tag `platform` and the security
//! `platformToken` in the file of its subject, a line in that file's `routes`, and for a new file a
//! line in [`routes`]. A write that only looks (a POST for its body's sake) goes into
//! `middleware.rs`'s list.

mod audit;
pub(crate) mod caller;
mod channels;
pub(crate) mod connections;
mod form;
pub(crate) mod holds;
mod keys;
mod message;
mod middleware;
mod names;
mod oauth;
pub(crate) mod rate_limits;
mod revocations;
mod settings;
pub(crate) mod state;
mod tokens;
mod users;
mod webhooks;

use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use state::PlatformState;
/// Every route, as described.
pub(crate) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new()
        .merge(tokens::routes())
        .merge(oauth::routes())
        .merge(revocations::routes())
        .merge(keys::routes())
        .merge(connections::routes())
        .merge(holds::routes())
        .merge(users::routes())
        .merge(channels::routes())
        .merge(settings::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
}

/// Every route, behind its door.
pub(crate) fn guarded(state: &PlatformState) -> OpenApiRouter<PlatformState> {
    let (routes, api) = routes().split_for_parts();
    let routes = routes.layer(from_fn_with_state(state.clone(), middleware::admit));
    let mut routes = OpenApiRouter::from(routes);
    *routes.get_openapi_mut() = api;
    routes
}
