use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::args::Burst;
use crate::latency::{Percentiles, histogram};
use crate::report::{Machine, rounded};
use crate::socket::Socket;
use crate::stop::Stop;
use crate::stopwatch::{Stopwatch, nanos};
use crate::target::Target;

/// What the server's call rate does to one who asks for much, and to one who floods.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    machine: Machine,
    /// Whether Ctrl-C ended it early.
    interrupted: bool,
    parameters: Parameters,
    /// Calls that were all made before the first answer was read.
    at_once: Asked,
    /// Calls that were each made after the answer to the one before.
    in_turn: Asked,
    flood: Flood,
    neighbours: Neighbours,
    /// Whether all were answered, the flood was closed, and the neighbours' p99 stayed within 10 %.
    as_promised: bool,
}

#[derive(Debug, Serialize)]
struct Parameters {
    at_once: u32,
    in_turn: u32,
    neighbours: u32,
    quiet_seconds: u32,
}

/// What came of calls on one connection.
#[derive(Debug, Serialize)]
struct Asked {
    calls: u32,
    answers: u32,
    seconds: f64,
    /// Why there were no more answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
}

/// What became of a connection that sends without reading or pausing.
#[derive(Debug, Serialize)]
struct Flood {
    calls: u64,
    /// Seconds until the server closed it; null if it did not.
    closed_after: Option<f64>,
    /// The close frame, if it came through.
    how: Option<String>,
}

/// Calls of connections beside the flood, from when each was due to its answer.
#[derive(Debug, Serialize)]
struct Neighbours {
    quiet_ms: Percentiles,
    flooded_ms: Percentiles,
    p99_ratio: f64,
    lost: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Quiet,
    Flooded,
    Over,
}

pub(crate) async fn run(args: Burst, stop: Stop) -> anyhow::Result<Report> {
    let target = Arc::new(Target::new(&args.target)?);
    let stopwatch = Stopwatch::start();
    let (at_once, in_turn) = tokio::try_join!(
        ask_at_once(&target, stopwatch, args.at_once),
        ask_in_turn(&target, stopwatch, args.in_turn),
    )?;

    let phase = watch::Sender::new(Phase::Quiet);
    let mut neighbours = Vec::new();
    for number in 0..args.neighbours {
        let socket = Socket::open(&target, number, &format!("load-n-{number}"), false).await;
        let socket = socket.context("a neighbour")?;
        neighbours.push(talk(socket, number, stopwatch, phase.subscribe()));
    }
    stop.or_after(Duration::from_secs(args.quiet.into())).await;
    phase.send_replace(Phase::Flooded);
    let flood = flood(&target, stopwatch, &stop).await?;
    phase.send_replace(Phase::Over);
    let neighbours = Neighbours::of(neighbours).await;

    let all = |asked: &Asked| asked.answers == asked.calls;
    Ok(Report {
        as_promised: all(&at_once)
            && all(&in_turn)
            && flood.closed_after.is_some()
            && neighbours.lost == 0
            && neighbours.p99_ratio <= 1.1,
        scenario: "burst",
        machine: Machine::this(),
        interrupted: stop.is_set(),
        parameters: Parameters {
            at_once: args.at_once,
            in_turn: args.in_turn,
            neighbours: args.neighbours,
            quiet_seconds: args.quiet,
        },
        at_once,
        in_turn,
        flood,
        neighbours,
    })
}

async fn ask_at_once(target: &Target, stopwatch: Stopwatch, calls: u32) -> anyhow::Result<Asked> {
    let socket = Socket::open(target, 0, "load-b-0", false).await?;
    let (mut sink, mut stream) = socket.stream.split();
    let start = stopwatch.ns();
    let send = async {
        for id in 0..calls {
            let call = json!({"jsonrpc": "2.0", "id": id, "method": METHOD, "params": params()});
            if sink.send(Message::text(call.to_string())).await.is_err() {
                break;
            }
        }
    };
    let receive = async {
        let (mut answers, mut lost) = (0, None);
        while answers < calls && lost.is_none() {
            match timeout(PATIENCE, stream.next()).await {
                Ok(Some(Ok(Message::Text(_)))) => answers += 1,
                Ok(Some(Ok(Message::Close(frame)))) => lost = Some(ended(frame)),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) => lost = Some("lost".to_owned()),
                Err(_) => lost = Some("no answer".to_owned()),
            }
        }
        (answers, lost)
    };
    let ((), (answers, lost)) = tokio::join!(send, receive);
    Ok(Asked {
        calls,
        answers,
        seconds: seconds(stopwatch, start),
        lost,
    })
}

