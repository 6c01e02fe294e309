//! Who may hold a socket, when nothing is known of them yet but the address.
//!
//! An accepted socket is an open file, and a stranger's as much as a client's. [`Gate`] counts
//! them: so many per address (of IPv6, the /64 block), so many in all, which is less than the
//! process may open, so that the database and the control socket always find a file. One too many
//! is closed before a byte of it is read. A trusted proxy brings many clients and is counted in
//! the total only.
//!
//! [`Guarded`] is the accepted socket itself. It holds its place for as long as it lives, as a
//! WebSocket too, and breaks off a write that makes no progress: whoever asks and never reads the
//! answers would hold a socket for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Ready, ready};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use hexline_model::{Clock, Moment};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::auth::{Peer, Proxies};
use crate::telemetry::Metrics;

/// How many sockets there may be, and what becomes of a stalled one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateLimits {
    pub(crate) per_address: usize,
    pub(crate) total: usize,
    /// How long a write may make no progress.
    pub(crate) stall: Duration,
}

/// Gives accepted sockets their places.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Shared>);

struct Shared {
    limits: GateLimits,
    proxies: Proxies,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    refused: Complaint,
    failed: Complaint,
}

/// A log line that comes at most once a second, and how often it would have come since.
#[derive(Default)]
struct Complaint {
    last: Option<Moment>,
    count: u64,
}

/// One socket's place; free again when this is dropped.
struct Place {
    gate: Gate,
    /// `None` for a trusted proxy's.
    address: Option<IpAddr>,
}

/// A socket that has a place.
pub(crate) struct Guarded<I> {
    io: I,
    /// Set while a write makes no progress.
    alarm: Option<Pin<Box<Sleep>>>,
    place: Place,
}

/// How many sockets there may be in all.
pub(crate) fn most_sockets(open_files: Option<u64>, connections: usize) -> usize {
    // Some that are no WebSockets: whoever asks for a token or for health.
    let wanted = connections.saturating_add(OTHERS);
    open_files.map_or(wanted, |files| wanted.min(files_for_sockets(files)))
}

/// What is left of the open files that the system allows, once the server has its own.
pub(crate) fn files_for_sockets(open_files: u64) -> usize {
    let files = usize::try_from(open_files).unwrap_or(usize::MAX);
    files - RESERVE.min(files / 2)
}

