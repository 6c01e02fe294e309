use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hexline_bus::Roster;
use hexline_model::{Address, AppId, Clock, KeyId};
use hexline_protocol::{CloseCode, ErrorCode};
use hexline_services::Caller;
use hexline_services::apps::AppLimits;
use hexline_services::keys::{KeyEvent, KeyRegistry, Standing};
use tokio::sync::Notify;

use super::connection::Connection;
use super::limits::Limits;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::peer::Peer;
use super::traffic::Traffic;

/// Every live connection of this node: who may come in, and who has to go.
///
/// Admission counts against the limits; a key event rechecks the connections of its app. Locks
/// are held to look and to queue, never across a write.
pub struct Hub {
    limits: Arc<Limits>,
    registry: Arc<KeyRegistry>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    draining: AtomicBool,
    /// Somebody has gone, who need not be asked any more.
    left: Notify,
    observer: OnceLock<Arc<dyn ConnectionObserver>>,
}

/// Is told who comes and goes, in the order in which it happens and under the hub's lock: it queues
/// what it makes of it.
pub trait ConnectionObserver: Send + Sync {
    /// A connection was opened; `first` is whether its user had none.
    fn connected(&self, app: AppId, address: &Address, first: bool);

    /// A connection has ended; `last` is whether its user has none any more.
    fn disconnected(&self, app: AppId, address: &Address, last: bool);
}

#[derive(Default)]
pub(super) struct State {
    pub(super) apps: HashMap<AppId, AppState>,
    /// Of every app that was ever connected, so that what is counted never goes back.
    pub(super) traffic: HashMap<AppId, Arc<Traffic>>,
    /// How often a connection of an app has come or gone.
    pub(super) turns: HashMap<AppId, u64>,
    by_peer: HashMap<IpAddr, usize>,
    pub(super) by_key: HashMap<KeyId, usize>,
    /// Of tokens that were exchanged: how many stand on the keys of those that came before.
    pub(super) by_source: HashMap<KeyId, usize>,
    total: usize,
}

#[derive(Default)]
pub(super) struct AppState {
    pub(super) by_identity: HashMap<Box<str>, Roster<Connection>>,
    pub(super) total: usize,
}

/// A connection's place in the hub; dropping it gives the place back.
pub struct Place {
    hub: Arc<Hub>,
    /// What has the place.
    pub connection: Arc<Connection>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The server is stopping.
    #[error("the server is stopping")]
    Draining,
    /// The server has that many.
    #[error("the server has {0} connections, which is its limit")]
    Server(usize),
    /// The app has.
    #[error("the app has {0} connections, which is the limit")]
    App(usize),
    /// The key has.
    #[error("the key has {0} connections, which is the limit")]
    Key(usize),
    /// The network address has.
    #[error("the network address has {0} connections, which is the limit")]
    Peer(usize),
    /// The identity has that many devices.
    #[error("the identity is connected with {0} devices, which is the limit")]
    Devices(usize),
    /// The device has.
    #[error("the device has {0} connections, which is the limit")]
    Device(usize),
}

impl Full {
    /// What a refused client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Draining | Self::Server(_) => ErrorCode::Unavailable,
            Self::App(_) | Self::Key(_) | Self::Peer(_) | Self::Devices(_) | Self::Device(_) => {
                ErrorCode::RateLimited
            }
        }
    }
}

