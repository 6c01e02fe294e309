use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hexline_model::{Clock, KeyId};
use hexline_services::keys::{JwksOrder, KeyMaterial, KeyRegistry};
use hexline_token::{KeySet, UnverifiedToken};
use rustls::{ClientConfig, RootCertStore};

use super::tls::provider;

/// Fetches the key sets behind registered JWKS URLs.
///
/// When to fetch is the registry's to say: for a token whose `kid` it lacks, or when a set has
/// grown old, but never often. Tokens that wait for one set wait in line; another app's URL is
/// another line.
pub(crate) struct JwksFetcher {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    lines: Mutex<HashMap<KeyId, Arc<tokio::sync::Mutex<()>>>>,
}

impl JwksFetcher {
    /// `allow_http` is for development: http, which the registry takes for loopback only.
    pub(crate) fn new(clock: Arc<dyn Clock>, allow_http: bool) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!allow_http)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(5))
            .user_agent(concat!("hexline/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            clock,
            lines: Mutex::default(),
        })
    }

    /// Fetches the set that a refused token would need. `true` if it is worth another try.
    pub(crate) async fn fetch_for(&self, token: &str, registry: &KeyRegistry) -> bool {
        let Ok(unverified) = UnverifiedToken::parse(token) else {
            return false;
        };
        let Ok(key) = KeyId::parse(unverified.issuer()) else {
            return false;
        };
        let record = registry.key_record(key);
        if !record.is_some_and(|key| matches!(key.material, KeyMaterial::JwksUrl(_))) {
            return false;
        }
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(key).or_default())
        };
        let _turn = line.lock().await;
        let (issuer, kid) = (unverified.issuer(), unverified.key_id());
        if let Some(order) = registry.jwks_wanted(issuer, kid, self.clock.now()) {
            self.fetch(&order, registry).await;
        }
        // Even without an order: whoever stood in line before may have fetched what it needs.
        true
    }

    /// Fetches again what has grown old.
    pub(crate) async fn refresh(&self, registry: &KeyRegistry) {
        let due = registry.jwks_due(self.clock.now());
        futures_util::future::join_all(due.iter().map(|order| self.fetch(order, registry))).await;
    }

    async fn fetch(&self, order: &JwksOrder, registry: &KeyRegistry) {
        match self.download(&order.url).await {
            Ok(set) => registry.install_jwks(order.key, set, self.clock.now()),
            Err(error) => {
                tracing::warn!(key.id = %order.key, %error, "cannot fetch a key set");
            }
        }
    }

    async fn download(&self, url: &str) -> Result<KeySet, FetchError> {
        let mut response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(FetchError::unreachable)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::unreachable)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let text = std::str::from_utf8(&body).map_err(|_| FetchError::NotText)?;
        KeySet::parse(text).map_err(|error| FetchError::NotKeys(error.to_string()))
    }
}

/// Why a key set did not arrive. The URL, which may hold a secret, is not in it.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the URL cannot be reached: {0}")]
    Unreachable(String),
    #[error("the URL answers with status {0}, expected 200")]
    Status(u16),
    #[error("the answer has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer is not UTF-8")]
    NotText,
    #[error("the answer is no usable key set: {0}")]
    NotKeys(String),
}

impl FetchError {
    fn unreachable(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url().to_string())
    }
}

const MAX_BYTES: usize = 256 << 10;
