use std::net::{IpAddr, Ipv6Addr};

/// Where a request came from, and the network address that it counts for: of IPv6, the /64 block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    remote: IpAddr,
    block: IpAddr,
}

impl Peer {
    /// What an address counts as. An IPv4 address that came as IPv6 is one all the same.
    pub fn of(ip: IpAddr) -> Self {
        let remote = ip.to_canonical();
        let block = block(remote);
        Self { remote, block }
    }

    /// What it counts for.
    pub fn ip(self) -> IpAddr {
        self.block
    }

    /// The address itself, for people to see.
    pub fn remote(self) -> IpAddr {
        self.remote
    }
}

fn block(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) if v6.is_loopback() => ip,
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_counts_by_its_block() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(block(ip("2001:db8::1:2:3:4")), ip("2001:db8::"));
        assert_eq!(block(ip("192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(Peer::of(ip("::ffff:192.0.2.1")).ip(), ip("192.0.2.1"));
    }
}
