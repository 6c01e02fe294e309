use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::Clock;
use hexline_services::reach::{UrlRefused, UrlRule};
use hexline_services::webhooks::{Attempt, Claimed, Webhook, WebhookService};
use hexline_token::webhook::MEDIA_TYPE;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Method;

use crate::adapters::guarded::{GuardedHttp, refusal};

/// Makes one HTTP request to a webhook.
///
/// An answer is waited for by the server's clock. The HTTP client has a limit of the same length
/// by the machine's, over which no test has power; on a server in use the two are one.
pub(super) struct Sender {
    http: GuardedHttp,
    patience: Duration,
    clock: Arc<dyn Clock>,
}

/// Why an attempt came to nothing, for the app's people. Without the URL, which may hold a secret.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Refused(#[from] UrlRefused),
    #[error("there was no answer in time")]
    Late,
    #[error("the app has no key to sign with")]
    Unsigned,
    #[error("there was no connection: {0}")]
    Unreachable(String),
}

impl Failure {
    /// For the log, where what others write has no place.
    fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "url_refused",
            Self::Late => "timed_out",
            Self::Unsigned => "no_signing_key",
            Self::Unreachable(_) => "no_connection",
        }
    }
}

impl Sender {
    pub(super) fn new(
        rule: UrlRule,
        patience: Duration,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let http = GuardedHttp::new(rule, patience)?;
        Ok(Self {
            http,
            patience,
            clock,
        })
    }

    /// Sends; whatever comes of it is an attempt. With it, in one word, why there was no answer.
    pub(super) async fn attempt(
        &self,
        service: &WebhookService,
        webhook: &Webhook,
        claimed: &Claimed,
    ) -> (Attempt, Option<&'static str>) {
        let (at, began) = (self.clock.now(), self.clock.monotonic());
        let sending = self.send(service, webhook, claimed);
        let sent = match self.clock.timeout(self.patience, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::Late),
        };
        let took = self.clock.monotonic().as_millis() - began.as_millis();
        let failure = sent.as_ref().err().map(Failure::reason);
        let (status, error, answer) = match sent {
            Ok((status, answer)) => (Some(status), None, Some(answer)),
            Err(failure) => (None, Some(failure.to_string()), None),
        };
        let attempt = Attempt {
            at,
            duration_ms: took,
            url: webhook.url.as_str().to_owned(),
            status,
            error,
            answer,
        };
        (attempt, failure)
    }

    async fn send(
        &self,
        service: &WebhookService,
        webhook: &Webhook,
        claimed: &Claimed,
    ) -> Result<(u16, String), Failure> {
        let request = self.http.request(Method::POST, webhook.url.as_str())?;
        let authorization = service
            .sign(webhook, claimed.body.as_bytes())
            .map_err(|error| {
                tracing::debug!(%error, "cannot sign for a webhook");
                Failure::Unsigned
            })?;
        let request = request
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

fn unreachable(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Late;
    }
    if let Some(refused) = refusal(error) {
        return Failure::Refused(refused);
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Unreachable(cause.to_string().chars().take(200).collect())
}

const MAX_ANSWER: usize = 4096;
