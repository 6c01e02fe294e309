use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hexline_api::{Front, Tasks};
use hexline_model::Monotonic;
use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection::Connections;
use super::limiter::ConnectionLimiter;
use crate::adapters::tls::Tls;

/// How accepted sockets are served.
pub(crate) struct DoorsOptions {
    /// Speaks TLS, if set.
    pub(crate) tls: Option<Tls>,
    /// How long a client may let the server wait.
    pub(crate) patience: Duration,
}

/// A listener that is served.
pub(crate) struct Doors {
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    connections: Arc<Tasks>,
    limiter: ConnectionLimiter,
}

impl Doors {
    /// Serves what arrives at a listener, until [`end`](Self::end).
    pub(crate) fn open(
        listener: std::net::TcpListener,
        limiter: ConnectionLimiter,
        front: Front,
        options: DoorsOptions,
    ) -> io::Result<Self> {
        let mut http = http1::Builder::new();
        // What is waited for has a deadline of ours; hyper's would cost a timer for each request.
        http.header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
        let stop = CancellationToken::new();
        let connections = Arc::new(Tasks::default());
        let acceptor = Acceptor {
            listener: TcpListener::from_std(listener)?,
            limiter: limiter.clone(),
            tasks: Arc::clone(&connections),
            connections: Arc::new(Connections {
                front,
                http,
                tls: options.tls,
                patience: options.patience,
                stop: stop.clone(),
            }),
        };
        Ok(Self {
            stop,
            accepting: tokio::spawn(acceptor.run()),
            connections,
            limiter,
        })
    }

    /// Returns once the listener has ended by itself, which only a fault makes it do.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.accepting).await {
            Ok(()) => anyhow::anyhow!("the listener ended"),
            Err(error) => anyhow::Error::new(error).context("the listener panicked"),
        }
    }

    /// Closes the listener, lets requests under way be answered until the deadline, and cuts off
    /// what is left.
    pub(crate) async fn end(&mut self, deadline: Monotonic) {
        self.stop.cancel();
        // If it is finished already, it has failed, and its result was taken.
        if !self.accepting.is_finished() {
            let _ = (&mut self.accepting).await;
        }
        self.connections.end(deadline, self.limiter.clock()).await;
    }
}

/// Takes sockets from the system.
struct Acceptor {
    listener: TcpListener,
    limiter: ConnectionLimiter,
    tasks: Arc<Tasks>,
    connections: Arc<Connections>,
}

impl Acceptor {
    async fn run(self) {
        let stop = &self.connections.stop;
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer),
                Err(error) if is_of_one_socket(&error) => {}
                // No more files, most likely. To try again at once would only burn the processor.
                Err(error) => {
                    self.limiter.cannot_accept(&error);
                    let pause = self.limiter.clock().sleep(PAUSE);
                    stop.run_until_cancelled(pause).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let Some((socket, visit)) = self.limiter.admit(stream, peer.ip()) else {
            return;
        };
        let place = Arc::clone(visit.place());
        let serving = Arc::clone(&self.connections).serve(socket, visit, peer);
        let task = self.tasks.spawn(serving).abort_handle();
        self.limiter.may_end(&place, task);
    }
}

/// Whether the next `accept` may go better at once.
fn is_of_one_socket(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

const PAUSE: Duration = Duration::from_millis(50);

/// A token of 8 KiB in the query, and the rest of a request's head.
const MAX_HEAD_BYTES: usize = 32 << 10;
