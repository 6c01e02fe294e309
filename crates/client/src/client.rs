use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hexline_protocol::session::{InfoParams, SessionInfo};
use hexline_protocol::signal::{JoinParams, LeaveParams, PublishParams, SendParams};
use hexline_protocol::{Fields, Method, Name};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::connection::{Connection, Outgoing, Waiting};
use crate::endpoint::Endpoint;
use crate::error::{CallError, ConnectError};
use crate::event::{Closed, Events, queue};
use crate::options::ConnectOptions;
use crate::tls;
use crate::upgrade::upgrade;

/// A live connection to the gateway. Cheap to clone; all clones are the same connection.
///
/// It closes when [`close`](Self::close) is called, or when every clone and its [`Events`] have
/// been dropped.
#[derive(Clone)]
pub struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    waiting: Arc<Waiting>,
    next_id: Arc<AtomicU64>,
    ended: watch::Receiver<Option<Closed>>,
    request_timeout: Duration,
}

impl Client {
    /// Connects with a token. Must be called within a tokio runtime.
    pub async fn connect(options: ConnectOptions) -> Result<(Self, Events), ConnectError> {
        let endpoint = options.endpoint()?;
        let after = options.connect_timeout;
        match timeout(after, Self::open(&endpoint, &options)).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError::TimedOut {
                authority: endpoint.authority(),
                after,
            }),
        }
    }

    /// Calls a method and waits for its result.
    ///
    /// On [`CallError::TimedOut`] and [`CallError::Closed`] the server may have done it.
    pub async fn call(
        &self,
        method: &str,
        params: impl Serialize + Send,
    ) -> Result<Box<RawValue>, CallError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = frame(method, Some(id), &params)?;
        drop(params);
        let answered = self.waiting.add(id).ok_or(CallError::Closed)?;
        let _forget = Forget {
            waiting: &self.waiting,
            id,
        };
        let exchange = async {
            self.post(Outgoing::Text(text)).await?;
            answered.await.map_err(|_| CallError::Closed)?
        };
        match timeout(self.request_timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::TimedOut(self.request_timeout)),
        }
    }

    /// Calls a method without asking for a result: nothing tells whether the server refused it.
    pub async fn notify(
        &self,
        method: &str,
        params: impl Serialize + Send,
    ) -> Result<(), CallError> {
        let text = frame(method, None, &params)?;
        drop(params);
        if self.ended.borrow().is_some() {
            return Err(CallError::Closed);
        }
        match timeout(self.request_timeout, self.post(Outgoing::Text(text))).await {
            Ok(posted) => posted,
            Err(_) => Err(CallError::TimedOut(self.request_timeout)),
        }
    }

    /// Calls a method by the type of its parameters, and reads its result.
    ///
    /// ```no_run
    /// # async fn example(client: hexline_client::Client) -> Result<(), hexline_client::CallError> {
    /// use hexline_protocol::Name;
    /// use hexline_protocol::signal::JoinParams;
    ///
    /// let joined = client.request(&JoinParams { id: Name::new("news"), presence: true }).await?;
    /// println!("with presence: {}", joined.presence.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request<M>(&self, params: &M) -> Result<M::Answer, CallError>
    where
        M: Method + Serialize + Sync,
    {
        let result = self.call(M::ROW.name, params).await?;
        serde_json::from_str(result.get()).map_err(|_| CallError::Unreadable(M::ROW.name))
    }

    /// Sends a message to `identity`, `identity/device` or `identity/device/route`, and tells how
    /// many connections it was delivered to. `fields` is an object of the app's own members.
    pub async fn send(&self, to: &str, fields: impl Serialize) -> Result<u64, CallError> {
        let fields = raw(&fields)?;
        let fields = members(&fields)?;
        if fields.find("id").is_some() {
            let message = "a direct message has no `id`; use send_in_channel";
            return Err(CallError::Params(message.to_owned()));
        }
        let params = SendParams::new(Name::new(to), None, fields);
        Ok(self.request(&params).await?.delivered)
    }

    /// Sends a message within a channel to one of its members.
    pub async fn send_in_channel(
        &self,
        channel: &str,
        to: &str,
        fields: impl Serialize,
    ) -> Result<u64, CallError> {
        let fields = raw(&fields)?;
        let channel = Some(Name::new(channel));
        let params = SendParams::new(Name::new(to), channel, members(&fields)?);
        Ok(self.request(&params).await?.delivered)
    }

    /// Sends a message to everyone else in a channel, and tells how many connections that were.
    pub async fn publish(&self, channel: &str, fields: impl Serialize) -> Result<u64, CallError> {
        let fields = raw(&fields)?;
        let params = PublishParams::new(Name::new(channel), members(&fields)?);
        Ok(self.request(&params).await?.delivered)
    }

    /// Joins a channel. With `presence`, the others hear of it, and `signal.join_back` pushes tell
    /// who is there; a channel that has its fill of such members is joined without. Returns whether
    /// there is presence.
    pub async fn join(&self, channel: &str, presence: bool) -> Result<bool, CallError> {
        let id = Name::new(channel);
        let joined = self.request(&JoinParams { id, presence }).await?;
        Ok(presence && joined.presence != Some(false))
    }

    /// Leaves a channel.
    pub async fn leave(&self, channel: &str) -> Result<(), CallError> {
        let id = Name::new(channel);
        self.request(&LeaveParams { id }).await.map(drop)
    }

    /// Who the server takes this connection for, what it may do and which limits hold.
    pub async fn session_info(&self) -> Result<SessionInfo, CallError> {
        self.request(&InfoParams {}).await
    }

    /// Sends `_ping`, beside those that are sent by themselves.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.post(Outgoing::Text(hexline_protocol::PING.to_owned()))
            .await
    }

    /// Closes the connection and waits until it has ended, at most some seconds.
    pub async fn close(&self) {
        // If it cannot be told to close, it has ended.
        let _ = self.outgoing.send(Outgoing::Close).await;
        self.closed().await;
    }

    /// Waits until the connection has ended, and tells how.
    pub async fn closed(&self) -> Closed {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(closed)) => closed.clone(),
            _ => Closed::lost("the runtime is shutting down"),
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.ended.borrow().is_some()
    }

    async fn open(
        endpoint: &Endpoint,
        options: &ConnectOptions,
    ) -> Result<(Self, Events), ConnectError> {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await;
        let stream = stream.map_err(|source| ConnectError::Unreachable {
            authority: endpoint.authority(),
            source,
        })?;
        // Small frames go out at once. A socket that cannot do so works all the same.
        let _ = stream.set_nodelay(true);
        if endpoint.is_secure() {
            let stream = tls::secure(stream, endpoint, &options.roots).await?;
            Self::over(stream, endpoint, options).await
        } else {
            Self::over(stream, endpoint, options).await
        }
    }

    async fn over<S>(
        stream: S,
        endpoint: &Endpoint,
        options: &ConnectOptions,
    ) -> Result<(Self, Events), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        let socket = upgrade(stream, endpoint, &options.token, options.auth, config).await?;
        let (outgoing, to_write) = mpsc::channel(OUTGOING_QUEUE);
        let (events, received) = queue(options.event_queue_bytes, outgoing.clone());
        let (end, ended) = watch::channel(None);
        let waiting = Arc::<Waiting>::default();
        Connection {
            socket,
            outgoing: to_write,
            events,
            waiting: Arc::clone(&waiting),
            ended: end,
            ping_every: options.ping_every,
        }
        .spawn();
        let client = Self {
            outgoing,
            waiting,
            next_id: Arc::new(AtomicU64::new(1)),
            ended,
            request_timeout: options.request_timeout,
        };
        Ok((client, received))
    }

    async fn post(&self, outgoing: Outgoing) -> Result<(), CallError> {
        self.outgoing
            .send(outgoing)
            .await
            .map_err(|_| CallError::Closed)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Forgets a call when nobody waits for it any more, for whatever reason.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.remove(self.id);
    }
}

fn frame(method: &str, id: Option<u64>, params: &impl Serialize) -> Result<String, CallError> {
    #[derive(Serialize)]
    struct Frame<'a, P> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a P,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    }
    serde_json::to_string(&Frame {
        jsonrpc: "2.0",
        method,
        params,
        id,
    })
    .map_err(|e| CallError::Params(e.to_string()))
}

fn raw(fields: &impl Serialize) -> Result<Box<RawValue>, CallError> {
    to_raw_value(fields).map_err(|e| CallError::Params(e.to_string()))
}

fn members(fields: &RawValue) -> Result<Fields<'_>, CallError> {
    Fields::parse(fields).map_err(|e| CallError::Params(e.to_string()))
}

const READ_BUFFER: usize = 4096;
const OUTGOING_QUEUE: usize = 256;
