use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;

use super::feed::Feed;
use crate::app::App;
use crate::probe::Probe;

/// What the Console's routes stand on.
#[derive(Clone)]
pub(crate) struct ConsoleState {
    pub(crate) app: Arc<App>,
    /// The second's tick of live figures.
    pub(crate) feed: Arc<Feed>,
    /// Whether the server can do its work.
    pub(crate) probe: Arc<Probe>,
    /// Where it keeps things.
    pub(crate) places: Arc<Places>,
}

/// Where the server keeps things, and what it is called.
#[derive(Debug)]
pub(crate) struct Places {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// The SQLite database, if it is used.
    pub(crate) sqlite: PathBuf,
    /// The URLs that the configuration names.
    pub(crate) urls: Vec<String>,
}

impl FromRef<ConsoleState> for Arc<App> {
    fn from_ref(state: &ConsoleState) -> Self {
        Arc::clone(&state.app)
    }
}
