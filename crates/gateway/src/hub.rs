use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_fanout::{Connected, Fanout, Link, Receiver};
use hexline_model::{AppId, Clock, KeyId};
use hexline_protocol::{CloseCode, ErrorCode};
use hexline_services::Caller;
use hexline_services::apps::AppLimits;
use hexline_services::keys::{Authorization, KeyEvent, KeyRegistry};
use tokio::sync::Notify;

use super::connection::{Connection, Reauthorized};
use super::limits::Limits;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::peer::Peer;
use super::traffic::Traffic;

/// Who may come in on this node, and who has to go.
///
/// Fan-out has the connections, the hub counts them. Admission counts against the limits; a key event
/// checks the connections of its app again. Locks are held to look and to queue, never across a write.
pub struct Hub {
    pub(super) limits: Arc<Limits>,
    registry: Arc<KeyRegistry>,
    pub(super) fanout: Arc<Fanout>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    draining: AtomicBool,
    /// Somebody has gone, who need not be asked any more.
    left: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// How many connections each app has.
    pub(super) by_app: HashMap<AppId, usize>,
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

/// A connection that was let in: counted, and reached through fan-out until it is dropped.
pub struct Admission {
    // Dropped in this order: out of its channels and of fan-out, then out of the counts.
    pub(super) link: Link,
    pub(super) permit: Permit,
}

/// What a connection is counted by; dropping it counts it no more.
pub(super) struct Permit {
    pub(super) hub: Arc<Hub>,
    pub(super) connection: Arc<Connection>,
    /// As whom it calls, and what it may.
    pub(super) caller: Caller,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
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

impl AdmissionError {
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
        fanout: Arc<Fanout>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (state, draining) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self {
            limits,
            registry,
            fanout,
            clock,
            metrics,
            state,
            draining,
            left: Notify::new(),
        })
    }

