use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use hexline_model::Secret;
use serde::Serialize;

/// Loads a Hexline server on this machine and prints one JSON document.
///
/// Latency counts from the time at which each message was due (open loop). The server's CPU and
/// memory are read from /proc. Ctrl-C ends the measurement early and prints what there is.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
pub(crate) struct Args {
    /// Threads of this process; one per core unless set
    #[arg(long, global = true)]
    pub(crate) threads: Option<NonZeroU16>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Opens connections, joins, and does nothing: memory per connection, cost of being idle.
    /// Start the server anew before: one that had as many connections has kept their memory
    Idle(Idle),
    /// Channels with subscribers, and publishers at an offered rate
    Fanout(Fanout),
    /// Pairs of connections, direct messages at an offered rate
    Direct(Direct),
    /// A fan-out in which some subscribers stop reading: are they closed, do the others notice?
    Stall(Stall),
    /// Sockets that say nothing, or stop in the middle: are they closed, are others served?
    Silent(Silent),
    /// Many calls at once, many in turn, and a flood beside neighbours: does the call rate hold back
    /// who waits, and close who never stops?
    Burst(Burst),
    /// Requests tokens over HTTP as fast as they come
    Token(Token),
    /// Serves a bare handler of the same HTTP library, to compare `POST /token` with
    Bare(Bare),
    /// Runs `token` against the server and against `bare` in turn, and prints the ratio
    CompareToken(CompareToken),
}

/// The server, and how to connect to it
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// The server's base URL, http and on a loopback address
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    pub(crate) base: String,
    /// The base URL in the tokens' audience, if the server knows itself by another than --base
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// The key that signs the tokens
    #[arg(long, env = "HEXLINE_KEY_ID")]
    pub(crate) key_id: String,
    /// Its secret
    #[arg(long, env = "HEXLINE_KEY_SECRET", hide_env_values = true, value_parser = secret)]
    pub(crate) key_secret: Secret<String>,
    /// The server's process; found by the port it listens on unless set
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// Connections from each source address
    #[arg(long, default_value = "900")]
    pub(crate) per_source: NonZeroU32,
    /// Connections being opened at the same time
    #[arg(long, default_value = "64")]
    pub(crate) opening: NonZeroU16,
}

