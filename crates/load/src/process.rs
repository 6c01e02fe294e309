//! What `/proc` tells about processes and sockets.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

/// A process by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

/// What a process holds in memory.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident, pages shared with others included.
    pub(crate) rss_kib: u64,
    /// Resident, shared pages divided among those that share them; if the system tells.
    pub(crate) pss_kib: Option<u64>,
}

/// One line of the system's table of TCP sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: TcpState,
    inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpState {
    Established,
    Listening,
    Other,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// This one.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// The one that listens there.
    pub(crate) fn listening(address: SocketAddr) -> io::Result<Self> {
        let socket = tcp_sockets()?.into_iter().find(|socket| {
            socket.state == TcpState::Listening
                && socket.local.port() == address.port()
                && (socket.local.ip() == address.ip() || socket.local.ip().is_unspecified())
        });
        let socket = socket.ok_or_else(|| io::Error::other("nobody listens there"))?;
        let wanted = format!("socket:[{}]", socket.inode);
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // Other users' processes cannot be looked into, and some end meanwhile.
            let Ok(files) = fs::read_dir(entry.path().join("fd")) else {
                continue;
            };
            let holds = files.flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
            });
            if holds {
                return Ok(Self(pid));
            }
        }
        Err(io::Error::other(
            "the process that listens there cannot be looked into",
        ))
    }

    pub(crate) fn pid(self) -> u32 {
        self.0
    }

    /// CPU time used so far by all its threads, in seconds, user and system.
    pub(crate) fn cpu_seconds(self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        parse_cpu(&stat).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))
    }

    pub(crate) fn memory(self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let rss_kib = parse_kib(&status, "VmRSS:")
            .ok_or_else(|| io::Error::other("/proc/PID/status has no VmRSS"))?;
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0));
        let pss_kib = rollup.ok().and_then(|text| parse_kib(&text, "Pss:"));
        Ok(Memory { rss_kib, pss_kib })
    }
}

/// All TCP sockets of this machine.
pub(crate) fn tcp_sockets() -> io::Result<Vec<TcpSocket>> {
    let mut sockets = parse_tcp(&fs::read_to_string("/proc/net/tcp")?);
    // A machine without IPv6 has no such file.
    if let Ok(text) = fs::read_to_string("/proc/net/tcp6") {
        sockets.extend(parse_tcp(&text));
    }
    Ok(sockets)
}

fn parse_tcp(text: &str) -> Vec<TcpSocket> {
    text.lines().skip(1).filter_map(parse_tcp_line).collect()
}

fn parse_tcp_line(line: &str) -> Option<TcpSocket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(TcpSocket {
        local: parse_address(fields.get(1)?)?,
        remote: parse_address(fields.get(2)?)?,
        state: match *fields.get(3)? {
            "01" => TcpState::Established,
            "0A" => TcpState::Listening,
            _ => TcpState::Other,
        },
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:1F40` is 127.0.0.1:8000: words of four bytes, each in the machine's order.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Fields 14 and 15, counted after the name, which may hold anything.
fn parse_cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// What Linux shows to programs on every common machine, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_sockets_is_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 123456 1 0000000000000000 100 0 0 10 0\n\
            \x20  1: 0100007F:1F40 0200007F:ABCD 01 00000000:00000000 00:00000000 00000000  1000        0 7 1\n\
            \x20  2: 0000000000000000FFFF00000100007F:1F40 0000000000000000FFFF00000300007F:0001 04 0:0 00:0 0 0 0 0 1\n\
            nonsense\n";
        let sockets = parse_tcp(text);
        let shown: Vec<_> = sockets
            .iter()
            .map(|s| format!("{} {} {:?} {}", s.local, s.remote, s.state, s.inode))
            .collect();
        assert_eq!(
            shown,
            [
                "127.0.0.1:8000 0.0.0.0:0 Listening 123456",
                "127.0.0.1:8000 127.0.0.2:43981 Established 7",
                "127.0.0.1:8000 127.0.0.3:1 Other 0",
            ]
        );
    }

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(parse_cpu("7 (x) S"), None);
    }

    #[test]
    fn a_process_finds_itself_by_the_port_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let found = Process::listening(listener.local_addr().expect("an address"));
        assert_eq!(found.expect("found"), Process::own());
        let memory = Process::own().memory().expect("readable");
        assert!(memory.rss_kib > 100);
        assert!(Process::own().cpu_seconds().expect("readable") >= 0.0);
    }
}
