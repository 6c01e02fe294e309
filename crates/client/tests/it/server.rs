//! A WebSocket server that does as each test says.

use futures_util::{SinkExt as _, StreamExt as _};
use hexline_client::{Auth, Client, ConnectOptions, Events};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What the server does with a connection, frame by frame.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// Method line's target, and the headers that may carry a token.
    pub(crate) target: String,
    pub(crate) authorization: String,
    pub(crate) protocols: String,
}

pub(crate) struct Server(TcpListener);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "ws://{}/client/v1/signal/pubsub",
            self.0.local_addr().expect("an address")
        )
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new("e30.e30.c2ln")
            .url(self.url())
            .auth(Auth::Bearer)
    }

    /// The next TCP connection.
    pub(crate) async fn tcp(&self) -> TcpStream {
        self.0.accept().await.expect("a connection").0
    }

    /// The next WebSocket.
    pub(crate) async fn accept(&self) -> Peer {
        let (mut target, mut authorization, mut protocols) = Default::default();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let note = |request: &Request, mut response: Response| {
            let header = |name| {
                request
                    .headers()
                    .get(name)
                    .map(|v| v.to_str().expect("text").to_owned())
            };
            target = request.uri().to_string();
            authorization = header("authorization").unwrap_or_default();
            protocols = header("sec-websocket-protocol").unwrap_or_default();
            if protocols.starts_with("hexline.v1") {
                let name = "hexline.v1".parse().expect("a header");
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", name);
            }
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(self.tcp().await, note).await;
        Peer {
            socket: socket.expect("an upgrade"),
            target,
            authorization,
            protocols,
        }
    }

    /// A client and the server's end of its connection.
    pub(crate) async fn pair(&self, options: ConnectOptions) -> (Client, Events, Peer) {
        let (connected, peer) = tokio::join!(Client::connect(options), self.accept());
        let (client, events) = connected.expect("a connection");
        (client, events, peer)
    }
}

impl Peer {
    /// The next text frame; `None` once the client has closed or gone.
    pub(crate) async fn text(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) => {
                    // Sends the library's answer.
                    let _ = self.socket.flush().await;
                    return None;
                }
                Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame, which is a call.
    pub(crate) async fn call(&mut self) -> Value {
        let text = self.text().await.expect("a frame");
        serde_json::from_str(&text).expect("JSON")
    }

    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        self.socket
            .send(Message::text(text.into()))
            .await
            .expect("sent");
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("sent");
    }

    /// Answers a call with a result.
    pub(crate) async fn answer(&mut self, call: &Value, result: &str) {
        self.say(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
            call["id"]
        ))
        .await;
    }

    /// Closes with a code, and waits until the client has answered.
    pub(crate) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.send(Message::Close(Some(frame))).await;
        while self.socket.next().await.is_some_and(|next| next.is_ok()) {}
    }
}
