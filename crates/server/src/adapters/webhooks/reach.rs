use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a server sends to on an app's behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the public internet.
    Public,
    /// Those, and this machine: for development.
    PublicAndLoopback,
    /// Those, this machine, and private networks. Never a link-local address, where clouds keep
    /// their secrets.
    Private,
}

impl Reach {
    /// Whether a connection to this address may be made.
    pub(crate) fn allows(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.allows_v4(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(mapped) => self.allows_v4(mapped),
                None => self.allows_v6(ip),
            },
        }
    }

    /// Whether plain http will do.
    pub(crate) fn allows_http(self) -> bool {
        self != Self::Public
    }

    fn allows_v4(self, ip: Ipv4Addr) -> bool {
        let [a, b, c, _] = ip.octets();
        if ip.is_loopback() {
            return self != Self::Public;
        }
        let shared = a == 100 && (64..128).contains(&b);
        if ip.is_private() || shared {
            return self == Self::Private;
        }
        // This network, link-local, protocol assignments, documentation, 6to4 relays, benchmarks,
        // multicast, reserved and broadcast.
        !(a == 0
            || (a == 169 && b == 254)
            || (a == 192 && b == 0 && (c == 0 || c == 2))
            || (a == 192 && b == 88 && c == 99)
            || (a == 198 && (b == 18 || b == 19))
            || (a == 198 && b == 51 && c == 100)
            || (a == 203 && b == 0 && c == 113)
            || a >= 224)
    }

    fn allows_v6(self, ip: Ipv6Addr) -> bool {
        if ip.is_loopback() {
            return self != Self::Public;
        }
        let [a, b, ..] = ip.segments();
        if a & 0xfe00 == 0xfc00 {
            return self == Self::Private;
        }
        // Global unicast alone: link-local, multicast, NAT64, IPv4-compatible and the rest are
        // elsewhere. In it: protocol assignments and Teredo, documentation, 6to4.
        a & 0xe000 == 0x2000
            && !(a == 0x2001 && b < 0x0200)
            && !(a == 0x2001 && b == 0x0db8)
            && a != 0x2002
            && !(a == 0x3fff && b < 0x1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(reach: Reach, text: &str) -> bool {
        reach.allows(text.parse().expect(text))
    }

    #[test]
    fn the_public_internet_is_reached_and_nothing_else() {
        for ip in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(allowed(Reach::Public, ip), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
        ] {
            assert!(!allowed(Reach::Public, ip), "{ip}");
        }
    }

    #[test]
    fn what_is_allowed_besides_is_this_machine_and_private_networks() {
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed(Reach::PublicAndLoopback, ip), "{ip}");
            assert!(allowed(Reach::Private, ip), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!allowed(Reach::PublicAndLoopback, ip), "{ip}");
            assert!(allowed(Reach::Private, ip), "{ip}");
        }
        for ip in [
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!allowed(Reach::Private, ip), "{ip}");
        }
    }
}
