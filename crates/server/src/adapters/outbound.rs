use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hexline_services::auth::{
    Answer, Body, MAX_ANSWER, Outbound, OutboundError, PATIENCE, Request,
};
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore};

use super::tls::provider;

/// Reaches sign-in providers and the apps' own sign-in: https alone, no redirect, no proxy of the
/// environment, and no address that is not a public one. In development http and loopback too.
pub(crate) struct OutboundHttp {
    http: reqwest::Client,
    dev: bool,
}

impl OutboundHttp {
    pub(crate) fn new(dev: bool) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!dev)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .user_agent(concat!("hexline/", env!("CARGO_PKG_VERSION")));
        if !dev {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self {
            http: builder.build()?,
            dev,
        })
    }
}

#[async_trait]
impl Outbound for OutboundHttp {
    async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        let url = reqwest::Url::parse(&request.url)
            .map_err(|_| OutboundError::Unreachable("the URL cannot be read".to_owned()))?;
        // A name is looked at when it is resolved; an address never is.
        let literal = url.host_str().and_then(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<IpAddr>().ok()
        });
        if !self.dev && literal.is_some_and(|ip| !is_public(ip)) {
            return Err(OutboundError::Private);
        }
        let mut builder = match request.body {
            None => self.http.get(url),
            Some(Body::Form(text)) => self
                .http
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(text.expose().clone()),
            Some(Body::Json(text)) => self
                .http
                .post(url)
                .header(CONTENT_TYPE, "application/json")
                .body(text.expose().clone()),
        };
        builder = builder.header(ACCEPT, "application/json");
        if let Some(authorization) = request.authorization {
            let mut value = HeaderValue::from_str(authorization.expose())
                .map_err(|_| OutboundError::Unreachable("a header cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(OutboundError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).map_err(|_| OutboundError::NotText)?;
        Ok(Answer { status, body })
    }
}

/// Resolves a name to its public addresses. What is connected to is what was looked at, so a name
/// that changes between two looks gains nothing.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err(Box::new(OutboundError::Private) as Box<_>);
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the Internet's, and not of this machine, its networks, or one that
/// leads back to them.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64 and 6to4 carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, documentation.
        [0x2001, 0 | 0xdb8, ..] | [0x3fff, ..] => false,
        // Global unicast is 2000::/3.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

fn failed(error: reqwest::Error) -> OutboundError {
    if error.is_timeout() {
        return OutboundError::Slow;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(OutboundError::Private) = found.downcast_ref() {
            return OutboundError::Private;
        }
        cause = found.source();
    }
    OutboundError::Unreachable(error.without_url().to_string())
}

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_not_public_however_they_are_written() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(inside.parse().expect("an address")), "{inside}");
        }
        for outside in ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"] {
            assert!(is_public(outside.parse().expect("an address")), "{outside}");
        }
    }

    #[tokio::test]
    async fn nobody_inside_is_asked() {
        let outbound = OutboundHttp::new(false).expect("a client");
        for url in [
            "https://127.0.0.1/x",
            "https://[::1]/",
            "https://localhost/",
            "https://0x7f.1/",
        ] {
            let answer = outbound.send(Request::get(url)).await;
            assert_eq!(answer.err(), Some(OutboundError::Private), "{url}");
        }
    }
}
