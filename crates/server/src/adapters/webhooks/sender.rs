use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Clock as _, SystemClock};
use hexline_services::webhooks::{Attempt, Claimed, Webhook, WebhookService};
use hexline_token::webhook::MEDIA_TYPE;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore};

use super::reach::Reach;
use crate::adapters::tls::provider;

/// Makes one HTTP request to a webhook.
pub(super) struct Sender {
    http: reqwest::Client,
    reach: Reach,
    patience: Duration,
    clock: SystemClock,
}

/// Resolves names to those addresses that may be connected to.
struct Guarded(Reach);

/// Why an attempt came to nothing, for the app's people. Without the URL, which may hold a secret.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the host is an address that is not allowed")]
    Refused,
    #[error("http is not allowed, expected https")]
    Plain,
    #[error("the URL cannot be read")]
    Url,
    #[error("there was no answer in time")]
    Late,
    #[error("the app has no key to sign with")]
    Unsigned,
    #[error("there was no connection: {0}")]
    Unreachable(String),
}

impl Sender {
    pub(super) fn new(reach: Reach, patience: Duration) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!reach.allows_http())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Guarded(reach)))
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(patience)
            .pool_max_idle_per_host(2)
            .user_agent(concat!("hexline/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            reach,
            patience,
            clock: SystemClock::new(),
        })
    }

    /// Sends; whatever comes of it is an attempt.
    pub(super) async fn attempt(
        &self,
        service: &WebhookService,
        webhook: &Webhook,
        claimed: &Claimed,
    ) -> Attempt {
        let (at, began) = (self.clock.now(), self.clock.moment());
        let sending = self.send(service, webhook, claimed);
        let sent = match tokio::time::timeout(self.patience, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::Late),
        };
        let took = self.clock.moment().as_millis() - began.as_millis();
        let (status, error, answer) = match sent {
            Ok((status, answer)) => (Some(status), None, Some(answer)),
            Err(failure) => (None, Some(failure.to_string()), None),
        };
        Attempt {
            at,
            duration_ms: took,
            url: webhook.url.as_str().to_owned(),
            status,
            error,
            answer,
        }
    }

    async fn send(
        &self,
        service: &WebhookService,
        webhook: &Webhook,
        claimed: &Claimed,
    ) -> Result<(u16, String), Failure> {
        let url = reqwest::Url::parse(webhook.url.as_str()).map_err(|_| Failure::Url)?;
        if url.scheme() != "https" && !self.reach.allows_http() {
            return Err(Failure::Plain);
        }
        // An address needs no resolver.
        if let Some(ip) = url.host_str().and_then(literal)
            && !self.reach.allows(ip)
        {
            return Err(Failure::Refused);
        }
        let authorization = service
            .sign(webhook, claimed.body.as_bytes())
            .map_err(|error| {
                tracing::debug!(%error, "cannot sign for a webhook");
                Failure::Unsigned
            })?;
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(AUTHORIZATION, authorization)
            .body(claimed.body.clone());
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // What comes beyond is not waited for. An answer that breaks off is one all the same.
        while body.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MAX_ANSWER - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) | Err(_) => break,
            }
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|at| reach.allows(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(Failure::Refused) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A host that is an address: the URL parser has made dotted numbers of every spelling.
fn literal(host: &str) -> Option<IpAddr> {
    IpAddr::from_str(host.trim_start_matches('[').trim_end_matches(']')).ok()
}

fn unreachable(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Late;
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        if source.downcast_ref::<Failure>().is_some() {
            return Failure::Refused;
        }
        cause = source;
    }
    Failure::Unreachable(cause.to_string().chars().take(200).collect())
}

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const MAX_ANSWER: usize = 4096;
