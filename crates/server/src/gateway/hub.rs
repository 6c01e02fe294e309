use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hexline_bus::Roster;
use hexline_model::{Address, AppId, Clock, KeyId};
use hexline_protocol::{CloseCode, ErrorCode};
use hexline_services::keys::{KeyEvent, KeyRegistry, Standing};

use super::connection::Connection;
use super::outbox::Outbox;
use crate::config::Limits;
use crate::telemetry::Metrics;

/// Every live connection of this node: who may come in, and who has to go.
///
/// Admission counts against the limits; a key event rechecks the connections of its app. Locks
/// are held to look and to queue, never across a write.
pub(crate) struct Hub {
    limits: Arc<Limits>,
    registry: Arc<KeyRegistry>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    draining: AtomicBool,
}

#[derive(Default)]
struct State {
    apps: HashMap<AppId, AppState>,
    by_peer: HashMap<IpAddr, usize>,
    by_key: HashMap<KeyId, usize>,
    total: usize,
}

#[derive(Default)]
struct AppState {
    by_identity: HashMap<Box<str>, Roster<Connection>>,
    total: usize,
}

/// A connection's place in the hub; dropping it gives the place back.
pub(crate) struct Place {
    hub: Arc<Hub>,
    pub(crate) connection: Arc<Connection>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("the server is stopping")]
    Draining,
    #[error("the server has {0} connections, which is its limit")]
    Server(usize),
    #[error("the app has {0} connections, which is the limit")]
    App(usize),
    #[error("the key has {0} connections, which is the limit")]
    Key(usize),
    #[error("the network address has {0} connections, which is the limit")]
    Peer(usize),
    #[error("the identity is connected with {0} devices, which is the limit")]
    Devices(usize),
    #[error("the device has {0} connections, which is the limit")]
    Device(usize),
}

impl Full {
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Draining | Self::Server(_) => ErrorCode::Unavailable,
            Self::App(_) | Self::Key(_) | Self::Peer(_) | Self::Devices(_) | Self::Device(_) => {
                ErrorCode::RateLimited
            }
        }
    }
}

impl Hub {
    pub(crate) fn new(
        limits: Arc<Limits>,
        registry: Arc<KeyRegistry>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (state, draining) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self {
            limits,
            registry,
            clock,
            metrics,
            state,
            draining,
        })
    }

    /// Gives a verified connection its place, if there is one.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Address,
        standing: Standing,
        peer: IpAddr,
    ) -> Result<Place, Full> {
        let outbox = Outbox::new(
            self.limits.outbox_bytes,
            Arc::clone(&self.metrics.outbox_bytes),
        );
        let metrics = Arc::clone(&self.metrics);
        let connection = Arc::new(Connection::new(address, outbox, standing, peer, metrics));
        {
            let mut state = self.lock();
            // Under the lock, so that a drain misses nobody.
            if self.draining.load(Ordering::SeqCst) {
                return Err(Full::Draining);
            }
            state.check(&connection, &self.limits)?;
            state.insert(&connection);
        }
        self.metrics.connections.inc();
        let place = Place {
            hub: Arc::clone(self),
            connection,
        };
        // A revocation between the token's verification and here found nobody to close.
        self.recheck(&place.connection);
        Ok(place)
    }

    /// Acts on a change of keys, revocations or apps.
    pub(crate) fn on_key_event(&self, event: &KeyEvent) {
        let (app, only) = match event {
            KeyEvent::KeyChanged { app, key } => (*app, Some(*key)),
            KeyEvent::TokensRevoked { app } | KeyEvent::AppChanged { app } => (*app, None),
        };
        let concerned: Vec<Arc<Connection>> = {
            let state = self.lock();
            let connections = state
                .apps
                .get(&app)
                .into_iter()
                .flat_map(AppState::connections);
            connections
                .filter(|c| only.is_none_or(|key| c.standing.key == key))
                .map(Arc::clone)
                .collect()
        };
        for connection in concerned {
            self.recheck(&connection);
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().total
    }

    /// Asks every connection to go, lets nobody in any more.
    pub(crate) fn drain(&self) {
        let everybody: Vec<Arc<Connection>> = {
            let state = self.lock();
            self.draining.store(true, Ordering::SeqCst);
            let connections = state.apps.values().flat_map(AppState::connections);
            connections.map(Arc::clone).collect()
        };
        for connection in everybody {
            connection.outbox.close_after_queue(CloseCode::GoingAway);
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn recheck(&self, connection: &Connection) {
        connection.judge(|standing| self.registry.recheck(standing, self.clock.now()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, new: &Connection, limits: &Limits) -> Result<(), Full> {
        let at = |found: usize, limit: usize, full: fn(usize) -> Full| {
            if found >= limit {
                Err(full(limit))
            } else {
                Ok(())
            }
        };
        at(self.total, limits.connections, Full::Server)?;
        let key = self.by_key.get(&new.standing.key).copied().unwrap_or(0);
        at(key, limits.connections_per_key, Full::Key)?;
        let peer = self.by_peer.get(&new.peer).copied().unwrap_or(0);
        at(peer, limits.connections_per_address, Full::Peer)?;
        let Some(app) = self.apps.get(&new.standing.app) else {
            return Ok(());
        };
        at(app.total, limits.connections_per_app, Full::App)?;
        let Some(own) = app.by_identity.get(new.address.identity()) else {
            return Ok(());
        };
        match own.on_device(new.address.device()) {
            0 => at(own.devices(), limits.devices_per_identity, Full::Devices),
            here => at(here, limits.connections_per_device, Full::Device),
        }
    }

    fn insert(&mut self, connection: &Arc<Connection>) {
        self.total += 1;
        *self.by_key.entry(connection.standing.key).or_default() += 1;
        *self.by_peer.entry(connection.peer).or_default() += 1;
        let app = self.apps.entry(connection.standing.app).or_default();
        app.total += 1;
        let identity = connection.address.identity();
        // The name is copied for the first connection only.
        if let Some(own) = app.by_identity.get_mut(identity) {
            own.add(Arc::clone(connection));
        } else {
            let mut own = Roster::default();
            own.add(Arc::clone(connection));
            app.by_identity.insert(identity.into(), own);
        }
    }

    fn remove(&mut self, connection: &Connection) {
        self.total -= 1;
        release(&mut self.by_key, &connection.standing.key);
        release(&mut self.by_peer, &connection.peer);
        let Some(app) = self.apps.get_mut(&connection.standing.app) else {
            return;
        };
        app.total -= 1;
        let identity = connection.address.identity();
        if let Some(own) = app.by_identity.get_mut(identity) {
            own.remove(connection);
            if own.is_empty() {
                app.by_identity.remove(identity);
            }
        }
        if app.total == 0 {
            self.apps.remove(&connection.standing.app);
        }
    }
}

impl AppState {
    fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.by_identity.values().flat_map(Roster::iter)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.lock().remove(&self.connection);
        self.hub.metrics.connections.dec();
    }
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
