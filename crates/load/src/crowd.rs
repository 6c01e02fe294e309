//! Many connections at once: opening them, and what each does from then on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::latency::{Percentiles, Tally, Window, histogram};
use crate::pacer::Tick;
use crate::payload::Template;
use crate::report::rounded;
use crate::socket::{Counts, Socket};
use crate::stop::Stop;
use crate::stopwatch::{Stopwatch, nanos};
use crate::target::Target;

/// A connection that is wanted.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) identity: String,
    pub(crate) join: Option<String>,
    pub(crate) role: Role,
}

/// What a connection is there for.
#[derive(Debug)]
pub(crate) enum Role {
    /// Reads what comes. With the route whose messages it receives, if there is any.
    Listen(Option<usize>),
    /// Sends what is due, and reads.
    Send(mpsc::UnboundedReceiver<Tick>),
    /// Reads until the stall begins, then no more until the end.
    Stall,
}

/// Messages of one kind, to the same receivers.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) template: Template,
    /// How many are there to receive one.
    pub(crate) receivers: AtomicU64,
}

/// What all connections of a run share.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) stopwatch: Stopwatch,
    pub(crate) window: Window,
    pub(crate) tally: Tally,
    pub(crate) routes: Vec<Route>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) sent: Sent,
    /// Connections that ended before they should have, by reason.
    pub(crate) lost: Mutex<Counts>,
    /// Addresses of those who are to stall.
    pub(crate) stalling: Mutex<Vec<std::net::SocketAddr>>,
    /// How those who had stalled found their connection afterwards.
    pub(crate) stalled_ends: Mutex<Counts>,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everyone does what it is there for.
    Running,
    /// Those who are to stop reading have stopped.
    Stalling,
    /// All is measured.
    Over,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) messages: AtomicU64,
    pub(crate) measured: AtomicU64,
    pub(crate) last_ns: AtomicU64,
    pub(crate) deliveries_expected: AtomicU64,
    lag: Mutex<Histogram<u64>>,
}

/// How opening the connections went.
#[derive(Debug, Serialize)]
pub(crate) struct Opening {
    pub(crate) wanted: usize,
    pub(crate) opened: usize,
    pub(crate) failed: usize,
    /// Failures by reason.
    pub(crate) failures: Counts,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From the first packet to the answer to the join.
    pub(crate) latency_ms: Percentiles,
}

impl Sent {
    fn new() -> Self {
        Self {
            messages: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            deliveries_expected: AtomicU64::new(0),
            lag: Mutex::new(histogram()),
        }
    }

    fn note(&self, measured: bool, tick: Tick, started_ns: u64, receivers: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.deliveries_expected
            .fetch_add(receivers, Ordering::Relaxed);
        self.last_ns.fetch_max(started_ns, Ordering::Relaxed);
        if measured {
            self.measured.fetch_add(1, Ordering::Relaxed);
            let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
            lag.saturating_record(started_ns.saturating_sub(tick.due_ns));
        }
    }

