use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hexline_model::{AppId, Clock, Monotonic};
use hexline_token::jws::{self, OpenError, Signed};
use hexline_token::{Algorithm, KeySet};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::AuthError;
use super::outbound::{Answer, Outbound, OutboundError, Request};
use super::settings::{Provider, check_url};
use crate::reach::UrlRule;

/// What the providers say of themselves, and their keys.
///
/// Each provider of each app has its own line: whoever waits for a slow one waits with the users
/// of that one alone, and after a failure nobody waits at all for [`RETRY`].
pub(super) struct Providers {
    outbound: Arc<dyn Outbound>,
    clock: Arc<dyn Clock>,
    urls: UrlRule,
    known: Mutex<HashMap<(AppId, String), Line>>,
}

type Line = Arc<tokio::sync::Mutex<Known>>;

#[derive(Default)]
struct Known {
    issuer: String,
    metadata: Option<(Arc<Metadata>, Monotonic)>,
    keys: Option<(Arc<KeySet>, Monotonic)>,
    /// When it failed last, until it answers.
    failed: Option<Monotonic>,
    /// When the keys were last fetched for a token that named an unknown one.
    forced: Option<Monotonic>,
}

/// OpenID Connect Discovery 1.0 §3, what of it is used.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Providers {
    pub(super) fn new(outbound: Arc<dyn Outbound>, clock: Arc<dyn Clock>, urls: UrlRule) -> Self {
        Self {
            outbound,
            clock,
            urls,
            known: Mutex::default(),
        }
    }

    /// What a provider says of itself.
    pub(super) async fn metadata(
        &self,
        app: AppId,
        provider: &Provider,
    ) -> Result<Arc<Metadata>, AuthError> {
        let line = self.line(app, &provider.id);
        let mut known = line.lock().await;
        self.discover(&mut known, issuer_of(provider)?).await
    }

    /// Checks that an ID token is signed by the provider.
    pub(super) async fn open(
        &self,
        app: AppId,
        provider: &Provider,
        token: &str,
    ) -> Result<Signed, AuthError> {
        let line = self.line(app, &provider.id);
        let (metadata, keys) = {
            let mut known = line.lock().await;
            let metadata = self.discover(&mut known, issuer_of(provider)?).await?;
            let keys = self.keys(&mut known, &metadata).await?;
            (metadata, keys)
        };
        let algorithms = metadata.algorithms();
        let opened = match jws::open(token, &keys, &algorithms) {
            Err(OpenError::KeyUnknown) => {
                let mut known = line.lock().await;
                match self.newer_keys(&mut known, &metadata, &keys).await? {
                    Some(keys) => jws::open(token, &keys, &algorithms),
                    None => Err(OpenError::KeyUnknown),
                }
            }
            opened => opened,
        };
        opened.map_err(|error| {
            let reason = match error {
                OpenError::Algorithm { .. } => "algorithm",
                OpenError::KeyUnknown => "key_unknown",
                OpenError::Signature => "signature",
                _ => "token_malformed",
            };
            AuthError::refused(reason, format!("the ID token does not pass: {error}"))
        })
    }

    /// Sends a request to a provider and reads its JSON; the status is the caller's to judge.
    pub(super) async fn ask(&self, request: Request) -> Result<Answer, AuthError> {
        let answer = self.outbound.send(request).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        if answer.status >= 500 || answer.status == 429 {
            return Err(AuthError::unreachable(format!(
                "the provider answers with status {}, expected 200",
                answer.status
            )));
        }
        Ok(answer)
    }

    async fn discover(&self, known: &mut Known, issuer: &str) -> Result<Arc<Metadata>, AuthError> {
        if known.issuer != issuer {
            *known = Known {
                issuer: issuer.to_owned(),
                ..Known::default()
            };
        }
        if let Some((metadata, at)) = &known.metadata
            && self.age(*at) < METADATA_LIFE
        {
            return Ok(Arc::clone(metadata));
        }
        let stale = known.metadata.clone();
        let fetched = match self.rested(known) {
            Ok(()) => self.fetch_metadata(issuer).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.failed = None;
                known.metadata = Some((Arc::clone(&metadata), self.clock.monotonic()));
                Ok(metadata)
            }
            Err(error) => {
                known.failed.get_or_insert(self.clock.monotonic());
                match stale {
                    Some((metadata, at)) if self.age(at) < TRUSTED => Ok(metadata),
                    _ => Err(error),
                }
            }
        }
    }

    async fn keys(&self, known: &mut Known, metadata: &Metadata) -> Result<Arc<KeySet>, AuthError> {
        if let Some((keys, at)) = &known.keys
            && self.age(*at) < KEYS_LIFE
        {
            return Ok(Arc::clone(keys));
        }
        let stale = known.keys.clone();
        let fetched = match self.rested(known) {
            Ok(()) => self.fetch_keys(known, metadata).await,
            Err(error) => Err(error),
        };
        match (fetched, stale) {
            (Err(_), Some((keys, at))) if self.age(at) < TRUSTED => Ok(keys),
            (fetched, _) => fetched,
        }
    }

    /// Fetches the keys again for a token that names one which is not in `seen`, but not often:
    /// whoever makes up a `kid` must not make us ask. `None` if it is too early.
    async fn newer_keys(
        &self,
        known: &mut Known,
        metadata: &Metadata,
        seen: &Arc<KeySet>,
    ) -> Result<Option<Arc<KeySet>>, AuthError> {
        // Whoever stood in line before may have fetched them.
        if let Some((keys, _)) = &known.keys
            && !Arc::ptr_eq(keys, seen)
        {
            return Ok(Some(Arc::clone(keys)));
        }
        if known.forced.is_some_and(|at| self.age(at) < REFETCH) || self.rested(known).is_err() {
            return Ok(None);
        }
        known.forced = Some(self.clock.monotonic());
        self.fetch_keys(known, metadata).await.map(Some)
    }

    async fn fetch_keys(
        &self,
        known: &mut Known,
        metadata: &Metadata,
    ) -> Result<Arc<KeySet>, AuthError> {
        let fetched = async {
            let answer = self.ask(Request::get(&metadata.jwks_uri)).await?;
            expect_ok(&answer)?;
            KeySet::parse(&answer.body).map_err(|error| {
                AuthError::unreachable(format!("the provider's keys are of no use: {error}"))
            })
        };
        match fetched.await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                known.failed = None;
                known.keys = Some((Arc::clone(&keys), self.clock.monotonic()));
                Ok(keys)
            }
            Err(error) => {
                known.failed = Some(self.clock.monotonic());
                Err(error)
            }
        }
    }

    async fn fetch_metadata(&self, issuer: &str) -> Result<Metadata, AuthError> {
        let base = issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let answer = self.ask(Request::get(url)).await?;
        expect_ok(&answer)?;
        let metadata: Metadata = json(&answer)?;
        if metadata.issuer != issuer {
            return Err(AuthError::unreachable(
                "the provider's discovery document names another issuer, expected the one of the \
                 settings",
            ));
        }
        let endpoints = [
            Some(&metadata.jwks_uri),
            metadata.token_endpoint.as_ref(),
            metadata.authorization_endpoint.as_ref(),
        ];
        for url in endpoints.into_iter().flatten() {
            let url = url.split('?').next().unwrap_or_default();
            if check_url(url, self.urls).is_err() {
                return Err(AuthError::unreachable(
                    "the provider's discovery document names a URL that may not be asked, expected \
                     https and a public address",
                ));
            }
        }
        Ok(metadata)
    }

    /// Whether it may be asked again after a failure.
    fn rested(&self, known: &mut Known) -> Result<(), AuthError> {
        match known.failed {
            Some(at) if self.age(at) < RETRY => {
                let left = RETRY.saturating_sub(self.age(at)).as_secs();
                Err(AuthError::Unreachable {
                    message: "the provider could not be reached a moment ago".to_owned(),
                    retry_after_s: u32::try_from(left).unwrap_or(1).max(1),
                })
            }
            _ => {
                known.failed = None;
                Ok(())
            }
        }
    }

    fn age(&self, at: Monotonic) -> Duration {
        self.clock.monotonic().since(at)
    }

    fn line(&self, app: AppId, provider: &str) -> Line {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((app, provider.to_owned())).or_default())
    }
}

