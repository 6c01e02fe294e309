use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hexline_gateway::CallFailure;
use hexline_protocol::{ErrorCode, Incoming, Item};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::calls::HttpCaller;
use crate::kit::body::FrameBody;
use crate::kit::error::ErrorBody;

/// One call, or a list of calls.
#[derive(ToSchema)]
#[schema(
    value_type = Value,
    example = json!({"jsonrpc": "2.0", "id": 1, "method": "session.info", "params": {}})
)]
#[expect(dead_code, reason = "it describes what `openrpc.json` has in detail")]
pub(crate) struct RpcBody(Value);

/// A response, or the responses to a list of calls, in the same order.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `hexline_protocol` writes")]
pub(crate) enum RpcAnswer {
    /// To a call.
    One(RpcResponse),
    /// To a list of calls.
    Batch(Vec<RpcResponse>),
}

/// A JSON-RPC 2.0 response.
#[derive(Serialize, ToSchema)]
pub(crate) struct RpcResponse {
    #[schema(example = "2.0")]
    jsonrpc: String,
    /// The call's id; null if it could not be read.
    #[schema(value_type = Value, required = true)]
    id: Value,
    /// What the method gives, if it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    result: Option<Value>,
    /// Why it was refused, else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<RpcError>,
}

/// Why a call was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RpcError {
    /// The number; docs/errors.md has them all.
    code: i32,
    /// What was found and what was expected, for people.
    message: String,
    /// The reason, for programs.
    data: RpcErrorData,
}

/// The reason why a call was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RpcErrorData {
    /// The reason.
    code: String,
    /// When another attempt can succeed, with `rate_limited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u64>,
}

/// Too many calls, or too many failed tokens.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what two places write")]
pub(crate) enum RpcTooMany {
    /// Calls of this device.
    Calls(RpcResponse),
    /// Failed tokens of this address.
    #[serde(skip)]
    Tokens(ErrorBody),
}

/// Call methods: JSON-RPC 2.0, one call or a list of calls
///
/// Every method that needs no WebSocket; `/openrpc.json` describes them. What others are told comes
/// from `identity/device/http`. Once the token has been taken and the body is there, the status is 200,
/// and what was refused is an error in the response; calls without an `id` are not answered, and 204
/// says that none had one.
#[utoipa::path(
    post,
    path = "/client/v1/rpc",
    tag = "client",
    security(("clientToken" = [])),
    request_body = RpcBody,
    responses(
        (status = 200, description = "The responses", body = RpcAnswer),
        (status = 204, description = "No call had an id"),
        (
            status = 429,
            description = "Too many calls; `Retry-After` says when to come back",
            body = RpcTooMany
        )
    )
)]
pub(crate) async fn rpc(caller: HttpCaller, FrameBody(body): FrameBody) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else {
        return refused(&caller, ErrorCode::ParseError, "the body is not UTF-8");
    };
    let incoming = hexline_protocol::parse(text, caller.json_depth());
    let calls = match &incoming {
        Incoming::Batch(items) => items.len(),
        _ => 1,
    };
    if calls > caller.burst() {
        let limit = caller.burst();
        let why = format!("the batch has {calls} calls, at most {limit} are allowed");
        return refused(&caller, ErrorCode::TooLarge, &why);
    }
    if let Err(wait) = caller.count(calls) {
        return too_many(&incoming, wait);
    }
    match incoming {
        // Over HTTP there is nothing to keep alive.
        Incoming::Ping => refused(&caller, ErrorCode::ParseError, "the body is not valid JSON"),
        Incoming::Unreadable(code, why) => refused(&caller, code, why),
        Incoming::Single(item) => answer(&caller, &item).await.map_or_else(nothing, json),
        Incoming::Batch(items) => {
            let mut responses = Vec::with_capacity(items.len());
            for item in &items {
                responses.extend(answer(&caller, item).await);
            }
            hexline_protocol::batch(&responses).map_or_else(nothing, json)
        }
    }
}

/// The response to one object of the body, if it gets one.
async fn answer(caller: &HttpCaller, item: &Item<'_>) -> Option<Bytes> {
    match item {
        Item::Response => None,
        Item::Invalid(id, why) => {
            caller.note_refusal(ErrorCode::InvalidRequest);
            let error = hexline_protocol::error(*id, ErrorCode::InvalidRequest, why, &[]);
            Some(error)
        }
        Item::Call(call) => {
            let result = caller.carry_out(call).await;
            let id = call.id?;
            Some(match result {
                Ok(reply) => hexline_protocol::result(id, &reply),
                Err(CallFailure { code, message, .. }) => {
                    hexline_protocol::error(Some(id), code, &message, &[])
                }
            })
        }
    }
}

/// An error about the whole body.
fn refused(caller: &HttpCaller, code: ErrorCode, why: &str) -> Response {
    caller.note_refusal(code);
    json(hexline_protocol::error(None, code, why, &[]))
}

fn too_many(incoming: &Incoming<'_>, wait: Duration) -> Response {
    let id = match incoming {
        Incoming::Single(Item::Call(call)) => call.id,
        _ => None,
    };
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let message = "too many calls of this device over HTTP";
    let details = [("retry_after_ms", ms.into())];
    let error = hexline_protocol::error(id, ErrorCode::RateLimited, message, &details);
    let mut response = json(error);
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let seconds = HeaderValue::from(ms.div_ceil(1000));
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn json(text: Bytes) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], text).into_response()
}