    /// How late this process was in sending what was due.
    pub(crate) fn lag(&self) -> Percentiles {
        Percentiles::of(&self.lag.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Crowd {
    pub(crate) fn new(stopwatch: Stopwatch, routes: Vec<Template>) -> Self {
        let route = |template| Route {
            template,
            receivers: AtomicU64::new(0),
        };
        Self {
            stopwatch,
            window: Window::new(),
            tally: Tally::new(),
            routes: routes.into_iter().map(route).collect(),
            stage: watch::Sender::new(Stage::Running),
            sent: Sent::new(),
            lost: Mutex::default(),
            stalling: Mutex::default(),
            stalled_ends: Mutex::default(),
        }
    }

    /// Connections that ended before they should have.
    pub(crate) fn losses(&self) -> Counts {
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Opens a connection for each seat, a bounded number at a time, and sets each to work as soon as
/// it is open.
pub(crate) async fn open(
    crowd: &Arc<Crowd>,
    target: &Arc<Target>,
    seats: Vec<Seat>,
    stop: &Stop,
) -> Opening {
    let start = Instant::now();
    let wanted = seats.len();
    let mut failures = Counts::new();
    let mut latency = histogram();
    let mut opening = stream::iter(seats.into_iter().enumerate())
        .map(|(number, seat)| {
            let (crowd, target, stop) = (Arc::clone(crowd), Arc::clone(target), stop.clone());
            tokio::spawn(async move {
                anyhow::ensure!(!stop.is_set(), "not tried");
                take_seat(&crowd, &target, number, seat).await
            })
        })
        .buffer_unordered(target.opening);
    while let Some(taken) = opening.next().await {
        match taken {
            Ok(Ok(took)) => latency.saturating_record(nanos(took)),
            Ok(Err(error)) => *failures.entry(format!("{error:#}")).or_default() += 1,
            Err(_) => {
                *failures
                    .entry("a fault of this program".to_owned())
                    .or_default() += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let opened = usize::try_from(latency.len()).unwrap_or(wanted);
    Opening {
        wanted,
        opened,
        failed: wanted - opened,
        failures,
        seconds: rounded(seconds),
        per_second: rounded(opened as f64 / seconds.max(1e-9)),
        latency_ms: Percentiles::of(&latency),
    }
}

async fn take_seat(
    crowd: &Arc<Crowd>,
    target: &Target,
    number: usize,
    seat: Seat,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let small = matches!(seat.role, Role::Stall);
    let source = u32::try_from(number).unwrap_or(u32::MAX);
    let mut socket = Socket::open(target, source, &seat.identity, small).await?;
    if let Some(channel) = &seat.join {
        socket.join(channel).await?;
    }
    let took = start.elapsed();
    match &seat.role {
        Role::Listen(Some(route)) => {
            crowd.routes[*route]
                .receivers
                .fetch_add(1, Ordering::Relaxed);
        }
        Role::Stall => {
            crowd
                .stalling
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(socket.local);
        }
        Role::Listen(None) | Role::Send(_) => {}
    }
    tokio::spawn(attend(Arc::clone(crowd), socket, number, seat.role));
    Ok(took)
}

/// The life of one connection.
async fn attend(crowd: Arc<Crowd>, mut socket: Socket, number: usize, role: Role) {
    let stalls = matches!(role, Role::Stall);
    let mut due = match role {
        Role::Send(due) => Some(due),
        _ => None,
    };
    // Spread, as connections of people are.
    let spread = Duration::from_millis(number as u64 % 1000 * PING_EVERY.as_secs());
    let mut ping = interval_at(Instant::now() + PING_EVERY - spread / 2, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stage = crowd.stage.subscribe();
    let until = if stalls { Stage::Stalling } else { Stage::Over };
    loop {
        tokio::select! {
            frame = socket.stream.next() => match frame {
                Some(Ok(Message::Text(text))) if !stalls => {
                    crowd.tally.arrived(&crowd.window, number, &text, crowd.stopwatch.ns());
                }
                Some(Ok(Message::Close(frame))) => {
                    let how = frame.map_or_else(String::new, |f| format!("{} {}", f.code, f.reason));
                    return note(&crowd.lost, format!("closed {how}"));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return note(&crowd.lost, "lost".to_owned()),
            },
            tick = next(&mut due) => {
                let route = &crowd.routes[tick.route];
                let started = crowd.stopwatch.ns();
                let frame = Message::text(route.template.frame(tick.due_ns));
                if socket.stream.send(frame).await.is_err() {
                    return note(&crowd.lost, "lost in sending".to_owned());
                }
                let measured = crowd.window.phase(tick.due_ns).is_some();
                crowd.sent.note(measured, tick, started, route.receivers.load(Ordering::Relaxed));
            },
            _ = ping.tick() => {
                if socket.stream.send(Message::text("_ping")).await.is_err() {
                    return note(&crowd.lost, "lost in sending".to_owned());
                }
            },
            () = reached(&mut stage, until) => break,
        }
    }
    if stalls {
        reached(&mut stage, Stage::Over).await;
        note(&crowd.stalled_ends, read_on(&mut socket).await);
    }
}

/// How a connection that was not read for a while ends.
async fn read_on(socket: &mut Socket) -> String {
    let last = async {
        loop {
            match socket.stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return format!("closed {} {}", frame.code, frame.reason);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return "cut off".to_owned(),
            }
        }
    };
    timeout(READ_ON, last)
        .await
        .unwrap_or_else(|_| "still open".to_owned())
}

async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|stage| *stage >= wanted).await;
}

async fn next(due: &mut Option<mpsc::UnboundedReceiver<Tick>>) -> Tick {
    if let Some(due) = due
        && let Some(tick) = due.recv().await
    {
        return tick;
    }
    std::future::pending().await
}

fn note(counts: &Mutex<Counts>, what: String) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(what).or_default() += 1;
}

/// As the original clients do.
const PING_EVERY: Duration = Duration::from_secs(25);
pub(crate) const READ_ON: Duration = Duration::from_secs(2);
