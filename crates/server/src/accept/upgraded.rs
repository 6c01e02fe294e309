use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hexline_api::{SocketDriver, SocketHandler, Tasks};
use hexline_gateway::{FrameHandler, SocketOptions, Transport, run_socket};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::LimitedStream;

/// Drives upgraded requests on the sockets of this server, one task each.
pub(crate) struct Upgrades(Arc<Tasks>);

impl Upgrades {
    /// Starts its tasks among `tasks`.
    pub(crate) fn new(tasks: Arc<Tasks>) -> Self {
        Self(tasks)
    }
}

impl SocketDriver for Upgrades {
    fn drive(&self, upgrade: OnUpgrade, handler: SocketHandler, options: SocketOptions) {
        // A task for each kind, so that none is as large as the largest.
        match handler {
            SocketHandler::Client(session) => self.0.spawn(run(upgrade, session, options)),
            SocketHandler::Echo(echo) => self.0.spawn(run(upgrade, echo, options)),
        };
    }
}

async fn run(upgrade: OnUpgrade, handler: impl FrameHandler, options: SocketOptions) {
    let upgraded = options.clock.timeout(UPGRADE_PATIENCE, upgrade).await;
    if let Ok(Ok(upgraded)) = upgraded
        && let Some((socket, begun)) = Accepted::unwrap(upgraded)
    {
        run_socket(socket, begun, handler, &options).await;
    }
}

/// An accepted socket after its upgrade, out of the wrapping that HTTP gave it: who wants to know
/// what waits in a socket must have it.
enum Accepted {
    Plain(TokioIo<LimitedStream<TcpStream>>),
    // Boxed, or every plain connection would be as large.
    Tls(Box<TokioIo<TlsStream<LimitedStream<TcpStream>>>>),
}

impl Accepted {
    /// Takes the socket, and what of it was read already. `None` if it is none of ours.
    fn unwrap(upgraded: Upgraded) -> Option<(Self, Bytes)> {
        let upgraded = match upgraded.downcast::<TokioIo<LimitedStream<TcpStream>>>() {
            Ok(parts) => return Some((Self::Plain(parts.io), parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        let parts = upgraded.downcast::<TokioIo<TlsStream<LimitedStream<TcpStream>>>>();
        let parts = parts.ok()?;
        Some((Self::Tls(Box::new(parts.io)), parts.read_buf))
    }

    fn limited(&self) -> &LimitedStream<TcpStream> {
        match self {
            Self::Plain(io) => io.inner(),
            Self::Tls(io) => io.inner().get_ref().0,
        }
    }
}

impl Transport for Accepted {
    fn unread(&self) -> usize {
        // Of a socket that cannot be asked, the end is seen soon enough.
        let waiting = rustix::io::ioctl_fionread(self.limited().as_fd()).unwrap_or(0);
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io.inner_mut()).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io.inner_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io.inner_mut()).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io.inner_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io.inner_mut()).poll_write_vectored(cx, slices),
            Self::Tls(io) => Pin::new(io.inner_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.inner().is_write_vectored(),
            Self::Tls(io) => io.inner().is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io.inner_mut()).poll_flush(cx),
            Self::Tls(io) => Pin::new(io.inner_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io.inner_mut()).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io.inner_mut()).poll_shutdown(cx),
        }
    }
}

const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);
