use std::sync::Once;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The `code` of the JSON body.
    pub code: String,
}

/// An HTTP client that follows no redirect and keeps no connection: one that is idle is closed by a
/// server for which a test lets minutes pass.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another test may have installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(crate::PATIENCE)
        .build()
        .expect("the settings are valid")
}

/// A request for a WebSocket by an HTTP client, to see how it is refused.
pub fn upgrade(url: &str) -> reqwest::RequestBuilder {
    client()
        .get(url)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Sends a request that is refused, with a JSON body that holds a code and a message.
pub async fn refusal_of(request: reqwest::RequestBuilder) -> Refusal {
    let response = request.send().await.expect("the server answers");
    let status = response.status().as_u16();
    assert!(status >= 400, "a refusal was wanted, not {status}");
    let kind = response
        .headers()
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let text = response.text().await.expect("the server sends a body");
    assert!(kind.starts_with("application/json"), "{kind}: {text}");
    let body: Value = serde_json::from_str(&text).expect("the body is JSON");
    assert!(body["message"].is_string(), "{body}");
    let code = body["code"].as_str().expect("the body has a code");
    Refusal {
        status,
        code: code.to_owned(),
    }
}

/// What a token claims, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A refusal, to compare with.
pub fn refusal(status: u16, code: &str) -> Refusal {
    Refusal {
        status,
        code: code.to_owned(),
    }
}
