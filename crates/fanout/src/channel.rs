use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hexline_model::{Address, ChannelName, Destination, Route};

use crate::app::{App, deliver_all};
use crate::page::smallest_k;
use crate::{ChannelView, History, MemberView, Position, Receiver, read, write};

/// Whether a member is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It hears what is published, and neither hears nor is told of who comes and goes.
    Hidden,
    /// It is announced, if with it so many members at most are; there is always room for one.
    Visible {
        /// How many.
        at_most: usize,
    },
}

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// How many connections took it. Where a replay is fetched for one, the message is held for it and
    /// counts as taken.
    pub delivered: usize,
    /// Where it stands, if its channel has a history.
    pub position: Option<Position>,
}

/// A channel: its members, its order, and what it remembers.
///
/// There is one lock. Joins, leaves and their announcements happen inside it, and so does a publish
/// that gets a position; every other publish shares it.
#[derive(Default)]
pub(crate) struct Channel(RwLock<Members>);

/// Members in the order in which they joined.
#[derive(Default)]
pub(crate) struct Members {
    by_ticket: BTreeMap<u64, Member>,
    history: Option<Box<dyn History>>,
    /// How many of them have presence.
    visible: u32,
    /// Set when the channel is off the map, having neither members nor a past.
    gone: bool,
}

struct Member {
    receiver: Arc<dyn Receiver>,
    visible: bool,
}

/// One who joins, or changes its presence.
pub(crate) struct Newcomer<'a> {
    pub(crate) app: &'a App,
    pub(crate) channel: &'a ChannelName,
    pub(crate) receiver: &'a Arc<dyn Receiver>,
    /// Of one that is a member already.
    pub(crate) ticket: Option<u64>,
    pub(crate) presence: Presence,
}

impl Presence {
    /// Whether it is announced.
    pub fn is_visible(self) -> bool {
        matches!(self, Self::Visible { .. })
    }
}

impl Channel {
    pub(crate) fn recorded(history: Option<Box<dyn History>>) -> Self {
        Self(RwLock::new(Members {
            history,
            ..Members::default()
        }))
    }

    /// Takes the channel's order; `None` if the channel has vanished meanwhile.
    pub(crate) fn order(&self) -> Option<RwLockWriteGuard<'_, Members>> {
        Some(write(&self.0)).filter(|members| !members.gone)
    }

    /// Vanishes if nothing is left; `true` if so.
    pub(crate) fn vanish(&self) -> bool {
        let mut members = write(&self.0);
        let vanishes = members.is_spent() && !members.gone;
        members.gone |= vanishes;
        vanishes
    }

    /// Sends to every member but the sender, encoded once. Gives the encoder back if the channel has
    /// vanished meanwhile and its past would be lost.
    pub(crate) fn publish<E: FnOnce(Option<Position>) -> Bytes>(
        &self,
        app: &App,
        sender: Option<Route>,
        encode: E,
    ) -> Result<Published, E> {
        {
            let members = self.members();
            if members.history.is_none() {
                if !members.has_others(sender) {
                    return Ok(Published::default());
                }
                return Ok(Published {
                    delivered: members.deliver(app, sender, &encode(None)),
                    position: None,
                });
            }
        }
        let Some(mut members) = self.order() else {
            return Err(encode);
        };
        let position = members.history.as_ref().map(|history| history.next());
        let message = encode(position);
        if let (Some(history), Some(position)) = (members.history.as_mut(), position) {
            history.record(position, &message);
        }
        Ok(Published {
            delivered: members.deliver(app, sender, &message),
            position,
        })
    }

    /// Sends to every member that the destination names but the sender.
    pub(crate) fn send(
        &self,
        app: &App,
        to: &Destination,
        sender: Option<Route>,
        message: &Bytes,
    ) -> usize {
        let members = self.members();
        let receivers = members.receivers();
        let reached = receivers.filter(|receiver| to.matches(receiver.address()));
        deliver_all(app, reached, sender, message)
    }

    /// `None` if it has no members.
    pub(crate) fn view(&self, name: ChannelName) -> Option<ChannelView> {
        let members = self.members();
        (!members.by_ticket.is_empty()).then(|| ChannelView {
            name,
            members: members.by_ticket.len(),
            visible: members.visible as usize,
        })
    }

    pub(crate) fn page(&self, after: Option<Route>, limit: usize) -> Vec<MemberView> {
        let members = self.members();
        let route = |member: &Member| member.receiver.address().route();
        let all = members.by_ticket.values();
        let wanted = all.filter(|member| after.is_none_or(|after| route(member) > after));
        let page = smallest_k(wanted, limit, |member| route(member));
        let view = |member: &Member| MemberView {
            address: member.receiver.address().clone(),
            visible: member.visible,
        };
        page.into_iter().map(view).collect()
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members().by_ticket.is_empty()
    }

    fn members(&self) -> RwLockReadGuard<'_, Members> {
        read(&self.0)
    }
}

