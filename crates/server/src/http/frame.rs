use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::app::App;

/// Gives every response the headers that it has to carry, and measures how long it took.
#[derive(Clone)]
pub(crate) struct FrameLayer {
    app: Arc<App>,
}

/// See [`FrameLayer`].
#[derive(Clone)]
pub(crate) struct Frame<S> {
    inner: S,
    app: Arc<App>,
}

pin_project! {
    /// See [`FrameLayer`].
    pub(crate) struct FrameFuture<F> {
        #[pin]
        inner: F,
        app: Arc<App>,
        start: Instant,
    }
}

impl FrameLayer {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl<S> Layer<S> for FrameLayer {
    type Service = Frame<S>;

    fn layer(&self, inner: S) -> Frame<S> {
        Frame {
            inner,
            app: Arc::clone(&self.app),
        }
    }
}

impl<S, B> Service<Request> for Frame<S>
where
    S: Service<Request, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = FrameFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let start = Instant::now();
        FrameFuture {
            inner: self.inner.call(request),
            app: Arc::clone(&self.app),
            start,
        }
    }
}

impl<F, B, E> Future for FrameFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = std::task::ready!(this.inner.poll(cx))?;
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
