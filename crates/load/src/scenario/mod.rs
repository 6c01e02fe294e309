//! What can be measured: each scenario makes a plan of connections and messages. [`run`] carries
//! out those with messages.

pub(crate) mod burst;
pub(crate) mod direct;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod silent;
pub(crate) mod stall;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::args::{TargetArgs, TrafficArgs};
use crate::crowd::{Crowd, READ_ON, Role, Seat, Stage, open};
use crate::pacer::Schedule;
use crate::payload::Template;
use crate::report::{CpuMark, Machine, MemoryOverTime, Report, Server, Traffic, rounded};
use crate::scenario::stall::{Stalled, Watch};
use crate::stop::Stop;
use crate::stopwatch::{Stopwatch, nanos};
use crate::target::Target;

/// A scenario with messages.
pub(crate) struct Plan<P> {
    pub(crate) scenario: &'static str,
    pub(crate) parameters: P,
    pub(crate) traffic: TrafficArgs,
    /// Those who receive.
    pub(crate) receivers: Vec<Seat>,
    /// Those who send, by identity.
    pub(crate) senders: Vec<String>,
    /// What they send, in turn.
    pub(crate) routes: Vec<Template>,
    /// Measured time until the stalling stop reading.
    pub(crate) stall_after: Option<Duration>,
}

/// Carries out a plan.
pub(crate) async fn run<P: Serialize>(
    plan: Plan<P>,
    target: &TargetArgs,
    stop: Stop,
) -> anyhow::Result<Report<P>> {
    let target = Arc::new(Target::new(target)?);
    let before = target.server.memory()?;
    let stopwatch = Stopwatch::start();

    let (mut seats, mut outboxes) = (plan.receivers, Vec::new());
    for identity in plan.senders {
        let (outbox, due) = mpsc::unbounded_channel();
        outboxes.push(outbox);
        seats.push(Seat {
            identity,
            join: None,
            role: Role::Send(due),
        });
    }
    let crowd = Arc::new(Crowd::new(stopwatch, plan.routes));
    let opened = open(&crowd, &target, seats, &stop).await;
    stop.or_after(SETTLE).await;
    let connected = target.server.memory()?;

    let start_ns = stopwatch.ns() + nanos(SETTLE / 4);
    let from_ns = start_ns + nanos(plan.traffic.warmup());
    let end_ns = from_ns + nanos(plan.traffic.measured());
    let split_ns = plan
        .stall_after
        .map_or(u64::MAX, |after| from_ns + nanos(after));
    crowd.window.set(from_ns, split_ns);
    let schedule = Schedule {
        start_ns,
        end_ns,
        rate: plan.traffic.rate,
        routes: crowd.routes.len(),
    };
    schedule.keep(stopwatch, outboxes, stop.clone());

    stop.or_at(stopwatch.instant(from_ns)).await;
    let first = CpuMark::take(target.server, stopwatch.ns())?;
    let received_first = crowd.tally.received();
    let watch = if plan.stall_after.is_some() {
        stop.or_at(stopwatch.instant(split_ns)).await;
        crowd.stage.send_replace(Stage::Stalling);
        Some(Watch::start(&crowd, &target))
    } else {
        None
    };
    stop.or_at(stopwatch.instant(end_ns)).await;
    let last = CpuMark::take(target.server, stopwatch.ns())?;
    let received_last = crowd.tally.received();
    drain(&crowd, &stop).await;

    let losses = crowd.losses();
    let end = target.server.memory()?;
    let watched = match watch {
        Some(watch) => Some(watch.finish().await),
        None => None,
    };
    crowd.stage.send_replace(Stage::Over);
    let stall = match watched {
        Some(watched) => {
            stop.or_after(READ_ON + READ_ON / 4).await;
            Some(Stalled::new(&crowd, &watched))
        }
        None => None,
    };
    let measured = received_last - received_first;
    let cpu = last.server_since(&first);
    let traffic = traffic(&crowd, plan.traffic.rate, measured, from_ns..last.at_ns);
    Ok(Report {
        scenario: plan.scenario,
        machine: Machine::this(),
        interrupted: stop.is_set(),
        connections_lost: losses,
        traffic: Some(traffic),
        stall,
        server: Server {
            pid: target.server.pid(),
            cpu,
            cpu_us_per_delivery: cpu.us_per(measured),
            memory: MemoryOverTime::new(before, connected, end, opened.opened),
        },
        load: last.own_since(&first)?,
        parameters: plan.parameters,
        connect: opened,
    })
}

/// Waits until everything has arrived, or nothing more seems to come.
async fn drain(crowd: &Crowd, stop: &Stop) {
    for _ in 0..DRAIN_LOOKS {
        let expected = crowd.sent.deliveries_expected.load(Ordering::Relaxed);
        if stop.is_set() || crowd.tally.received() >= expected {
            return;
        }
        stop.or_after(DRAIN_LOOK).await;
    }
}

fn traffic(crowd: &Crowd, rate: u32, deliveries: u64, measured_ns: Range<u64>) -> Traffic {
    let seconds = |ns: u64| (ns as f64 / 1e9).max(1e-9);
    let measured = seconds(measured_ns.end.saturating_sub(measured_ns.start));
    // Until the last was sent, should that have been after the end.
    let last = crowd
        .sent
        .last_ns
        .load(Ordering::Relaxed)
        .max(measured_ns.end);
    let sending = seconds(last.saturating_sub(measured_ns.start));
    let expected = crowd.sent.deliveries_expected.load(Ordering::Relaxed);
    let received = crowd.tally.received();
    Traffic {
        offered_per_second: rate.into(),
        achieved_per_second: rounded(crowd.sent.measured.load(Ordering::Relaxed) as f64 / sending),
        sent: crowd.sent.messages.load(Ordering::Relaxed),
        deliveries_expected: expected,
        deliveries_received: received,
        deliveries_lost: expected.saturating_sub(received),
        deliveries_per_second: rounded(deliveries as f64 / measured),
        latency_ms: crowd.tally.all(),
        pacing_lag_ms: crowd.sent.lag(),
        measured_seconds: rounded(measured),
    }
}

/// Time for the server to come to rest before something is measured.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);
const DRAIN_LOOK: Duration = Duration::from_millis(50);
const DRAIN_LOOKS: u32 = 100;
