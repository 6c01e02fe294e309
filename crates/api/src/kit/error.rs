use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use hexline_services::Failure;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::token_refusal::TokenRefusal;

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

/// Marks a response whose status says how the server is, and not that something went wrong.
#[derive(Clone)]
pub(crate) struct Told;

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

/// As every failure, but that the end of a hold is known to the millisecond.
impl From<TokenRefusal> for Refusal {
    fn from(TokenRefusal { cause, .. }: TokenRefusal) -> Self {
        let refusal = Self::new(cause.code(), cause.message());
        match cause.retry_after() {
            Some(wait) => refusal.retry_in(wait),
            None => refusal,
        }
    }
}

/// The one way in which an error of a service becomes an answer. A cause that is not for the caller is
/// logged here, once.
impl<F: Failure> From<F> for Refusal {
    fn from(failure: F) -> Self {
        if !failure.is_for_caller() {
            tracing::error!(error = %failure, "a service failed");
        }
        let mut refusal = Self::new(failure.code(), failure.message());
        if let Some(reason) = failure.reason() {
            refusal = refusal.detail("reason", reason);
        }
        if let Some(wait) = failure.retry_after() {
            let seconds = wait.as_millis().div_ceil(1000);
            refusal = refusal.retry_after(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        refusal
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hexline_services::auth::AuthError;
    use hexline_services::keys::{KeyError, RegistryError};
    use hexline_services::operators::OperatorError;
    use hexline_services::store::StoreError;
    use hexline_services::tokens::TokenError;
    use hexline_services::webhooks::WebhookError;
    use hexline_token::{Reason, Rejection};

    use super::*;

    /// Status, code, message, details and `Retry-After`, as a client sees them.
    fn told(refusal: impl Into<Refusal>) -> String {
        let refusal = refusal.into();
        let details = Value::from(refusal.details);
        let wait = refusal.retry_after_s;
        let (status, code) = (refusal.status.as_u16(), refusal.code);
        format!("{status} {code} {:?} {details} {wait:?}", refusal.message)
    }

    #[test]
    fn an_error_of_any_service_is_told_in_one_way() {
        let wait = Duration::from_millis(1500);
        let hidden = || StoreError::Other("a cause with a secret".into());
        let told = [
            told(Rejection::new(Reason::TokenExpired, "1", "2")),
            told(Rejection::new(Reason::GrantMissing, "none", "signal")),
            told(hidden()),
            told(StoreError::NotFound { what: "app" }),
            told(RegistryError::Contended),
            told(KeyError::Store(hidden())),
            told(TokenError::Foreign),
            told(TokenError::Keys(KeyError::Store(hidden()))),
            told(OperatorError::Throttled { wait }),
            told(OperatorError::Busy),
            told(OperatorError::PasswordTooLong),
            told(OperatorError::Store(hidden())),
            told(AuthError::Throttled { retry_after_s: 7 }),
            told(AuthError::Refused {
                reason: "code_used",
                message: "found a code that was used".to_owned(),
            }),
            told(AuthError::Store(hidden())),
            told(WebhookError::QueueFull),
            told(WebhookError::Store(hidden())),
        ];
        let expected = [
            r#"401 token_expired "found 1, expected 2" {} None"#,
            r#"403 grant_missing "found none, expected signal" {} None"#,
            HIDDEN,
            r#"404 not_found "there is no such app" {} None"#,
            r#"503 unavailable "the database kept changing; nothing was done, try again" {} None"#,
            HIDDEN,
            r#"401 key_unknown "found a token that is none of this app's users', expected one" {} None"#,
            HIDDEN,
            r#"429 rate_limited "too many failed attempts: wait a while" {"retry_after_ms":2000} Some(2)"#,
            r#"429 rate_limited "too many are signing in at once: try again" {"retry_after_ms":1000} Some(1)"#,
            r#"400 invalid_params "the password has more than 1024 bytes" {} None"#,
            HIDDEN,
            r#"429 rate_limited "too many sign in at once, expected fewer" {"retry_after_ms":7000} Some(7)"#,
            r#"401 sign_in_failed "found a code that was used" {"reason":"code_used"} None"#,
            HIDDEN,
            r#"429 rate_limited "too many deliveries of this webhook wait" {} None"#,
            r#"500 internal_error "the server cannot do this at the moment" {} None"#,
        ];
        assert_eq!(told, expected);
    }

    const HIDDEN: &str = r#"503 unavailable "the server cannot do this at the moment" {} None"#;
}
