use std::sync::Arc;

use hexline_bus::Bus;
use hexline_model::{Clock, Device, Entropy, Identity};
use hexline_services::keys::{KeyError, KeyService};
use hexline_store::Database;
use hexline_token::{PrivateKey, TokenBuilder};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::auth::Doorkeeper;
use crate::config::Config;
use crate::gateway::hub::Hub;
use crate::gateway::session::SessionContext;
use crate::probe::Probe;
use crate::telemetry::Metrics;

/// Everything that the handlers of one server share.
pub(crate) struct App {
    pub(crate) config: Config,
    /// The public URL.
    pub(crate) url: String,
    pub(crate) keys: Arc<KeyService>,
    pub(crate) database: Database,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) door: Doorkeeper,
    pub(crate) sessions: Arc<SessionContext>,
    pub(crate) probe: Probe,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// One task per live connection.
    pub(crate) tasks: TaskTracker,
}

/// The app that `--dev` makes, and that the demo token service uses unless told otherwise.
pub const DEMO_APP: &str = "demo";

impl App {
    /// A token for the demo token service: every service, for an hour.
    pub(crate) fn demo_token(
        &self,
        identity: &Identity,
        device: &Device,
    ) -> Result<String, KeyError> {
        let name = self.config.token_service.app.as_deref().unwrap_or(DEMO_APP);
        let key = self.keys.signing_key(self.keys.find_app(name)?.id)?;
        let signer = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .expect("a stored secret was screened when it was made");
        let grants = json!({ "chat": true, "push": true, "signal": true, "video": true });
        let token = TokenBuilder::create()
            .signing_key(key.id.to_string(), signer)
            .api(&self.url)
            .identity(identity.as_str())
            .device(device.as_str())
            .grants(grants)
            .ttl(DEMO_TTL_S)
            .build_at(self.clock.now());
        Ok(token.expect("identity, device and key are well formed"))
    }
}

const DEMO_TTL_S: u64 = 3600;