/// What is sent, and for how long
#[derive(Debug, Clone, clap::Args, Serialize)]
pub(crate) struct TrafficArgs {
    /// Messages per second, all senders together
    #[arg(long, default_value_t = 1000, value_parser = RangedU64ValueParser::<u32>::new().range(1..=200_000))]
    pub(crate) rate: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// Seconds before that, at the same rate
    #[arg(long, default_value_t = 2, value_parser = RangedU64ValueParser::<u32>::new().range(0..=600))]
    pub(crate) warmup: u32,
    /// Bytes of padding in each message
    #[arg(long, default_value_t = 100, value_parser = RangedU64ValueParser::<u32>::new().range(0..=60_000))]
    pub(crate) payload: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// How many
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = connections())]
    pub(crate) connections: u32,
    /// Seconds to stay idle
    #[arg(long, default_value_t = 30, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// Which channel each joins
    #[arg(long, value_enum, default_value_t = IdleChannel::Each)]
    pub(crate) channel: IdleChannel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdleChannel {
    /// One of its own
    Each,
    /// All the same
    Same,
    /// None
    None,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    /// Channels
    #[arg(long, default_value_t = 1, value_parser = connections())]
    pub(crate) channels: u32,
    /// Subscribers of each channel
    #[arg(long, default_value_t = 100, value_parser = connections())]
    pub(crate) subscribers: u32,
    /// Publishers; as many as the rate needs unless set
    #[arg(long, value_parser = connections())]
    pub(crate) publishers: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Direct {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    /// Pairs of a sender and a receiver; as many as the rate needs unless set
    #[arg(long, value_parser = connections())]
    pub(crate) pairs: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stall {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    /// Subscribers that go on reading
    #[arg(long, default_value_t = 100, value_parser = connections())]
    pub(crate) subscribers: u32,
    /// Subscribers that stop
    #[arg(long, default_value_t = 5, value_parser = connections())]
    pub(crate) stalled: u32,
    /// Measured seconds until they stop; half of them unless set
    #[arg(long = "stall-after")]
    pub(crate) after: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Silent {
    /// The server's base URL, http or https, on an IPv4 loopback address
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    pub(crate) url: String,
    /// The server's certificate, for https
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
    /// When they fall silent; each in turn unless set
    #[arg(long = "kind", value_enum)]
    pub(crate) kinds: Vec<Silence>,
    /// Source addresses, 127.0.0.2 and so on; one more asks for `/healthz`
    #[arg(long, default_value_t = 10, value_parser = RangedU64ValueParser::<u32>::new().range(1..=250))]
    pub(crate) sources: u32,
    /// Sockets from each of them
    #[arg(long, default_value_t = 1990, value_parser = RangedU64ValueParser::<u32>::new().range(1..=20_000))]
    pub(crate) per_source: u32,
    /// Seconds to wait for a socket's end
    #[arg(long, default_value_t = 60, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// The server's process; found by the port it listens on unless set
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

/// When a socket falls silent
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Silence {
    /// Before the TLS handshake; https only
    Handshake,
    /// At once; after the handshake with https
    Nothing,
    /// After `P`
    Letter,
    /// Within an HTTP/2 preface
    HalfPreface,
    /// After an HTTP/2 preface
    Preface,
    /// After an HTTP/2 preface and SETTINGS
    Settings,
    /// Within a request's head
    Head,
    /// Within a body, of `POST /token` (--dev)
    Body,
    /// After an answer
    Idle,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Burst {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Calls made at once after connecting
    #[arg(long, default_value_t = 1501, value_parser = calls())]
    pub(crate) at_once: u32,
    /// Calls made each after the answer to the one before
    #[arg(long, default_value_t = 5000, value_parser = calls())]
    pub(crate) in_turn: u32,
    /// Connections that go on calling beside the flood
    #[arg(long, default_value_t = 20, value_parser = connections())]
    pub(crate) neighbours: u32,
    /// Seconds that they are measured without a flood
    #[arg(long, default_value_t = 30, value_parser = seconds())]
    pub(crate) quiet: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) load: HttpArgs,
}

/// Where tokens are requested, and how
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HttpArgs {
    /// The token service's URL, http and on a loopback address
    #[arg(long, default_value = "http://127.0.0.1:8000/token")]
    pub(crate) url: String,
    /// Keep-alive connections, each with one request at a time
    #[arg(long, short = 'c', default_value_t = 32, value_parser = RangedU64ValueParser::<u32>::new().range(1..=1000))]
    pub(crate) connections: u32,
    /// Seconds that are measured
    #[arg(long, short = 's', default_value_t = 5, value_parser = seconds())]
    pub(crate) seconds: u32,
    /// The server's process; found by the port it listens on unless set
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bare {
    /// Bytes of the answer's body
    #[arg(long, default_value_t = 400, value_parser = RangedU64ValueParser::<u32>::new().range(12..=65_536))]
    pub(crate) body_bytes: u32,
    /// Ends when standard input does
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareToken {
    #[command(flatten)]
    pub(crate) load: HttpArgs,
    /// How often each is measured; the medians are compared
    #[arg(long, default_value_t = 3, value_parser = RangedU64ValueParser::<u32>::new().range(1..=100))]
    pub(crate) rounds: u32,
}

impl TrafficArgs {
    /// Senders needed to stay below the server's limit of calls per second and connection.
    pub(crate) fn senders(&self) -> u32 {
        self.rate.div_ceil(CALLS_PER_SENDER)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup.into())
    }

    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

fn seconds() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=3600)
}

fn calls() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}

fn connections() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=200_000)
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Below the default limit of 50 calls per second, with room for uneven pacing.
const CALLS_PER_SENDER: u32 = 40;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_secret_is_not_in_debug_output() {
        let line = ["load", "idle", "--key-id", "k", "--key-secret", "hush-hush"];
        let args = Args::try_parse_from(line).expect("well formed");
        assert!(!format!("{args:?}").contains("hush-hush"));
    }

    #[test]
    fn a_rate_takes_as_many_senders_as_stay_below_the_limit() {
        let line = [
            "load",
            "direct",
            "--key-id",
            "k",
            "--key-secret",
            "s",
            "--rate",
            "2001",
        ];
        let Command::Direct(direct) = Args::try_parse_from(line).expect("well formed").command
        else {
            panic!("another command")
        };
        assert_eq!(direct.traffic.senders(), 51);
    }
}
