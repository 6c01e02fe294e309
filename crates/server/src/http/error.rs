use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use hexline_services::error_code;
use hexline_token::Rejection;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// What a refused HTTP request is told: `{"code":"…","message":"…"}` with the code's status.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    message: String,
    status: StatusCode,
    retry_after_s: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).expect("the table holds statuses");
        Self {
            code,
            message: message.into(),
            status,
            retry_after_s: None,
        }
    }

    /// The same code with another status than the table's, where HTTP has a better one.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        let message = format!("found {}, expected {}", rejection.found, rejection.expected);
        Self::new(error_code(rejection.reason), message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = serde_json::Map::new();
        body.insert("code".to_owned(), self.code.text().into());
        body.insert("message".to_owned(), self.message.into());
        if let Some(seconds) = self.retry_after_s {
            body.insert(
                "details".to_owned(),
                serde_json::json!({ "retry_after_ms": seconds * 1000 }),
            );
        }
        let body = serde_json::Value::from(body).to_string();
        let mut response = (self.status, body).into_response();
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
