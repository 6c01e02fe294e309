use std::time::Duration;

use async_trait::async_trait;
use hexline_model::Secret;

/// A request to somebody else's server.
pub struct Request {
    /// Where to; https, or http on loopback in development.
    pub url: String,
    /// What is sent; without it, it is a GET.
    pub body: Option<Body>,
    /// `Authorization`.
    pub authorization: Option<Secret<String>>,
}

/// What is posted.
pub enum Body {
    /// A form, already encoded.
    Form(Secret<String>),
    /// JSON.
    Json(Secret<String>),
}

/// What came back.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, no larger than allowed.
    pub body: String,
}

/// Why nothing came back. Its text holds no URL and nothing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// Nobody there, no TLS, or the line broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// It took longer than [`PATIENCE`].
    #[error("the server does not answer in time")]
    Slow,
    /// More than [`MAX_ANSWER`] bytes.
    #[error("the answer has more than {MAX_ANSWER} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("the answer is not text")]
    NotText,
    /// The name stands for an address inside, where nobody is to be sent.
    #[error("the address is a private one")]
    Private,
}

/// Reaches other people's servers, under limits: no redirect is followed, no private address
/// asked (but in development), nothing waited for longer than [`PATIENCE`], no more read than
/// [`MAX_ANSWER`].
#[async_trait]
pub trait Outbound: Send + Sync {
    /// Sends a request and reads the whole answer, whatever its status.
    async fn send(&self, request: Request) -> Result<Answer, OutboundError>;
}

impl Request {
    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            body: None,
            authorization: None,
        }
    }

    /// A POST of a form.
    pub fn form(url: impl Into<String>, members: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in members {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&escaped(name));
            text.push('=');
            text.push_str(&escaped(value));
        }
        Self {
            url: url.into(),
            body: Some(Body::Form(Secret::new(text))),
            authorization: None,
        }
    }

    /// A POST of JSON.
    pub fn json(url: impl Into<String>, json: String) -> Self {
        Self {
            url: url.into(),
            body: Some(Body::Json(Secret::new(json))),
            authorization: None,
        }
    }

    /// With `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.authorization = Some(Secret::new(format!("Bearer {token}")));
        self
    }

    /// With `Authorization: Basic`, both parts as they are.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let both = Secret::new(format!("{user}:{password}"));
        let encoded = base64::prelude::BASE64_STANDARD.encode(both.expose());
        self.authorization = Some(Secret::new(format!("Basic {encoded}")));
        self
    }
}

/// A text as a part of a query or a form.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// How long an answer may take, from the first step to the last byte.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How many bytes an answer may have.
pub const MAX_ANSWER: usize = 256 << 10;