    /// Lets a verified connection in, if that keeps within the limits.
    pub fn admit(
        self: &Arc<Self>,
        caller: Caller,
        authorization: Authorization,
        peer: Peer,
    ) -> Result<Admission, AdmissionError> {
        let outbox = Outbox::new(
            self.limits.outbox_bytes,
            Arc::clone(&self.metrics.outbox_bytes),
        );
        let metrics = Arc::clone(&self.metrics);
        let app_limits = self.registry.limits(authorization.app);
        let from = (peer, self.clock.now());
        let admission = {
            let mut state = self.lock();
            // Under the lock, so that a drain misses nobody.
            if self.draining.load(Ordering::SeqCst) {
                return Err(AdmissionError::Draining);
            }
            let address = caller.address().expect("it calls from a connection");
            let connected = self.fanout.connected(authorization.app, address);
            state.check(&authorization, peer, connected, &self.limits, app_limits)?;
            let traffic = Arc::clone(state.traffic.entry(authorization.app).or_default());
            let address = address.clone();
            let connection =
                Connection::new(address, outbox, authorization, from, traffic, metrics);
            let connection = Arc::new(connection);
            state.insert(&connection);
            let permit = Permit {
                hub: Arc::clone(self),
                connection: Arc::clone(&connection),
                caller,
            };
            let app = connection.app;
            Admission {
                link: self.fanout.attach(app, connection),
                permit,
            }
        };
        self.metrics.connections.inc();
        // A revocation between the token's verification and here found nobody to close.
        self.reauthorize(&admission.permit.connection);
        Ok(admission)
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
            self.lock().forget(*app);
        }
        let all = connections(self.fanout.receivers(app));
        let concerned = all.filter(|c| only.is_none_or(|key| c.depends_on_key(key)));
        for connection in concerned {
            self.reauthorize(&connection);
        }
    }

    /// How many connections there are.
    pub fn total(&self) -> usize {
        self.lock().total
    }

    /// Lets nobody in any more, and asks every connection to go, one after the other, evenly over
    /// `spread`: clients come back a second after they were closed, and not all of them at once. Ends
    /// as soon as nobody is left to be asked.
    ///
    /// Dropped before its end, it has asked some and can be called again for the others.
    pub async fn drain(&self, spread: Duration) {
        let mut waiting: VecDeque<(usize, Arc<Connection>)> = {
            let _state = self.lock();
            // Under the lock, so that nobody is missed who comes in at the same time.
            self.draining.store(true, Ordering::SeqCst);
            connections(self.fanout.all_receivers())
                .enumerate()
                .collect()
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

    fn reauthorize(&self, connection: &Connection) {
        connection.reauthorize(|authorization| self.check_again(authorization));
    }

    pub(super) fn check_again(&self, authorization: &Authorization) -> Reauthorized {
        self.registry.reauthorize(authorization, self.clock.now())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Checks the limits; `connected` is what the identity and the device have already.
    fn check(
        &self,
        authorization: &Authorization,
        peer: Peer,
        connected: Connected,
        limits: &Limits,
        app_limits: AppLimits,
    ) -> Result<(), AdmissionError> {
        below(self.total, limits.connections, AdmissionError::Server)?;
        self.check_key(authorization.key, limits)?;
        let peer = self.by_peer.get(&peer.ip()).copied().unwrap_or(0);
        below(peer, limits.connections_per_address, AdmissionError::Peer)?;
        let total = self.by_app.get(&authorization.app).copied().unwrap_or(0);
        // An app may be stricter with itself than the server is, never looser.
        let lower = |limit: usize, of_app: Option<u32>| {
            of_app.map_or(limit, |of_app| {
                limit.min(usize::try_from(of_app).unwrap_or(limit))
            })
        };
        let most = lower(limits.connections_per_app, app_limits.connections);
        below(total, most, AdmissionError::App)?;
        let devices = lower(limits.devices_per_identity, app_limits.devices_per_identity);
        match (connected.devices, connected.on_device) {
            (0, _) => Ok(()),
            (found, 0) => below(found, devices, AdmissionError::Devices),
            (_, here) => below(here, limits.connections_per_device, AdmissionError::Device),
        }
    }

    pub(super) fn check_key(&self, key: KeyId, limits: &Limits) -> Result<(), AdmissionError> {
        let found = self.by_key.get(&key).copied().unwrap_or(0);
        below(found, limits.connections_per_key, AdmissionError::Key)
    }

    /// Counts what a connection depends on.
    pub(super) fn count(&mut self, authorization: &Authorization) {
        *self.by_key.entry(authorization.key).or_default() += 1;
        for key in authorization.source_keys() {
            *self.by_source.entry(key).or_default() += 1;
        }
    }

    /// Takes back what [`count`](Self::count) counted.
    pub(super) fn discount(&mut self, authorization: &Authorization) {
        release(&mut self.by_key, &authorization.key);
        for key in authorization.source_keys() {
            release(&mut self.by_source, &key);
        }
    }

    fn insert(&mut self, connection: &Connection) {
        self.total += 1;
        *self.by_app.entry(connection.app).or_default() += 1;
        self.count(&connection.authorized().authorization);
        *self.by_peer.entry(connection.peer.ip()).or_default() += 1;
        *self.turns.entry(connection.app).or_default() += 1;
    }

    fn remove(&mut self, connection: &Connection) {
        self.total -= 1;
        release(&mut self.by_app, &connection.app);
        self.discount(&connection.authorized().authorization);
        release(&mut self.by_peer, &connection.peer.ip());
        // Not for an app that was deleted.
        if let Some(turn) = self.turns.get_mut(&connection.app) {
            *turn += 1;
        }
    }

    /// Drops what outlasts the connections of an app.
    fn forget(&mut self, app: AppId) {
        self.traffic.remove(&app);
        self.turns.remove(&app);
    }
}

impl Permit {
    /// The limits that the connection's app has set itself.
    pub(super) fn limits(&self) -> AppLimits {
        let app = self.connection.app;
        self.hub.registry.limits(app)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Nobody reads any more what is queued.
        self.connection
            .outbox
            .close_after_queue(CloseCode::GoingAway);
        if self.hub.is_draining() {
            self.hub.left.notify_one();
        }
        let app = self.connection.app;
        let mut state = self.hub.lock();
        state.remove(&self.connection);
        // One that came in as the app was deleted has made what is of the app anew.
        if !state.by_app.contains_key(&app) && self.hub.registry.app(app).is_none() {
            state.forget(app);
        }
        drop(state);
        self.hub.metrics.connections.dec();
    }
}

/// The connections among what was attached to fan-out.
pub(super) fn connections(
    receivers: Vec<Arc<dyn Receiver>>,
) -> impl Iterator<Item = Arc<Connection>> {
    receivers.into_iter().filter_map(|receiver| {
        let any: Arc<dyn Any + Send + Sync> = receiver;
        any.downcast().ok()
    })
}

fn below(
    found: usize,
    limit: usize,
    error: fn(usize) -> AdmissionError,
) -> Result<(), AdmissionError> {
    if found >= limit {
        return Err(error(limit));
    }
    Ok(())
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
