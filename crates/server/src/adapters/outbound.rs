use std::net::{IpAddr, SocketAddr};
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
use super::webhooks::Reach;

/// Reaches sign-in providers and the apps' own sign-in: https alone, no redirect, no proxy of the
/// environment, and no address that is not a public one. In development http, this machine and
/// private networks too.
pub(crate) struct OutboundHttp {
    http: reqwest::Client,
    reach: Reach,
}

impl OutboundHttp {
    pub(crate) fn new(dev: bool) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let reach = if dev { Reach::Private } else { Reach::Public };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!dev)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .user_agent(concat!("hexline/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(WithinReach(reach)))
            .build()?;
        Ok(Self { http, reach })
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
        if literal.is_some_and(|ip| !self.reach.allows(ip)) {
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

/// Resolves a name to those of its addresses that may be asked. What is connected to is what was
/// looked at, so a name that changes between two looks gains nothing.
struct WithinReach(Reach);

impl Resolve for WithinReach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|at| reach.allows(at.ip())).collect();
            if found.is_empty() {
                return Err(Box::new(OutboundError::Private) as Box<_>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
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
