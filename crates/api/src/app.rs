use std::sync::Arc;

use hexline_fanout::Fanout;
use hexline_gateway::{ClientSessionContext, Connections, Hub, LogLines, Metrics};
use hexline_model::{Clock, Entropy, Monotonic, NodeId, Secret, Timestamp};
use hexline_services::apps::AppService;
use hexline_services::audit::AuditService;
use hexline_services::auth::AuthService;
use hexline_services::idempotency::IdempotencyService;
use hexline_services::keys::{KeyError, KeyRecord, KeyService, RevokedKey};
use hexline_services::operators::OperatorService;
use hexline_services::revocations::RevocationService;
use hexline_services::signal::SignalService;
use hexline_services::tokens::TokenService;
use hexline_services::webhooks::WebhookService;
use prometheus_client::metrics::histogram::Histogram;

use crate::kit::authenticator::TokenAuthenticator;
use crate::kit::request_id::RequestIds;

/// What the handlers of every door share. It knows no door: what one of them needs besides is in
/// that door's own state.
pub struct App {
    /// What every door is told.
    pub options: Options,
    /// The public URL.
    pub url: String,
    /// This server process, among those of a cluster.
    pub node: NodeId,
    /// The apps.
    pub apps: Arc<AppService>,
    /// Their keys.
    pub keys: Arc<KeyService>,
    /// Which tokens are refused though their key is good, and who stays out.
    pub revocations: Arc<RevocationService>,
    /// The people who sign in to the Console.
    pub operators: Arc<OperatorService>,
    /// Who changed what.
    pub audit: Arc<AuditService>,
    /// Makes tokens for apps that name a key for it.
    pub tokens: TokenService,
    /// What apps are told of.
    pub webhooks: Arc<WebhookService>,
    /// Who may say what to whom.
    pub signal: SignalService,
    /// Who hears what.
    pub fanout: Arc<Fanout>,
    /// The live connections.
    pub hub: Arc<Hub>,
    /// What is asked about live connections, on all nodes.
    pub connections: Arc<Connections>,
    /// Who calls, by the token.
    pub authenticator: TokenAuthenticator,
    /// What the sessions of live connections share.
    pub sessions: Arc<ClientSessionContext>,
    /// How users of apps without a server of their own sign in.
    pub auth: Arc<AuthService>,
    /// Writes that come twice.
    pub idempotency: IdempotencyService,
    /// What the log says of clients.
    pub log: Arc<LogLines>,
    /// What requests are called.
    pub request_ids: RequestIds,
    /// What the gateway counts, and refusals at every door.
    pub metrics: Arc<Metrics>,
    /// How long requests take.
    pub http_duration: Histogram,
    /// When the server started, by the clock and by the stop watch.
    pub started: (Timestamp, Monotonic),
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What every door is told.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For development.
    pub dev: bool,
    /// Whether the server itself speaks TLS.
    pub tls: bool,
    /// A log line for each HTTP request.
    pub access_log: bool,
    /// The largest HTTP request body.
    pub body_bytes: usize,
}

impl App {
    /// The link of an invitation. The token is in the fragment, which no server or proxy sees.
    pub(crate) fn invitation_url(&self, token: &Secret<String>) -> String {
        invitation_url(&self.url, token)
    }

    /// Revokes a key and, unless they are to stay, the keys that it made. Besides, how many live
    /// connections that closes.
    pub(crate) async fn revoke_key(
        &self,
        key: &KeyRecord,
        keep_made: bool,
    ) -> Result<(RevokedKey, usize), KeyError> {
        let mut ids = vec![key.id];
        if !keep_made {
            ids.extend(self.keys.keys_made_by(key).iter().map(|made| made.id));
        }
        let closed = self.connections.count_by_keys(key.app, &ids).await.total();
        let revoked = if keep_made {
            self.keys.revoke_key_alone(key.id).await?
        } else {
            self.keys.revoke_key(key.id).await?
        };
        Ok((revoked, closed))
    }
}

/// The link of an invitation on a server with this public URL.
pub fn invitation_url(url: &str, token: &Secret<String>) -> String {
    let url = url.trim_end_matches('/');
    format!("{url}/console/invitation#{}", token.expose())
}
