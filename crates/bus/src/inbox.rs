use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use hexline_model::NodeId;

use crate::Topic;

/// How much may wait for a node's dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// How many messages.
    pub messages: usize,
    /// How many bytes of messages.
    pub bytes: usize,
}

/// What waits for a node, in order. What finds no room is counted, and told in its place.
pub(crate) struct Inbox {
    limits: InboxLimits,
    queue: VecDeque<Item>,
    messages: usize,
    bytes: usize,
    /// Lost, and not in the queue yet.
    holes: HashMap<NodeId, Holes>,
}

/// What was lost of one node.
#[derive(Default)]
struct Holes {
    by_topic: HashMap<Topic, u64>,
    /// Of whichever topics, once they were too many.
    of_any: u64,
}

pub(crate) struct Item {
    pub(crate) from: NodeId,
    /// `None` if it is for all.
    pub(crate) topic: Option<Topic>,
    pub(crate) what: What,
}

pub(crate) enum What {
    Message(Bytes),
    Lost(u64),
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            messages: 65_536,
            bytes: 64 * 1024 * 1024,
        }
    }
}

impl Inbox {
    pub(crate) fn new(limits: InboxLimits) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            messages: 0,
            bytes: 0,
            holes: HashMap::new(),
        }
    }

    pub(crate) fn push(&mut self, from: NodeId, topic: Topic, message: Bytes) {
        let told_first = self.holes.get(&from).map_or(0, Holes::len);
        let has_room = self.messages + told_first < self.limits.messages
            && self.bytes + message.len() <= self.limits.bytes;
        if !has_room {
            self.holes.entry(from).or_default().add(topic);
            return;
        }
        // What was lost of a node comes before what is taken of it next.
        if let Some(holes) = self.holes.remove(&from) {
            self.tell(from, holes);
        }
        self.messages += 1;
        self.bytes += message.len();
        self.queue.push_back(Item {
            from,
            topic: Some(topic),
            what: What::Message(message),
        });
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        if self.queue.is_empty() {
            for (from, holes) in std::mem::take(&mut self.holes) {
                self.tell(from, holes);
            }
        }
        let item = self.queue.pop_front()?;
        self.messages -= 1;
        if let What::Message(message) = &item.what {
            self.bytes -= message.len();
        }
        Some(item)
    }

    /// Queues what was lost; it counts like messages do.
    fn tell(&mut self, from: NodeId, holes: Holes) {
        self.messages += holes.len();
        let of_any = (holes.of_any > 0).then_some((None, holes.of_any));
        let by_topic = holes.by_topic.into_iter();
        let all = by_topic.map(|(topic, count)| (Some(topic), count));
        self.queue
            .extend(all.chain(of_any).map(|(topic, count)| Item {
                from,
                topic,
                what: What::Lost(count),
            }));
    }
}

impl Holes {
    fn add(&mut self, topic: Topic) {
        if self.of_any > 0 {
            self.of_any += 1;
            return;
        }
        *self.by_topic.entry(topic).or_default() += 1;
        if self.by_topic.len() > MAX_TOPICS {
            self.of_any = self.by_topic.drain().map(|(_, count)| count).sum();
        }
    }

    fn len(&self) -> usize {
        self.by_topic.len() + usize::from(self.of_any > 0)
    }
}

/// Of how many topics of one node losses are told apart.
const MAX_TOPICS: usize = 1024;

#[cfg(test)]
mod tests {
    use hexline_model::{AppId, ChannelName, SeededEntropy};

    use super::*;

    fn topic(n: usize) -> Topic {
        let app = AppId::generate(&SeededEntropy::new(1));
        let name = ChannelName::parse(&format!("c{n}")).expect("a name");
        Topic::channel(app, &name)
    }

    fn counts(inbox: &mut Inbox) -> Vec<(Option<Topic>, u64)> {
        let items = std::iter::from_fn(|| inbox.pop());
        let count = |item: Item| match item.what {
            What::Message(_) => (item.topic, 0),
            What::Lost(count) => (item.topic, count),
        };
        items.map(count).collect()
    }

    #[test]
    fn losses_of_too_many_topics_are_told_as_one() {
        let from = NodeId::generate(&SeededEntropy::new(2));
        let mut inbox = Inbox::new(InboxLimits {
            messages: 0,
            bytes: 0,
        });
        for n in 0..5000 {
            inbox.push(from, topic(n), Bytes::new());
        }
        assert_eq!(counts(&mut inbox), [(None, 5000)]);
        for _ in 0..2 {
            (0..MAX_TOPICS).for_each(|n| inbox.push(from, topic(n), Bytes::new()));
        }
        let told = counts(&mut inbox);
        assert_eq!(told.len(), MAX_TOPICS);
        assert!(
            told.iter()
                .all(|(topic, count)| topic.is_some() && *count == 2)
        );
    }

    #[test]
    fn what_is_told_of_losses_takes_room_too() {
        let [from, other] = [2, 3].map(|seed| NodeId::generate(&SeededEntropy::new(seed)));
        let mut inbox = Inbox::new(InboxLimits {
            messages: 3,
            bytes: 100,
        });
        let mut push = |from, n| inbox.push(from, topic(n), Bytes::from_static(b"x"));
        (0..5).for_each(|n| push(from, n));
        inbox.pop();
        // One place is free: too few for two losses and a message, enough for another's message.
        inbox.push(from, topic(0), Bytes::from_static(b"x"));
        inbox.push(other, topic(0), Bytes::from_static(b"x"));
        assert_eq!((inbox.messages, inbox.queue.len()), (3, 3));
        let mut told = counts(&mut inbox);
        assert_eq!((inbox.messages, inbox.bytes), (0, 0));
        assert!(told[..3].iter().all(|(_, count)| *count == 0), "messages");
        let mut lost = told.split_off(3);
        lost.sort_unstable();
        let mut expected = [0, 3, 4].map(|n| (Some(topic(n)), 1));
        expected.sort_unstable();
        assert_eq!(lost, expected);
    }
}
