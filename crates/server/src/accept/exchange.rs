use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use hexline_api::Front;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tower::Service as _;

use super::place::{Phase, Place};

/// Hands the requests of one connection to the routes, and tells its place when each begins and
/// ends.
pub(super) struct Exchanges {
    pub(super) front: Front,
    pub(super) place: Arc<Place>,
    pub(super) peer: SocketAddr,
}

pin_project! {
    /// A request that is being answered.
    pub(super) struct Answering {
        #[pin]
        inner: <Front as tower::Service<Request<Body>>>::Future,
        place: Option<Arc<Place>>,
    }
}

/// A request's body that tells whether somebody waits for it.
struct Watched {
    body: Incoming,
    place: Arc<Place>,
}

/// An answer's body; with its end the connection waits for the next request.
pub(super) struct Answer {
    body: Body,
    place: Arc<Place>,
}

impl hyper::service::Service<Request<Incoming>> for Exchanges {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.place.enter(Phase::Answering);
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                return Body::empty();
            }
            let place = Arc::clone(&self.place);
            Body::new(Watched { body, place })
        });
        request.extensions_mut().insert(ConnectInfo(self.peer));
        Answering {
            inner: self.front.clone().call(request),
            place: Some(Arc::clone(&self.place)),
        }
    }
}

impl Future for Answering {
    type Output = Result<http::Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response: Response = ready!(this.inner.poll(cx))?;
        let place = this.place.take().expect("it is not polled after its end");
        Poll::Ready(Ok(response.map(|body| Answer { body, place })))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match (self.place.phase(), frame.is_ready()) {
            (Phase::Answering, false) => self.place.enter(Phase::Body),
            (Phase::Body, true) => self.place.enter(Phase::Answering),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    /// Nothing waits for it any longer.
    fn drop(&mut self) {
        if self.place.phase() == Phase::Body {
            self.place.enter(Phase::Answering);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.place.enter(Phase::Idle);
    }
}
