use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hexline_model::Stopwatch;
use hexline_protocol::ErrorCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method};
use pin_project_lite::pin_project;
use tower::Service;

use crate::app::App;
use crate::kit::entrance::enter;
use crate::kit::error::{Refusal, Told};
use crate::kit::request_id::{RequestId, X_REQUEST_ID};

/// What stands around all routes: it names every request and checks what it must have, gives every
/// response the headers that it has to carry, turns a panic into an answer, measures how long it all
/// took, and logs what went wrong, or with `log.access` everything.
///
/// It is one service around the router and no `layer` of it: a layer goes around each route, after
/// it was found, and is a box that every request has to open.
#[derive(Clone)]
pub struct Frame<S> {
    inner: S,
    app: Arc<App>,
}

pin_project! {
    /// See [`Frame`].
    pub struct FrameFuture<F> {
        #[pin]
        state: State<F>,
        app: Arc<App>,
        stopwatch: Stopwatch,
        seen: Option<Seen>,
    }
}

/// What a log line may say of a request once that is gone.
struct Seen {
    id: RequestId,
    method: &'static str,
    peer: Option<IpAddr>,
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Routed { #[pin] inner: F },
        Refused { response: Option<Response> },
    }
}

impl<F> State<F> {
    fn refused(response: Response) -> Self {
        Self::Refused {
            response: Some(response),
        }
    }
}

impl<S> Frame<S> {
    pub(crate) fn new(inner: S, app: Arc<App>) -> Self {
        Self { inner, app }
    }
}

impl<S> Service<Request> for Frame<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = FrameFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let stopwatch = Stopwatch::start();
        let seen = Seen::of(&request, &self.app);
        request.extensions_mut().insert(seen.id.clone());
        let state = match enter(&mut request) {
            Ok(()) => match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(inner) => State::Routed { inner },
                Err(_) => State::refused(panicked()),
            },
            Err(refusal) => State::refused(refusal.into_response()),
        };
        FrameFuture {
            state,
            app: Arc::clone(&self.app),
            stopwatch,
            seen: Some(seen),
        }
    }
}

impl<F> Future for FrameFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProjection::Routed { inner } => {
                match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                    Ok(polled) => std::task::ready!(polled)?,
                    Err(_) => panicked(),
                }
            }
            StateProjection::Refused { response } => {
                response.take().expect("it is not polled after its end")
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // A page says itself what it loads.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(
                "default-src 'none'; frame-ancestors 'none'",
            ));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        if this.app.options.tls {
            headers.insert(
                STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
        let took = this.stopwatch.elapsed();
        this.app.http_duration.observe(took.as_secs_f64());
        if let Some(seen) = this.seen.take() {
            response
                .headers_mut()
                .insert(X_REQUEST_ID, seen.id.header());
            seen.log(this.app, &response, took);
        }
        Poll::Ready(Ok(response))
    }
}

impl Seen {
    fn of(request: &Request, app: &App) -> Self {
        let peer = || {
            let ConnectInfo(socket) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
            Some(app.authenticator.peer(*socket, request.headers()).remote())
        };
        Self {
            id: app.request_ids.of(request, &app.authenticator),
            method: known(request.method()),
            peer: app.options.access_log.then(peer).flatten(),
        }
    }

    fn log(&self, app: &App, response: &Response, took: Duration) {
        let status = response.status();
        if app.options.access_log {
            self.log_access(app, response, took);
        } else if status.is_server_error()
            && response.extensions().get::<Told>().is_none()
            && app.log.pass(None, "request failed")
        {
            tracing::warn!(
                http.method = self.method,
                http.status = status.as_u16(),
                request.id = %self.id,
                "request failed"
            );
        }
    }

    fn log_access(&self, app: &App, response: &Response, took: Duration) {
        let route = response.extensions().get::<MatchedPath>();
        tracing::info!(
            target: "hexline_server::access",
            {
                http.method = self.method,
                http.route = route.map(MatchedPath::as_str),
                http.status = response.status().as_u16(),
                duration_ms = took.as_secs_f64() * 1000.0,
                request.id = %self.id,
                peer = self.peer.and_then(|ip| app.log.peer(ip)).map(display),
            },
            "answered"
        );
    }
}

/// Tells [`Frame`], which does not see it, which route a request went to.
pub(crate) async fn tell_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// A method by its name, unless a client made it up.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn panicked() -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(ErrorCode::InternalError, "a fault of the server").into_response()
}
