use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hexline_gateway::{ClientSession, Echo, LogLines, Now, Peer, SocketOptions};
use hexline_model::{AppId, KeyId, Route};
use hexline_protocol::ErrorCode;
use http::header::{
    CONNECTION, HeaderMap, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::client::ClientState;
use crate::kit::authenticator::{AuthenticatedToken, Door, offered_protocols};
use crate::kit::described::described;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::request_id::RequestId;

/// Drives what an upgraded request becomes, on the socket that the request came by.
pub trait SocketDriver: Send + Sync {
    /// Waits for the upgrade, then runs the handler until it ends, in a task of its own.
    fn drive(&self, upgrade: OnUpgrade, handler: SocketHandler, options: SocketOptions);
}

/// What an upgraded request becomes.
pub enum SocketHandler {
    /// A client's connection.
    Client(ClientSession),
    /// One that says everything back.
    Echo(Echo),
}

/// The WebSocket, in the three forms that clients derive from `…/client` and `…/client/v1`.
pub(crate) fn routes() -> OpenApiRouter<ClientState> {
    [
        "/client/signal/v1/pubsub",
        "/client/v1/signal/pubsub",
        "/client/signal/pubsub",
    ]
    .into_iter()
    .map(|path| socket_at::<__path_pubsub>(path, "client", get(pubsub)))
    .fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

/// The echo of `--dev`.
pub(crate) fn echo_route() -> OpenApiRouter<ClientState> {
    socket_at::<__path_echo>("/dev/echo", "demo", get(echo))
}

/// The described handshake at one of its paths.
fn socket_at<P: utoipa::Path>(
    path: &str,
    tag: &str,
    handler: MethodRouter<ClientState>,
) -> OpenApiRouter<ClientState> {
    let mut operation = P::operation();
    operation.tags = Some(vec![tag.to_owned()]);
    described(path, P::methods(), operation, handler)
}

/// The WebSocket: JSON-RPC 2.0
///
/// `/openrpc.json` describes what is said on it. The token comes as `jwt` in the query, as a bearer,
/// or as the sub-protocol `bearer.<token>` beside `hexline.v1`. By the time that the client reads
/// `101`, it was let in and can be reached.
#[utoipa::path(
    get,
    path = "/client/signal/v1/pubsub",
    security(("clientToken" = [])),
    params(("jwt" = Option<String>, Query, description = "A client token")),
    responses(
        (status = 101, description = "Welcome"),
        (status = 426, description = "Not a WebSocket handshake", body = ErrorBody)
    )
)]
pub(crate) async fn pubsub(
    State(state): State<ClientState>,
    ConnectInfo(socket): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (mut request, _) = request.into_parts();
    let mut whose = None;
    let app = &state.app;
    let opened = open(app, &mut request, &mut whose).await;
    let id = request.extensions.get::<RequestId>();
    match opened {
        Ok((handshake, session)) => {
            session.log_opening(id.map(|id| id as _));
            let most = app.sessions.limits.frame_bytes;
            start(&state, handshake, SocketHandler::Client(session), most)
        }
        Err(refusal) => {
            let peer = app.authenticator.peer(socket, &request.headers);
            log_refusal(&app.log, whose, refusal.code, id, peer);
            refused(refusal)
        }
    }
}

/// The gateway's socket code with nothing behind it
#[utoipa::path(
    get,
    path = "/dev/echo",
    responses(
        (status = 101, description = "Welcome"),
        (status = 400, description = "Not a WebSocket handshake", body = ErrorBody),
        (status = 426, description = "Not a WebSocket handshake", body = ErrorBody),
        (status = 429, description = "Too many echoes at once", body = ErrorBody)
    )
)]
pub(crate) async fn echo(State(state): State<ClientState>, request: Request) -> Response {
    let app = &state.app;
    let (mut request, _) = request.into_parts();
    let opened = Handshake::read(&mut request).and_then(|handshake| {
        let echo = Echo::new(&app.metrics, &app.hub, Now::of(app.clock.as_ref()));
        let full = || Refusal::new(ErrorCode::RateLimited, "too many echoes at once");
        Ok((handshake, echo.ok_or_else(full)?))
    });
    match opened {
        Ok((handshake, echo)) => start(
            &state,
            handshake,
            SocketHandler::Echo(echo),
            Echo::MAX_MESSAGE,
        ),
        Err(refusal) => refused(refusal),
    }
}

