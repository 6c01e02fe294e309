use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hexline_api::{KeySets, Lookup, Tasks};
use hexline_model::{Clock, KeyId};
use hexline_services::keys::{JwksOrder, KeyMaterial, KeyRegistry};
use hexline_services::reach::{UrlRefused, UrlRule};
use hexline_token::{KeySet, UnverifiedToken};
use reqwest::Method;
use tokio::sync::OwnedMutexGuard;

use super::guarded::{GuardedHttp, refusal};

/// Fetches the key sets behind registered JWKS URLs.
///
/// When to fetch is the registry's to say: for a token whose `kid` it lacks, or when a set has
/// grown old, but never often. Tokens that wait for one set wait in line; another app's URL is
/// another line. A fetch goes on when whoever asked for it has gone: its result is everybody's.
pub(crate) struct JwksFetcher {
    http: Arc<GuardedHttp>,
    clock: Arc<dyn Clock>,
    tasks: Arc<Tasks>,
    lines: Mutex<HashMap<KeyId, Arc<tokio::sync::Mutex<()>>>>,
}

impl JwksFetcher {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        tasks: Arc<Tasks>,
        rule: UrlRule,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            http: Arc::new(GuardedHttp::new(rule, PATIENCE)?),
            clock,
            tasks,
            lines: Mutex::default(),
        })
    }

    /// Fetches again what has grown old.
    pub(crate) async fn refresh(&self, registry: &Arc<KeyRegistry>) {
        let due = registry.jwks_due(self.clock.now()).into_iter();
        let fetches = due.map(|order| async {
            let turn = self.line(order.key).lock_owned().await;
            self.fetch(order, turn, registry).await;
        });
        futures_util::future::join_all(fetches).await;
    }

    fn line(&self, key: KeyId) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(key).or_default())
    }

    async fn fetch(
        &self,
        order: JwksOrder,
        turn: OwnedMutexGuard<()>,
        registry: &Arc<KeyRegistry>,
    ) {
        let (http, clock) = (Arc::clone(&self.http), Arc::clone(&self.clock));
        let registry = Arc::clone(registry);
        let fetching = self.tasks.spawn(async move {
            match download(&http, &order.url).await {
                Ok(set) => registry.install_jwks(order.key, set, clock.now()),
                Err(error) => {
                    tracing::warn!(key.id = %order.key, %error, "cannot fetch a key set");
                    registry.jwks_failed(order.key, clock.now());
                }
            }
            drop(turn);
        });
        // It is cut off only with the server.
        let _ = fetching.await;
    }
}

#[async_trait]
impl KeySets for JwksFetcher {
    async fn look_up(&self, token: &str, registry: &Arc<KeyRegistry>) -> Lookup {
        let Ok(unverified) = UnverifiedToken::parse(token) else {
            return Lookup::NotFetched;
        };
        let Ok(key) = KeyId::parse(unverified.issuer()) else {
            return Lookup::NotFetched;
        };
        let record = registry.key_record(key);
        if !record.is_some_and(|key| matches!(key.material, KeyMaterial::JwksUrl(_))) {
            return Lookup::NotFetched;
        }
        let (issuer, kid) = (unverified.issuer(), unverified.key_id());
        let turn = self.line(key).lock_owned().await;
        // Without an order, whoever stood in line before may have fetched what it needs.
        if let Some(order) = registry.jwks_wanted(issuer, kid, self.clock.now()) {
            self.fetch(order, turn, registry).await;
        }
        match registry.jwks_undecided(issuer, kid, self.clock.now()) {
            None => Lookup::Current,
            Some(wait) => Lookup::Unavailable {
                retry_after_s: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1),
            },
        }
    }
}

async fn download(http: &GuardedHttp, url: &str) -> Result<KeySet, FetchError> {
    let request = http.request(Method::GET, url)?.send();
    let mut response = request.await.map_err(FetchError::unreachable)?;
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

/// Why a key set did not arrive. The URL, which may hold a secret, is not in it.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Refused(#[from] UrlRefused),
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
        match refusal(&error) {
            Some(refused) => Self::Refused(refused),
            None => Self::Unreachable(error.without_url().to_string()),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 << 10;
