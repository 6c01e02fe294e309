use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hexline_model::{Address, AppId, ChannelName, Destination, Identity, Route};

use crate::page::smallest;
use crate::{
    Announcer, Bus, ChannelView, DeviceView, Link, MemberView, Occupancy, Presence, Receiver,
    Roster,
};

/// Fan-out within one process.
///
/// Every channel has one lock; joining, leaving and their announcements happen inside it, and a
/// publish reads under it. Queueing a message is all that ever happens inside a lock.
pub struct LocalBus {
    announcer: Arc<dyn Announcer>,
    apps: RwLock<HashMap<AppId, Arc<App>>>,
    occupancy: Option<Arc<dyn Occupancy>>,
}

struct App {
    id: AppId,
    occupancy: Option<Arc<dyn Occupancy>>,
    identities: RwLock<HashMap<Arc<str>, Roster<dyn Receiver>>>,
    channels: RwLock<HashMap<ChannelName, Arc<Channel>>>,
}

#[derive(Default)]
struct Channel {
    members: RwLock<Members>,
}

/// Members in the order in which they joined.
#[derive(Default)]
struct Members {
    by_ticket: BTreeMap<u64, Member>,
    next_ticket: u64,
    /// How many of them have presence.
    visible: usize,
    /// Set when the last member has gone and the channel is off the map.
    gone: bool,
}

struct Member {
    receiver: Arc<dyn Receiver>,
    visible: bool,
}

struct Membership {
    channel: Arc<Channel>,
    ticket: u64,
}

/// Who is told of a join, and by whom.
struct Teller<'a> {
    announcer: &'a dyn Announcer,
    /// Tells the newcomer whether it is visible.
    reply: &'a mut dyn FnMut(bool),
}

struct LocalLink {
    announcer: Arc<dyn Announcer>,
    app: Arc<App>,
    receiver: Arc<dyn Receiver>,
    joined: HashMap<ChannelName, Membership>,
}

impl LocalBus {
    /// An empty bus.
    pub fn new(announcer: Arc<dyn Announcer>) -> Self {
        Self {
            announcer,
            apps: RwLock::default(),
            occupancy: None,
        }
    }

    /// Tells this one which channels are occupied.
    #[must_use]
    pub fn telling(mut self, occupancy: Arc<dyn Occupancy>) -> Self {
        self.occupancy = Some(occupancy);
        self
    }

    fn app(&self, app: AppId) -> Option<Arc<App>> {
        read(&self.apps).get(&app).cloned()
    }
}

impl Bus for LocalBus {
    fn attach(&self, app: AppId, receiver: Arc<dyn Receiver>) -> Box<dyn Link> {
        // Apps are few and stay: one that was seen once keeps its (empty) maps.
        let app = self.app(app).unwrap_or_else(|| {
            let occupancy = self.occupancy.clone();
            let new = || Arc::new(App::new(app, occupancy));
            Arc::clone(write(&self.apps).entry(app).or_insert_with(new))
        });
        let identity: Arc<str> = receiver.address().identity().into();
        write(&app.identities)
            .entry(identity)
            .or_default()
            .add(Arc::clone(&receiver));
        Box::new(LocalLink {
            announcer: Arc::clone(&self.announcer),
            app,
            receiver,
            joined: HashMap::new(),
        })
    }

    fn send(&self, app: AppId, to: &Destination, message: &Bytes) -> usize {
        self.app(app).map_or(0, |app| app.send(to, None, message))
    }

    fn publish(&self, app: AppId, channel: &ChannelName, message: &Bytes) -> usize {
        let channel = self.app(app).and_then(|app| app.channel(channel));
        channel.map_or(0, |channel| channel.publish(None, message))
    }

    fn channels(&self) -> usize {
        read(&self.apps)
            .values()
            .map(|app| read(&app.channels).len())
            .sum()
    }

    fn channels_of(
        &self,
        app: AppId,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Vec<ChannelView> {
        let Some(app) = self.app(app) else {
            return Vec::new();
        };
        let channels = read(&app.channels);
        let wanted = channels.iter().filter(|(name, _)| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| *name > after)
        });
        // One whose last member is just leaving is not counted, or a page would seem the last.
        let views = wanted.filter_map(|(name, channel)| channel.view(name.clone()));
        smallest(views, limit, |view| view.name.clone())
    }

    fn channel(&self, app: AppId, name: &ChannelName) -> Option<ChannelView> {
        self.app(app)?.channel(name)?.view(name.clone())
    }

    fn members_of(
        &self,
        app: AppId,
        channel: &ChannelName,
        after: Option<Route>,
        limit: usize,
    ) -> Vec<MemberView> {
        let channel = self.app(app).and_then(|app| app.channel(channel));
        channel.map_or_else(Vec::new, |channel| channel.members(after, limit))
    }

    fn devices_of(
        &self,
        app: AppId,
        identity: &Identity,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<DeviceView> {
        self.app(app).map_or_else(Vec::new, |app| {
            let identities = read(&app.identities);
            let Some(own) = identities.get(identity.as_str()) else {
                return Vec::new();
            };
            let devices = own.by_device();
            let wanted = devices.filter(|(device, _)| after.is_none_or(|after| *device > after));
            let page = smallest(wanted, limit, |(device, _)| *device);
            let view = |(device, connections): (&str, usize)| DeviceView {
                device: device.into(),
                connections,
            };
            page.into_iter().map(view).collect()
        })
    }

    fn is_online(&self, app: AppId, identity: &Identity) -> bool {
        self.app(app)
            .is_some_and(|app| read(&app.identities).contains_key(identity.as_str()))
    }
}

