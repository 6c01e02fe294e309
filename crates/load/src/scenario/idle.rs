use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::args::{Idle, IdleChannel};
use crate::crowd::{Crowd, Role, Seat, Stage, open};
use crate::report::{CpuMark, Machine, MemoryOverTime, Report, Server};
use crate::scenario::SETTLE;
use crate::stop::Stop;
use crate::stopwatch::Stopwatch;
use crate::target::Target;

#[derive(Debug, Serialize)]
pub(crate) struct Parameters {
    connections: u32,
    seconds: u32,
    channel: IdleChannel,
}

/// Connections that join and then do nothing but answer pings and send their own.
pub(crate) async fn run(args: Idle, stop: Stop) -> anyhow::Result<Report<Parameters>> {
    let target = Arc::new(Target::new(&args.target)?);
    let before = target.server.memory()?;
    let stopwatch = Stopwatch::start();
    let crowd = Arc::new(Crowd::new(stopwatch, Vec::new()));
    let seats = (0..args.connections).map(|n| Seat {
        identity: format!("load-{n}"),
        join: match args.channel {
            IdleChannel::Each => Some(format!("load.{n}")),
            IdleChannel::Same => Some("load".to_owned()),
            IdleChannel::None => None,
        },
        role: Role::Listen(None),
    });
    let opened = open(&crowd, &target, seats.collect(), &stop).await;
    stop.or_after(SETTLE).await;
    let connected = target.server.memory()?;
    let first = CpuMark::take(target.server, stopwatch.ns())?;
    stop.or_after(Duration::from_secs(args.seconds.into()))
        .await;
    let last = CpuMark::take(target.server, stopwatch.ns())?;
    let end = target.server.memory()?;
    let losses = crowd.losses();
    crowd.stage.send_replace(Stage::Over);
    Ok(Report {
        scenario: "idle",
        machine: Machine::this(),
        interrupted: stop.is_set(),
        parameters: Parameters {
            connections: args.connections,
            seconds: args.seconds,
            channel: args.channel,
        },
        connections_lost: losses,
        traffic: None,
        stall: None,
        server: Server {
            pid: target.server.pid(),
            cpu: last.server_since(&first),
            cpu_us_per_delivery: None,
            memory: MemoryOverTime::new(before, connected, end, opened.opened),
        },
        load: last.own_since(&first)?,
        connect: opened,
    })
}
