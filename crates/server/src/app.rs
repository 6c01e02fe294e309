use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use hexline_bus::Bus;
use hexline_gateway::ClientSessionContext;
use hexline_gateway::Hub;
use hexline_gateway::LogLines;
use hexline_model::{
    Clock, Device, Entropy, Identity, KeyId, Monotonic, NodeId, Secret, Timestamp,
};
use hexline_services::audit::AuditService;
use hexline_services::auth::AuthService;
use hexline_services::idempotency::IdempotencyService;
use hexline_services::keys::{AppName, KeyError, KeyRecord, KeyService, RevokedKey};
use hexline_services::operators::OperatorService;
use hexline_services::tokens::TokenService;
use hexline_services::webhooks::WebhookService;
use hexline_store::Database;
use hexline_token::{PrivateKey, TokenBuilder};
use serde_json::json;

use crate::adapters::webhooks::hooks::Hooks;
use crate::auth::Doorkeeper;
use crate::config::Config;
use crate::console::feed::Feed;
use crate::http::{Documents, RequestIds, SocketDriver, Throttle};
use crate::node::Registration;
use crate::platform::Allowances;
use crate::probe::Probe;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Everything that the handlers of one server share.
pub(crate) struct App {
    pub(crate) config: Config,
    /// The public URL.
    pub(crate) url: String,
    /// This server process, among those of a cluster.
    pub(crate) node: NodeId,
    pub(crate) keys: Arc<KeyService>,
    pub(crate) operators: Arc<OperatorService>,
    /// Who changed what.
    pub(crate) audit: Arc<AuditService>,
    /// Makes tokens for apps that name a key for it.
    pub(crate) tokens: TokenService,
    pub(crate) webhooks: Arc<WebhookService>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) database: Database,
    /// Its place among the servers on the database.
    pub(crate) registration: Registration,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) door: Doorkeeper,
    pub(crate) sessions: Arc<ClientSessionContext>,
    /// How users of apps without a server of their own sign in.
    pub(crate) auth: Arc<AuthService>,
    pub(crate) auth_throttle: Throttle,
    pub(crate) demo_tokens: DemoTokens,
    /// How many calls each app's server has left.
    pub(crate) allowances: Allowances,
    pub(crate) idempotency: IdempotencyService,
    pub(crate) probe: Probe,
    pub(crate) log: Arc<LogLines>,
    pub(crate) request_ids: RequestIds,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) documents: Documents,
    /// The second's tick of live figures.
    pub(crate) feed: Arc<Feed>,
    /// When the server started, by the clock and by the stop watch.
    pub(crate) started: (Timestamp, Monotonic),
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Runs what an upgraded request becomes.
    pub(crate) sockets: Arc<dyn SocketDriver>,
    /// One task per live connection, and what else has to end before the records close.
    pub(crate) tasks: Arc<Tasks>,
}

impl App {
    /// The link of an invitation. The token is in the fragment, which no server or proxy sees.
    pub(crate) fn invitation_url(&self, token: &Secret<String>) -> String {
        invitation_url(&self.url, token)
    }

    /// Revokes a key and, unless they are to stay, the keys that it made. Besides, how many live
    /// connections of this node that closes.
    pub(crate) async fn revoke_key(
        &self,
        key: &KeyRecord,
        keep_made: bool,
    ) -> Result<(RevokedKey, usize), KeyError> {
        let mut ids = vec![key.id];
        if !keep_made {
            ids.extend(self.keys.keys_made_by(key).iter().map(|made| made.id));
        }
        let closed = self.hub.count_by_keys(key.app, &ids);
        let revoked = if keep_made {
            self.keys.revoke_key_alone(key.id).await?
        } else {
            self.keys.revoke_key(key.id).await?
        };
        Ok((revoked, closed))
    }
}

/// The link of an invitation on a server with this public URL.
pub(crate) fn invitation_url(url: &str, token: &Secret<String>) -> String {
    let url = url.trim_end_matches('/');
    format!("{url}/console/invitation#{}", token.expose())
}

/// The app that `--dev` makes, and that the demo token service uses unless told otherwise.
pub const DEMO_APP: &str = "demo";

/// Mints what `POST /token` gives away: every service, for an hour.
pub(crate) struct DemoTokens {
    app: Wanted,
    url: String,
    /// A builder for the key that signed last, so that the key is opened once.
    template: RwLock<Option<(KeyId, TokenBuilder)>>,
}

/// Whose tokens they are.
enum Wanted {
    Named(AppName),
    /// The demo app, or if there is none the only app.
    Demo(AppName),
}

impl DemoTokens {
    /// `app` is the one whose signing key is used, `url` what the tokens name as audience.
    pub(crate) fn new(app: Option<&str>, url: &str) -> anyhow::Result<Self> {
        let name = |text| {
            AppName::parse(text)
                .with_context(|| format!("token_service.app is {text:?}, expected an app's name"))
        };
        let app = match app {
            Some(app) => Wanted::Named(name(app)?),
            None => Wanted::Demo(name(DEMO_APP)?),
        };
        Ok(Self {
            app,
            url: url.to_owned(),
            template: RwLock::default(),
        })
    }

    /// A token for a user's device.
    pub(crate) fn mint(
        &self,
        keys: &KeyService,
        identity: &Identity,
        device: &Device,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let builder = self.builder(keys, now)?;
        let token = builder
            .identity(identity.as_str())
            .device(device.as_str())
            .build_at(now);
        Ok(token.expect("identity, device and key are well formed"))
    }

    fn builder(&self, keys: &KeyService, now: Timestamp) -> Result<TokenBuilder, KeyError> {
        let (Wanted::Named(name) | Wanted::Demo(name)) = &self.app;
        let signer = keys.registry().signer(name, now);
        if let Some((key, template)) = self
            .template
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            && Some(*key) == signer
        {
            return Ok(template.clone());
        }
        let app = match (
            &self.app,
            keys.find_app(name.as_str()),
            keys.list_apps().as_slice(),
        ) {
            (_, Ok(app), _) => app.id,
            (Wanted::Demo(_), Err(_), [only]) => only.id,
            (_, Err(error), _) => return Err(error),
        };
        let key = keys.signing_key(app)?;
        let signer = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .expect("a stored secret was screened when it was made");
        let builder = TokenBuilder::create()
            .signing_key(key.id.to_string(), signer)
            .api(&self.url)
            .grants(json!({ "chat": true, "push": true, "signal": true, "video": true }))
            .ttl(DEMO_TTL_S);
        *self
            .template
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some((key.id, builder.clone()));
        Ok(builder)
    }
}

const DEMO_TTL_S: u64 = 3600;
