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
    holes: HashMap<(NodeId, Topic), u64>,
}

pub(crate) struct Item {
    pub(crate) from: NodeId,
    pub(crate) topic: Topic,
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
        let has_room =
            self.messages < self.limits.messages && self.bytes + message.len() <= self.limits.bytes;
        if !has_room {
            *self.holes.entry((from, topic)).or_default() += 1;
            return;
        }
        self.tell_holes(|node| node == from);
        self.messages += 1;
        self.bytes += message.len();
        let what = What::Message(message);
        self.queue.push_back(Item { from, topic, what });
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        if self.queue.is_empty() {
            self.tell_holes(|_| true);
        }
        let item = self.queue.pop_front()?;
        if let What::Message(message) = &item.what {
            self.messages -= 1;
            self.bytes -= message.len();
        }
        Some(item)
    }

    /// What was lost of a node comes before what is taken of it next.
    fn tell_holes(&mut self, of: impl Fn(NodeId) -> bool) {
        let told = self.holes.extract_if(|(from, _), _| of(*from));
        self.queue.extend(told.map(|((from, topic), count)| Item {
            from,
            topic,
            what: What::Lost(count),
        }));
    }
}
