use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hexline_model::{Device, Identity};
use hexline_protocol::ErrorCode;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::client::ClientState;
use crate::kit::body::PromptBody;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::is_json;

/// A demo token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is written by hand")]
pub(crate) struct DemoToken {
    /// A token for an hour, with every service.
    token: String,
}

/// A token for whoever asks
///
/// For demos, and only where it is switched on. To a form its errors are a line of plain text.
#[utoipa::path(
    post,
    path = "/token",
    tag = "demo",
    request_body(content(
        (Body = "application/json"),
        (Body = "application/x-www-form-urlencoded")
    )),
    responses(
        (status = 200, description = "A token", body = DemoToken),
        (status = 400, description = "What is missing or malformed", content(
            (ErrorBody = "application/json"),
            (String = "text/plain")
        ))
    )
)]
pub(crate) async fn demo_token(
    State(state): State<ClientState>,
    headers: HeaderMap,
    body: Result<PromptBody, Refusal>,
) -> Response {
    let json = is_json(&headers);
    let minted = body.and_then(|PromptBody(body)| mint(&state, &Wanted::read(json, &body)?));
    match minted {
        // A token needs no escaping.
        Ok(token) => {
            let kind = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, kind)], format!(r#"{{"token":"{token}"}}"#)).into_response()
        }
        Err(refusal) if json => refusal.into_response(),
        // What the demo service of Bit6 answered.
        Err(refusal) => refusal.into_text(),
    }
}

fn mint(state: &ClientState, wanted: &Wanted) -> Result<String, Refusal> {
    let (app, tokens) = (&state.app, &state.demo_tokens);
    let now = app.clock.now();
    let minted = tokens.mint(&app.keys, &wanted.identity, &wanted.device, now);
    Ok(minted?)
}

/// Whom the token is for.
struct Wanted {
    identity: Identity,
    device: Device,
}

/// Whom a demo token is for.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DemoTokenOrder)]
struct Body {
    /// Who.
    #[schema(required, value_type = String)]
    identity: Option<String>,
    /// On which device.
    #[schema(required, value_type = String)]
    device: Option<String>,
}

impl Wanted {
    fn read(json: bool, body: &[u8]) -> Result<Self, Refusal> {
        let body = if json {
            serde_json::from_slice(body).map_err(|_| {
                refusal("the body is not a JSON object with identity and device".to_owned())
            })?
        } else {
            let mut form = Body::default();
            for (name, value) in form_urlencoded::parse(body) {
                match name.as_ref() {
                    "identity" => form.identity = Some(value.into_owned()),
                    "device" => form.device = Some(value.into_owned()),
                    _ => {}
                }
            }
            form
        };
        let missing = |name: &str| refusal(format!("{name} is missing"));
        let identity = body.identity.ok_or_else(|| missing("identity"))?;
        let device = body.device.ok_or_else(|| missing("device"))?;
        Ok(Self {
            identity: Identity::parse(&identity).map_err(|e| refusal(format!("identity {e}")))?,
            device: Device::parse(&device).map_err(|e| refusal(format!("device {e}")))?,
        })
    }
}

fn refusal(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: Option<&str>, body: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, value.parse().expect("a header value"));
        }
        Wanted::read(is_json(&headers), body.as_bytes())
            .map(|w| format!("{}/{}", w.identity, w.device))
            .map_err(|refusal| refusal.message().to_owned())
    }

    #[test]
    fn a_form_and_a_json_object_say_the_same() {
        let form = Some("application/x-www-form-urlencoded");
        let ok = Ok("bob 1/web1".to_owned());
        assert_eq!(read(form, "identity=bob+1&device=web1&more=1"), ok);
        assert_eq!(read(None, "identity=bob%201&device=web1"), ok);
        let json = r#"{"identity":"bob 1","device":"web1","more":1}"#;
        assert_eq!(read(Some("application/json; charset=utf-8"), json), ok);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let json = Some("application/json");
        assert_eq!(
            read(None, "device=web1"),
            Err("identity is missing".to_owned())
        );
        assert_eq!(
            read(json, r#"{"identity":"b"}"#),
            Err("device is missing".to_owned())
        );
        assert_eq!(
            read(None, "identity=a/b&device=c"),
            Err("identity contains '/'".to_owned())
        );
        assert!(read(json, "identity=b&device=c").is_err());
    }
}
