//! `/platform/v1`: what an app's own server may do, by its platform token.
//!
//! `admit.rs` stands before every route: it verifies the token, counts the call against the app's
//! allowance, and does a write that comes twice with the same `Idempotency-Key` only once. The
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
//! `admit.rs`'s list.

mod admit;
mod allowance;
mod audit;
pub(crate) mod caller;
mod channels;
pub(crate) mod connections;
mod form;
pub(crate) mod holds;
mod keys;
mod message;
mod names;
mod oauth;
mod revocations;
mod settings;
mod tokens;
mod users;
mod webhooks;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
pub(crate) use allowance::Allowances;

/// Every route, as described.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
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
pub(crate) fn guarded(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let (routes, api) = routes().split_for_parts();
    let routes = routes.layer(from_fn_with_state(Arc::clone(app), admit::admit));
    let mut routes = OpenApiRouter::from(routes);
    *routes.get_openapi_mut() = api;
    routes
}
