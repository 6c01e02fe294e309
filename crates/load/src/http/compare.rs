use std::process::Stdio;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::args::CompareToken;
use crate::http::token::{Door, Figures, measure};
use crate::report::{Machine, rounded};
use crate::stop::Stop;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    machine: Machine,
    interrupted: bool,
    /// The medians of all rounds: the bare handler's requests per second by the server's. 1.3
    /// means that the server needs 1.3 times as long for a request.
    ratio_of_time: f64,
    /// The medians of all rounds: the server's CPU time per request by the bare handler's.
    ratio_of_cpu: f64,
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    server: Figures,
    bare: Figures,
}

/// The bare handler, in a process of its own as the server is.
struct BareServer {
    child: Child,
    door: Door,
}

/// Measures the server and the bare handler in turn.
pub(crate) async fn run(args: CompareToken, stop: Stop) -> anyhow::Result<Report> {
    let door = Door::new(&args.load.url, args.load.server_pid)?;
    let mut bare = BareServer::start(door.body_bytes().await?).await?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        if stop.is_set() && !rounds.is_empty() {
            break;
        }
        let server = measure(&door, &args.load, &stop).await?;
        let bare = measure(&bare.door, &args.load, &stop).await?;
        rounds.push(Round { server, bare });
    }
    // Its standard input closes, and it ends by itself.
    drop(bare.child.stdin.take());
    let _ = bare.child.wait().await;
    let median = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
    Ok(Report {
        scenario: "compare-token",
        machine: Machine::this(),
        interrupted: stop.is_set(),
        ratio_of_time: rounded(median(|r| r.bare.per_second) / median(|r| r.server.per_second)),
        ratio_of_cpu: rounded(
            median(|r| r.server.server_cpu_us_per_request)
                / median(|r| r.bare.server_cpu_us_per_request),
        ),
        rounds,
    })
}

impl BareServer {
    async fn start(body_bytes: usize) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Ready {
            url: String,
            pid: u32,
        }
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(own)
            .args([
                "bare",
                "--until-stdin-closes",
                "--body-bytes",
                &body_bytes.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the bare server")?;
        let output = child
            .stdout
            .take()
            .context("the bare server has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        let ready: Ready = serde_json::from_str(&line).context("the bare server did not start")?;
        let door = Door::new(&ready.url, Some(ready.pid))?;
        Ok(Self { child, door })
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((middle(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((middle(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
    }
}