async fn ask_in_turn(target: &Target, stopwatch: Stopwatch, calls: u32) -> anyhow::Result<Asked> {
    let mut socket = Socket::open(target, 0, "load-b-1", false).await?;
    let start = stopwatch.ns();
    let (mut answers, mut lost) = (0, None);
    while answers < calls && lost.is_none() {
        match socket.call(METHOD, &params()).await {
            Ok(_) => answers += 1,
            Err(error) => lost = Some(error.to_string()),
        }
    }
    Ok(Asked {
        calls,
        answers,
        seconds: seconds(stopwatch, start),
        lost,
    })
}

async fn flood(target: &Target, stopwatch: Stopwatch, stop: &Stop) -> anyhow::Result<Flood> {
    let socket = Socket::open(target, 0, "load-b-2", false).await?;
    let (mut sink, mut unread) = socket.stream.split();
    let start = stopwatch.ns();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": params()});
    let call = Message::text(call.to_string());
    let mut calls = 0;
    let sending = async {
        while sink.send(call.clone()).await.is_ok() {
            calls += 1;
        }
    };
    let closed = tokio::select! {
        () = sending => true,
        () = stop.or_after(FLOOD) => false,
    };
    let took = seconds(stopwatch, start);
    let mut how = None;
    while let Ok(Some(Ok(message))) = timeout(PATIENCE, unread.next()).await {
        if let Message::Close(frame) = message {
            how = Some(ended(frame));
            break;
        }
    }
    Ok(Flood {
        calls,
        closed_after: closed.then_some(took),
        how: how.filter(|_| closed),
    })
}

/// Calls at a steady pace below the rate, and measures each from when it was due.
fn talk(
    mut socket: Socket,
    number: u32,
    stopwatch: Stopwatch,
    phase: watch::Receiver<Phase>,
) -> JoinHandle<Option<[Histogram<u64>; 2]>> {
    tokio::spawn(async move {
        let mut taken = [histogram(), histogram()];
        // Spread, so that they do not all call at once.
        let mut due = stopwatch.ns() + nanos(EVERY / 20) * u64::from(number % 20);
        loop {
            sleep_until(stopwatch.instant(due)).await;
            let phase = match *phase.borrow() {
                Phase::Quiet => 0,
                Phase::Flooded => 1,
                Phase::Over => return Some(taken),
            };
            socket.call(METHOD, &params()).await.ok()?;
            taken[phase].saturating_record(stopwatch.ns().saturating_sub(due));
            due += nanos(EVERY);
        }
    })
}

impl Neighbours {
    async fn of(tasks: Vec<JoinHandle<Option<[Histogram<u64>; 2]>>>) -> Self {
        let (mut quiet, mut flooded, mut lost) = (histogram(), histogram(), 0);
        for task in tasks {
            match task.await {
                Ok(Some([before, during])) => {
                    // All have the same bounds.
                    let _ = quiet.add(before);
                    let _ = flooded.add(during);
                }
                _ => lost += 1,
            }
        }
        let (quiet, flooded) = (Percentiles::of(&quiet), Percentiles::of(&flooded));
        Self {
            p99_ratio: rounded(flooded.p99 / quiet.p99.max(1e-9)),
            quiet_ms: quiet,
            flooded_ms: flooded,
            lost,
        }
    }
}

fn params() -> Value {
    json!({"id": "load"})
}

fn seconds(stopwatch: Stopwatch, since_ns: u64) -> f64 {
    rounded(stopwatch.ns().saturating_sub(since_ns) as f64 / 1e9)
}

fn ended(frame: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>) -> String {
    frame.map_or_else(String::new, |f| format!("{} {}", f.code, f.reason))
}

/// Small, answered, and done to nobody.
const METHOD: &str = "signal.leave";

/// Of a neighbour's calls: 20 a second.
const EVERY: Duration = Duration::from_millis(50);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A flood that is not closed by then will not be.
const FLOOD: Duration = Duration::from_mins(10);
