use serde::Serialize;

use crate::args::{Fanout, TrafficArgs};
use crate::crowd::{Role, Seat};
use crate::payload::Template;
use crate::report::Report;
use crate::scenario::{Plan, run as run_plan};
use crate::stop::Stop;

#[derive(Debug, Serialize)]
pub(crate) struct Parameters {
    channels: u32,
    subscribers_per_channel: u32,
    publishers: u32,
    #[serde(flatten)]
    traffic: TrafficArgs,
}

/// Every message to all subscribers of one channel, the channels in turn. Publishers do not join.
pub(crate) async fn run(args: Fanout, stop: Stop) -> anyhow::Result<Report<Parameters>> {
    let publishers = args.publishers.unwrap_or_else(|| args.traffic.senders());
    let connections = u64::from(args.channels) * u64::from(args.subscribers);
    anyhow::ensure!(
        connections <= MAX_CONNECTIONS,
        "{connections} subscribers are more than {MAX_CONNECTIONS}"
    );
    let channel = |n| format!("load.{n}");
    let mut receivers = Vec::new();
    for c in 0..args.channels {
        receivers.extend((0..args.subscribers).map(|s| Seat {
            identity: format!("load-s-{c}-{s}"),
            join: Some(channel(c)),
            role: Role::Listen(Some(c as usize)),
        }));
    }
    let plan = Plan {
        scenario: "fanout",
        receivers,
        senders: (0..publishers).map(|p| format!("load-p-{p}")).collect(),
        routes: (0..args.channels)
            .map(|c| Template::publish(&channel(c), args.traffic.payload))
            .collect(),
        stall_after: None,
        traffic: args.traffic.clone(),
        parameters: Parameters {
            channels: args.channels,
            subscribers_per_channel: args.subscribers,
            publishers,
            traffic: args.traffic,
        },
    };
    run_plan(plan, &args.target, stop).await
}

const MAX_CONNECTIONS: u64 = 200_000;
