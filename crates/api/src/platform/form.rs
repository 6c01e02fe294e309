use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, Request};
use hexline_protocol::ErrorCode;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::app::App;
use crate::kit::body::PromptBody;
use crate::kit::error::Refusal;
use crate::kit::json::{is_json, read};

/// What the OAuth standards send: a form, or the same members as JSON.
pub(super) struct Form<T>(pub(super) T);

impl<S, T> FromRequest<S> for Form<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let as_json = is_json(request.headers());
        if !as_json && !is_form(request.headers()) {
            return Err(unsupported(
                "expected application/x-www-form-urlencoded or application/json",
            ));
        }
        let PromptBody(body) = PromptBody::from_request(request, state).await?;
        if as_json {
            return read(&body).map(Self);
        }
        let mut members = Map::new();
        for (name, value) in form_urlencoded::parse(&body) {
            let before = members.insert(name.into_owned(), Value::from(value.into_owned()));
            if before.is_some() {
                return Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    "the body: a member stands twice",
                ));
            }
        }
        let text = serde_json::to_vec(&members).expect("a map is JSON");
        read(&text).map(Self)
    }
}

/// Seconds, as a number or, for forms, in digits.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let wanted = || serde::de::Error::custom("not a number of seconds");
    match Option::<Written>::deserialize(deserializer).map_err(|_| wanted())? {
        None => Ok(None),
        Some(Written::Number(seconds)) => Ok(Some(seconds)),
        Some(Written::Text(text)) => text.parse().map(Some).map_err(|_| wanted()),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

fn unsupported(expected: &str) -> Refusal {
    let message = format!("the body is not of a type that is taken here, {expected}");
    Refusal::new(ErrorCode::InvalidRequest, message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}
