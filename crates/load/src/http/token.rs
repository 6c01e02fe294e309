use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use hexline_client::Endpoint;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::args::{HttpArgs, Token};
use crate::http::keep_alive::KeepAlive;
use crate::latency::{Percentiles, histogram};
use crate::process::Process;
use crate::report::{Cpu, CpuMark, Machine, OwnUse, rounded};
use crate::socket::Counts;
use crate::stop::Stop;
use crate::stopwatch::{Stopwatch, nanos};
use crate::target::{find, loopback};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    machine: Machine,
    interrupted: bool,
    url: String,
    #[serde(flatten)]
    figures: Figures,
}

/// What one measurement found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) connections: u32,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    /// Everything that was not answered with 200, by reason.
    pub(crate) failures: Counts,
    pub(crate) per_second: f64,
    pub(crate) body_bytes: usize,
    pub(crate) latency_ms: Percentiles,
    pub(crate) server_pid: u32,
    pub(crate) server_cpu: Cpu,
    pub(crate) server_cpu_us_per_request: f64,
    pub(crate) load: OwnUse,
}

/// Where to ask for tokens.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    host: String,
    path: String,
    server: Process,
}

/// A closed loop: each connection asks again as soon as it was answered.
pub(crate) async fn run(args: Token, stop: Stop) -> anyhow::Result<Report> {
    let door = Door::new(&args.load.url, args.load.server_pid)?;
    let figures = measure(&door, &args.load, &stop).await?;
    Ok(Report {
        scenario: "token",
        machine: Machine::this(),
        interrupted: stop.is_set(),
        url: args.load.url,
        figures,
    })
}

impl Door {
    pub(crate) fn new(url: &str, pid: Option<u32>) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("http")
            .filter(|rest| rest.starts_with("://"));
        let rest = rest.context("--url must start with http://")?;
        let endpoint = Endpoint::parse(&format!("ws{rest}")).context("--url")?;
        let address = loopback(&endpoint).context("--url")?;
        Ok(Self {
            address,
            host: endpoint.authority(),
            path: endpoint.path().to_owned(),
            server: find(pid, address)?,
        })
    }

    fn request(&self, number: u32) -> Vec<u8> {
        let body = format!("identity=load-{number}&device=web1");
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            body.len()
        )
        .into_bytes()
    }

    /// The body's length in one answer.
    pub(crate) async fn body_bytes(&self) -> anyhow::Result<usize> {
        let exchange = async {
            KeepAlive::connect(self.address)
                .await?
                .exchange(&self.request(0))
                .await
        };
        let answer = timeout(PATIENCE, exchange).await.context("no answer")??;
        ensure!(
            answer.status == 200,
            "the token service answers with status {}",
            answer.status
        );
        Ok(answer.body_bytes)
    }
}

/// Measures one server.
pub(crate) async fn measure(door: &Door, args: &HttpArgs, stop: &Stop) -> anyhow::Result<Figures> {
    let body_bytes = door.body_bytes().await?;
    let stopwatch = Stopwatch::start();
    let warm = Instant::now() + WARM_UP;
    let end = warm + Duration::from_secs(args.seconds.into());
    let mut loops = JoinSet::new();
    for number in 0..args.connections {
        loops.spawn(ask(door.clone(), number, warm, end, stop.clone()));
    }
    stop.or_at(warm).await;
    let first = CpuMark::take(door.server, stopwatch.ns())?;
    stop.or_at(end).await;
    let last = CpuMark::take(door.server, stopwatch.ns())?;
    let (mut latency, mut failures) = (histogram(), Counts::new());
    while let Some(ended) = loops.join_next().await {
        let (own, failure) = ended?;
        latency.add(own).context("all have the same bounds")?;
        if let Some(failure) = failure {
            *failures.entry(failure).or_default() += 1;
        }
    }
    let (seconds, requests) = (last.seconds_since(&first), latency.len());
    let server_cpu = last.server_since(&first);
    Ok(Figures {
        connections: args.connections,
        seconds: rounded(seconds),
        requests,
        failures,
        per_second: rounded(requests as f64 / seconds.max(1e-9)),
        body_bytes,
        latency_ms: Percentiles::of(&latency),
        server_pid: door.server.pid(),
        server_cpu,
        server_cpu_us_per_request: server_cpu.us_per(requests).unwrap_or_default(),
        load: last.own_since(&first)?,
    })
}

/// One connection's loop: what it measured, and why it ended early if it did.
async fn ask(
    door: Door,
    number: u32,
    warm: Instant,
    end: Instant,
    stop: Stop,
) -> (Histogram<u64>, Option<String>) {
    let mut latency = histogram();
    let request = door.request(number);
    let mut connection = match KeepAlive::connect(door.address).await {
        Ok(connection) => connection,
        Err(error) => return (latency, Some(error.to_string())),
    };
    loop {
        let start = Instant::now();
        if start >= end || stop.is_set() {
            return (latency, None);
        }
        match timeout(PATIENCE, connection.exchange(&request)).await {
            Ok(Ok(answer)) if answer.status == 200 => {}
            Ok(Ok(answer)) => return (latency, Some(format!("status {}", answer.status))),
            Ok(Err(error)) => return (latency, Some(error.to_string())),
            Err(_) => return (latency, Some("no answer".to_owned())),
        }
        if start >= warm {
            latency.saturating_record(nanos(start.elapsed()));
        }
    }
}

const WARM_UP: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);
