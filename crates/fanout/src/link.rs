use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hexline_model::{ChannelName, Destination, Route};

use crate::app::App;
use crate::channel::{Channel, Newcomer};
use crate::history::{Fetch, History};
use crate::hold::{Fetching, WaitingJoin};
use crate::{Position, Presence, Published, Recall, Recalled, Receiver, Replay};

/// A connection's own end: everything that the connection sends goes through it.
///
/// Dropped, it has left its channels and is not reached any more.
pub struct Link {
    app: Arc<App>,
    receiver: Arc<dyn Receiver>,
    joined: HashMap<ChannelName, Membership>,
}

struct Membership {
    channel: Arc<Channel>,
    ticket: u64,
}

/// What a join came to, as its reply tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Whether the member is announced.
    pub visible: bool,
    /// Where the channel stood when it was joined; what is published comes after it. `None` without
    /// a history.
    pub position: Option<Position>,
    /// What the member missed, up to that position.
    pub replay: Replay,
}

/// Whether a join that asked for the past has had its reply.
pub enum Joining {
    /// It has.
    Done,
    /// It will, when this is done. What is sent to the connection meanwhile comes after.
    Later(PendingJoin),
}

/// Fetches what a member missed, then queues its reply. Done too when the reply was queued for another
/// reason: too much has waited, or the member has left.
///
/// Dropped before its end, the reply says that the member was not recovered; so is one to be that takes
/// longer than [`PendingJoin::at_most`].
pub struct PendingJoin {
    app: Arc<App>,
    route: Route,
    number: u64,
    fetch: Fetch,
}

impl Link {
    pub(crate) fn attach(app: Arc<App>, receiver: Arc<dyn Receiver>) -> Self {
        app.attach(Arc::clone(&receiver));
        Self {
            app,
            receiver,
            joined: HashMap::new(),
        }
    }

    /// Becomes a member, in one step under the channel's order. The visible members and one that
    /// becomes visible are announced to each other. Joining again changes the presence; without a
    /// change nobody is told. One that finds no room among the visible is a hidden member.
    ///
    /// `reply` makes the reply to the call, which is queued before anything that follows from it;
    /// it must be quick and must not call fan-out. Returns whether the member is visible now.
    pub fn join(
        &mut self,
        channel: &ChannelName,
        presence: Presence,
        reply: impl FnOnce(Joined) -> Option<Bytes>,
    ) -> bool {
        let (app, receiver) = (Arc::clone(&self.app), Arc::clone(&self.receiver));
        self.enter(channel, presence, |history, visible| {
            let joined = Joined {
                visible,
                position: history.map(|history| history.position()),
                replay: Replay::None,
            };
            if let Some(reply) = reply(joined) {
                app.holds().answer(receiver.as_ref(), &reply);
            }
        })
    }

    /// Becomes a member as [`Link::join`] does, and is told of the past.
    ///
    /// Where the past must be fetched the member is pending: what is sent to its connection waits,
    /// within bounds, until the reply is queued.
    pub fn join_recalling(
        &mut self,
        channel: &ChannelName,
        presence: Presence,
        recall: Recall,
        reply: impl FnOnce(Joined) -> Option<Bytes> + Send + 'static,
    ) -> Joining {
        let (app, receiver) = (Arc::clone(&self.app), Arc::clone(&self.receiver));
        let mut joining = Joining::Done;
        self.enter(channel, presence, |history, visible| {
            let position = history.as_ref().map(|history| history.position());
            let recalled = match (history, recall) {
                (Some(history), recall) => history.recall(recall),
                (None, Recall::Last(_)) => Recalled::Now(Replay::None),
                (None, Recall::Since(_)) => Recalled::Now(Replay::NotRecovered),
            };
            match recalled {
                Recalled::Now(replay) => {
                    let joined = Joined {
                        visible,
                        position,
                        replay,
                    };
                    if let Some(reply) = reply(joined) {
                        app.holds().answer(receiver.as_ref(), &reply);
                    }
                }
                Recalled::Later(fetch) => {
                    let waiting = WaitingJoin {
                        channel: channel.clone(),
                        visible,
                        position,
                        reply: Box::new(reply),
                        number: 0,
                        replay: None,
                        fetching: Fetching::default(),
                    };
                    joining = Joining::Later(PendingJoin {
                        number: app.holds().begin(&receiver, waiting),
                        route: receiver.address().route(),
                        app: Arc::clone(&app),
                        fetch,
                    });
                }
            }
        });
        joining
    }

