use std::sync::Arc;

use hexline_model::{NodeId, Route, Timestamp};
use hexline_protocol::session::{SessionInfo, SessionLimits};
use serde_json::json;

use super::SessionError;
use crate::Caller;
use crate::keys::KeyRegistry;

/// Tells callers of their own access.
pub struct SessionService {
    registry: Arc<KeyRegistry>,
    settings: SessionSettings,
}

/// What is the same for all callers of a server.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The server's limits; an app may be stricter with itself.
    pub limits: SessionLimits,
    /// What the server can do beyond the first release.
    pub features: Vec<String>,
    /// The server among those of a cluster.
    pub node: NodeId,
    /// The server's name and version.
    pub server: String,
}

impl SessionService {
    /// `registry` knows how strict each app is with itself.
    pub fn new(registry: Arc<KeyRegistry>, settings: SessionSettings) -> Self {
        Self { registry, settings }
    }

    /// Who the caller is, what it may do and which limits hold. `expires` is when its token or key
    /// ends.
    pub fn info(
        &self,
        caller: &Caller,
        expires: Option<Timestamp>,
    ) -> Result<SessionInfo, SessionError> {
        let user = caller.identity().zip(caller.device());
        let (identity, device) = user.ok_or(SessionError::NotAUser)?;
        let limits = self.settings.limits;
        let app_limits = self.registry.limits(caller.app);
        let (per_second, burst) = (limits.calls_per_second, limits.call_burst);
        let permissions = &caller.permissions;
        Ok(SessionInfo {
            address: caller.from().to_owned(),
            identity: identity.to_owned(),
            device: device.to_owned(),
            route: caller.route().as_ref().map(Route::to_string),
            expires_ms: expires.map(Timestamp::as_millis),
            grants: json!(permissions.token()),
            ceiling: permissions.ceiling().map(|ceiling| json!(ceiling)),
            limits: SessionLimits {
                calls_per_second: app_limits.calls_per_second(per_second),
                call_burst: app_limits.call_burst(burst),
                ..limits
            },
            features: self.settings.features.clone(),
            node: self.settings.node.to_string(),
            server: self.settings.server.clone(),
        })
    }
}
