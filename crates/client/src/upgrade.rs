use std::fmt::Write as _;

use hexline_model::Secret;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::endpoint::Endpoint;
use crate::error::{ConnectError, printable};
use crate::options::Auth;

/// Asks the server on the other end of `stream` to speak WebSocket (RFC 6455, section 4.1).
///
/// [`Client::connect`](crate::Client::connect) does this and all the rest. It is public for
/// programs that bring their own sockets or want many lean connections. It is written here rather
/// than taken from the WebSocket library because that one logs the request, token included, and
/// keeps of a refusal's body only what came in the same packet. There is no time limit in it.
pub async fn upgrade<S>(
    mut stream: S,
    endpoint: &Endpoint,
    token: &Secret<String>,
    auth: Auth,
    config: WebSocketConfig,
) -> Result<WebSocketStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let request = request(endpoint, token, auth, &key)?;
    stream
        .write_all(request.expose().as_bytes())
        .await
        .map_err(ConnectError::Broken)?;
    stream.flush().await.map_err(ConnectError::Broken)?;

    let (head, rest) = read_head(&mut stream).await?;
    if head.status != 101 {
        let body = read_body(&mut stream, &head, rest).await;
        return Err(refusal(head.status, &body, token));
    }
    head.check_upgrade(&key, auth)?;
    Ok(WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await)
}

fn request(
    endpoint: &Endpoint,
    token: &Secret<String>,
    auth: Auth,
    key: &str,
) -> Result<Secret<String>, ConnectError> {
    let token = token.expose();
    if token.is_empty() {
        return Err(ConnectError::Token("it is empty".to_owned()));
    }
    if !token
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
    {
        return Err(ConnectError::Token(
            "it holds a character that no token has".to_owned(),
        ));
    }
    // Room for all of it, so that no half of the token stays behind in memory on growing.
    let mut text = String::with_capacity(1024 + endpoint.path().len() + token.len());
    text.push_str("GET ");
    text.push_str(endpoint.path());
    if auth == Auth::Query {
        text.push(if endpoint.path().contains('?') {
            '&'
        } else {
            '?'
        });
        text.push_str("jwt=");
        text.push_str(token);
    }
    let _ = write!(
        text,
        " HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nUser-Agent: {USER_AGENT}\r\n",
        endpoint.authority()
    );
    match auth {
        Auth::Query => {}
        Auth::Bearer => {
            let _ = write!(text, "Authorization: Bearer {token}\r\n");
        }
        Auth::SubProtocol => {
            let _ = write!(
                text,
                "Sec-WebSocket-Protocol: {SUB_PROTOCOL}, bearer.{token}\r\n"
            );
        }
    }
    text.push_str("\r\n");
    Ok(Secret::new(text))
}

/// The first lines of an HTTP answer.
#[derive(Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads everything before the empty line.
    fn parse(text: &str) -> Result<Self, ConnectError> {
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3))
            .and_then(|status| status.parse().ok())
            .ok_or(ConnectError::NotWebSocket("it is not HTTP/1.1"))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { status, headers })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn header_holds(&self, name: &str, word: &str) -> bool {
        self.headers
            .iter()
            .filter(|(n, _)| n == name)
            .flat_map(|(_, value)| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    }

    fn check_upgrade(&self, key: &str, auth: Auth) -> Result<(), ConnectError> {
        if !self.header_holds("upgrade", "websocket") || !self.header_holds("connection", "upgrade")
        {
            return Err(ConnectError::NotWebSocket("it upgrades to something else"));
        }
        if self.header("sec-websocket-accept") != Some(&derive_accept_key(key.as_bytes())) {
            return Err(ConnectError::NotWebSocket(
                "Sec-WebSocket-Accept does not fit the key",
            ));
        }
        if self.header("sec-websocket-extensions").is_some() {
            return Err(ConnectError::NotWebSocket(
                "it uses an extension nobody asked for",
            ));
        }
        let wanted = (auth == Auth::SubProtocol).then_some(SUB_PROTOCOL);
        if self.header("sec-websocket-protocol") != wanted {
            return Err(ConnectError::NotWebSocket(
                "its sub-protocol is not the one asked for",
            ));
        }
        Ok(())
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Head, Vec<u8>), ConnectError> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        // From a little before what is new: the mark may have come in two halves.
        let start = bytes.len().saturating_sub(3);
        if read_more(stream, &mut bytes)
            .await
            .map_err(ConnectError::Broken)?
            == 0
        {
            return Err(ConnectError::NotWebSocket("it ends before its head does"));
        }
        if let Some(at) = bytes[start..].windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(start + at + 4);
            bytes.truncate(start + at);
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| ConnectError::NotWebSocket("its head is not text"))?;
            return Ok((Head::parse(text)?, rest));
        }
        if bytes.len() > MAX_ANSWER {
            return Err(ConnectError::NotWebSocket("its head is too long"));
        }
    }
}

