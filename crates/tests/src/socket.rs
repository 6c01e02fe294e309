use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::within;

/// A raw WebSocket to the gateway.
///
/// Pushes that arrive while something else is waited for are kept for [`Socket::push`].
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    subject: String,
    calls: u64,
    kept: VecDeque<Push>,
}

/// What the server sent unasked.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// For example `signal.join`.
    pub method: String,
    /// Its params; the server never leaves them out.
    pub params: Value,
}

impl Socket {
    /// Opens a socket; an HTTP refusal is an error.
    ///
    /// `subject` is who the token is for, `identity/device`.
    pub async fn open(
        at: SocketAddr,
        subject: &str,
        request: Request<()>,
    ) -> Result<Self, Box<tungstenite::Error>> {
        let stream = within("connecting", TcpStream::connect(at))
            .await
            .map_err(|error| Box::new(error.into()))?;
        Self::over(stream, subject, request).await
    }

    /// Opens a socket whose receive buffer in the kernel is as small as can be.
    pub async fn open_narrow(at: SocketAddr, subject: &str, request: Request<()>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(4096)
            .expect("the kernel takes the size");
        let stream = within("connecting", socket.connect(at))
            .await
            .expect("the server listens");
        Self::over(stream, subject, request)
            .await
            .expect("the upgrade is accepted")
    }

    async fn over(
        stream: TcpStream,
        subject: &str,
        request: Request<()>,
    ) -> Result<Self, Box<tungstenite::Error>> {
        stream
            .set_nodelay(true)
            .map_err(|error| Box::new(error.into()))?;
        let (stream, _) = within("the upgrade", client_async(request, stream))
            .await
            .map_err(Box::new)?;
        Ok(Self {
            stream,
            subject: subject.to_owned(),
            calls: 0,
            kept: VecDeque::new(),
        })
    }

    /// A request for an upgrade at a URL.
    pub fn request(url: &str) -> Request<()> {
        url.replacen("http", "ws", 1)
            .into_client_request()
            .expect("a URL")
    }

