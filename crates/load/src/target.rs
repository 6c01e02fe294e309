use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail, ensure};
use hexline_client::Endpoint;

use crate::args::TargetArgs;
use crate::mint::Mint;
use crate::process::Process;

/// The server under load: on this machine, or not at all.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) mint: Mint,
    pub(crate) server: Process,
    pub(crate) opening: usize,
    per_source: u32,
}

impl Target {
    pub(crate) fn new(args: &TargetArgs) -> anyhow::Result<Self> {
        ensure!(
            args.base.starts_with("http://"),
            "--base must start with http://"
        );
        let endpoint = Endpoint::parse(&args.base).context("--base")?;
        let address = loopback(&endpoint).context("--base")?;
        let audience = args.audience.as_deref().unwrap_or(&args.base);
        let mint = Mint::new(&args.key_id, args.key_secret.clone(), audience);
        // So that a key of the wrong form is told at once, not once for every connection.
        mint.token("load")?;
        Ok(Self {
            address,
            mint,
            server: find(args.server_pid, address)?,
            opening: args.opening.get().into(),
            per_source: args.per_source.get(),
            endpoint,
        })
    }

    /// The address that connection `number` leaves from: 127.0.0.2 and so on.
    pub(crate) fn source(&self, number: u32) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(_) => {
                let host = (FIRST_SOURCE + number / self.per_source) & 0x00ff_ffff;
                IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0000 | host))
            }
            // IPv6 has one loopback address only.
            v6 @ IpAddr::V6(_) => v6,
        };
        SocketAddr::new(ip, 0)
    }
}

/// The process given, or the one that listens there.
pub(crate) fn find(pid: Option<u32>, address: SocketAddr) -> anyhow::Result<Process> {
    let process = match pid {
        Some(pid) => Process::new(pid),
        None => Process::listening(address)
            .with_context(|| format!("cannot find the server at {address}; try --server-pid"))?,
    };
    process
        .memory()
        .with_context(|| format!("cannot read /proc/{}", process.pid()))?;
    Ok(process)
}

/// Where an endpoint is, if that is on this machine.
pub(crate) fn loopback(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    let ip = match endpoint.host() {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host
            .parse()
            .with_context(|| format!("{host} is not a loopback address"))?,
    };
    if !ip.is_loopback() {
        bail!("{ip} is not a loopback address: only a server on this machine can be loaded");
    }
    Ok(SocketAddr::new(ip, endpoint.port()))
}

/// 127.0.0.2: the first is left to those who are not part of the load.
const FIRST_SOURCE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_this_machine_is_loaded() {
        let at = |url| loopback(&Endpoint::parse(url).expect("a URL"));
        for (url, address) in [
            ("http://localhost:8000", "127.0.0.1:8000"),
            ("http://127.0.0.9/x", "127.0.0.9:80"),
            ("http://[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(at(url).expect(url).to_string(), address);
        }
        for url in [
            "http://192.0.2.1:8000",
            "http://example.org",
            "http://0.0.0.0:1",
        ] {
            assert!(at(url).is_err(), "{url}");
        }
    }

    #[test]
    fn connections_leave_from_as_many_addresses_as_needed() {
        let endpoint = Endpoint::parse("http://127.0.0.1:1").expect("a URL");
        let target = Target {
            address: loopback(&endpoint).expect("loopback"),
            mint: Mint::new(
                "k",
                hexline_model::Secret::new(String::new()),
                "http://127.0.0.1:1",
            ),
            server: Process::own(),
            opening: 1,
            per_source: 900,
            endpoint,
        };
        for (number, source) in [
            (0, "127.0.0.2:0"),
            (899, "127.0.0.2:0"),
            (900, "127.0.0.3:0"),
            (900 * 254, "127.0.1.0:0"),
        ] {
            assert_eq!(target.source(number).to_string(), source);
        }
    }
}
