use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use hexline_client::Endpoint;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::args::{Silence, Silent};
use crate::process::Process;
use crate::report::{Machine, rounded};
use crate::stop::Stop;
use crate::target::{find, loopback};
use crate::tls::Tls;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    machine: Machine,
    interrupted: bool,
    url: String,
    sources: u32,
    per_source: u32,
    kinds: Vec<Outcome>,
}

/// What became of the sockets of one kind.
#[derive(Debug, Serialize)]
struct Outcome {
    kind: Silence,
    sockets: u32,
    /// Those that were opened, over TLS with a handshake, and said what they had to say.
    fell_silent: u32,
    /// Those that the server closed or refused before that.
    closed_before: u32,
    /// Those that it still held when the patience of this program was over.
    left_open: u32,
    /// From a socket's opening until its end, of the one that lived longest.
    longest_seconds: f64,
    /// From the first opening until the last end.
    all_closed_after_seconds: f64,
    healthz: Healthz,
    server_rss_kib: Rss,
}

/// `/healthz`, asked from a further address all the while, each time on a new connection.
#[derive(Debug, Default, Serialize)]
struct Healthz {
    asked: u32,
    failed: u32,
    slowest_ms: f64,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Rss {
    before: u64,
    highest: u64,
    end: u64,
}

struct Door {
    endpoint: Endpoint,
    address: SocketAddr,
    server: Process,
    tls: Option<Tls>,
    patience: Duration,
    /// How many are being opened at the same time.
    opening: Semaphore,
}

/// How one socket ended.
enum End {
    Closed(Duration),
    ClosedBefore(Duration),
    LeftOpen,
}

/// Opens sockets that say nothing more, one kind after the other.
pub(crate) async fn run(args: Silent, stop: Stop) -> anyhow::Result<Report> {
    let door = Arc::new(Door::new(&args)?);
    let kinds = if args.kinds.is_empty() {
        let all = Silence::value_variants().iter().copied();
        // Without TLS there is no handshake to be missed.
        all.filter(|kind| door.tls.is_some() || *kind != Silence::Handshake)
            .collect()
    } else {
        args.kinds
    };
    let mut outcomes = Vec::new();
    for kind in kinds {
        if stop.is_set() {
            break;
        }
        outcomes.push(measure(&door, kind, args.sources, args.per_source, &stop).await?);
    }
    Ok(Report {
        scenario: "silent",
        machine: Machine::this(),
        interrupted: stop.is_set(),
        url: args.url,
        sources: args.sources,
        per_source: args.per_source,
        kinds: outcomes,
    })
}

async fn measure(
    door: &Arc<Door>,
    kind: Silence,
    sources: u32,
    per_source: u32,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let before = door.server.memory()?.rss_kib;
    let (over, watching) = watch::channel(());
    let healthz = tokio::spawn(ask_on(Arc::clone(door), source(sources), watching.clone()));
    let highest = highest_rss(door.server, watching);
    let begin = Instant::now();
    let mut sockets = JoinSet::new();
    // In turn, so that no address is done before the next begins.
    for number in 0..sources * per_source {
        sockets.spawn(Arc::clone(door).hold(kind, source(number % sources)));
    }
    let mut outcome = Outcome {
        kind,
        sockets: sources * per_source,
        fell_silent: 0,
        closed_before: 0,
        left_open: 0,
        longest_seconds: 0.0,
        all_closed_after_seconds: 0.0,
        healthz: Healthz::default(),
        server_rss_kib: Rss::default(),
    };
    let mut longest = Duration::ZERO;
    loop {
        let ended = tokio::select! {
            ended = sockets.join_next() => ended,
            () = stop.wait() => None,
        };
        let Some(end) = ended else { break };
        match end?? {
            End::Closed(lived) => {
                outcome.fell_silent += 1;
                longest = longest.max(lived);
            }
            End::ClosedBefore(lived) => {
                outcome.closed_before += 1;
                longest = longest.max(lived);
            }
            End::LeftOpen => outcome.left_open += 1,
        }
    }
    outcome.longest_seconds = rounded(longest.as_secs_f64());
    outcome.all_closed_after_seconds = rounded(begin.elapsed().as_secs_f64());
    drop(sockets);
    drop(over);
    outcome.healthz = healthz.await?;
    stop.or_after(GIVE_BACK).await;
    outcome.server_rss_kib = Rss {
        before,
        highest: highest.await?.max(before),
        end: door.server.memory()?.rss_kib,
    };
    Ok(outcome)
}

impl Door {
    fn new(args: &Silent) -> anyhow::Result<Self> {
        let endpoint = Endpoint::parse(&args.url).context("--url")?;
        let address = loopback(&endpoint).context("--url")?;
        ensure!(
            address.is_ipv4(),
            "--url must lead to an IPv4 address: IPv6 has one loopback only"
        );
        let tls = match (&args.ca, endpoint.is_secure()) {
            (Some(file), true) => Some(Tls::trusting(file)?),
            (None, false) => None,
            (None, true) => bail!("--ca FILE is wanted, the certificate of the server"),
            (Some(_), false) => bail!("--ca is for an https:// URL"),
        };
        Ok(Self {
            endpoint,
            address,
            server: find(args.server_pid, address)?,
            tls,
            patience: Duration::from_secs(args.seconds.into()),
            opening: Semaphore::new(OPENING),
        })
    }