impl Gate {
    pub(crate) fn new(
        limits: GateLimits,
        proxies: Proxies,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            limits,
            proxies,
            clock,
            metrics,
            state: Mutex::default(),
        }))
    }

    /// Says in the log, though not often, that the system gives no more sockets.
    pub(crate) fn cannot_accept(&self, error: &io::Error) {
        let now = self.0.clock.moment();
        if let Some(times) = self.lock().failed.due(now) {
            tracing::error!(%error, times, "cannot accept connections");
        }
    }

    fn admit<I>(&self, io: I, from: IpAddr) -> io::Result<Guarded<I>> {
        let address = (!self.0.proxies.trusts(from)).then(|| Peer::of(from).ip());
        let limits = self.0.limits;
        let mut state = self.lock();
        let held = address.map_or(0, |address| state.held(address));
        if state.total >= limits.total || held >= limits.per_address {
            self.0.metrics.sockets_refused.inc();
            let by_all = state.total >= limits.total;
            let times = state.refused.due(self.0.clock.moment());
            drop(state);
            if let Some(times) = times {
                let limit = if by_all { "server" } else { "address" };
                tracing::warn!(times, limit, "closed new sockets: too many are open");
            }
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        state.total += 1;
        if let Some(address) = address {
            *state.by_address.entry(address).or_default() += 1;
        }
        drop(state);
        let gate = self.clone();
        Ok(Guarded {
            io,
            alarm: None,
            place: Place { gate, address },
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Guarded<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Guarded<TcpStream>, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = stream
            .peer_addr()
            .and_then(|from| self.admit(stream, from.ip()));
        ready(admitted.map(|socket| (socket, service)))
    }
}

impl State {
    fn held(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }
}

impl Complaint {
    /// How often there was reason to complain since the last time, if it is time again.
    fn due(&mut self, now: Moment) -> Option<u64> {
        self.count += 1;
        if self.last.is_some_and(|last| now.since(last) < LOG_PAUSE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.total -= 1;
        if let Some(address) = self.address
            && let Entry::Occupied(mut held) = state.by_address.entry(address)
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

impl<I> Guarded<I> {
    /// A write ended or waits: the alarm is set for as long as it waits.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.alarm.is_some() {
                self.alarm = None;
            }
            return written;
        }
        let stall = self.place.gate.0.limits.stall;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        alarm
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// For the database, the control socket, key sets that are fetched, and what libraries open.
const RESERVE: usize = 256;

const OTHERS: usize = 10_000;

const LOG_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use hexline_model::{ManualClock, Timestamp};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn gate(per_address: usize, total: usize, proxies: &[&str]) -> Gate {
        let proxies = proxies.iter().map(|net| net.parse().expect("a network"));
        let limits = GateLimits {
            per_address,
            total,
            stall: Duration::from_millis(50),
        };
        Gate::new(
            limits,
            Proxies::new(proxies.collect()),
            Arc::new(ManualClock::new(Timestamp::from_secs(0))),
            Arc::new(Metrics::new()),
        )
    }

    fn admit(gate: &Gate, from: &str) -> Option<Guarded<()>> {
        gate.admit((), from.parse().expect("an address")).ok()
    }

    #[test]
    fn an_address_has_so_many_places_and_the_server_so_many() {
        let gate = gate(2, 4, &[]);
        let first = admit(&gate, "192.0.2.1");
        let _second = admit(&gate, "::ffff:192.0.2.1").expect("the same address");
        assert!(first.is_some() && admit(&gate, "192.0.2.1").is_none());
        let _others = ["127.0.0.1", "127.0.0.2"].map(|from| admit(&gate, from).expect("a place"));
        assert!(admit(&gate, "192.0.2.9").is_none(), "the server is full");
        assert_eq!(gate.0.metrics.sockets_refused.get(), 2);
        drop(first);
        assert!(admit(&gate, "192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_block_counts_as_one_address() {
        let gate = gate(1, 9, &[]);
        let _held = admit(&gate, "2001:db8::1").expect("a place");
        assert!(admit(&gate, "2001:db8::2").is_none());
        assert!(admit(&gate, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn a_trusted_proxy_has_places_as_long_as_the_server_has() {
        let gate = gate(1, 3, &["10.0.0.0/8"]);
        let held: Vec<_> = (0..4).map_while(|_| admit(&gate, "10.1.2.3")).collect();
        assert_eq!(held.len(), 3);
        drop(held);
        assert!(gate.lock().total == 0 && gate.lock().by_address.is_empty());
    }

    #[test]
    fn a_complaint_comes_once_a_second_and_says_how_often() {
        let mut complaint = Complaint::default();
        let at = Moment::from_millis;
        assert_eq!(complaint.due(at(0)), Some(1));
        assert_eq!(complaint.due(at(10)), None);
        assert_eq!(complaint.due(at(999)), None);
        assert_eq!(complaint.due(at(1000)), Some(3));
    }

    #[test]
    fn sockets_leave_some_open_files_to_the_server() {
        assert_eq!(most_sockets(Some(1 << 20), 200_000), 210_000);
        assert_eq!(most_sockets(Some(20_000), 200_000), 19_744);
        assert_eq!(most_sockets(Some(100), 200_000), 50);
        assert_eq!(most_sockets(Some(u64::MAX), 10), 10_010);
        assert_eq!(most_sockets(None, 10), 10_010);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_ends_in_an_error() {
        let (io, _never_reads) = duplex(16);
        let from = IpAddr::from([127, 0, 0, 1]);
        let mut socket = gate(1, 1, &[]).admit(io, from).expect("a place");
        assert!(socket.is_write_vectored());
        let error = socket.write_all(&[0; 64]).await.expect_err("it stalls");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_no_stall() {
        let (io, mut reader) = duplex(16);
        let from = IpAddr::from([127, 0, 0, 1]);
        let mut socket = gate(1, 1, &[]).admit(io, from).expect("a place");
        let writing = tokio::spawn(async move { socket.write_all(&[0; 64]).await });
        let mut read = [0; 8];
        for _ in 0..8 {
            // Each pause is shorter than the alarm; all of them together are longer.
            tokio::time::sleep(Duration::from_millis(10)).await;
            reader.read_exact(&mut read).await.expect("bytes");
        }
        writing.await.expect("no panic").expect("all is written");
    }
}
