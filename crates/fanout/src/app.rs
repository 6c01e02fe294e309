use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use hexline_model::{Address, AppId, ChannelName, Destination, Identity, Route};

use crate::channel::{Channel, Published};
use crate::hold::Holds;
use crate::index::ConnectionIndex;
use crate::page::smallest_k;
use crate::{
    Announcer, ChannelView, Connected, DeviceView, HistoryRules, HoldLimits, Observer, Position,
    Receiver, read, write,
};

/// An app's connections and channels on this node.
pub(crate) struct App {
    id: AppId,
    parts: Arc<Parts>,
    connections: RwLock<HashMap<Arc<str>, ConnectionIndex>>,
    channels: RwLock<HashMap<ChannelName, Arc<Channel>>>,
    holds: Holds,
}

/// What all apps have in common.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) announcer: Arc<dyn Announcer>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) rules: Option<Arc<dyn HistoryRules>>,
    pub(crate) hold: HoldLimits,
}

impl App {
    pub(crate) fn new(id: AppId, parts: Arc<Parts>) -> Self {
        Self {
            id,
            holds: Holds::new(parts.hold),
            parts,
            connections: RwLock::default(),
            channels: RwLock::default(),
        }
    }

    pub(crate) fn id(&self) -> AppId {
        self.id
    }

    pub(crate) fn announcer(&self) -> &dyn Announcer {
        self.parts.announcer.as_ref()
    }

    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.parts.observer.as_deref()
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Makes a connection reachable.
    pub(crate) fn attach(&self, receiver: Arc<dyn Receiver>) {
        let mut connections = write(&self.connections);
        let first = !connections.contains_key(receiver.address().identity());
        // Under the lock, so that it is told in order.
        if let Some(observer) = self.observer() {
            observer.connected(self.id, receiver.address(), first);
        }
        if first {
            let identity: Arc<str> = receiver.address().identity().into();
            connections.entry(identity).or_default().add(receiver);
        } else if let Some(index) = connections.get_mut(receiver.address().identity()) {
            // The name is copied for the first connection only.
            index.add(receiver);
        }
    }

    /// Forgets a connection.
    pub(crate) fn detach(&self, receiver: &dyn Receiver) {
        let address = receiver.address();
        let mut connections = write(&self.connections);
        let Some(index) = connections.get_mut(address.identity()) else {
            return;
        };
        index.remove(receiver);
        let last = index.is_empty();
        if last {
            connections.remove(address.identity());
        }
        if let Some(observer) = self.observer() {
            observer.disconnected(self.id, address, last);
        }
    }

    pub(crate) fn deliver(&self, receiver: &dyn Receiver, message: &Bytes) -> bool {
        self.holds.deliver(receiver, message)
    }

    pub(crate) fn send(&self, to: &Destination, sender: Option<Route>, message: &Bytes) -> usize {
        let connections = read(&self.connections);
        let Some(index) = connections.get(to.identity().as_str()) else {
            return 0;
        };
        deliver_all(self, index.reached(to).map(Arc::as_ref), sender, message)
    }

    /// Publishes to a channel that was found, or that begins with the message.
    pub(crate) fn publish<E: FnOnce(Option<Position>) -> Bytes>(
        &self,
        name: &ChannelName,
        sender: Option<Route>,
        mut encode: E,
    ) -> Published {
        while let Some(channel) = self.channel_to_publish(name) {
            match channel.publish(self, sender, encode) {
                Ok(published) => return published,
                Err(again) => encode = again,
            }
        }
        Published::default()
    }

    pub(crate) fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        read(&self.channels).get(name).cloned()
    }

    pub(crate) fn channel_or_new(&self, name: &ChannelName) -> Arc<Channel> {
        self.channel(name).unwrap_or_else(|| {
            let rules = self.parts.rules.as_ref();
            let open = || rules.and_then(|rules| rules.open(self.id, name));
            let new = || Arc::new(Channel::recorded(open()));
            let mut channels = write(&self.channels);
            Arc::clone(channels.entry(name.clone()).or_insert_with(new))
        })
    }

    /// A channel with a history needs no members to be published to.
    fn channel_to_publish(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.channel(name).or_else(|| {
            let history = self.parts.rules.as_ref()?.open(self.id, name)?;
            let new = || Arc::new(Channel::recorded(Some(history)));
            let mut channels = write(&self.channels);
            Some(Arc::clone(channels.entry(name.clone()).or_insert_with(new)))
        })
    }

    /// Takes a channel of which nothing is left off the map.
    pub(crate) fn forget(&self, name: &ChannelName, channel: &Channel) {
        let mut channels = write(&self.channels);
        if channel.vanish() {
            channels.remove(name);
        }
    }

    /// Takes all channels of which nothing is left off the map.
    pub(crate) fn forget_spent(&self) {
        if self.parts.rules.is_none() {
            // Without a past a channel goes with its last member.
            return;
        }
        write(&self.channels).retain(|_, channel| !channel.vanish());
    }

    /// How many channels have members.
    pub(crate) fn channels(&self) -> usize {
        let channels = read(&self.channels);
        if self.parts.rules.is_none() {
            return channels.len();
        }
        channels
            .values()
            .filter(|channel| channel.has_members())
            .count()
    }

    pub(crate) fn channel_page(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Vec<ChannelView> {
        let channels = read(&self.channels);
        let wanted = channels.iter().filter(|(name, _)| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| *name > after)
        });
        // One whose last member is just leaving is not counted, or a page would seem the last.
        let views = wanted.filter_map(|(name, channel)| channel.view(name.clone()));
        smallest_k(views, limit, |view| view.name.clone())
    }

    pub(crate) fn device_page(
        &self,
        identity: &Identity,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<DeviceView> {
        let connections = read(&self.connections);
        let Some(index) = connections.get(identity.as_str()) else {
            return Vec::new();
        };
        let devices = index.by_device();
        let wanted = devices.filter(|(device, _)| after.is_none_or(|after| *device > after));
        let page = smallest_k(wanted, limit, |(device, _)| *device);
        let view = |(device, connections): (&str, usize)| DeviceView {
            device: device.into(),
            connections,
        };
        page.into_iter().map(view).collect()
    }

    pub(crate) fn connected(&self, address: &Address) -> Connected {
        let connections = read(&self.connections);
        let index = connections.get(address.identity());
        index.map_or_else(Connected::default, |index| Connected {
            devices: index.devices(),
            on_device: index.on_device(address.device()),
        })
    }

    pub(crate) fn is_online(&self, identity: &Identity) -> bool {
        read(&self.connections).contains_key(identity.as_str())
    }

    /// The connections of an identity, or all of them.
    pub(crate) fn receivers(&self, identity: Option<&str>) -> Vec<Arc<dyn Receiver>> {
        let connections = read(&self.connections);
        let Some(identity) = identity else {
            let all = connections.values().flat_map(ConnectionIndex::iter);
            return all.map(Arc::clone).collect();
        };
        let index = connections.get(identity);
        index.map_or_else(Vec::new, |index| index.iter().map(Arc::clone).collect())
    }
}

/// Delivers to all but the sender; returns how many took it.
pub(crate) fn deliver_all<'a>(
    app: &App,
    receivers: impl Iterator<Item = &'a dyn Receiver>,
    sender: Option<Route>,
    message: &Bytes,
) -> usize {
    let others = receivers.filter(|receiver| Some(receiver.address().route()) != sender);
    match app.holds.active() {
        None => others.filter(|receiver| receiver.deliver(message)).count(),
        Some(holds) => others
            .filter(|receiver| holds.deliver(*receiver, message))
            .count(),
    }
}
