//! This server's registration among those that work on its database.
//!
//! On PostgreSQL a server holds a session advisory lock on a connection of its own, and a row that
//! names it. A second one refuses to start, unless it is told that it is isolated: the two deliver
//! nothing to each other's users. A lock that is lost later, with its connection, makes the server
//! degraded; it is tried again until it is held. On SQLite the data directory has a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hexline_api::NodeStanding;
use hexline_model::{NodeId, Timestamp};
use hexline_store::{DatabaseConfig, NodeError, NodeLock, NodeMode, NodeRecord};
use tokio::sync::Mutex;

use crate::config::Config;
use crate::records;

/// Keeps the registration of a server.
pub(crate) struct Registration {
    place: DatabaseConfig,
    node: NodeRecord,
    state: Mutex<State>,
    /// Read without waiting for who works on `state`.
    lost: AtomicBool,
}

enum State {
    /// The database has one server, by its nature.
    Unshared,
    Held(NodeLock),
    /// With whether another server in its place was logged.
    Lost {
        told: bool,
    },
}

impl Registration {
    /// Registers a server, or says which other one is there.
    #[expect(
        clippy::disallowed_methods,
        reason = "PostgreSQL is waited for, which goes by the machine's clock"
    )]
    pub(crate) async fn new(
        config: &Config,
        id: NodeId,
        url: &str,
        started: Timestamp,
    ) -> Result<Self, NodeError> {
        let place = records::place(config)?;
        let mode = if config.isolated {
            NodeMode::Isolated
        } else {
            NodeMode::Alone
        };
        let url = url.to_owned();
        let node = NodeRecord {
            id,
            url,
            mode,
            started,
        };
        let mut attempts = 0..ATTEMPTS;
        let lock = loop {
            match NodeLock::take(&place, &node).await {
                // It may have been killed a moment ago, and PostgreSQL be about to notice.
                Err(NodeError::Taken(_)) if attempts.next().is_some() => {
                    tokio::time::sleep(RETRY).await;
                }
                decided => break decided?,
            }
        };
        if node.mode == NodeMode::Isolated && lock.is_some() {
            tracing::info!("isolated: users of other servers on this database are not reached");
        }
        Ok(Self {
            place,
            node,
            state: Mutex::new(lock.map_or(State::Unshared, State::Held)),
            lost: AtomicBool::new(false),
        })
    }

    /// Looks whether the lock is still held, and tries to take it again if it is not.
    #[expect(
        clippy::disallowed_methods,
        reason = "PostgreSQL is waited for, which goes by the machine's clock"
    )]
    pub(crate) async fn keep(&self) {
        let mut state = self.state.lock().await;
        if let State::Held(lock) = &mut *state {
            if tokio::time::timeout(PATIENCE, lock.is_held()).await == Ok(true) {
                return;
            }
            tracing::warn!("the registration on the database is lost; it is tried again");
            *state = State::Lost { told: false };
            self.lost.store(true, Ordering::SeqCst);
        }
        let State::Lost { told } = &mut *state else {
            return;
        };
        let again = NodeLock::take_again(&self.place, &self.node);
        match tokio::time::timeout(PATIENCE, again).await {
            Ok(Ok(lock)) => {
                tracing::info!("registered on the database again");
                *state = lock.map_or(State::Unshared, State::Held);
                self.lost.store(false, Ordering::SeqCst);
            }
            Ok(Err(NodeError::Taken(other))) if !*told => {
                tracing::error!(
                    other.url, other.id = %other.id,
                    "another server has started on the database: users of the two do not reach each \
                     other; stop one of the two"
                );
                *told = true;
            }
            // It is tried again.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Takes the registration back.
    pub(crate) async fn end(&self) {
        let mut state = self.state.lock().await;
        if let State::Held(lock) = std::mem::replace(&mut *state, State::Unshared)
            && let Err(error) = lock.release().await
        {
            tracing::warn!(%error, "the registration on the database ends with its connection");
        }
    }
}

impl NodeStanding for Registration {
    fn stands(&self) -> bool {
        !self.lost.load(Ordering::SeqCst)
    }
}

/// So often a start looks whether the other server is still there.
const ATTEMPTS: u32 = 20;
const RETRY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);
