use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRef, FromRequest, Request};
use hexline_protocol::ErrorCode;
use http::StatusCode;

use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::require_json;

/// A request's body: no larger than the limit, and no slower than patience allows.
pub(crate) struct PromptBody(pub(crate) Bytes);

/// A JSON body that holds what a frame of the WebSocket may hold, so with its limit.
pub(crate) struct FrameBody(pub(crate) Bytes);

impl<S> FromRequest<S> for PromptBody
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let app = Arc::<App>::from_ref(state);
        let limit = app.options.body_bytes;
        read(request, limit, &app).await.map(Self)
    }
}

impl<S> FromRequest<S> for FrameBody
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        require_json(request.headers())?;
        let app = Arc::<App>::from_ref(state);
        let limit = app.sessions.limits.frame_bytes;
        read(request, limit, &app).await.map(Self)
    }
}

async fn read(request: Request, limit: usize, app: &App) -> Result<Bytes, Refusal> {
    let mut reading = pin!(to_bytes(request.into_body(), limit));
    // Most bodies came with their head: only those that did not need a timer.
    let read = match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        Poll::Ready(read) => read,
        Poll::Pending => app.clock.timeout(PATIENCE, reading).await.map_err(|_| {
            Refusal::new(ErrorCode::InvalidRequest, "the body did not arrive in time")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        })?,
    };
    read.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
        if too_large {
            let message = format!("the body has more than {limit} bytes");
            Refusal::new(ErrorCode::TooLarge, message)
        } else {
            Refusal::new(ErrorCode::InvalidRequest, "the body broke off")
        }
    })
}

const PATIENCE: Duration = Duration::from_secs(30);