impl App {
    fn new(id: AppId, occupancy: Option<Arc<dyn Occupancy>>) -> Self {
        Self {
            id,
            occupancy,
            identities: RwLock::default(),
            channels: RwLock::default(),
        }
    }

    fn send(&self, to: &Destination, sender: Option<&Address>, message: &Bytes) -> usize {
        let identities = read(&self.identities);
        let Some(receivers) = identities.get(to.identity().as_str()) else {
            return 0;
        };
        count(receivers.reached(to).map(Arc::as_ref), sender, message)
    }

    fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        read(&self.channels).get(name).cloned()
    }

    fn channel_or_new(&self, name: &ChannelName) -> Arc<Channel> {
        self.channel(name)
            .unwrap_or_else(|| Arc::clone(write(&self.channels).entry(name.clone()).or_default()))
    }

    fn forget(&self, name: &ChannelName, channel: &Arc<Channel>) {
        let mut channels = write(&self.channels);
        let mut members = write(&channel.members);
        if members.by_ticket.is_empty() && !members.gone {
            members.gone = true;
            channels.remove(name);
        }
    }
}

impl Channel {
    /// The ticket, and whether it is visible; `None` if the channel has vanished meanwhile.
    fn join(
        &self,
        name: &ChannelName,
        receiver: &Arc<dyn Receiver>,
        presence: Presence,
        teller: Teller<'_>,
        app: &App,
    ) -> Option<(u64, bool)> {
        let mut members = write(&self.members);
        if members.gone {
            return None;
        }
        let visible = match presence {
            Presence::Visible { at_most } => {
                members.introduce(name, receiver.as_ref(), at_most, teller)
            }
            Presence::Hidden => {
                (teller.reply)(false);
                false
            }
        };
        if members.by_ticket.is_empty()
            && let Some(occupancy) = &app.occupancy
        {
            occupancy.occupied(app.id, name);
        }
        let ticket = members.next_ticket;
        members.next_ticket += 1;
        members.by_ticket.insert(
            ticket,
            Member {
                receiver: Arc::clone(receiver),
                visible,
            },
        );
        Some((ticket, visible))
    }

    /// Returns whether the member is visible now.
    fn set_presence(
        &self,
        name: &ChannelName,
        ticket: u64,
        presence: Presence,
        teller: Teller<'_>,
    ) -> bool {
        let mut members = write(&self.members);
        let Some(mut member) = members.by_ticket.remove(&ticket) else {
            (teller.reply)(false);
            return false;
        };
        let receiver = member.receiver.as_ref();
        member.visible = match presence {
            Presence::Visible { at_most } if !member.visible => {
                members.introduce(name, receiver, at_most, teller)
            }
            Presence::Hidden if member.visible => {
                (teller.reply)(false);
                members.part(name, receiver, teller.announcer);
                false
            }
            Presence::Visible { .. } | Presence::Hidden => {
                (teller.reply)(member.visible);
                member.visible
            }
        };
        let visible = member.visible;
        members.by_ticket.insert(ticket, member);
        visible
    }

    /// Returns whether the channel is empty now.
    fn leave(&self, name: &ChannelName, ticket: u64, announcer: &dyn Announcer, app: &App) -> bool {
        let mut members = write(&self.members);
        let Some(member) = members.by_ticket.remove(&ticket) else {
            return members.by_ticket.is_empty();
        };
        if member.visible {
            members.part(name, member.receiver.as_ref(), announcer);
        }
        let is_empty = members.by_ticket.is_empty();
        if is_empty && let Some(occupancy) = &app.occupancy {
            occupancy.vacated(app.id, name);
        }
        is_empty
    }

    /// `None` if it has no members.
    fn view(&self, name: ChannelName) -> Option<ChannelView> {
        let members = read(&self.members);
        (!members.by_ticket.is_empty()).then(|| ChannelView {
            name,
            members: members.by_ticket.len(),
            visible: members.visible,
        })
    }

    fn members(&self, after: Option<Route>, limit: usize) -> Vec<MemberView> {
        let members = read(&self.members);
        let route = |member: &Member| member.receiver.address().route();
        let all = members.by_ticket.values();
        let wanted = all.filter(|member| after.is_none_or(|after| route(member) > after));
        let page = smallest(wanted, limit, |member| route(member));
        let view = |member: &Member| MemberView {
            address: member.receiver.address().clone(),
            visible: member.visible,
        };
        page.into_iter().map(view).collect()
    }

