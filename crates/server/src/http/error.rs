use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use hexline_services::error_code;
use hexline_services::keys::KeyError;
use hexline_services::tokens::TokenError;
use hexline_token::Rejection;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::frame::Told;

/// What a refused HTTP request is told: `{"code":"…","message":"…"}` with the code's status.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    message: String,
    status: StatusCode,
    retry_after_s: Option<u32>,
    details: Map<String, Value>,
    is_told: bool,
}

/// Why a request was refused.
#[derive(utoipa::ToSchema)]
#[schema(as = Error)]
#[expect(dead_code, reason = "it describes what `Refusal` writes")]
pub(crate) struct ErrorBody {
    /// The reason, for programs; docs/errors.md has them all.
    #[schema(example = "token_expired")]
    code: String,
    /// What was found and what was expected, for people.
    #[schema(example = "found 1490480108, expected a later time")]
    message: String,
    /// More about it, for programs: `retry_after_ms` with `rate_limited`, for one.
    details: Option<Map<String, Value>>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).expect("the table holds statuses");
        Self {
            code,
            message: message.into(),
            status,
            retry_after_s: None,
            details: Map::new(),
            is_told: false,
        }
    }

    /// What is the matter, for people.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same code with another status than the table's, where HTTP has a better one.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self.detail("retry_after_ms", u64::from(seconds) * 1000)
    }

    /// The same with an end that is known to the millisecond.
    pub(crate) fn retry_in(mut self, span: Duration) -> Self {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.retry_after_s = Some(u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX));
        self.detail("retry_after_ms", ms)
    }

    /// One more member of `details`. Never a secret, nor what the client wrote.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Its status says how the server is, and is no failure to be logged.
    pub(crate) fn told(mut self) -> Self {
        self.is_told = true;
        self
    }

    /// The message alone, for those who read no JSON.
    pub(crate) fn into_text(self) -> Response {
        let text = self.message.clone();
        let mut response = self.into_response();
        *response.body_mut() = text.into();
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        let message = format!("found {}, expected {}", rejection.found, rejection.expected);
        Self::new(error_code(rejection.reason), message)
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        if error.is_for_caller() {
            return Self::new(error.code(), error.to_string());
        }
        tracing::error!(%error, "a service failed");
        Self::new(error.code(), "the server cannot do this at the moment")
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Keys(error) => error.into(),
            error if error.is_for_caller() => Self::new(error.code(), error.to_string()),
            error => {
                tracing::error!(%error, "no token");
                Self::new(error.code(), "the server cannot make tokens at the moment")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("code".to_owned(), self.code.text().into());
        body.insert("message".to_owned(), self.message.into());
        if !self.details.is_empty() {
            body.insert("details".to_owned(), self.details.into());
        }
        let body = Value::from(body).to_string();
        let mut response = (self.status, body).into_response();
        if self.is_told {
            response.extensions_mut().insert(Told);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
