//! What users' devices call, below `/client`, and what `--dev` or a setting switches on for them.
//!
//! The methods of the WebSocket come over HTTP too: `rpc.rs`, and `twins.rs` by the rows in the table
//! of methods. Both call by `calls.rs`, and `call_buckets.rs` counts.

pub(crate) mod call_buckets;
mod calls;
pub(crate) mod demo_tokens;
mod me;
mod rpc;
mod tokens;
mod twins;
pub(crate) mod upgrade;

use std::sync::Arc;

use axum::extract::FromRef;
use hexline_gateway::{CallFailure, Later};
use hexline_protocol::{ErrorCode, Reply};
use hexline_services::Outcome;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::tasks::Tasks;
use call_buckets::CallBuckets;
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
    /// How many calls each device may make over HTTP.
    pub buckets: Arc<CallBuckets>,
    /// Calls that take their time.
    pub tasks: Arc<Tasks>,
}

impl ClientState {
    /// Runs a call to its end, even if its caller hangs up: half of it would be no use to anybody.
    pub(super) async fn run_to_completion(
        &self,
        call: Later,
    ) -> Result<Outcome<Reply>, CallFailure> {
        self.tasks.spawn(call).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call ended before its time");
            Err(CallFailure {
                code: ErrorCode::InternalError,
                message: "a fault of the server".to_owned(),
            })
        })
    }
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
        .routes(routes!(rpc::rpc))
        .merge(twins::routes())
        .merge(upgrade::routes());
    if serves_tokens {
        routes.routes(routes!(tokens::demo_token))
    } else {
        routes
    }
}
