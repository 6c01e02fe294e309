//! How the server is, for those who run it: `/`, `/healthz`, `/readyz`, `/metrics`.

mod health;
pub(crate) mod probe;

use std::sync::Arc;

use axum::extract::FromRef;
use hexline_model::Secret;
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use probe::Probe;

/// What these routes stand on.
#[derive(Clone)]
pub struct OperationsState {
    /// What all doors share.
    pub app: Arc<App>,
    /// Whether the server can do its work.
    pub probe: Arc<Probe>,
    /// What `/metrics` shows.
    pub figures: Arc<Registry>,
    /// Who may see `/metrics` and the detail of `/readyz`.
    pub bearer: Option<Secret<String>>,
}

impl FromRef<OperationsState> for Arc<App> {
    fn from_ref(state: &OperationsState) -> Self {
        Arc::clone(&state.app)
    }
}

/// Every route; `/metrics` where somebody may see it.
pub(crate) fn routes(shows_metrics: bool) -> OpenApiRouter<OperationsState> {
    let routes = root()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz));
    if shows_metrics {
        routes.routes(routes!(health::metrics))
    } else {
        routes
    }
}

/// What is at `/`.
pub(crate) fn root<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(health::greeting))
}
