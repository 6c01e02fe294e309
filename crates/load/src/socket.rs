use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{SinkExt as _, StreamExt as _};
use hexline_client::{Auth, ConnectError, upgrade};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::target::Target;

/// One lean connection: a socket, and nothing that a client of comfort would have.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
    pub(crate) local: SocketAddr,
    next_id: u64,
}

/// What became of something that may fail in many connections, counted by its description.
pub(crate) type Counts = BTreeMap<String, u64>;

impl Socket {
    /// Connects as that identity, from the source address of connection `number`.
    pub(crate) async fn open(
        target: &Target,
        number: u32,
        identity: &str,
        small: bool,
    ) -> anyhow::Result<Self> {
        match timeout(PATIENCE, Self::connect(target, number, identity, small)).await {
            Ok(opened) => opened,
            Err(_) => Err(anyhow!("timed out")),
        }
    }

    async fn connect(
        target: &Target,
        number: u32,
        identity: &str,
        small: bool,
    ) -> anyhow::Result<Self> {
        let socket = if target.address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
        .map_err(|e| anyhow!("no socket: {}", e.kind()))?;
        if small {
            // So that a reader who stops is felt soon.
            socket.set_recv_buffer_size(SMALL_BUFFER)?;
        }
        socket
            .bind(target.source(number))
            .map_err(|e| anyhow!("no source: {}", e.kind()))?;
        let tcp = socket.connect(target.address).await;
        let tcp = tcp.map_err(|e| anyhow!("no connection: {}", e.kind()))?;
        tcp.set_nodelay(true)?;
        let local = tcp.local_addr()?;
        let token = target.mint.token(identity)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(1 << 20))
            .max_frame_size(Some(1 << 20));
        match upgrade(tcp, &target.endpoint, &token, Auth::Query, config).await {
            Ok(stream) => Ok(Self {
                stream,
                local,
                next_id: 1,
            }),
            Err(ConnectError::Refused { status, code, .. }) => {
                Err(anyhow!("refused {status} {}", code.unwrap_or_default()))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Joins a channel without presence, and waits for the server's word on it.
    pub(crate) async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        self.call("signal.join", &json!({"id": channel, "presence": false}))
            .await
            .map(drop)
    }

    /// Calls a method and waits for its result, ignoring whatever else arrives.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        #[derive(Deserialize)]
        struct Answer {
            id: Option<u64>,
            result: Option<Value>,
            error: Option<Refusal>,
        }
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let id = self.next_id;
        self.next_id += 1;
        let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let exchange = async {
            self.stream.send(Message::text(call.to_string())).await?;
            while let Some(message) = self.stream.next().await {
                let Message::Text(text) = message? else {
                    continue;
                };
                let Ok(answer) = serde_json::from_str::<Answer>(&text) else {
                    continue;
                };
                if answer.id == Some(id) {
                    return match answer.error {
                        Some(refusal) => Err(anyhow!("{method} refused: {}", refusal.message)),
                        None => Ok(answer.result.unwrap_or_default()),
                    };
                }
            }
            Err(anyhow!("closed before {method} was answered"))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("{method} timed out")),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const READ_BUFFER: usize = 4096;
const SMALL_BUFFER: u32 = 4096;
