use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use hexline_model::{Address, AppId, ChannelName, Destination, Identity, Route};

use crate::app::{App, Parts};
use crate::{
    Announcer, ChannelView, Connected, DeviceView, HistoryRules, HoldLimits, Link, MemberView,
    Observer, Position, Published, Receiver, read, write,
};

/// Carries messages between the connections of each app on this node.
pub struct Fanout {
    parts: Arc<Parts>,
    apps: RwLock<HashMap<AppId, Arc<App>>>,
}

impl Fanout {
    /// One without connections.
    pub fn new(announcer: Arc<dyn Announcer>) -> Self {
        Self {
            parts: Arc::new(Parts {
                announcer,
                observer: None,
                rules: None,
                hold: HoldLimits::default(),
            }),
            apps: RwLock::default(),
        }
    }

    /// Tells this one who comes and goes, and which channels are occupied.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        Arc::make_mut(&mut self.parts).observer = Some(observer);
        self
    }

    /// Gives the channels that these rules name a history. [`Fanout::forget_spent`] is then to be called
    /// every now and then.
    #[must_use]
    pub fn recording(mut self, rules: Arc<dyn HistoryRules>) -> Self {
        Arc::make_mut(&mut self.parts).rules = Some(rules);
        self
    }

    /// Bounds what waits for a connection whose replay is fetched.
    #[must_use]
    pub fn holding(mut self, limits: HoldLimits) -> Self {
        Arc::make_mut(&mut self.parts).hold = limits;
        self
    }

    /// Makes a connection reachable at its address until the link is dropped.
    pub fn attach(&self, app: AppId, receiver: Arc<dyn Receiver>) -> Link {
        Link::attach(self.app_or_new(app), receiver)
    }

    /// Sends to every connection that the destination names, without a sender. Returns how many
    /// took it.
    pub fn send(&self, app: AppId, to: &Destination, message: &Bytes) -> usize {
        self.app(app).map_or(0, |app| app.send(to, None, message))
    }

    /// Sends to every member of a channel that the destination names, without a sender. Returns how
    /// many took it.
    pub fn send_in(
        &self,
        app: AppId,
        channel: &ChannelName,
        to: &Destination,
        message: &Bytes,
    ) -> usize {
        let Some(app) = self.app(app) else {
            return 0;
        };
        app.channel(channel)
            .map_or(0, |channel| channel.send(&app, to, None, message))
    }

    /// Publishes to every member of a channel, without a sender. See [`Link::publish`].
    pub fn publish(
        &self,
        app: AppId,
        channel: &ChannelName,
        encode: impl FnOnce(Option<Position>) -> Bytes,
    ) -> Published {
        let found = match &self.parts.rules {
            None => self.app(app),
            // A channel with a history needs no connections.
            Some(_) => Some(self.app_or_new(app)),
        };
        found.map_or_else(Published::default, |app| app.publish(channel, None, encode))
    }

    /// Forgets the channels whose history has run out and that have no members.
    pub fn forget_spent(&self) {
        for app in self.all() {
            app.forget_spent();
        }
    }

    /// Returns how many channels have members.
    pub fn channels(&self) -> usize {
        self.all().iter().map(|app| app.channels()).sum()
    }

    /// Returns the channels of an app that have members, whose names begin with `prefix` and come
    /// after `after`: at most `limit`, in the order of their names' bytes.
    pub fn channels_of(
        &self,
        app: AppId,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Vec<ChannelView> {
        let app = self.app(app);
        app.map_or_else(Vec::new, |app| app.channel_page(prefix, after, limit))
    }

    /// Returns one channel of an app, if it has members.
    pub fn channel(&self, app: AppId, name: &ChannelName) -> Option<ChannelView> {
        self.app(app)?.channel(name)?.view(name.clone())
    }

    /// Returns the members of a channel whose routes come after `after`: at most `limit`, in the
    /// order of their routes, which is none that means anything.
    pub fn members_of(
        &self,
        app: AppId,
        channel: &ChannelName,
        after: Option<Route>,
        limit: usize,
    ) -> Vec<MemberView> {
        let channel = self.app(app).and_then(|app| app.channel(channel));
        channel.map_or_else(Vec::new, |channel| channel.page(after, limit))
    }

    /// Returns the connected devices of an identity whose names come after `after`: at most
    /// `limit`, in the order of their names' bytes.
    pub fn devices_of(
        &self,
        app: AppId,
        identity: &Identity,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<DeviceView> {
        let app = self.app(app);
        app.map_or_else(Vec::new, |app| app.device_page(identity, after, limit))
    }

    /// Whether an identity has a connection.
    pub fn is_online(&self, app: AppId, identity: &Identity) -> bool {
        self.app(app).is_some_and(|app| app.is_online(identity))
    }

    /// Counts with what the identity of an address is connected.
    pub fn connected(&self, app: AppId, address: &Address) -> Connected {
        self.app(app)
            .map_or_else(Connected::default, |app| app.connected(address))
    }

    /// Returns the connections of an app, in no order.
    pub fn receivers(&self, app: AppId) -> Vec<Arc<dyn Receiver>> {
        self.app(app)
            .map_or_else(Vec::new, |app| app.receivers(None))
    }

    /// Returns the connections of an identity, in no order.
    pub fn receivers_of(&self, app: AppId, identity: &str) -> Vec<Arc<dyn Receiver>> {
        self.app(app)
            .map_or_else(Vec::new, |app| app.receivers(Some(identity)))
    }

    /// Returns the connections of all apps, in no order.
    pub fn all_receivers(&self) -> Vec<Arc<dyn Receiver>> {
        let apps = self.all();
        apps.iter().flat_map(|app| app.receivers(None)).collect()
    }

    fn app(&self, app: AppId) -> Option<Arc<App>> {
        read(&self.apps).get(&app).cloned()
    }

    fn app_or_new(&self, app: AppId) -> Arc<App> {
        // Apps are few and stay: one that was seen once keeps its (empty) maps.
        self.app(app).unwrap_or_else(|| {
            let new = || Arc::new(App::new(app, Arc::clone(&self.parts)));
            Arc::clone(write(&self.apps).entry(app).or_insert_with(new))
        })
    }

    fn all(&self) -> Vec<Arc<App>> {
        read(&self.apps).values().cloned().collect()
    }
}
