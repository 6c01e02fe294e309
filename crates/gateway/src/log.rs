//! What the log says of clients: who was refused or closed and why, and how often.
//!
//! Lines have fields (`app.id`, `key.id`, `reason`, `request.id`, `peer`) and no prose about people:
//! no identity, device, token, path, query or body. A key id is that of a known key. Of each (app,
//! reason) at most [`LINES`] lines a second are written; the rest is counted, and the count is a
//! line.
//!
//! To add a line: pass it through [`LogLines::pass`], with a reason from a closed set.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_model::{AppId, Clock, Monotonic};
use ipnet::IpNet;

/// Decides what is written, and how.
pub struct LogLines {
    peers: LogPeer,
    clock: Arc<dyn Clock>,
    kinds: Mutex<HashMap<Kind, Span>>,
}

type Kind = (Option<AppId>, &'static str);

/// What was written of one kind since a moment, and until it is over.
struct Span {
    since: Monotonic,
    length: Duration,
    lines: u32,
    withheld: u64,
}

/// How much of a network address is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPeer {
    /// The network: /24 of IPv4, /48 of IPv6.
    Prefix,
    /// The whole address.
    Full,
    /// Nothing.
    None,
}

/// As much of a network address as may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedPeer {
    /// Its network.
    Prefix(IpNet),
    /// All of it.
    Full(IpAddr),
}

impl LogLines {
    /// Logs as much of network addresses as `peers` says.
    pub fn new(peers: LogPeer, clock: Arc<dyn Clock>) -> Self {
        let kinds = Mutex::default();
        Self {
            peers,
            clock,
            kinds,
        }
    }

    /// Whether one more line of a kind may be written now. If not, it is counted.
    pub fn pass(&self, app: Option<AppId>, reason: &'static str) -> bool {
        self.admit((app, reason), LINES, SECOND)
    }

    /// The same for what fails again and again for one cause, such as a database that is away.
    pub fn pass_once_a_minute(&self, reason: &'static str) -> bool {
        self.admit((None, reason), 1, MINUTE)
    }

    /// Writes the counts of what was withheld, and forgets what is over.
    pub fn settle(&self) {
        let now = self.clock.monotonic();
        self.lock().retain(|kind, span| {
            let goes_on = !span.is_over(now);
            if !goes_on {
                tell(*kind, span.withheld);
            }
            goes_on
        });
    }

    /// As much of a network address as may be logged.
    pub fn peer(&self, ip: IpAddr) -> Option<LoggedPeer> {
        let bits = if ip.is_ipv4() { 24 } else { 48 };
        match self.peers {
            LogPeer::None => None,
            LogPeer::Full => Some(LoggedPeer::Full(ip)),
            LogPeer::Prefix => IpNet::new(ip, bits)
                .ok()
                .map(|net| LoggedPeer::Prefix(net.trunc())),
        }
    }

    fn admit(&self, kind: Kind, most: u32, length: Duration) -> bool {
        let now = self.clock.monotonic();
        let begin = || Span {
            since: now,
            length,
            lines: 0,
            withheld: 0,
        };
        let mut kinds = self.lock();
        let span = kinds.entry(kind).or_insert_with(begin);
        if span.is_over(now) {
            tell(kind, span.withheld);
            *span = begin();
        }
        if span.lines < most {
            span.lines += 1;
            return true;
        }
        span.withheld += 1;
        false
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Span>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    fn is_over(&self, now: Monotonic) -> bool {
        now.since(self.since) >= self.length
    }
}

fn tell((app, reason): Kind, withheld: u64) {
    if withheld > 0 {
        tracing::info!(
            app.id = app.map(display),
            reason,
            withheld,
            "more of the same, counted and not logged one by one"
        );
    }
}

impl fmt::Display for LoggedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) => net.fmt(f),
            Self::Full(ip) => ip.fmt(f),
        }
    }
}

/// Lines of one kind in a second.
const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use hexline_model::{ManualClock, SeededEntropy, Timestamp};

    use super::*;

    fn lines(peers: LogPeer) -> (LogLines, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(0)));
        (LogLines::new(peers, clock.clone()), clock)
    }

    #[test]
    fn of_each_app_and_reason_ten_lines_a_second_are_written() {
        let (lines, clock) = lines(LogPeer::None);
        let app = Some(AppId::generate(&SeededEntropy::new(1)));
        let passed = |app, reason| (0..25).filter(|_| lines.pass(app, reason)).count();
        assert_eq!(passed(app, "token_expired"), 10);
        assert_eq!(passed(app, "key_unknown"), 10);
        assert_eq!(passed(None, "token_expired"), 10);
        assert_eq!(lines.lock()[&(app, "token_expired")].withheld, 15);
        clock.advance(Duration::from_millis(999));
        assert_eq!(passed(app, "token_expired"), 0);
        lines.settle();
        assert_eq!(lines.lock().len(), 3, "they are not over");
        clock.advance(Duration::from_millis(1));
        assert_eq!(passed(app, "token_expired"), 10);
        lines.settle();
        assert_eq!(lines.lock().len(), 1);
    }

    #[test]
    fn what_fails_again_and_again_is_a_line_a_minute() {
        let (lines, clock) = lines(LogPeer::None);
        let passed = || {
            (0..120)
                .filter(|_| lines.pass_once_a_minute("upkeep"))
                .count()
        };
        assert_eq!(passed(), 1);
        clock.advance(Duration::from_secs(59));
        lines.settle();
        assert_eq!(passed(), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(passed(), 1);
    }

    #[test]
    fn as_much_of_an_address_is_logged_as_was_allowed() {
        for (peers, v4, v6) in [
            (LogPeer::Prefix, "192.0.2.0/24", "2001:db8:7::/48"),
            (LogPeer::Full, "192.0.2.77", "2001:db8:7:8::9"),
            (LogPeer::None, "", ""),
        ] {
            let (lines, _) = lines(peers);
            for (ip, wanted) in [("192.0.2.77", v4), ("2001:db8:7:8::9", v6)] {
                let peer = lines.peer(ip.parse().expect("an address"));
                assert_eq!(peer.map_or(String::new(), |peer| peer.to_string()), wanted);
            }
        }
    }
}