    /// Opens a socket, lets it fall silent, and waits for its end.
    async fn hold(self: Arc<Self>, kind: Silence, from: IpAddr) -> anyhow::Result<End> {
        let permit = self.opening.acquire().await?;
        let opened = Instant::now();
        let Ok(socket) = self.connect(from).await else {
            return Ok(End::ClosedBefore(opened.elapsed()));
        };
        let held = async {
            match &self.tls {
                Some(tls) if kind != Silence::Handshake => {
                    let Ok(socket) = tls.connect(self.endpoint.host(), socket).await else {
                        return false;
                    };
                    fall_silent(kind, socket, permit).await
                }
                _ => fall_silent(kind, socket, permit).await,
            }
        };
        Ok(match timeout(self.patience, held).await {
            Ok(true) => End::Closed(opened.elapsed()),
            Ok(false) => End::ClosedBefore(opened.elapsed()),
            Err(_) => End::LeftOpen,
        })
    }

    async fn connect(&self, from: IpAddr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(self.address).await
    }

    /// Asks for `/healthz` on a new connection.
    async fn ask(&self, from: IpAddr) -> anyhow::Result<()> {
        let socket = self.connect(from).await?;
        match &self.tls {
            Some(tls) => healthy(tls.connect(self.endpoint.host(), socket).await?).await,
            None => healthy(socket).await,
        }
    }
}

/// Says what the kind says and waits; whether it came to that before the socket was closed.
async fn fall_silent(
    kind: Silence,
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    permit: impl Sized,
) -> bool {
    if socket.write_all(kind.says()).await.is_err() || socket.flush().await.is_err() {
        return false;
    }
    let mut buffer = [0; 512];
    if kind == Silence::Idle && !matches!(socket.read(&mut buffer).await, Ok(1..)) {
        return false;
    }
    drop(permit);
    while matches!(socket.read(&mut buffer).await, Ok(1..)) {}
    true
}

async fn healthy(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<()> {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    // A server that does not say goodbye over TLS has answered all the same.
    let _ = socket.read_to_end(&mut answer).await;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "no answer");
    Ok(())
}

async fn ask_on(door: Arc<Door>, from: IpAddr, mut over: watch::Receiver<()>) -> Healthz {
    let mut found = Healthz::default();
    loop {
        let asked = Instant::now();
        let answered = timeout(GIVE_UP, door.ask(from)).await;
        found.asked += 1;
        if !matches!(answered, Ok(Ok(()))) {
            found.failed += 1;
        }
        let took_ms = rounded(asked.elapsed().as_secs_f64() * 1e3);
        found.slowest_ms = found.slowest_ms.max(took_ms);
        if timeout(ASK_AGAIN, over.changed()).await.is_ok() {
            return found;
        }
    }
}

fn highest_rss(server: Process, mut over: watch::Receiver<()>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut highest = 0;
        while timeout(LOOK, over.changed()).await.is_err() {
            highest = highest.max(server.memory().map_or(0, |memory| memory.rss_kib));
        }
        highest
    })
}

/// 127.0.0.2 and so on.
fn source(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0002 + number))
}

impl Silence {
    fn says(self) -> &'static [u8] {
        match self {
            Self::Handshake | Self::Nothing => b"",
            Self::Letter => b"P",
            Self::HalfPreface => b"PRI * HTTP/2",
            Self::Preface => PREFACE,
            Self::Settings => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            Self::Head => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Mo",
            Self::Body => {
                b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nid"
            }
            Self::Idle => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Time for the server to give memory back to the system.
const GIVE_BACK: Duration = Duration::from_secs(15);

const OPENING: usize = 256;
const LOOK: Duration = Duration::from_millis(50);
const ASK_AGAIN: Duration = Duration::from_millis(100);
const GIVE_UP: Duration = Duration::from_secs(10);
