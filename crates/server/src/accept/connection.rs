use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hexline_api::Front;
use hexline_model::Monotonic;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchanges;
use super::limiter::Visit;
use super::patience::Patience;
use super::socket::LimitedStream;
use crate::adapters::tls::Tls;

/// What all connections of a listener have in common.
pub(super) struct Connections {
    pub(super) front: Front,
    pub(super) http: http1::Builder,
    pub(super) tls: Option<Tls>,
    pub(super) patience: Duration,
    /// Cancelled when the server stops: what is being answered is the last.
    pub(super) stop: CancellationToken,
}

impl Connections {
    /// Serves one accepted socket until its end, or until it has become something else than HTTP.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: LimitedStream<TcpStream>,
        visit: Visit,
        peer: SocketAddr,
    ) {
        let clock = visit.place().limiter.clock();
        let accepted = clock.monotonic();
        let Some(tls) = &self.tls else {
            return self.speak(socket, &visit, peer, accepted).await;
        };
        // One deadline for the handshake and the first head: both are waiting for a first sign.
        let handshake = Box::pin(tls.acceptor().accept(socket));
        let handshake = clock.timeout_at(accepted.plus(self.patience), handshake);
        if let Some(Ok(Ok(socket))) = self.stop.run_until_cancelled(handshake).await {
            self.speak(socket, &visit, peer, accepted).await;
        }
    }

    async fn speak<I>(&self, io: I, visit: &Visit, peer: SocketAddr, accepted: Monotonic)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let exchanges = Exchanges {
            front: self.front.clone(),
            place: Arc::clone(visit.place()),
            peer,
        };
        let connection = self.http.serve_connection(TokioIo::new(io), exchanges);
        let mut connection = pin!(connection.with_upgrades());
        let mut patience = Patience::new(Arc::clone(visit.place()), self.patience, accepted);
        let mut stop = pin!(self.stop.cancelled());
        let mut is_told = false;
        poll_fn(|cx| {
            // How a connection ends matters to nobody but its client.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if !is_told && stop.as_mut().poll(cx).is_ready() {
                is_told = true;
                connection.as_mut().graceful_shutdown();
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            patience.poll(cx)
        })
        .await;
    }
}
