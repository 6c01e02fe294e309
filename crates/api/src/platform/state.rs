use std::sync::Arc;

use axum::extract::FromRef;

use super::rate_limits::RateLimits;
use crate::app::App;
use crate::tasks::Tasks;

/// What the routes of the platform API stand on.
#[derive(Clone)]
pub struct PlatformState {
    /// What all doors share.
    pub app: Arc<App>,
    /// How many calls each app's server has left.
    pub rate_limits: Arc<RateLimits>,
    /// Where writes run, which outlive their caller.
    pub tasks: Arc<Tasks>,
    /// Bytes of audit entries about one app, beyond which its server changes nothing more.
    pub audit_bytes: u64,
}

impl FromRef<PlatformState> for Arc<App> {
    fn from_ref(state: &PlatformState) -> Self {
        Arc::clone(&state.app)
    }
}