/// A refused handshake that could be made otherwise says how (RFC 6455 §4.4, RFC 9110 §15.5.22).
fn refused(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// `whose` becomes the app and the key, as soon as they are known.
async fn open(
    app: &App,
    request: &mut Parts,
    whose: &mut Option<(AppId, KeyId)>,
) -> Result<(Handshake, ClientSession), Refusal> {
    let authenticated = app.authenticator.authenticate(request, Door::Socket).await;
    let token = authenticated.inspect_err(|refusal| *whose = refusal.named)?;
    let refuse = |refusal: Refusal| {
        app.metrics.rejected(refusal.code);
        refusal
    };
    let AuthenticatedToken {
        authorization,
        peer,
        ..
    } = token;
    let app_id = authorization.app;
    *whose = Some((app_id, authorization.key));
    check_origin(app, app_id, &request.headers).map_err(refuse)?;
    let handshake = Handshake::read(request).map_err(refuse)?;
    let granted = authorization.permissions.opens_socket();
    granted.map_err(|rejection| refuse(Refusal::from(&rejection)))?;
    let route = Route::generate(app.entropy.as_ref());
    let caller = authorization.connected(route);
    let caller = caller.expect("a verified client token has a subject");
    let admitted = app.hub.admit(caller, authorization, peer);
    let admission = admitted.map_err(|error| {
        refuse(
            Refusal::new(error.code(), error.to_string())
                .retry_after(1)
                .told(),
        )
    })?;
    let now = Now::of(app.clock.as_ref());
    Ok((
        handshake,
        ClientSession::new(admission, Arc::clone(&app.sessions), now),
    ))
}

fn check_origin(app: &App, app_id: AppId, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let registry = app.keys.registry();
    if origin
        .to_str()
        .is_ok_and(|o| registry.allows_origin(app_id, o))
    {
        return Ok(());
    }
    let message = "the page's origin is not among those that the app allows";
    Err(Refusal::new(ErrorCode::OriginRefused, message))
}

fn start(
    state: &ClientState,
    handshake: Handshake,
    handler: SocketHandler,
    max_message: usize,
) -> Response {
    let app = &state.app;
    let response = handshake.response();
    let options = SocketOptions {
        max_message,
        write_stall: app.sessions.limits.write_stall,
        clock: Arc::clone(&app.clock),
        metrics: Arc::clone(&app.metrics),
    };
    app.metrics.opened();
    state.sockets.drive(handshake.on_upgrade, handler, options);
    response
}

/// Says in the log that nobody was let in.
fn log_refusal(
    log: &LogLines,
    whose: Option<(AppId, KeyId)>,
    reason: ErrorCode,
    request: Option<&RequestId>,
    peer: Peer,
) {
    let (app, key) = whose.unzip();
    if log.pass(app, reason.text()) {
        tracing::info!(
            app.id = app.map(display),
            key.id = key.map(display),
            reason = reason.text(),
            request.id = request.map(display),
            peer = log.peer(peer.remote()).map(display),
            "upgrade refused"
        );
    }
}

/// What RFC 6455 §4.2.1 wants of a client's opening handshake.
struct Handshake {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl Handshake {
    fn read(request: &mut Parts) -> Result<Self, Refusal> {
        let headers = &request.headers;
        let has = |name: &HeaderName, token: &str| {
            let values = headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok());
            let mut tokens = values.flat_map(|value| value.split(','));
            tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
        };
        if request.method != Method::GET
            || !has(&CONNECTION, "upgrade")
            || !has(&UPGRADE, "websocket")
        {
            let message = "this is a WebSocket; expected GET with Upgrade: websocket";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message)
                .with_status(StatusCode::UPGRADE_REQUIRED));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| {
            BASE64_STANDARD
                .decode(key.as_bytes())
                .is_ok_and(|nonce| nonce.len() == 16)
        });
        if !has(&SEC_WEBSOCKET_VERSION, "13") {
            let message = "expected Sec-WebSocket-Version: 13";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message)
                .with_status(StatusCode::UPGRADE_REQUIRED));
        }
        let Some(key) = key else {
            let message = "expected a Sec-WebSocket-Key of 16 bytes in base64";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        let accept = accept(key.as_bytes());
        // A token handed over as a sub-protocol is never said back.
        let protocol = offered_protocols(headers)
            .any(|protocol| protocol == PROTOCOL)
            .then(|| HeaderValue::from_static(PROTOCOL));
        let Some(on_upgrade) = request.extensions.remove::<OnUpgrade>() else {
            let message = "this connection cannot become a WebSocket";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        Ok(Self {
            on_upgrade,
            accept,
            protocol,
        })
    }

    fn response(&self) -> Response {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = &self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

/// RFC 6455 §4.2.2: proves that the handshake was read.
fn accept(key: &[u8]) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    HeaderValue::from_str(&BASE64_STANDARD.encode(context.finish()))
        .expect("base64 is a header value")
}

/// The sub-protocol that new clients offer.
const PROTOCOL: &str = "hexline.v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_that_of_the_rfc() {
        assert_eq!(
            accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