    /// Calls a method and gives its result; an error fails the test.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let response = self.respond(method, params).await;
        assert!(
            response.get("result").is_some_and(|r| !r.is_null()),
            "{method}: {response}"
        );
        response["result"].clone()
    }

    /// Calls a method and gives the error that it is refused with; a result fails the test.
    pub async fn refused(&mut self, method: &str, params: Value) -> Value {
        let response = self.respond(method, params).await;
        assert!(response.get("result").is_none(), "{method}: {response}");
        assert!(
            response["error"]["message"].is_string(),
            "{method}: {response}"
        );
        response["error"].clone()
    }

    async fn respond(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.text(
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        )
        .await;
        loop {
            let frame = self.frame().await;
            match as_push(&frame) {
                Some(push) => self.kept.push_back(push),
                None if frame["id"] == id => return frame,
                None => panic!("an answer to {method} was wanted: {frame}"),
            }
        }
    }

    /// Calls a method without an id, which is never answered.
    pub async fn notify(&mut self, method: &str, params: Value) {
        self.text(json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string())
            .await;
    }

    /// The next push. Fences of others are passed over.
    pub async fn push(&mut self) -> Push {
        loop {
            let push = self.next_push().await;
            if push.params.get(FENCE).is_none() {
                return push;
            }
        }
    }

    /// The params of the next push, which has to be of this method.
    pub async fn expect(&mut self, method: &str) -> Value {
        let push = self.push().await;
        assert_eq!(push.method, method, "{}", push.params);
        push.params
    }

    /// Everything that `sender` has caused to be pushed to this socket so far, and what else came
    /// before it.
    pub async fn caused_by(&mut self, sender: &mut Self) -> Vec<Push> {
        static FENCES: AtomicU64 = AtomicU64::new(1);
        let fence = FENCES.fetch_add(1, Ordering::Relaxed);
        sender
            .notify("signal.send", json!({"to": self.subject, FENCE: fence}))
            .await;
        let mut pushes = Vec::new();
        loop {
            let push = self.next_push().await;
            match push.params.get(FENCE) {
                Some(found) if *found == fence => return pushes,
                Some(_) => {}
                None => pushes.push(push),
            }
        }
    }

    /// Nothing that `sender` did so far was pushed to this socket.
    pub async fn hears_nothing_of(&mut self, sender: &mut Self) {
        let pushes = self.caused_by(sender).await;
        assert_eq!(pushes, [], "nothing should have been pushed");
    }

    /// Everything that this socket's own frames have caused to be pushed to itself so far.
    pub async fn after_ping(&mut self) -> Vec<Push> {
        self.text("_ping".to_owned()).await;
        let mut pushes: Vec<_> = self.kept.drain(..).collect();
        loop {
            let text = self.frame_text().await;
            if text == "_pong" {
                return pushes;
            }
            let frame = parse(&text);
            pushes.push(as_push(&frame).unwrap_or_else(|| panic!("an answer unasked: {frame}")));
        }
    }

    /// This connection's address, as another one sees it.
    pub async fn address_seen_by(&mut self, other: &mut Self) -> String {
        self.notify(
            "signal.send",
            json!({"to": other.subject, "introduction": true}),
        )
        .await;
        loop {
            let push = other.push().await;
            if push.params.get("introduction").is_some() {
                let from = push.params["from"].as_str().expect("from is a string");
                return from.to_owned();
            }
            other.kept.push_back(push);
        }
    }

    /// Sends a text frame.
    pub async fn text(&mut self, text: String) {
        self.message(Message::text(text)).await;
    }

    /// Sends any message.
    pub async fn message(&mut self, message: Message) {
        self.try_message(message)
            .await
            .expect("the socket takes the frame");
    }

    /// Sends any message to a server that may have closed already.
    pub async fn try_message(&mut self, message: Message) -> Result<(), Box<tungstenite::Error>> {
        within("sending", self.stream.send(message))
            .await
            .map_err(Box::new)
    }

    /// Sends bytes past the WebSocket layer.
    pub async fn raw(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt;
        let stream = self.stream.get_mut();
        within("sending", stream.write_all(bytes))
            .await
            .expect("the socket takes the bytes");
    }

    /// The next text frame from the wire, as it is.
    pub async fn frame_text(&mut self) -> String {
        loop {
            let message = within("a frame", self.stream.next()).await;
            match message {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text frame was wanted: {other:?}"),
            }
        }
    }

    /// The next text frame from the wire, as JSON.
    pub async fn frame(&mut self) -> Value {
        parse(&self.frame_text().await)
    }

    /// Reads until the server closes; gives the code.
    pub async fn closed(&mut self) -> u16 {
        self.try_closed().await.expect("a close frame with a code")
    }

    /// Reads until the server closes; `None` if the connection ends without a code.
    pub async fn try_closed(&mut self) -> Option<u16> {
        loop {
            match within("the close", self.stream.next()).await {
                Some(Ok(Message::Close(frame))) => {
                    // Answers the close.
                    let _ = self.stream.next().await;
                    return frame.map(|f| f.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The payload of the next pong.
    pub async fn pong(&mut self) -> Vec<u8> {
        loop {
            match within("a pong", self.stream.next()).await {
                Some(Ok(Message::Pong(payload))) => return payload.to_vec(),
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(text.as_str()).ok();
                    self.kept.extend(frame.as_ref().and_then(as_push));
                }
                other => panic!("a pong was wanted: {other:?}"),
            }
        }
    }

    /// Waits for a ping of the server and answers it.
    pub async fn server_ping(&mut self) {
        loop {
            match within("a ping", self.stream.next()).await {
                Some(Ok(Message::Ping(_))) => break,
                Some(Ok(Message::Pong(_) | Message::Text(_))) => {}
                other => panic!("a ping was wanted: {other:?}"),
            }
        }
        // The answer is queued by the reader and leaves with the next flush.
        within("sending", self.stream.flush())
            .await
            .expect("the socket takes the pong");
    }

    /// Waits for a ping of the server, and says nothing.
    pub async fn unanswered_ping(&mut self) {
        use tokio::io::AsyncReadExt;
        let mut frame = [0; 2];
        within("a ping", self.stream.get_mut().read_exact(&mut frame))
            .await
            .expect("the socket is open");
        assert_eq!(frame, [0x89, 0], "a ping without a payload");
    }

    /// Reads to the end without ever answering; gives the number of pings and the close code.
    pub async fn closed_without_a_sign(mut self) -> (usize, Option<u16>) {
        use tokio::io::AsyncReadExt;
        let mut bytes = Vec::new();
        let (mut pings, mut code) = (0, None);
        let stream = self.stream.get_mut();
        while code.is_none() {
            let read = within("the close", stream.read_buf(&mut bytes)).await;
            if read.is_err() || read.is_ok_and(|n| n == 0) {
                break;
            }
            // The server's frames are not masked and here always short.
            while let [first, length, rest @ ..] = bytes.as_slice() {
                let length = usize::from(*length);
                if length > 125 || rest.len() < length {
                    break;
                }
                match (first & 0x0f, &rest[..length]) {
                    (0x9, _) => pings += 1,
                    (0x8, [high, low, ..]) => code = Some(u16::from_be_bytes([*high, *low])),
                    _ => {}
                }
                bytes.drain(..2 + length);
            }
        }
        (pings, code)
    }

    /// Closes as a well-behaved client does.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while let Some(Ok(_)) = within("the close", self.stream.next()).await {}
    }

    async fn next_push(&mut self) -> Push {
        if let Some(push) = self.kept.pop_front() {
            return push;
        }
        let frame = self.frame().await;
        as_push(&frame).unwrap_or_else(|| panic!("a push was wanted: {frame}"))
    }
}

fn as_push(frame: &Value) -> Option<Push> {
    let method = frame.get("method")?.as_str().expect("method is a string");
    assert!(
        frame.get("id").is_none(),
        "a push has no id of its own: {frame}"
    );
    assert!(frame["params"].is_object(), "a push has params: {frame}");
    Some(Push {
        method: method.to_owned(),
        params: frame["params"].clone(),
    })
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The member that marks a fence.
const FENCE: &str = "test_fence";
