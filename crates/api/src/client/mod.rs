//! What users' devices call, below `/client`, and what `--dev` or a setting switches on for them.

pub(crate) mod demo_tokens;
mod me;
mod tokens;
pub(crate) mod upgrade;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use demo_tokens::DemoTokens;
use upgrade::SocketDriver;

/// What these routes stand on.
#[derive(Clone)]
pub struct ClientState {
    /// What all doors share.
    pub app: Arc<App>,
    /// What `POST /token` gives away.
    pub demo_tokens: Arc<DemoTokens>,
    /// Runs what an upgraded request becomes.
    pub sockets: Arc<dyn SocketDriver>,
}

impl FromRef<ClientState> for Arc<App> {
    fn from_ref(state: &ClientState) -> Self {
        Arc::clone(&state.app)
    }
}

/// Every route, for pages of any origin.
pub(crate) fn routes(serves_tokens: bool) -> OpenApiRouter<ClientState> {
    let routes = OpenApiRouter::new()
        .routes(routes!(me::me))
        .merge(upgrade::routes());
    if serves_tokens {
        routes.routes(routes!(tokens::demo_token))
    } else {
        routes
    }
}