    /// Stops being a member; `false` if it was none.
    pub fn leave(&mut self, channel: &ChannelName) -> bool {
        let Some(membership) = self.joined.remove(channel) else {
            return false;
        };
        self.quit(channel, &membership);
        if let Some(holds) = self.app.holds().active() {
            holds.give_up(self.receiver.address().route(), channel);
        }
        self.receiver.member_of(self.joined.len());
        true
    }

    /// Publishes to every other member of a channel: encoded once, under the channel's order, with
    /// the position that the message got if the channel has a history. `encode` is not called if
    /// nobody would hear it, now or from the history; it must be quick and must not call fan-out.
    pub fn publish(
        &mut self,
        channel: &ChannelName,
        encode: impl FnOnce(Option<Position>) -> Bytes,
    ) -> Published {
        let sender = Some(self.receiver.address().route());
        match self.joined.get(channel) {
            // A member's channel can't vanish.
            Some(membership) => membership
                .channel
                .publish(&self.app, sender, encode)
                .unwrap_or_default(),
            None => self.app.publish(channel, sender, encode),
        }
    }

    /// Sends to the connection itself, behind what it was sent before.
    pub fn push(&self, message: &Bytes) -> bool {
        self.app.deliver(self.receiver.as_ref(), message)
    }

    /// Sends to every other connection that the destination names. Returns how many took it.
    pub fn send(&mut self, to: &Destination, message: &Bytes) -> usize {
        let sender = Some(self.receiver.address().route());
        self.app.send(to, sender, message)
    }

    /// Sends to every other member of a channel that the destination names. Returns how many took
    /// it.
    pub fn send_in(&mut self, channel: &ChannelName, to: &Destination, message: &Bytes) -> usize {
        let sender = Some(self.receiver.address().route());
        match self.joined.get(channel) {
            Some(membership) => membership.channel.send(&self.app, to, sender, message),
            None => self
                .app
                .channel(channel)
                .map_or(0, |channel| channel.send(&self.app, to, sender, message)),
        }
    }

    /// Whether it is a member.
    pub fn is_member(&self, channel: &ChannelName) -> bool {
        self.joined.contains_key(channel)
    }

    /// Counts the channels that it is a member of and that satisfy a condition.
    pub fn count(&self, condition: impl Fn(&ChannelName) -> bool) -> usize {
        self.joined.keys().filter(|name| condition(name)).count()
    }

    fn enter(
        &mut self,
        channel: &ChannelName,
        presence: Presence,
        reply: impl FnOnce(Option<&mut dyn History>, bool),
    ) -> bool {
        let mut new = Newcomer {
            app: &self.app,
            channel,
            receiver: &self.receiver,
            ticket: None,
            presence,
        };
        if let Some(here) = self.joined.get(channel) {
            new.ticket = Some(here.ticket);
            let order = here.channel.order();
            let mut members = order.expect("a channel with a member does not vanish");
            return members.enter(&new, reply).1;
        }
        loop {
            let found = self.app.channel_or_new(channel);
            let Some(mut members) = found.order() else {
                continue;
            };
            let (ticket, visible) = members.enter(&new, reply);
            drop(members);
            let membership = Membership {
                channel: found,
                ticket,
            };
            self.joined.insert(channel.clone(), membership);
            self.receiver.member_of(self.joined.len());
            return visible;
        }
    }

    fn quit(&self, name: &ChannelName, membership: &Membership) {
        let spent = match membership.channel.order() {
            Some(mut members) => members.leave(&self.app, name, membership.ticket),
            None => false,
        };
        if spent {
            self.app.forget(name, &membership.channel);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(holds) = self.app.holds().active() {
            holds.discard(self.receiver.address().route());
        }
        for (name, membership) in std::mem::take(&mut self.joined) {
            self.quit(&name, &membership);
        }
        self.app.detach(self.receiver.as_ref());
    }
}

impl PendingJoin {
    /// How long it may take.
    pub fn at_most(&self) -> Duration {
        self.app.holds().limits().fetch
    }
}

impl Future for PendingJoin {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (route, number) = (self.route, self.number);
        if !self.app.holds().is_waiting(route, number, cx.waker()) {
            return Poll::Ready(());
        }
        self.fetch.as_mut().poll(cx).map(|replay| {
            self.app.holds().settle(route, number, replay);
        })
    }
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        // Nothing waits any more if it came to its end.
        let holds = self.app.holds();
        holds.settle(self.route, self.number, Replay::NotRecovered);
    }
}
