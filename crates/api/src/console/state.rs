use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;

use super::feed::Feed;
use crate::app::App;
use crate::operations::probe::Probe;

/// What the Console's routes stand on.
#[derive(Clone)]
pub struct ConsoleState {
    /// What all doors share.
    pub app: Arc<App>,
    /// The second's tick of live figures.
    pub feed: Arc<Feed>,
    /// Whether the server can do its work.
    pub probe: Arc<Probe>,
    /// Where it keeps things.
    pub places: Arc<Places>,
}

/// Where the server keeps things, and what it is called.
#[derive(Debug)]
pub struct Places {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The SQLite database, if it is used.
    pub sqlite: PathBuf,
    /// The URLs that the configuration names.
    pub urls: Vec<String>,
}

impl FromRef<ConsoleState> for Arc<App> {
    fn from_ref(state: &ConsoleState) -> Self {
        Arc::clone(&state.app)
    }
}
