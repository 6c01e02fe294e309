use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hexline_services::reach::{Reach, UrlRefused, UrlRule};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, RequestBuilder, Url};
use rustls::{ClientConfig, RootCertStore};

use super::tls::crypto_provider;

/// Sends requests to URLs that somebody gave the server, and to no address that its rule does not
/// allow: no redirect is followed, no proxy of the environment asked.
pub(crate) struct GuardedHttp {
    http: reqwest::Client,
    rule: UrlRule,
}

impl GuardedHttp {
    /// `patience` is for the whole of a request.
    pub(crate) fn new(rule: UrlRule, patience: Duration) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(crypto_provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(WithinReach(rule.reach)))
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(patience)
            .pool_max_idle_per_host(2)
            .user_agent(concat!("hexline/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, rule })
    }

    /// Begins a request, if it may go there.
    pub(crate) fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, UrlRefused> {
        // A name is checked when it is resolved; an address never is.
        self.rule.check(url)?;
        let url = Url::parse(url).map_err(|_| UrlRefused::Unreadable)?;
        Ok(self.http.request(method, url))
    }
}

/// Why a request was not sent, if it was for where it would have gone.
pub(crate) fn refusal(error: &reqwest::Error) -> Option<UrlRefused> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(refused) = found.downcast_ref() {
            return Some(*refused);
        }
        cause = found.source();
    }
    None
}

/// Resolves a name to those of its addresses that may be connected to. What is connected to is
/// what was looked at.
struct WithinReach(Reach);

impl Resolve for WithinReach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| reach.allows(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(UrlRefused::Address) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_inside_is_refused_before_anything_is_sent() {
        let guarded = GuardedHttp::new(UrlRule::default(), Duration::from_secs(5));
        let guarded = guarded.expect("a client");
        for url in ["https://127.0.0.1/x", "https://[::1]/", "https://0x7f.1/"] {
            let refused = guarded.request(Method::GET, url).err();
            assert_eq!(refused, Some(UrlRefused::Address), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_refused_by_what_it_resolves_to() {
        let name = |text: &str| text.parse::<Name>().expect("a name");
        let resolved = WithinReach(Reach::Public).resolve(name("localhost")).await;
        let error = resolved.err().expect("nothing is left");
        let refused = error.downcast_ref::<UrlRefused>();
        assert_eq!(refused, Some(&UrlRefused::Address));
        let resolver = WithinReach(Reach::PublicAndLoopback);
        assert!(resolver.resolve(name("localhost")).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_to_a_name_inside_is_not_sent() {
        let inside = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = inside.local_addr().expect("an address").port();
        inside
            .set_nonblocking(true)
            .expect("a listener that does not wait");
        let guarded = GuardedHttp::new(UrlRule::default(), Duration::from_secs(5));
        let guarded = guarded.expect("a client");
        // Past the check of the URL, which knows this name: others resolve to such addresses too.
        let sent = guarded.http.get(format!("http://localhost:{port}/"));
        let error = sent.send().await.expect_err("no address is left");
        assert_eq!(refusal(&error), Some(UrlRefused::Address));
        let connected = inside.accept().expect_err("no connection was made");
        assert_eq!(connected.kind(), std::io::ErrorKind::WouldBlock);
    }
}
