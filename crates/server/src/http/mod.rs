//! The HTTP door: every route, in one table.
//!
//! A handler reads the request, asks `auth.rs` who makes it, calls a service, and writes the
//! answer. Failures leave by [`error::Refusal`] as `{"code":…,"message":…}`. Query strings never
//! reach a log.
//!
//! To add a route: a handler in the file of its service, a line in [`router`].

pub(crate) mod error;
mod health;
mod me;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use hexline_protocol::ErrorCode;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::timeout::TimeoutLayer;

use crate::app::App;
use crate::gateway::upgrade;
use error::Refusal;

/// Every route, at the root and below the path of each base URL.
pub(crate) fn router(app: &Arc<App>, bases: &[String]) -> Router {
    let routes = routes(app);
    let mut router = routes.clone();
    let paths: BTreeSet<&str> = bases.iter().filter_map(|base| path_of(base)).collect();
    for path in paths {
        router = router.nest(path, routes.clone());
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_PATIENCE,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(app), frame_response))
        .with_state(Arc::clone(app))
}

fn routes(app: &App) -> Router<Arc<App>> {
    let mut client = Router::new().route("/client/v1/me", get(me::me));
    for path in PUBSUB {
        client = client.route(path, any(upgrade::pubsub));
    }
    if app.config.serves_tokens() {
        client = client.route("/token", post(tokens::demo_token));
    }
    let mut routes = client
        .layer(DefaultBodyLimit::max(app.config.limits.body_bytes))
        .layer(cors())
        .route("/", get(health::greeting))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz));
    if app.config.dev || app.config.metrics_bearer.is_some() {
        routes = routes.route("/metrics", get(health::metrics));
    }
    if app.config.dev {
        routes = routes.route("/dev/echo", any(upgrade::echo));
    }
    routes
}

/// The path of a URL, without a slash at its end; `None` if that leaves nothing.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest[rest.find('/')?..].trim_end_matches('/');
    (!path.is_empty()).then_some(path)
}

/// How long a request may take, its body included. An upgraded connection is answered already.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// The three forms that clients derive from `…/client` and `…/client/v1`.
const PUBSUB: [&str; 3] = [
    "/client/signal/v1/pubsub",
    "/client/v1/signal/pubsub",
    "/client/signal/pubsub",
];

/// Pages of any origin may call: what they may do is in the token, and no cookie is read.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(Duration::from_secs(3600))
}

async fn no_route() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is nothing at this path")
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidRequest,
        "this path does not take that method",
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(ErrorCode::InternalError, "a fault of the server").into_response()
}

/// What every response carries, and the time that it took.
async fn frame_response(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = tokio::time::Instant::now();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if app.config.tls.is_some() {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    app.metrics
        .http_duration
        .observe(start.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_with_a_path_gives_a_prefix() {
        assert_eq!(path_of("https://x.example"), None);
        assert_eq!(path_of("https://x.example/"), None);
        assert_eq!(path_of("https://x.example/rt/v2/"), Some("/rt/v2"));
    }
}