    fn publish(&self, sender: Option<&Address>, message: &Bytes) -> usize {
        let members = read(&self.members);
        count(
            members.by_ticket.values().map(|m| m.receiver.as_ref()),
            sender,
            message,
        )
    }

    fn send(&self, to: &Destination, sender: &Address, message: &Bytes) -> usize {
        let members = read(&self.members);
        let reached = members
            .by_ticket
            .values()
            .filter(|m| to.matches(m.receiver.address()));
        count(reached.map(|m| m.receiver.as_ref()), Some(sender), message)
    }
}

impl Members {
    /// Announces one that becomes visible; `false` if that would be too many.
    fn introduce(
        &mut self,
        name: &ChannelName,
        newcomer: &dyn Receiver,
        at_most: usize,
        Teller { announcer, reply }: Teller<'_>,
    ) -> bool {
        let has_room = self.visible < at_most.max(1);
        reply(has_room);
        if !has_room {
            return false;
        }
        if self.visible > 0 {
            let joined = announcer.joined(name, newcomer.address());
            for member in self.by_ticket.values().filter(|m| m.visible) {
                newcomer.deliver(&announcer.join_back(name, member.receiver.address()));
                member.receiver.deliver(&joined);
            }
        }
        self.visible += 1;
        true
    }

    /// Announces that one is visible no more.
    fn part(&mut self, name: &ChannelName, gone: &dyn Receiver, announcer: &dyn Announcer) {
        self.visible -= 1;
        if self.visible > 0 {
            let left = announcer.left(name, gone.address());
            for member in self.by_ticket.values().filter(|m| m.visible) {
                member.receiver.deliver(&left);
            }
        }
    }
}

impl Link for LocalLink {
    fn join_with(
        &mut self,
        channel: &ChannelName,
        presence: Presence,
        reply: &mut dyn FnMut(bool),
    ) -> bool {
        let announcer = self.announcer.as_ref();
        match self.joined.entry(channel.clone()) {
            Entry::Occupied(here) => {
                let Membership {
                    channel: members,
                    ticket,
                } = here.get();
                let teller = Teller { announcer, reply };
                members.set_presence(channel, *ticket, presence, teller)
            }
            Entry::Vacant(here) => loop {
                let members = self.app.channel_or_new(channel);
                let teller = Teller {
                    announcer,
                    reply: &mut *reply,
                };
                if let Some((ticket, visible)) =
                    members.join(channel, &self.receiver, presence, teller, &self.app)
                {
                    here.insert(Membership {
                        channel: members,
                        ticket,
                    });
                    self.receiver.member_of(self.joined.len());
                    return visible;
                }
            },
        }
    }

    fn leave(&mut self, channel: &ChannelName) -> bool {
        let Some(membership) = self.joined.remove(channel) else {
            return false;
        };
        self.quit(channel, &membership);
        self.receiver.member_of(self.joined.len());
        true
    }

    fn is_member(&self, channel: &ChannelName) -> bool {
        self.joined.contains_key(channel)
    }

    fn count(&self, condition: &dyn Fn(&ChannelName) -> bool) -> usize {
        self.joined.keys().filter(|name| condition(name)).count()
    }

    fn publish(&mut self, channel: &ChannelName, message: &Bytes) -> usize {
        let sender = Some(self.receiver.address());
        match self.joined.get(channel) {
            Some(membership) => membership.channel.publish(sender, message),
            None => self
                .app
                .channel(channel)
                .map_or(0, |c| c.publish(sender, message)),
        }
    }

    fn send(&mut self, to: &Destination, message: &Bytes) -> usize {
        self.app.send(to, Some(self.receiver.address()), message)
    }

    fn send_in(&mut self, channel: &ChannelName, to: &Destination, message: &Bytes) -> usize {
        let sender = self.receiver.address();
        match self.joined.get(channel) {
            Some(membership) => membership.channel.send(to, sender, message),
            None => self
                .app
                .channel(channel)
                .map_or(0, |c| c.send(to, sender, message)),
        }
    }
}

impl LocalLink {
    fn quit(&self, name: &ChannelName, membership: &Membership) {
        if membership
            .channel
            .leave(name, membership.ticket, self.announcer.as_ref(), &self.app)
        {
            self.app.forget(name, &membership.channel);
        }
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        for (name, membership) in std::mem::take(&mut self.joined) {
            self.quit(&name, &membership);
        }
        let address = self.receiver.address();
        let mut identities = write(&self.app.identities);
        if let Some(receivers) = identities.get_mut(address.identity()) {
            receivers.remove(self.receiver.as_ref());
            if receivers.is_empty() {
                identities.remove(address.identity());
            }
        }
    }
}

fn count<'a>(
    receivers: impl Iterator<Item = &'a dyn Receiver>,
    sender: Option<&Address>,
    message: &Bytes,
) -> usize {
    let sender = sender.map(Address::route);
    receivers
        .filter(|receiver| Some(receiver.address().route()) != sender)
        .filter(|receiver| receiver.deliver(message))
        .count()
}

// Nothing in here panics while it holds a lock but for a receiver's own code; what the lock
// guards is whole even then.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
