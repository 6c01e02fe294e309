//! What a request says, as types: its JSON body, its query, the ids in its path.
//!
//! Each extractor refuses what its type cannot hold, and says where and what was expected. The
//! text that was sent is never quoted: it may be a secret in the wrong place.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use hexline_protocol::ErrorCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::app::App;
use crate::kit::body::PromptBody;
use crate::kit::error::Refusal;

/// A JSON body. Its type says `#[serde(deny_unknown_fields)]`; no member stands twice, at any
/// depth.
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body that may be left out, or null; then every member has its default.
pub(crate) struct MaybeBody<T>(pub(crate) T);

/// The query. Its type says `#[serde(deny_unknown_fields)]`.
pub(crate) struct Params<T>(pub(crate) T);

/// What stands in the path's `{…}`: what is no id names nothing, so it is not found.
pub(crate) struct Ids<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        require_json(request.headers())?;
        let PromptBody(body) = PromptBody::from_request(request, state).await?;
        read(&body).map(Self)
    }
}

impl<S, T> FromRequest<S> for MaybeBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let declared = request.headers().contains_key(CONTENT_TYPE);
        let as_json = is_json(request.headers());
        let PromptBody(body) = PromptBody::from_request(request, state).await?;
        match (declared, as_json) {
            (_, true) => read::<Option<T>>(&body).map(|body| Self(body.unwrap_or_default())),
            (false, false) if body.is_empty() => Ok(Self(T::default())),
            _ => {
                let message = "the body is not of a type that is taken here, expected \
                               application/json, or no body";
                Err(Refusal::new(ErrorCode::InvalidRequest, message)
                    .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
            }
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let cause = std::error::Error::source(&rejection);
                let cause = cause.map_or_else(String::new, ToString::to_string);
                let message = format!("the query cannot be read: {}", without_quotes(&cause));
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(Refusal::new(
                ErrorCode::NotFound,
                "the path names something that cannot be",
            )),
        }
    }
}

/// Refuses a body that is not declared as JSON.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    if is_json(headers) {
        return Ok(());
    }
    let message = "the body is not declared as JSON, expected Content-Type: application/json";
    Err(Refusal::new(ErrorCode::InvalidRequest, message)
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// Whether the body is declared as JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a JSON body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let refuse = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    if let Err(error) = serde_json::from_slice::<Unique>(body) {
        return Err(refuse(match error.classify() {
            serde_json::error::Category::Data => format!("the body: {error}"),
            _ => format!(
                "the body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        }));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let text = without_quotes(&error.inner().to_string());
        let place = known_place(error.path());
        refuse(if place.is_empty() {
            format!("the body: {text}")
        } else {
            format!("{place}: {text}")
        })
    })
}

/// Where in the body it is, as far as the names are ours: the last one may be the sender's.
fn known_place(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    let ours = text.len() <= 100
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._[]".contains(&b));
    if ours && text != "." {
        text
    } else {
        String::new()
    }
}

/// What serde says, less what it quotes of the input, and less the position at its end.
fn without_quotes(message: &str) -> String {
    let message = message
        .rsplit_once(" at line ")
        .map_or(message, |(text, _)| text);
    let quotes = [
        "invalid type",
        "invalid value",
        "unknown field",
        "unknown variant",
    ];
    if !quotes.iter().any(|start| message.starts_with(start)) {
        return message.to_owned();
    }
    let found = message
        .split(['`', '"'])
        .next()
        .unwrap_or(message)
        .trim_end_matches([' ', ':']);
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if !found.contains(", expected ") => {
            format!("{found}, expected {expected}")
        }
        _ => found.to_owned(),
    }
}

/// Any JSON in which no member stands twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for what it refuses")]
    struct Order {
        name: String,
        #[serde(default)]
        ttl_s: Option<u32>,
        #[serde(default)]
        inner: Option<Box<Order>>,
        #[serde(default)]
        grants: serde_json::Value,
    }

    fn refused(body: &str) -> String {
        let refusal = read::<Order>(body.as_bytes()).expect_err("a refusal");
        assert!(!refusal.message().contains("secret-7f"), "{refusal:?}");
        refusal.message().to_owned()
    }

    #[test]
    fn a_body_that_does_not_fit_is_told_where_and_never_quoted() {
        for (body, wanted) in [
            ("", "the body is not valid JSON (line 1, column 0)"),
            (
                "{\"name\":",
                "the body is not valid JSON (line 1, column 8)",
            ),
            (
                "[]",
                "the body: invalid length 0, expected struct Order with 4 elements",
            ),
            ("{}", "the body: missing field `name`"),
            (
                r#"{"name":5}"#,
                "name: invalid type: integer, expected a string",
            ),
            (
                r#"{"name":"a","ttl_s":"secret-7f"}"#,
                "ttl_s: invalid type: string, expected u32",
            ),
            (
                r#"{"name":"a","ttl_s":"secret-7f\", expected x"}"#,
                "ttl_s: invalid type: string, expected u32",
            ),
            (
                r#"{"name":"a","inner":{"name":"b","secret-7f":1}}"#,
                "the body: unknown field, expected one of `name`, `ttl_s`, `inner`, `grants`",
            ),
            (
                r#"{"name":"a","grants":{"x":{"secret-7f":1,"secret-7f":2}}}"#,
                "the body: a member stands twice",
            ),
            (
                r#"{"name":"a"} x"#,
                "the body is not valid JSON (line 1, column 14)",
            ),
        ] {
            assert!(
                refused(body).starts_with(wanted),
                "{body}: {}",
                refused(body)
            );
        }
        assert!(read::<Order>(br#"{"name":"a","grants":{"a":{"b":1},"b":[1]}}"#).is_ok());
    }
}
