use serde::Serialize;

use crate::latency::Percentiles;
use crate::process::{Memory, Process};
use crate::socket::Counts;

/// What a run with messages found.
#[derive(Debug, Serialize)]
pub(crate) struct Traffic {
    /// Messages per second that were due.
    pub(crate) offered_per_second: f64,
    /// Messages per second that were sent. Less than offered: the server held the senders back, or
    /// this process could not keep up (see `pacing_lag_ms`).
    pub(crate) achieved_per_second: f64,
    /// All that were sent, the warm-up's included.
    pub(crate) sent: u64,
    pub(crate) deliveries_expected: u64,
    pub(crate) deliveries_received: u64,
    pub(crate) deliveries_lost: u64,
    pub(crate) deliveries_per_second: f64,
    /// From when a message was due to when it was read here.
    pub(crate) latency_ms: Percentiles,
    /// How late this process was in sending.
    pub(crate) pacing_lag_ms: Percentiles,
    /// Seconds for which CPU time and deliveries were counted.
    pub(crate) measured_seconds: f64,
}

/// What the server used.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    pub(crate) cpu: Cpu,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) memory: MemoryOverTime,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cpu {
    pub(crate) seconds: f64,
    /// 1.0 is one core.
    pub(crate) cores: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct MemoryOverTime {
    pub(crate) before: Memory,
    pub(crate) connected: Memory,
    pub(crate) end: Memory,
    /// Resident growth from before to connected, per open connection. Of a server that was started
    /// for this: one that had as many connections before has kept the memory.
    pub(crate) bytes_per_connection: f64,
    /// The same at the end.
    pub(crate) bytes_per_connection_at_end: f64,
}

/// This process.
#[derive(Debug, Serialize)]
pub(crate) struct OwnUse {
    pub(crate) cpu: Cpu,
    pub(crate) rss_kib: u64,
}

/// Who is here, for whoever reads the figures elsewhere.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
}

/// CPU time of the server and of this process at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuMark {
    server: f64,
    own: f64,
    pub(crate) at_ns: u64,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl MemoryOverTime {
    pub(crate) fn new(before: Memory, connected: Memory, end: Memory, connections: usize) -> Self {
        let each = |later: Memory| {
            let grown = later.rss_kib as f64 - before.rss_kib as f64;
            rounded(grown * 1024.0 / connections.max(1) as f64)
        };
        Self {
            before,
            connected,
            end,
            bytes_per_connection: each(connected),
            bytes_per_connection_at_end: each(end),
        }
    }
}

impl CpuMark {
    pub(crate) fn take(server: Process, at_ns: u64) -> anyhow::Result<Self> {
        let own = Process::own().cpu_seconds()?;
        Ok(Self {
            server: server.cpu_seconds()?,
            own,
            at_ns,
        })
    }

    /// Seconds since an earlier mark.
    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at_ns.saturating_sub(earlier.at_ns) as f64 / 1e9
    }

    pub(crate) fn server_since(&self, earlier: &Self) -> Cpu {
        Cpu::new(self.server - earlier.server, self.seconds_since(earlier))
    }

    pub(crate) fn own_since(&self, earlier: &Self) -> anyhow::Result<OwnUse> {
        Ok(OwnUse {
            cpu: Cpu::new(self.own - earlier.own, self.seconds_since(earlier)),
            rss_kib: Process::own().memory()?.rss_kib,
        })
    }
}

impl Cpu {
    fn new(seconds: f64, of: f64) -> Self {
        Self {
            seconds: rounded(seconds),
            cores: rounded(seconds / of.max(1e-9)),
        }
    }

    /// Microseconds for each of so many.
    pub(crate) fn us_per(&self, count: u64) -> Option<f64> {
        (count > 0).then(|| rounded(self.seconds * 1e6 / count as f64))
    }
}

/// To three decimals, which is more than any of these figures is worth.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// What every scenario with connections reports.
#[derive(Debug, Serialize)]
pub(crate) struct Report<P> {
    pub(crate) scenario: &'static str,
    pub(crate) machine: Machine,
    /// Whether Ctrl-C ended it early.
    pub(crate) interrupted: bool,
    pub(crate) parameters: P,
    pub(crate) connect: crate::crowd::Opening,
    /// Connections that ended before the run did, by reason.
    pub(crate) connections_lost: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stall: Option<crate::scenario::stall::Stalled>,
    pub(crate) server: Server,
    pub(crate) load: OwnUse,
}