impl Metadata {
    /// Those of the announced algorithms that are asymmetric; RS256 if none is announced.
    fn algorithms(&self) -> Vec<Algorithm> {
        let announced = &self.id_token_signing_alg_values_supported;
        if announced.is_empty() {
            return vec![Algorithm::Rs256];
        }
        announced
            .iter()
            .filter_map(|name| Algorithm::parse(name).ok())
            .filter(|algorithm| !algorithm.is_symmetric())
            .collect()
    }
}

/// The body of an answer, as JSON.
pub(super) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, AuthError> {
    serde_json::from_str(&answer.body).map_err(|_| {
        AuthError::unreachable("the provider's answer is not the JSON that was expected")
    })
}

fn expect_ok(answer: &Answer) -> Result<(), AuthError> {
    if answer.status == 200 {
        return Ok(());
    }
    Err(AuthError::unreachable(format!(
        "the provider answers with status {}, expected 200",
        answer.status
    )))
}

pub(super) fn unreachable(error: &OutboundError) -> AuthError {
    tracing::warn!(%error, "a sign-in provider is out of reach");
    // What the network says in detail is for the log.
    let message = match error {
        OutboundError::Slow => "the provider does not answer in time".to_owned(),
        OutboundError::TooLarge | OutboundError::NotText | OutboundError::Private => {
            format!("the provider is of no use: {error}")
        }
        _ => "the provider cannot be reached".to_owned(),
    };
    AuthError::unreachable(message)
}

fn issuer_of(provider: &Provider) -> Result<&str, AuthError> {
    provider.issuer().ok_or(AuthError::Order {
        what: "id_token",
        expected: "an access token or a code: this provider has no ID tokens",
    })
}

/// How long what a provider says of itself is taken as it is.
const METADATA_LIFE: Duration = Duration::from_hours(1);
/// How long its keys are.
const KEYS_LIFE: Duration = Duration::from_hours(1);
/// How long both are, if they cannot be fetched again.
const TRUSTED: Duration = Duration::from_hours(24);
/// How long a provider that failed is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// How often keys are fetched because of a `kid` that is not among them.
const REFETCH: Duration = Duration::from_secs(30);
