use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest as _, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hexline_model::AppId;
use hexline_protocol::ErrorCode;
use hexline_services::idempotency::{Answer, Begun, Deed, Turn};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::caller::Platform;
use super::state::PlatformState;
use crate::app::App;
use crate::kit::authenticator::Door;
use crate::kit::body::PromptBody;
use crate::kit::error::Refusal;

/// Lets an app's server in: its token is good, it has calls left, and what it does twice by one
/// name is done once.
pub(super) async fn admit(
    State(state): State<PlatformState>,
    request: Request,
    next: Next,
) -> Response {
    let app = &state.app;
    let (parts, body) = request.into_parts();
    let authenticated = app.authenticator.authenticate(&parts, Door::Platform).await;
    let caller = match authenticated {
        Ok(token) => Platform::of(&token),
        Err(refusal) => return Refusal::from(refusal).into_response(),
    };
    let request = Request::from_parts(parts, body);
    let allowance = state.rate_limits.take(caller.app, app.clock.monotonic());
    let mut response = match allowance.wait_s {
        Some(seconds) => Refusal::new(
            ErrorCode::RateLimited,
            "the app has no calls left, expected at most as many a minute as RateLimit-Limit says",
        )
        .retry_after(seconds)
        .into_response(),
        None => carry_out(&state, caller, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
    };
    allowance.write(response.headers_mut());
    response
}

async fn carry_out(
    state: &PlatformState,
    caller: Platform,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let app = &state.app;
    let name = name_of(&request)?;
    request.extensions_mut().insert(caller.clone());
    if !writes(&request) {
        return Ok(next.run(request).await);
    }
    let is_exempt = is_exempt(&request);
    let Some(name) = name else {
        if !is_exempt {
            has_room(state, caller.app).await?;
        }
        return run_to_completion(state, async move { Ok(next.run(request).await) }).await;
    };
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let PromptBody(body) = PromptBody::from_request(whole, state).await?;
    let route = format!("{} {}", parts.method, parts.uri.path());
    // What the token grants is part of it: nobody gets an answer that its own token could not get.
    let grants = serde_json::to_vec(caller.permissions.token()).expect("grants are JSON");
    let ceiling = caller.permissions.ceiling().map(serde_json::to_vec);
    let ceiling = ceiling.transpose().expect("grants are JSON");
    let kind = parts.headers.get(CONTENT_TYPE);
    let begun = app
        .idempotency
        .begin(&Deed {
            app: caller.app,
            key: caller.key,
            route: &route,
            name: &name,
            request: &[
                parts.uri.query().unwrap_or_default().as_bytes(),
                kind.map(HeaderValue::as_bytes).unwrap_or_default(),
                &body,
                &grants,
                ceiling.as_deref().unwrap_or_default(),
            ],
        })
        .await?;
    let conflict = |message: &str| Err(Refusal::new(ErrorCode::Conflict, message));
    match begun {
        Begun::Fresh(turn) => {
            let (writer, request) = (state.clone(), Request::from_parts(parts, Body::from(body)));
            run_to_completion(state, async move {
                let app = &writer.app;
                // Not before: an answer that is stored is sent however full the log is.
                if !is_exempt && let Err(refusal) = has_room(&writer, caller.app).await {
                    app.idempotency.give_up(&turn).await?;
                    return Err(refusal);
                }
                once(app, turn, request, next).await
            })
            .await
        }
        Begun::Full if is_exempt => {
            let request = Request::from_parts(parts, Body::from(body));
            run_to_completion(state, async move { Ok(next.run(request).await) }).await
        }
        Begun::Full => Err(Refusal::new(
            ErrorCode::QuotaExceeded,
            "the app has too many requests with an Idempotency-Key under way, expected fewer at \
             once (limits.idempotency_bytes_per_app)",
        )),
        Begun::Done(answer) => Ok(repeated(answer)),
        Begun::Busy => {
            conflict("a request with this Idempotency-Key is being carried out; ask again")
                .map_err(|refusal: Refusal| refusal.retry_after(1))
        }
        Begun::Different => conflict(
            "this Idempotency-Key was used for another request, expected a new one for each",
        ),
        Begun::Unreadable => {
            conflict("this request was carried out, and its answer cannot be read any more")
        }
    }
}

/// Each write is in the audit log, which is bounded for what an app's server does.
async fn has_room(state: &PlatformState, id: AppId) -> Result<(), Refusal> {
    let most = state.audit_bytes;
    let used = state.app.audit.used(id).await?;
    if used < most {
        return Ok(());
    }
    let message = format!(
        "found {used} bytes of audit entries about the app, expected fewer than {most} \
         (limits.audit_bytes_per_app): they end with audit.retention_days; revoking and \
         disconnecting is possible all the same"
    );
    Err(Refusal::new(ErrorCode::QuotaExceeded, message))
}

/// Carries a write to its end, even if the caller hangs up: half of it would be nobody's wish.
async fn run_to_completion(
    state: &PlatformState,
    write: impl Future<Output = Result<Response, Refusal>> + Send + 'static,
) -> Result<Response, Refusal> {
    state.tasks.spawn(write).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a write ended before its time");
        Err(Refusal::new(
            ErrorCode::InternalError,
            "a fault of the server",
        ))
    })
}

/// Carries out what was begun, and keeps the answer. What was refused has changed nothing, so its
/// name is free again.
async fn once(app: &App, turn: Turn, request: Request, next: Next) -> Result<Response, Refusal> {
    let response = next.run(request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kept = if parts.status.is_success() {
        let kind = parts.headers.get(CONTENT_TYPE);
        let answer = Answer {
            status: parts.status.as_u16(),
            kind: kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        app.idempotency.finish(&turn, &answer).await
    } else {
        app.idempotency.give_up(&turn).await.map_err(Into::into)
    };
    if let Err(error) = kept {
        // It is done all the same. A second try waits until this one counts as abandoned.
        tracing::error!(%error, "cannot keep the answer to an idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn repeated(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if let Some(kind) = answer
        .kind
        .and_then(|kind| HeaderValue::try_from(kind).ok())
    {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The request's idempotency key.
fn name_of(request: &Request) -> Result<Option<String>, Refusal> {
    let mut names = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(name) = names.next() else {
        return Ok(None);
    };
    let text = name.to_str().ok().filter(|text| {
        (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic())
    });
    match (text, names.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "Idempotency-Key is malformed, expected one of 1 to 255 printable ASCII characters \
             without spaces",
        )),
    }
}

/// Whether a request changes something. An answer to a question must not be an old one.
fn writes(request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let path = request.uri().path();
    !reads && !QUESTIONS.iter().any(|question| path.ends_with(question))
}

/// Whether a request shuts somebody out or takes something away: that is possible whatever the app
/// has used up.
fn is_exempt(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::DELETE || EXEMPT.iter().any(|end| path.ends_with(end))
}

const EXEMPT: [&str; 3] = ["/revoke", "/revocations", "/disconnect"];
/// What is asked by POST because of what is asked.
const QUESTIONS: [&str; 2] = ["/v1/tokens/introspect", "/v1/users/presence"];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_NAME: usize = 255;