impl Hub {
    /// Makes one without connections.
    pub fn new(
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
            left: Notify::new(),
            observer: OnceLock::new(),
        })
    }

    /// Tells this observer, from now on, who comes and goes.
    pub fn observed_by(&self, observer: Arc<dyn ConnectionObserver>) {
        let _ = self.observer.set(observer);
    }

    /// Gives a verified connection its place, if there is one.
    pub fn admit(
        self: &Arc<Self>,
        caller: Caller,
        standing: Standing,
        peer: Peer,
    ) -> Result<Place, Full> {
        let outbox = Outbox::new(
            self.limits.outbox_bytes,
            Arc::clone(&self.metrics.outbox_bytes),
        );
        let metrics = Arc::clone(&self.metrics);
        let own = self.registry.limits(standing.app);
        let from = (peer, self.clock.now());
        let connection = {
            let mut state = self.lock();
            // Under the lock, so that a drain misses nobody.
            if self.draining.load(Ordering::SeqCst) {
                return Err(Full::Draining);
            }
            let address = caller.address().expect("it calls from a connection");
            state.check(address, &standing, peer, &self.limits, own)?;
            let traffic = Arc::clone(state.traffic.entry(standing.app).or_default());
            let connection = Connection::new(caller, outbox, standing, from, traffic, metrics);
            let connection = Arc::new(connection);
            let first = state.insert(&connection);
            // Under the lock, so that it is told in order. Telling is queueing.
            if let Some(observer) = self.observer.get() {
                let address = &connection.address;
                observer.connected(connection.standing.app, address, first);
            }
            connection
        };
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
    pub fn on_key_event(&self, event: &KeyEvent) {
        let (app, only) = match event {
            KeyEvent::KeyChanged { app, key } => (*app, Some(*key)),
            KeyEvent::TokensRevoked { app }
            | KeyEvent::HoldChanged { app }
            | KeyEvent::AppChanged { app }
            | KeyEvent::AppDeleted { app } => (*app, None),
        };
        if let KeyEvent::AppDeleted { app } = event {
            let mut state = self.lock();
            state.traffic.remove(app);
            state.turns.remove(app);
        }
        let concerned: Vec<Arc<Connection>> = {
            let state = self.lock();
            let connections = state
                .apps
                .get(&app)
                .into_iter()
                .flat_map(AppState::connections);
            connections
                .filter(|c| only.is_none_or(|key| c.standing.stands_on(key)))
                .map(Arc::clone)
                .collect()
        };
        for connection in concerned {
            self.recheck(&connection);
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.lock().total
    }

    /// Lets nobody in any more, and asks every connection to go, one after the other, evenly over
    /// `spread`: clients come back a second after they were closed, and not all of them at once. Ends
    /// as soon as nobody is left to be asked.
    ///
    /// Dropped before its end, it has asked some and can be called again for the others.
    pub async fn drain(&self, spread: Duration) {
        let mut waiting: VecDeque<(usize, Arc<Connection>)> = {
            let state = self.lock();
            // Under the lock, so that nobody is missed who comes in at the same time.
            self.draining.store(true, Ordering::SeqCst);
            let connections = state.apps.values().flat_map(AppState::connections);
            connections.map(Arc::clone).enumerate().collect()
        };
        let count = waiting.len().max(1) as f64;
        let begin = self.clock.monotonic();
        let is_over =
            |(_, connection): &mut (usize, Arc<Connection>)| connection.outbox.closing().is_some();
        loop {
            while waiting.pop_front_if(is_over).is_some() {}
            // Those at the end too: if nobody else is left, nothing is waited for.
            while waiting.pop_back_if(is_over).is_some() {}
            let Some((n, connection)) = waiting.front() else {
                return;
            };
            let turn = begin.plus(spread.mul_f64(*n as f64 / count));
            let left = self.clock.timeout_at(turn, self.left.notified());
            if self.clock.monotonic() >= turn || left.await.is_err() {
                connection.outbox.close_after_queue(CloseCode::GoingAway);
            }
        }
    }

    /// Whether nobody is let in any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn recheck(&self, connection: &Connection) {
        connection.judge(|standing| self.registry.recheck(standing, self.clock.now()));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(
        &self,
        address: &Address,
        standing: &Standing,
        peer: Peer,
        limits: &Limits,
        own: AppLimits,
    ) -> Result<(), Full> {
        let at = |found: usize, limit: usize, full: fn(usize) -> Full| {
            if found >= limit {
                Err(full(limit))
            } else {
                Ok(())
            }
        };
        at(self.total, limits.connections, Full::Server)?;
        let key = self.by_key.get(&standing.key).copied().unwrap_or(0);
        at(key, limits.connections_per_key, Full::Key)?;
        let peer = self.by_peer.get(&peer.ip()).copied().unwrap_or(0);
        at(peer, limits.connections_per_address, Full::Peer)?;
        let total = self.apps.get(&standing.app).map_or(0, |app| app.total);
        // An app may be stricter with itself than the server is, never looser.
        let lower = |limit: usize, own: Option<u32>| {
            own.map_or(limit, |own| {
                limit.min(usize::try_from(own).unwrap_or(limit))
            })
        };
        let most = lower(limits.connections_per_app, own.connections);
        at(total, most, Full::App)?;
        let identity = address.identity();
        let Some(same) = self
            .apps
            .get(&standing.app)
            .and_then(|app| app.by_identity.get(identity))
        else {
            return Ok(());
        };
        let devices = lower(limits.devices_per_identity, own.devices_per_identity);
        match same.on_device(address.device()) {
            0 => at(same.devices(), devices, Full::Devices),
            here => at(here, limits.connections_per_device, Full::Device),
        }
    }

    /// Whether it is the first of its identity.
    fn insert(&mut self, connection: &Arc<Connection>) -> bool {
        self.total += 1;
        *self.by_key.entry(connection.standing.key).or_default() += 1;
        for key in sources(&connection.standing) {
            *self.by_source.entry(key).or_default() += 1;
        }
        *self.by_peer.entry(connection.peer.ip()).or_default() += 1;
        *self.turns.entry(connection.standing.app).or_default() += 1;
        let app = self.apps.entry(connection.standing.app).or_default();
        app.total += 1;
        let identity = connection.address.identity();
        // The name is copied for the first connection only.
        if let Some(own) = app.by_identity.get_mut(identity) {
            own.add(Arc::clone(connection));
            false
        } else {
            let mut own = Roster::default();
            own.add(Arc::clone(connection));
            app.by_identity.insert(identity.into(), own);
            true
        }
    }

    /// Whether it was the last of its identity.
    fn remove(&mut self, connection: &Connection) -> bool {
        self.total -= 1;
        release(&mut self.by_key, &connection.standing.key);
        for key in sources(&connection.standing) {
            release(&mut self.by_source, &key);
        }
        release(&mut self.by_peer, &connection.peer.ip());
        // Not for an app that was deleted.
        if let Some(turn) = self.turns.get_mut(&connection.standing.app) {
            *turn += 1;
        }
        let Some(app) = self.apps.get_mut(&connection.standing.app) else {
            return false;
        };
        app.total -= 1;
        let mut last = false;
        let identity = connection.address.identity();
        if let Some(own) = app.by_identity.get_mut(identity) {
            own.remove(connection);
            if own.is_empty() {
                app.by_identity.remove(identity);
                last = true;
            }
        }
        if app.total == 0 {
            self.apps.remove(&connection.standing.app);
        }
        last
    }
}

impl AppState {
    pub(super) fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.by_identity.values().flat_map(Roster::iter)
    }
}

impl Place {
    /// The limits that its app has set itself.
    pub(super) fn limits(&self) -> AppLimits {
        let app = self.connection.standing.app;
        self.hub.registry.limits(app)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody reads any more what is queued.
        self.connection
            .outbox
            .close_after_queue(CloseCode::GoingAway);
        if self.hub.is_draining() {
            self.hub.left.notify_one();
        }
        let mut state = self.hub.lock();
        let last = state.remove(&self.connection);
        if let Some(observer) = self.hub.observer.get() {
            let address = &self.connection.address;
            observer.disconnected(self.connection.standing.app, address, last);
        }
        drop(state);
        self.hub.metrics.connections.dec();
    }
}

/// The keys, besides its own, that a connection ends with.
fn sources(standing: &Standing) -> HashSet<KeyId> {
    let keys = standing.sources.iter();
    let keys = keys.filter_map(|source| KeyId::parse(source.issuer()).ok());
    keys.filter(|key| *key != standing.key).collect()
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