impl Members {
    /// Lets one in, or changes its presence. `reply` is called between taking its place and
    /// announcing it: with the history, and whether it is visible. Returns its ticket and whether it
    /// is visible.
    pub(crate) fn enter(
        &mut self,
        new: &Newcomer<'_>,
        reply: impl FnOnce(Option<&mut dyn History>, bool),
    ) -> (u64, bool) {
        let before = new.ticket.and_then(|ticket| self.by_ticket.get(&ticket));
        let was_visible = before.is_some_and(|member| member.visible);
        let visible = match new.presence {
            Presence::Visible { at_most } => was_visible || self.has_room(at_most),
            Presence::Hidden => false,
        };
        match &mut self.history {
            None => reply(None, visible),
            Some(history) => reply(Some(history.as_mut()), visible),
        }
        if self.by_ticket.is_empty()
            && let Some(observer) = new.app.observer()
        {
            observer.occupied(new.app.id(), new.channel);
        }
        if visible && !was_visible {
            self.introduce(new.app, new.channel, new.receiver.as_ref());
        }
        let ticket = new.ticket.unwrap_or_else(|| self.next_ticket());
        let member = Member {
            receiver: Arc::clone(new.receiver),
            visible,
        };
        self.by_ticket.insert(ticket, member);
        if was_visible && !visible {
            self.part(new.app, new.channel, new.receiver.address());
        }
        (ticket, visible)
    }

    /// Lets one go. Returns whether nothing is left of the channel.
    pub(crate) fn leave(&mut self, app: &App, channel: &ChannelName, ticket: u64) -> bool {
        let Some(member) = self.by_ticket.remove(&ticket) else {
            return self.is_spent();
        };
        if member.visible {
            self.part(app, channel, member.receiver.address());
        }
        if self.by_ticket.is_empty()
            && let Some(observer) = app.observer()
        {
            observer.vacated(app.id(), channel);
        }
        self.is_spent()
    }

    /// Announces one that becomes visible, and the others to it.
    fn introduce(&mut self, app: &App, channel: &ChannelName, newcomer: &dyn Receiver) {
        if self.visible > 0 {
            let announcer = app.announcer();
            let joined = announcer.joined(channel, newcomer.address());
            for member in self.visible() {
                app.deliver(newcomer, &announcer.join_back(channel, member.address()));
                app.deliver(member, &joined);
            }
        }
        self.visible += 1;
    }

    /// Announces that one is visible no more.
    fn part(&mut self, app: &App, channel: &ChannelName, gone: &Address) {
        self.visible -= 1;
        if self.visible > 0 {
            let left = app.announcer().left(channel, gone);
            for member in self.visible() {
                app.deliver(member, &left);
            }
        }
    }

    fn deliver(&self, app: &App, sender: Option<Route>, message: &Bytes) -> usize {
        deliver_all(app, self.receivers(), sender, message)
    }

    fn receivers(&self) -> impl Iterator<Item = &dyn Receiver> {
        self.by_ticket.values().map(|m| m.receiver.as_ref())
    }

    fn visible(&self) -> impl Iterator<Item = &dyn Receiver> {
        let visible = self.by_ticket.values().filter(|member| member.visible);
        visible.map(|member| member.receiver.as_ref())
    }

    /// Whether anybody but the sender is a member.
    fn has_others(&self, sender: Option<Route>) -> bool {
        let mut first_two = self.receivers().take(2);
        first_two.any(|receiver| Some(receiver.address().route()) != sender)
    }

    fn has_room(&self, at_most: usize) -> bool {
        (self.visible as usize) < at_most.max(1)
    }

    /// Higher than all that are in use.
    fn next_ticket(&self) -> u64 {
        let last = self.by_ticket.last_key_value();
        last.map_or(0, |(ticket, _)| ticket + 1)
    }

    /// Whether it has neither members nor a past.
    fn is_spent(&self) -> bool {
        let has_past = |history: &dyn History| !history.is_empty();
        self.by_ticket.is_empty() && !self.history.as_deref().is_some_and(has_past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_makes_no_channel_or_member_larger() {
        assert!(size_of::<Members>() <= 48, "{}", size_of::<Members>());
        assert!(size_of::<Member>() <= 24);
    }
}
