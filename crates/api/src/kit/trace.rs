use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use hexline_gateway::Peer;
use http::request::Parts;

use crate::app::App;
use crate::kit::request_id::RequestId;

/// What a log line says of a request.
pub(crate) struct Trace {
    pub(crate) id: Option<RequestId>,
    pub(crate) peer: Peer,
}

impl<S> FromRequestParts<S> for Trace
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let app = Arc::<App>::from_ref(state);
        let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(socket) = *socket.expect("every connection has one");
        Ok(Self {
            id: parts.extensions.get().cloned(),
            peer: app.authenticator.peer(socket, &parts.headers),
        })
    }
}
