use async_trait::async_trait;
use hexline_services::auth::{
    Answer, Body, MAX_ANSWER, Outbound, OutboundError, PATIENCE, Request,
};
use hexline_services::reach::{UrlRefused, UrlRule};
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::Method;

use super::guarded::{GuardedHttp, refusal};

/// Reaches sign-in providers and the apps' own sign-in.
pub(crate) struct OutboundHttp {
    http: GuardedHttp,
}

impl OutboundHttp {
    pub(crate) fn new(rule: UrlRule) -> anyhow::Result<Self> {
        let http = GuardedHttp::new(rule, PATIENCE)?;
        Ok(Self { http })
    }
}

#[async_trait]
impl Outbound for OutboundHttp {
    async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        let method = match request.body {
            None => Method::GET,
            Some(_) => Method::POST,
        };
        let mut builder = self.http.request(method, &request.url).map_err(refused)?;
        builder = match request.body {
            None => builder,
            Some(Body::Form(text)) => builder
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(text.expose().clone()),
            Some(Body::Json(text)) => builder
                .header(CONTENT_TYPE, "application/json")
                .body(text.expose().clone()),
        };
        builder = builder.header(ACCEPT, "application/json");
        if let Some(authorization) = request.authorization {
            let mut value = HeaderValue::from_str(authorization.expose())
                .map_err(|_| OutboundError::Unreachable("a header cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(OutboundError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).map_err(|_| OutboundError::NotText)?;
        Ok(Answer { status, body })
    }
}

fn failed(error: reqwest::Error) -> OutboundError {
    if error.is_timeout() {
        return OutboundError::Slow;
    }
    match refusal(&error) {
        Some(reason) => refused(reason),
        None => OutboundError::Unreachable(error.without_url().to_string()),
    }
}

fn refused(reason: UrlRefused) -> OutboundError {
    match reason {
        UrlRefused::Address => OutboundError::Private,
        other => OutboundError::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_inside_is_asked() {
        let outbound = OutboundHttp::new(UrlRule::providers(false, false)).expect("a client");
        for url in [
            "https://127.0.0.1/x",
            "https://[::1]/",
            "https://localhost/",
            "https://0x7f.1/",
        ] {
            let answer = outbound.send(Request::get(url)).await;
            assert_eq!(answer.err(), Some(OutboundError::Private), "{url}");
        }
    }
}