/// The body as far as it comes, at most [`MAX_ANSWER`]: it is only there to explain.
async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    head: &Head,
    mut body: Vec<u8>,
) -> Vec<u8> {
    let chunked = head.header_holds("transfer-encoding", "chunked");
    let length = head
        .header("content-length")
        .and_then(|text| text.parse::<usize>().ok());
    let wanted = length.unwrap_or(MAX_ANSWER).min(MAX_ANSWER);
    while body.len() < wanted && !(chunked && body.ends_with(b"0\r\n\r\n")) {
        match read_more(stream, &mut body).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    body.truncate(wanted);
    body
}

async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
) -> std::io::Result<usize> {
    let mut piece = [0; 2048];
    let count = stream.read(&mut piece).await?;
    bytes.extend_from_slice(&piece[..count]);
    Ok(count)
}

fn refusal(status: u16, body: &[u8], token: &Secret<String>) -> ConnectError {
    #[derive(Deserialize)]
    struct Body {
        code: String,
        message: String,
    }
    // A chunked body has its JSON in the middle.
    let json = body
        .iter()
        .position(|c| *c == b'{')
        .zip(body.iter().rposition(|c| *c == b'}'))
        .and_then(|(first, last)| body.get(first..=last))
        .unwrap_or_default();
    let (code, message) = match serde_json::from_slice::<Body>(json) {
        Ok(body) => (Some(printable(&body.code, Some(token))), body.message),
        Err(_) => (None, "the answer gives no reason".to_owned()),
    };
    ConnectError::Refused {
        status,
        code,
        message: printable(&message, Some(token)),
    }
}

/// The sub-protocol that is spoken when the token comes as one.
const SUB_PROTOCOL: &str = "hexline.v1";
const USER_AGENT: &str = concat!("hexline-client/", env!("CARGO_PKG_VERSION"));
const MAX_ANSWER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(protocol: &str) -> Head {
        let accept = derive_accept_key(b"key");
        Head::parse(&format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {accept}{protocol}"
        ))
        .expect("a head")
    }

    #[test]
    fn an_answer_must_fit_what_was_asked_for() {
        let plain = answer("");
        let named = answer("\r\nSec-WebSocket-Protocol: hexline.v1");
        assert!(plain.check_upgrade("key", Auth::Bearer).is_ok());
        assert!(named.check_upgrade("key", Auth::SubProtocol).is_ok());
        assert!(plain.check_upgrade("other", Auth::Bearer).is_err());
        assert!(plain.check_upgrade("key", Auth::SubProtocol).is_err());
        assert!(named.check_upgrade("key", Auth::Query).is_err());
        let extended = answer("\r\nSec-WebSocket-Extensions: permessage-deflate");
        assert!(extended.check_upgrade("key", Auth::Bearer).is_err());
    }

    #[test]
    fn a_token_that_would_break_the_request_is_refused() {
        let endpoint = Endpoint::parse("ws://localhost:1/").expect("a URL");
        for bad in ["", "a b", "a\r\nX: y", "a&b", "é"] {
            let token = Secret::new(bad.to_owned());
            let refused = request(&endpoint, &token, Auth::Query, "key");
            assert!(matches!(refused, Err(ConnectError::Token(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_token_stands_where_it_was_asked_for() {
        let endpoint = Endpoint::parse("ws://localhost:1/x?y=z").expect("a URL");
        let token = Secret::new("a.b.c".to_owned());
        for (auth, line) in [
            (Auth::Query, "GET /x?y=z&jwt=a.b.c HTTP/1.1\r\n"),
            (Auth::Bearer, "\r\nAuthorization: Bearer a.b.c\r\n"),
            (
                Auth::SubProtocol,
                "\r\nSec-WebSocket-Protocol: hexline.v1, bearer.a.b.c\r\n",
            ),
        ] {
            let request = request(&endpoint, &token, auth, "key").expect("a request");
            assert!(request.expose().contains(line), "{}", request.expose());
            assert_eq!(request.expose().matches("a.b.c").count(), 1);
        }
    }

    #[test]
    fn a_refusal_is_read_plain_and_chunked_and_when_it_is_no_json() {
        let token = Secret::new("a.b.c".to_owned());
        for (body, code) in [
            (
                r#"{"code":"token_expired","message":"m"}"#,
                Some("token_expired"),
            ),
            (
                "26\r\n{\"code\":\"token_expired\",\"message\":\"m\"}\r\n0\r\n\r\n",
                Some("token_expired"),
            ),
            ("<html>", None),
            ("}{", None),
        ] {
            match refusal(401, body.as_bytes(), &token) {
                ConnectError::Refused {
                    status: 401,
                    code: found,
                    ..
                } => {
                    assert_eq!(found.as_deref(), code);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
