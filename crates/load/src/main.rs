//! `load`: the bench client. Opens many connections to a Hexline server on the same machine, each
//! with a token of its own, loads it at an offered rate, and prints one JSON document.
//!
//! ```text
//! load idle   --key-id ID --key-secret SECRET --connections 10000 --seconds 30
//! load fanout --key-id ID --key-secret SECRET --channels 10 --subscribers 100 --rate 2000
//! load direct --key-id ID --key-secret SECRET --rate 2000
//! load stall  --key-id ID --key-secret SECRET --subscribers 100 --stalled 5 --rate 2000
//! load silent --url https://localhost:8000 --ca cert.pem --sources 10 --per-source 1990
//! load burst  --key-id ID --key-secret SECRET
//! load token         --url http://127.0.0.1:8000/token
//! load bare
//! load compare-token --url http://127.0.0.1:8000/token
//! ```
//!
//! How it measures:
//!
//! * **Open loop.** Message `n` is due at `start + n / rate`, whatever became of those before. Its
//!   due time stands in its payload, in nanoseconds of this process' clock, and latency counts from
//!   there: a server that stalls is charged for all that should have been sent meanwhile. How late
//!   this process itself was is reported apart, as `pacing_lag_ms`.
//! * **Publishers stay below the server's rate limit:** there are as many as the rate needs.
//! * **From many addresses.** Connections leave from 127.0.0.2, .3 and so on, so that limits per
//!   address and the range of ports are not what is measured. Hence loopback only: any other
//!   target is refused.
//! * **The server's CPU and memory** are read from `/proc`, of the process that listens on the
//!   port. Both share the machine with this process, whose own CPU is reported as well.
//!
//! To add a scenario: a file in `scenario/` that makes a plan, a variant in `args.rs`.
//! To add a figure: a field in the scenario's report; take none away, tables are made from them.

mod args;
mod crowd;
mod http;
mod latency;
mod mint;
mod pacer;
mod payload;
mod process;
mod report;
mod scenario;
mod socket;
mod stop;
mod stopwatch;
mod target;
mod tls;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::{Args, Command};
use crate::stop::Stop;

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(usize::from(threads.get()));
    }
    let runtime = builder
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let printed = runtime.block_on(run(args.command));
    // Connections and tasks end with the process; waiting for ten thousand of them helps nobody.
    runtime.shutdown_background();
    printed
}

async fn run(command: Command) -> anyhow::Result<()> {
    // As many as the system allows; too few show up as failed connections.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let stop = Stop::on_ctrl_c();
    match command {
        Command::Idle(args) => print(&scenario::idle::run(args, stop).await?),
        Command::Fanout(args) => print(&scenario::fanout::run(args, stop).await?),
        Command::Direct(args) => print(&scenario::direct::run(args, stop).await?),
        Command::Stall(args) => print(&scenario::stall::run(args, stop).await?),
        Command::Silent(args) => print(&scenario::silent::run(args, stop).await?),
        Command::Burst(args) => print(&scenario::burst::run(args, stop).await?),
        Command::Token(args) => print(&http::token::run(args, stop).await?),
        Command::Bare(args) => http::bare::run(args, stop).await,
        Command::CompareToken(args) => print(&http::compare::run(args, stop).await?),
    }
}

fn print(report: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}
