//! Where the server sends requests on somebody's behalf: to which addresses, and by which scheme.
//!
//! Every URL that somebody gives the server passes [`UrlRule::check`] twice: when it is set and
//! when it is used. What a name resolves to is checked by [`Reach::allows`] where the connection is
//! made (`adapters/guarded.rs` of the server), so a name that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Which addresses a server sends to on an app's behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Those of the public internet.
    #[default]
    Public,
    /// Those, and this machine: for development.
    PublicAndLoopback,
    /// Those, this machine, and private networks. Never a link-local address or another one where
    /// clouds tell a machine its secrets.
    Private,
}

/// Where plain http will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Nowhere: https only.
    #[default]
    Never,
    /// On this machine.
    OnLoopback,
    /// Wherever requests may go.
    Anywhere,
}

/// Which URLs requests may go to. By default https on the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UrlRule {
    /// To which addresses.
    pub reach: Reach,
    /// Where without TLS.
    pub http: PlainHttp,
}

/// Why a URL is no place to send a request to. Without the URL, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// It cannot be read.
    #[error("the URL cannot be read")]
    Unreadable,
    /// Neither https nor http.
    #[error("the URL is of another scheme, expected https")]
    Scheme,
    /// Plain http where that is not allowed.
    #[error("http is not allowed, expected https")]
    PlainHttp,
    /// A private, local or reserved address.
    #[error("the host is an address that is not allowed")]
    Address,
}

impl UrlRule {
    /// The rule for webhooks: where private networks or this machine are allowed, so is http.
    pub fn webhooks(reach: Reach) -> Self {
        let http = match reach {
            Reach::Public => PlainHttp::Never,
            Reach::PublicAndLoopback | Reach::Private => PlainHttp::Anywhere,
        };
        Self { reach, http }
    }

    /// The rule for key sets, sign-in providers and an app's own sign-in: https only; in
    /// development http on this machine too.
    pub fn providers(dev: bool, allow_private: bool) -> Self {
        let reach = match (allow_private, dev) {
            (true, _) => Reach::Private,
            (false, true) => Reach::PublicAndLoopback,
            (false, false) => Reach::Public,
        };
        let http = if dev {
            PlainHttp::OnLoopback
        } else {
            PlainHttp::Never
        };
        Self { reach, http }
    }

    /// Checks the scheme, and the host if it is an address in any spelling or `localhost`.
    pub fn check(self, url: &str) -> Result<(), UrlRefused> {
        let url = Url::parse(url).map_err(|_| UrlRefused::Unreadable)?;
        let literal = match url.host().ok_or(UrlRefused::Unreadable)? {
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Host::Domain(name) => is_localhost(name).then_some(Ipv4Addr::LOCALHOST.into()),
        };
        let local = literal.is_some_and(|ip| ip.to_canonical().is_loopback());
        match (url.scheme(), self.http) {
            ("https", _) | ("http", PlainHttp::Anywhere) => {}
            ("http", PlainHttp::OnLoopback) if local => {}
            ("http", _) => return Err(UrlRefused::PlainHttp),
            _ => return Err(UrlRefused::Scheme),
        }
        if literal.is_some_and(|ip| !self.reach.allows(ip)) {
            return Err(UrlRefused::Address);
        }
        Ok(())
    }
}

/// The name of this machine, or one below it (RFC 6761 §6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl Reach {
    /// Whether a connection to this address may be made.
    pub fn allows(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.allows_v4(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(mapped) => self.allows_v4(mapped),
                None => self.allows_v6(ip),
            },
        }
    }

    fn allows_v4(self, ip: Ipv4Addr) -> bool {
        let [a, b, c, _] = ip.octets();
        if METADATA_V4.contains(&ip) {
            return false;
        }
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
        if METADATA_V6.contains(&ip) || (a, b) == AWS_V6 {
            return false;
        }
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

/// Where clouds answer a machine's questions about itself, and with its credentials, elsewhere than
/// on link-local addresses: Alibaba Cloud, Azure.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// The same: Google Cloud, Scaleway.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];
/// The start of all that AWS answers on, `fd00:ec2::/32`.
const AWS_V6: (u16, u16) = (0xfd00, 0x0ec2);

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

    #[test]
    fn no_option_opens_the_metadata_addresses_of_clouds() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
        ] {
            for reach in [Reach::Public, Reach::PublicAndLoopback, Reach::Private] {
                assert!(!allowed(reach, ip), "{reach:?}: {ip}");
            }
        }
    }

    const STRICT: UrlRule = UrlRule {
        reach: Reach::Public,
        http: PlainHttp::Never,
    };

    #[test]
    fn an_address_is_one_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "\u{ff11}27.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "10.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[64:ff9b::7f00:1]",
        ] {
            let url = format!("https://{host}:8443/x");
            assert_eq!(STRICT.check(&url), Err(UrlRefused::Address), "{url}");
        }
        for url in [
            "https://example.org/x",
            "https://1.1.1.1",
            "https://[2606:4700::1]/",
        ] {
            assert_eq!(STRICT.check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn providers_are_asked_by_https_and_in_development_on_this_machine_without() {
        let dev = UrlRule::providers(true, false);
        let inside = UrlRule::providers(false, true);
        for url in [
            "http://localhost:9/",
            "http://127.0.0.1/",
            "http://[::1]:80/",
        ] {
            assert_eq!(STRICT.check(url), Err(UrlRefused::PlainHttp), "{url}");
            assert_eq!(inside.check(url), Err(UrlRefused::PlainHttp), "{url}");
            assert_eq!(dev.check(url), Ok(()), "{url}");
        }
        assert_eq!(dev.check("http://example.org/"), Err(UrlRefused::PlainHttp));
        assert_eq!(dev.check("https://10.0.0.1/"), Err(UrlRefused::Address));
        assert_eq!(inside.check("https://10.0.0.1/"), Ok(()));
        assert_eq!(
            inside.check("https://169.254.169.254/"),
            Err(UrlRefused::Address)
        );
        assert_eq!(dev.check("ftp://127.0.0.1/"), Err(UrlRefused::Scheme));
        assert_eq!(dev.check("/x"), Err(UrlRefused::Unreadable));
    }
}
