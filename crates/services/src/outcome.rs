use bytes::Bytes;
use hexline_fanout::{Joined, Presence, Recall};
use hexline_model::ChannelName;
use hexline_protocol::Reply;
use serde::Serialize;

/// What a call came to: what its caller is told, and what then happens to the caller's own connection.
///
/// The session that carries it out queues the reply, then applies the effects, so nobody hears of what follows
/// from a call before its answer. What a call does to others, a publish or a write, is done already.
#[derive(Debug)]
pub enum Outcome<R> {
    /// The reply is there.
    Done {
        /// What the caller is told.
        reply: R,
        /// What happens to its connection after that.
        effects: Effects,
    },
    /// The caller's connection joins a channel, and the reply says what came of it.
    Join(Join),
}

/// A join whose reply is made, and queued, in the same step as the membership.
#[derive(Debug)]
pub struct Join {
    /// The channel.
    pub channel: ChannelName,
    /// How to join it.
    pub presence: Presence,
    /// What it asks for of the channel's past. That may have to be fetched.
    pub recall: Option<Recall>,
    /// Makes the reply: of how it was to be joined, and what came of that.
    pub reply: fn(Presence, Joined) -> Reply,
}

/// Something that happens to the caller's connection, which may have none: then nothing does.
#[derive(Debug)]
pub enum Effect {
    /// It joins a channel.
    Join(ChannelName, Presence),
    /// It leaves a channel.
    Leave(ChannelName),
    /// It is sent a message.
    Push(Bytes),
}

/// Effects in order. One, the usual number, takes no memory of its own.
#[derive(Debug, Default)]
pub struct Effects {
    first: Option<Effect>,
    more: Vec<Effect>,
}

impl<R> Outcome<R> {
    /// A reply and nothing else.
    pub fn reply(reply: R) -> Self {
        Self::Done {
            reply,
            effects: Effects::default(),
        }
    }

    /// A reply, and one thing that happens after it.
    pub fn then(reply: R, effect: Effect) -> Self {
        Self::Done {
            reply,
            effects: Effects {
                first: Some(effect),
                more: Vec::new(),
            },
        }
    }
}

impl<R: Serialize> Outcome<R> {
    /// The same with its reply as JSON, if anybody waits for that; nobody does for a notification's.
    pub fn written(self, is_wanted: bool) -> Outcome<Reply> {
        match self {
            Self::Done { reply, effects } => {
                let reply = if is_wanted {
                    Reply::of(&reply)
                } else {
                    Reply::EMPTY
                };
                Outcome::Done { reply, effects }
            }
            Self::Join(join) => Outcome::Join(join),
        }
    }
}

impl Effects {
    /// Adds one that happens after those before it.
    pub fn push(&mut self, effect: Effect) {
        if self.first.is_none() {
            self.first = Some(effect);
        } else {
            self.more.push(effect);
        }
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Effect>, std::vec::IntoIter<Effect>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serializer;

    use super::*;

    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
            panic!("nobody waits for it")
        }
    }

    #[test]
    fn a_reply_that_nobody_waits_for_is_not_written() {
        let push = || Effect::Push(Bytes::from_static(b"1"));
        let unwanted = Outcome::then(Unwritable, push()).written(false);
        let wanted = Outcome::then(1, push()).written(true);
        for (outcome, text) in [(unwanted, "{}"), (wanted, "1")] {
            let Outcome::Done { reply, effects } = outcome else {
                panic!("it is done");
            };
            assert_eq!(reply.as_str(), text);
            assert_eq!(effects.into_iter().count(), 1);
        }
    }
}
