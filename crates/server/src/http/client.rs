//! What users' devices call, below `/client`, and what `--dev` or a setting switches on for them.

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::demo_tokens::DemoTokens;
use super::upgrade::SocketDriver;
use super::{me, tokens, upgrade};
use crate::app::App;

/// What these routes stand on.
#[derive(Clone)]
pub(crate) struct ClientState {
    pub(crate) app: Arc<App>,
    /// What `POST /token` gives away.
    pub(crate) demo_tokens: Arc<DemoTokens>,
    /// Runs what an upgraded request becomes.
    pub(crate) sockets: Arc<dyn SocketDriver>,
}

impl FromRef<ClientState> for Arc<App> {
    fn from_ref(state: &ClientState) -> Self {
        Arc::clone(&state.app)
    }
}

/// Every route, for pages of any origin.
pub(super) fn routes(serves_tokens: bool) -> OpenApiRouter<ClientState> {
    let routes = OpenApiRouter::new()
        .routes(routes!(me::me))
        .merge(upgrade::routes());
    if serves_tokens {
        routes.routes(routes!(tokens::demo_token))
    } else {
        routes
    }
}
