use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::entrance::enter;
use super::error::Refusal;
use crate::app::App;

/// What stands around all routes: it checks what every request must have, gives every response the
/// headers that it has to carry, measures how long it took, and turns a panic into an answer.
///
/// It is one service around the router and no `layer` of it: a layer goes around each route, after
/// it was found, and is a box that every request has to open.
#[derive(Clone)]
pub(crate) struct Frame<S> {
    inner: S,
    app: Arc<App>,
}

pin_project! {
    /// See [`Frame`].
    pub(crate) struct FrameFuture<F> {
        #[pin]
        state: State<F>,
        app: Arc<App>,
        start: Instant,
    }
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
        let start = Instant::now();
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
            start,
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
        if this.app.config.tls.is_some() {
            headers.insert(
                STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
        this.app
            .metrics
            .http_duration
            .observe(this.start.elapsed().as_secs_f64());
        Poll::Ready(Ok(response))
    }
}

fn panicked() -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(ErrorCode::InternalError, "a fault of the server").into_response()
}
