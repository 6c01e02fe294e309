use std::io;
use std::time::Duration;

use hexline_model::Secret;
use serde_json::value::RawValue;

/// Why no connection came about. Never holds the token or a URL's query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The token cannot be put into a request, or does not say where to connect.
    #[error("the token cannot be used: {0}")]
    Token(String),
    /// The URL is none of a WebSocket or an API.
    #[error("the URL cannot be used: {0}")]
    Url(&'static str),
    /// A certificate given as a root cannot be read.
    #[error("a root certificate cannot be read: {0}")]
    Certificate(String),
    /// No TCP connection.
    #[error("{authority} cannot be reached: {source}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// No TLS session: another protocol, or a certificate that is not trusted.
    #[error("no TLS session with {authority}: {source}")]
    Tls {
        /// Host and port.
        authority: String,
        /// What TLS says.
        source: io::Error,
    },
    /// The connection broke before the upgrade was answered.
    #[error("the connection broke during the upgrade: {0}")]
    Broken(io::Error),
    /// Nothing answered in time.
    #[error("{authority} gave no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// Host and port.
        authority: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The server answered, and its answer was no.
    #[error("the server refused the connection with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason's code, e.g. `token_expired`; `None` if the answer names none.
        code: Option<String>,
        /// The reason, for people.
        message: String,
    },
    /// Something answered that is no WebSocket server.
    #[error("the answer to the upgrade is no WebSocket server's: {0}")]
    NotWebSocket(&'static str),
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server refused it.
    #[error("the server refused the call ({code}): {message}")]
    Refused {
        /// The JSON-RPC error number.
        code: i64,
        /// The reason, for people.
        message: String,
        /// Details, as the server sent them.
        data: Option<Box<RawValue>>,
    },
    /// No answer came in time. The server may have done it all the same.
    #[error("the server gave no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The connection has ended. The server may have done it all the same.
    #[error("the connection has ended")]
    Closed,
    /// The answer is not of the form that this client knows. The server has done it.
    #[error("the result of {0} is of a form that this client does not know")]
    Unreadable(&'static str),
    /// The parameters cannot be sent.
    #[error("the parameters cannot be sent: {0}")]
    Params(String),
}

impl ConnectError {
    /// Whether another attempt with a new token can help. Not after a refusal with 401 or 403, nor
    /// when the token, the URL or a certificate given is malformed. It can after 429 and after 503,
    /// which says that the server cannot tell at the moment.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Refused { status, .. } => !matches!(status, 401 | 403),
            Self::Token(_) | Self::Url(_) | Self::Certificate(_) => false,
            _ => true,
        }
    }
}

impl CallError {
    /// The reason's code, e.g. `grant_missing`, if the server named one.
    pub fn reason(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Data {
            code: String,
        }
        let Self::Refused {
            data: Some(data), ..
        } = self
        else {
            return None;
        };
        serde_json::from_str::<Data>(data.get())
            .ok()
            .map(|data| data.code)
    }
}

/// Text from a server, fit for a terminal and a log: short, without control characters, and
/// without the token in case the server repeats it.
pub(crate) fn printable(text: &str, token: Option<&Secret<String>>) -> String {
    let text = match token {
        Some(token) if !token.expose().is_empty() => text.replace(token.expose(), "…"),
        _ => text.to_owned(),
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

const MAX_TEXT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_server_holds_no_control_characters_and_no_token() {
        let token = Secret::new("aaa.bbb.ccc".to_owned());
        let text = printable("\u{1b}[2Jbad token aaa.bbb.ccc\r\n", Some(&token));
        assert_eq!(text, "[2Jbad token …");
        assert_eq!(printable(&"x".repeat(9000), None).len(), MAX_TEXT);
    }

    #[test]
    fn only_what_another_attempt_can_change_is_tried_again() {
        let refused = |status| ConnectError::Refused {
            status,
            code: None,
            message: String::new(),
        };
        for status in [429, 500, 502, 503, 504] {
            assert!(refused(status).may_retry(), "{status}");
        }
        for status in [401, 403] {
            assert!(!refused(status).may_retry(), "{status}");
        }
    }

    #[test]
    fn the_reason_is_read_from_the_data() {
        let refused = |data: &str| CallError::Refused {
            code: -32003,
            message: String::new(),
            data: RawValue::from_string(data.to_owned()).ok(),
        };
        assert_eq!(
            refused(r#"{"code":"grant_missing"}"#).reason().as_deref(),
            Some("grant_missing")
        );
        assert_eq!(refused("[1]").reason(), None);
        assert_eq!(CallError::Closed.reason(), None);
    }
}
