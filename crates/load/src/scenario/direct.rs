use serde::Serialize;

use crate::args::{Direct, TrafficArgs};
use crate::crowd::{Role, Seat};
use crate::payload::Template;
use crate::report::Report;
use crate::scenario::{Plan, run as run_plan};
use crate::stop::Stop;

#[derive(Debug, Serialize)]
pub(crate) struct Parameters {
    pairs: u32,
    #[serde(flatten)]
    traffic: TrafficArgs,
}

/// Every message to one identity with one connection. Sender and receiver number `n` are a pair.
pub(crate) async fn run(args: Direct, stop: Stop) -> anyhow::Result<Report<Parameters>> {
    let pairs = args.pairs.unwrap_or_else(|| args.traffic.senders());
    let receiver = |n| format!("load-r-{n}");
    let plan = Plan {
        scenario: "direct",
        receivers: (0..pairs)
            .map(|n| Seat {
                identity: receiver(n),
                join: None,
                role: Role::Listen(Some(n as usize)),
            })
            .collect(),
        senders: (0..pairs).map(|n| format!("load-d-{n}")).collect(),
        routes: (0..pairs)
            .map(|n| Template::send(&receiver(n), args.traffic.payload))
            .collect(),
        stall_after: None,
        traffic: args.traffic.clone(),
        parameters: Parameters {
            pairs,
            traffic: args.traffic,
        },
    };
    run_plan(plan, &args.target, stop).await
}
