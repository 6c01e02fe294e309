use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use crate::args::{Stall, TrafficArgs};
use crate::crowd::{Crowd, Role, Seat};
use crate::latency::Percentiles;
use crate::payload::Template;
use crate::process::{TcpState, tcp_sockets};
use crate::report::Report;
use crate::scenario::{Plan, run as run_plan};
use crate::socket::Counts;
use crate::stop::Stop;
use crate::target::Target;

#[derive(Debug, Serialize)]
pub(crate) struct Parameters {
    subscribers: u32,
    stalled: u32,
    stall_after: u32,
    publishers: u32,
    #[serde(flatten)]
    traffic: TrafficArgs,
}

/// What became of those who stopped reading, and of the others.
#[derive(Debug, Serialize)]
pub(crate) struct Stalled {
    /// Connections that stopped reading.
    stopped_reading: usize,
    /// Of them, those that the server closed before the measurement ended.
    closed_by_server: usize,
    /// Seconds from the stop to the first of these closings.
    first_closed_after: Option<f64>,
    /// Seconds to the last.
    last_closed_after: Option<f64>,
    /// How they found their connections when they read on, after the measurement.
    ends: Counts,
    /// Those who went on reading, messages due before the stop.
    latency_before_ms: Percentiles,
    /// Messages due after it.
    latency_after_ms: Percentiles,
    /// The server's resident memory.
    server_rss_kib: Rss,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Rss {
    at_stop: u64,
    highest: u64,
    end: u64,
}

/// Looks, while some do not read, whether the server still holds their connections. Their own
/// sockets cannot tell: a close frame waits behind everything else that they do not read. The
/// system's table of sockets shows the server's end.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// What [`Watch`] saw.
pub(crate) struct Watched {
    stopped: usize,
    closed_after: Vec<f64>,
    rss: Rss,
}

/// One channel; some of its subscribers stop reading in the middle.
pub(crate) async fn run(args: Stall, stop: Stop) -> anyhow::Result<Report<Parameters>> {
    let stall_after = args.after.unwrap_or(args.traffic.seconds / 2);
    anyhow::ensure!(
        stall_after < args.traffic.seconds,
        "--stall-after must be less than --seconds"
    );
    let publishers = args.traffic.senders();
    let seat = |identity, role| Seat {
        identity,
        join: Some(CHANNEL.to_owned()),
        role,
    };
    let reading = (0..args.subscribers).map(|n| seat(format!("load-s-{n}"), Role::Listen(Some(0))));
    let stalling = (0..args.stalled).map(|n| seat(format!("load-x-{n}"), Role::Stall));
    let plan = Plan {
        scenario: "stall",
        receivers: reading.chain(stalling).collect(),
        senders: (0..publishers).map(|p| format!("load-p-{p}")).collect(),
        routes: vec![Template::publish(CHANNEL, args.traffic.payload)],
        stall_after: Some(Duration::from_secs(stall_after.into())),
        traffic: args.traffic.clone(),
        parameters: Parameters {
            subscribers: args.subscribers,
            stalled: args.stalled,
            stall_after,
            publishers,
            traffic: args.traffic,
        },
    };
    run_plan(plan, &args.target, stop).await
}

impl Watch {
    pub(crate) fn start(crowd: &Arc<Crowd>, target: &Arc<Target>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (crowd, target, ended) = (Arc::clone(crowd), Arc::clone(target), Arc::clone(&over));
        let thread = thread::spawn(move || watch(&crowd, &target, &ended));
        Self { over, thread }
    }

    pub(crate) async fn finish(self) -> Watched {
        self.over.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        joined
            .ok()
            .and_then(Result::ok)
            .expect("the watching thread does not panic")
    }
}

fn watch(crowd: &Crowd, target: &Target, over: &AtomicBool) -> Watched {
    let start = crowd.stopwatch.ns();
    let stalling = crowd
        .stalling
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let mut open: BTreeSet<SocketAddr> = stalling.into_iter().collect();
    let rss = || target.server.memory().map_or(0, |memory| memory.rss_kib);
    let at_stop = rss();
    let mut watched = Watched {
        stopped: open.len(),
        closed_after: Vec::new(),
        rss: Rss {
            at_stop,
            highest: at_stop,
            end: at_stop,
        },
    };
    while !over.load(Ordering::Relaxed) {
        thread::sleep(LOOK_EVERY);
        watched.rss.end = rss();
        watched.rss.highest = watched.rss.highest.max(watched.rss.end);
        if open.is_empty() {
            continue;
        }
        // A look that fails says nothing; the next will.
        let Ok(sockets) = tcp_sockets() else { continue };
        let held: BTreeSet<SocketAddr> = sockets
            .into_iter()
            .filter(|s| s.state == TcpState::Established && s.local == target.address)
            .map(|s| s.remote)
            .collect();
        let after = (crowd.stopwatch.ns() - start) as f64 / 1e9;
        let before = open.len();
        open.retain(|socket| held.contains(socket));
        watched
            .closed_after
            .extend(std::iter::repeat_n(after, before - open.len()));
    }
    watched
}

impl Stalled {
    pub(crate) fn new(crowd: &Crowd, watched: &Watched) -> Self {
        Self {
            stopped_reading: watched.stopped,
            closed_by_server: watched.closed_after.len(),
            first_closed_after: watched.closed_after.first().copied(),
            last_closed_after: watched.closed_after.last().copied(),
            ends: crowd
                .stalled_ends
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            latency_before_ms: crowd.tally.phase(0),
            latency_after_ms: crowd.tally.phase(1),
            server_rss_kib: watched.rss,
        }
    }
}

const CHANNEL: &str = "load";
const LOOK_EVERY: Duration = Duration::from_millis(200);
