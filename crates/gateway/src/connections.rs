use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hexline_fanout::{ChannelView, DeviceView, MemberView, smallest_k};
use hexline_model::{
    Address, AppId, ChannelName, Destination, Identity, KeyId, NodeId, Route, Subject, Timestamp,
};
use hexline_protocol::CloseCode;
use hexline_services::keys::Authorization;
use hexline_token::Grants;

use super::connection::Connection;
use super::hub::{Hub, connections};
use super::traffic::Counted;

/// Which connections of an app to show; every absent member lets all through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The identity, exactly.
    pub identity: Option<String>,
    /// The device, exactly.
    pub device: Option<String>,
    /// Part of the address or of the remote address, in any case.
    pub search: Option<String>,
}

/// Something as one node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnNode<T> {
    /// The node.
    pub node: NodeId,
    /// What it has.
    pub value: T,
}

/// How many there are, node by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(Vec<OnNode<usize>>);

/// A live connection as people see it.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// The node that it is connected to.
    pub node: NodeId,
    /// Under which it is reached.
    pub address: Address,
    /// When it was opened.
    pub since: Timestamp,
    /// The client's network address.
    pub remote: IpAddr,
    /// The key that verified its token.
    pub key: KeyId,
    /// What its token grants.
    pub grants: Grants,
    /// The ceiling of its key, which holds beside the grants.
    pub ceiling: Option<Grants>,
    /// When its token or key ends; `None` if never.
    pub expires: Option<Timestamp>,
    /// What it has said and heard.
    pub traffic: Counted,
    /// How many channels it is a member of.
    pub channels: u32,
}

/// Which connections to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One connection.
    Route(Route),
    /// Every connection of an identity.
    Identity(Identity),
    /// Every connection of a device.
    Device(Subject),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => route.fmt(f),
            Self::Identity(identity) => identity.fmt(f),
            Self::Device(subject) => subject.fmt(f),
        }
    }
}

/// What an app does on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppStats {
    /// Its live connections.
    pub connections: usize,
    /// How often a connection has come or gone since the server started.
    pub turns: u64,
    /// Counted since the server started.
    pub traffic: Counted,
}

/// What people see of live connections, and may do to them.
///
/// Every method may ask other nodes, so each is `async`, and its answer says which node it speaks of.
/// Only this node answers yet.
pub struct Connections {
    node: NodeId,
    hub: Arc<Hub>,
}

impl Counts {
    /// Returns how many there are on all nodes.
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| count.value).sum()
    }

    /// Returns how many there are, node by node.
    pub fn by_node(&self) -> &[OnNode<usize>] {
        &self.0
    }
}

impl Connections {
    /// The connections of all nodes, as seen from this one.
    pub fn new(node: NodeId, hub: Arc<Hub>) -> Self {
        Self { node, hub }
    }

    /// Returns the channels that have members, of every node, whose names begin with `prefix` and come
    /// after `after`: at most `limit`, in the order of their names' bytes.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn channels(
        &self,
        app: AppId,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Vec<OnNode<ChannelView>> {
        let found = self.hub.fanout.channels_of(app, prefix, after, limit);
        self.here(found)
    }

    /// Returns a channel as each node has it that has members.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn channel(&self, app: AppId, name: &ChannelName) -> Vec<OnNode<ChannelView>> {
        self.here(self.hub.fanout.channel(app, name))
    }

    /// Returns the members of a channel whose routes come after `after`: at most `limit`, in the
    /// order of their routes.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn members(
        &self,
        app: AppId,
        channel: &ChannelName,
        after: Option<Route>,
        limit: usize,
    ) -> Vec<OnNode<MemberView>> {
        self.here(self.hub.fanout.members_of(app, channel, after, limit))
    }

    /// Returns the connected devices of an identity whose names come after `after`: at most
    /// `limit`, in the order of their names' bytes.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn devices(
        &self,
        app: AppId,
        identity: &Identity,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<OnNode<DeviceView>> {
        self.here(self.hub.fanout.devices_of(app, identity, after, limit))
    }

    /// Returns the nodes that an identity is connected to.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn online(&self, app: AppId, identity: &Identity) -> Vec<NodeId> {
        let is_here = self.hub.fanout.is_online(app, identity);
        is_here.then_some(self.node).into_iter().collect()
    }

    /// The live connections of an app that pass a filter and whose routes come after `after`: at
    /// most `limit`, in the order of their routes, which is none that means anything.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn list(
        &self,
        app: AppId,
        filter: &Filter,
        after: Option<Route>,
        limit: usize,
    ) -> Vec<ConnectionView> {
        // Copied under the lock, looked at outside of it.
        let mut found = self.of(app, filter.identity.as_deref());
        let search = filter.search.as_ref().map(|text| text.to_lowercase());
        found.retain(|connection| {
            let address = &connection.address;
            let device = filter.device.as_deref();
            after.is_none_or(|after| address.route() > after)
                && device.is_none_or(|device| device == address.device())
                && search.as_deref().is_none_or(|text| {
                    let remote = connection.peer.remote().to_string();
                    address.as_str().to_lowercase().contains(text) || remote.contains(text)
                })
        });
        let route = |connection: &Arc<Connection>| connection.address.route();
        let page = smallest_k(found, limit, route);
        let view = |connection: &Arc<Connection>| view(self.node, connection);
        page.iter().map(view).collect()
    }

    /// Closes connections with 4503, which asks a client not to come back by itself. How many
    /// there were. Their tokens stay good.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn disconnect(&self, app: AppId, target: &Target) -> Counts {
        let concerned = match target {
            Target::Route(route) => {
                let mut all = self.of(app, None);
                all.retain(|connection| connection.address.route() == *route);
                all
            }
            Target::Identity(identity) => self.of(app, Some(identity.as_str())),
            Target::Device(subject) => {
                let mut all = self.of(app, Some(subject.identity.as_str()));
                let device = Destination::Device(subject.clone());
                all.retain(|connection| device.matches(&connection.address));
                all
            }
        };
        for connection in &concerned {
            connection.outbox.close(CloseCode::Forbidden);
        }
        self.counted(concerned.len())
    }

    /// How many connections an app has.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn count(&self, app: AppId) -> Counts {
        self.counted(self.hub.count(app))
    }

    /// How many connections of an app were opened by tokens of a kind.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn count_authorized(
        &self,
        app: AppId,
        is: impl Fn(&Authorization) -> bool,
    ) -> Counts {
        let connections = self.of(app, None);
        let is = |c: &&Arc<Connection>| is(&c.authorized().authorization);
        self.counted(connections.iter().filter(is).count())
    }

    /// How many connections of an app stand on any of these keys.
    pub async fn count_by_keys(&self, app: AppId, keys: &[KeyId]) -> Counts {
        self.count_authorized(app, |authorization| {
            keys.iter().any(|key| authorization.depends_on_key(*key))
        })
        .await
    }

    /// What an app does, on each node.
    #[expect(clippy::unused_async, reason = "other nodes are to be asked")]
    pub async fn stats(&self, app: AppId) -> Vec<OnNode<AppStats>> {
        self.here([self.hub.stats(app)])
    }

    /// The connections of an app, or of one of its identities.
    fn of(&self, app: AppId, identity: Option<&str>) -> Vec<Arc<Connection>> {
        let found = match identity {
            None => self.hub.fanout.receivers(app),
            Some(identity) => self.hub.fanout.receivers_of(app, identity),
        };
        connections(found).collect()
    }

    fn here<T>(&self, values: impl IntoIterator<Item = T>) -> Vec<OnNode<T>> {
        let here = |value| OnNode {
            node: self.node,
            value,
        };
        values.into_iter().map(here).collect()
    }

    fn counted(&self, count: usize) -> Counts {
        Counts(self.here([count]))
    }
}

/// What is counted on this node.
impl Hub {
    /// How many connections an app has.
    pub fn count(&self, app: AppId) -> usize {
        self.lock().by_app.get(&app).copied().unwrap_or(0)
    }

    /// How many connections stand on a key: their token is one of it, or was exchanged for one.
    pub fn count_by_key(&self, key: KeyId) -> usize {
        let state = self.lock();
        let in_map = |map: &HashMap<KeyId, usize>| map.get(&key).copied().unwrap_or(0);
        in_map(&state.by_key) + in_map(&state.by_source)
    }

    /// What an app does on this node.
    pub fn stats(&self, app: AppId) -> AppStats {
        let state = self.lock();
        AppStats {
            connections: state.by_app.get(&app).copied().unwrap_or(0),
            turns: state.turns.get(&app).copied().unwrap_or(0),
            traffic: state
                .traffic
                .get(&app)
                .map_or_else(Counted::default, |traffic| traffic.counted()),
        }
    }
}

fn view(node: NodeId, connection: &Connection) -> ConnectionView {
    let authorized = connection.authorized();
    let authorization = &authorized.authorization;
    let permissions = &authorization.permissions;
    ConnectionView {
        node,
        address: connection.address.clone(),
        since: connection.since,
        remote: connection.peer.remote(),
        key: authorization.key,
        grants: permissions.token().clone(),
        ceiling: permissions.ceiling().cloned(),
        expires: authorized.until,
        traffic: connection.traffic.counted(),
        channels: connection.channels(),
    }
}
