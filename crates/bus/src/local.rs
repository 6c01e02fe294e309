use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hexline_model::{Clock, NodeId};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::inbox::{Inbox, InboxLimits, Item, What};
use crate::{Broker, BrokerError, REQUEST_BYTES, Responder, Sink, Subscription, Topic};

/// The nodes of one process.
pub struct LocalNetwork {
    clock: Arc<dyn Clock>,
    limits: InboxLimits,
    nodes: Mutex<HashMap<NodeId, Arc<Node>>>,
}

/// One node's end of a [`LocalNetwork`], which it leaves when it is dropped.
///
/// Alone it has nothing to do: nobody else is there to hear or to be heard.
pub struct LocalBroker {
    network: Arc<LocalNetwork>,
    node: Arc<Node>,
    dispatcher: AbortHandle,
}

struct Node {
    id: NodeId,
    responder: Arc<dyn Responder>,
    subscriptions: Mutex<HashMap<Topic, Vec<Arc<Subscriber>>>>,
    inbox: Mutex<Inbox>,
    arrived: Notify,
}

struct Subscriber {
    sink: Arc<dyn Sink>,
    is_open: AtomicBool,
}

impl LocalNetwork {
    /// A network without nodes.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_limits(clock, InboxLimits::default())
    }

    /// A network without nodes, with bounds of its own.
    pub fn with_limits(clock: Arc<dyn Clock>, limits: InboxLimits) -> Arc<Self> {
        Arc::new(Self {
            clock,
            limits,
            nodes: Mutex::default(),
        })
    }

    /// Brings a node in, and starts its dispatcher as a task. It takes the place of one with the same
    /// id, which is not reached any more.
    pub fn join(self: &Arc<Self>, id: NodeId, responder: Arc<dyn Responder>) -> LocalBroker {
        let node = Arc::new(Node {
            id,
            responder,
            subscriptions: Mutex::default(),
            inbox: Mutex::new(Inbox::new(self.limits)),
            arrived: Notify::new(),
        });
        lock(&self.nodes).insert(id, Arc::clone(&node));
        let dispatcher = tokio::spawn(dispatch(Arc::clone(&node))).abort_handle();
        LocalBroker {
            network: Arc::clone(self),
            node,
            dispatcher,
        }
    }
}

#[async_trait]
impl Broker for LocalBroker {
    fn publish(&self, topic: Topic, message: Bytes) {
        // Under the lock, so that what a node publishes has one order for all others.
        for node in lock(&self.network.nodes).values() {
            if node.id != self.node.id && lock(&node.subscriptions).contains_key(&topic) {
                lock(&node.inbox).push(self.node.id, topic, message.clone());
                node.arrived.notify_one();
            }
        }
    }

    fn subscribe(&self, topic: Topic, sink: Arc<dyn Sink>) -> Subscription {
        let subscriber = Arc::new(Subscriber {
            sink,
            is_open: AtomicBool::new(true),
        });
        let mut subscriptions = lock(&self.node.subscriptions);
        let of_topic = subscriptions.entry(topic).or_default();
        of_topic.push(Arc::clone(&subscriber));
        let node = Arc::downgrade(&self.node);
        Subscription::new(move || unsubscribe(&node, topic, &subscriber))
    }

    async fn request(
        &self,
        node: NodeId,
        question: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BrokerError> {
        fits(&question)?;
        let asked = lock(&self.network.nodes).get(&node).map(Arc::clone);
        let asked = asked.ok_or(BrokerError::Unreachable(node))?;
        let answer = asked.responder.answer(self.node.id, question);
        let answered = self.network.clock.timeout(timeout, answer).await;
        let answer = answered.map_err(|_| BrokerError::TimedOut { node, timeout })?;
        fits(&answer)?;
        Ok(answer)
    }
}

impl Drop for LocalBroker {
    fn drop(&mut self) {
        let mut nodes = lock(&self.network.nodes);
        // Another may have come in its place.
        if nodes
            .get(&self.node.id)
            .is_some_and(|node| Arc::ptr_eq(node, &self.node))
        {
            nodes.remove(&self.node.id);
        }
        drop(nodes);
        self.dispatcher.abort();
    }
}

impl Node {
    fn tell(&self, item: &Item) {
        // Called without the lock: a sink may subscribe and unsubscribe.
        for subscriber in self.subscribers(item.topic) {
            if subscriber.is_open.load(Ordering::Acquire) {
                subscriber.tell(item);
            }
        }
    }

    /// Those of a topic, or all.
    fn subscribers(&self, topic: Option<Topic>) -> Vec<Arc<Subscriber>> {
        let subscriptions = lock(&self.subscriptions);
        match topic {
            Some(topic) => subscriptions.get(&topic).cloned().unwrap_or_default(),
            None => subscriptions.values().flatten().map(Arc::clone).collect(),
        }
    }
}

impl Subscriber {
    fn tell(&self, item: &Item) {
        let told = catch_unwind(AssertUnwindSafe(|| match &item.what {
            What::Message(message) => self.sink.deliver(item.from, message),
            What::Lost(count) => self.sink.lost(item.from, *count),
        }));
        if told.is_err() {
            tracing::error!(from = %item.from, "a sink has panicked; the others go on");
        }
    }
}

/// Calls the sinks of a node, one message after the other.
async fn dispatch(node: Arc<Node>) {
    let mut in_a_row = 0;
    loop {
        let next = lock(&node.inbox).pop();
        if let Some(item) = next {
            node.tell(&item);
            in_a_row += 1;
            if in_a_row < IN_A_ROW {
                continue;
            }
            // Other tasks want the thread too, and an end is noticed here.
            tokio::task::yield_now().await;
        } else {
            node.arrived.notified().await;
        }
        in_a_row = 0;
    }
}

fn unsubscribe(node: &Weak<Node>, topic: Topic, subscriber: &Arc<Subscriber>) {
    subscriber.is_open.store(false, Ordering::Release);
    let Some(node) = node.upgrade() else {
        return;
    };
    let mut subscriptions = lock(&node.subscriptions);
    if let Some(of_topic) = subscriptions.get_mut(&topic) {
        of_topic.retain(|other| !Arc::ptr_eq(other, subscriber));
        if of_topic.is_empty() {
            subscriptions.remove(&topic);
        }
    }
}

fn fits(body: &Bytes) -> Result<(), BrokerError> {
    let found = body.len();
    if found > REQUEST_BYTES {
        return Err(BrokerError::TooLarge { found });
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many messages are told before other tasks have their turn.
const IN_A_ROW: usize = 64;

#[cfg(test)]
mod tests {
    use hexline_model::{AppId, ChannelName, SeededEntropy, SystemClock};

    use super::*;

    struct Silent;

    #[async_trait]
    impl Responder for Silent {
        async fn answer(&self, _from: NodeId, question: Bytes) -> Bytes {
            question
        }
    }

    #[derive(Default)]
    struct Counter(Mutex<u64>);

    impl Sink for Counter {
        fn deliver(&self, _from: NodeId, _message: &Bytes) {
            *lock(&self.0) += 1;
        }

        fn lost(&self, _from: NodeId, count: u64) {
            *lock(&self.0) += 1000 * count;
        }
    }

    fn node(seed: u64) -> NodeId {
        NodeId::generate(&SeededEntropy::new(seed))
    }

    fn topic() -> Topic {
        let app = AppId::generate(&SeededEntropy::new(1));
        Topic::channel(app, &ChannelName::parse("x").expect("a name"))
    }

    fn network(limits: InboxLimits) -> Arc<LocalNetwork> {
        LocalNetwork::with_limits(Arc::new(SystemClock::new()), limits)
    }

    async fn yield_often() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_was_replaced_does_not_take_its_successor_out() {
        let network = network(InboxLimits::default());
        let asking = network.join(node(1), Arc::new(Silent));
        let old = network.join(node(2), Arc::new(Silent));
        let new = network.join(node(2), Arc::new(Silent));
        let ask = || asking.request(node(2), Bytes::new(), Duration::from_secs(9));
        drop(old);
        assert_eq!(ask().await, Ok(Bytes::new()));
        drop(new);
        assert_eq!(ask().await, Err(BrokerError::Unreachable(node(2))));
    }

    #[tokio::test]
    async fn a_full_inbox_leaves_others_their_turn_and_ends_with_its_node() {
        let network = network(InboxLimits::default());
        let [a, b] = [1, 2].map(|seed| network.join(node(seed), Arc::new(Silent)));
        let counter = Arc::new(Counter::default());
        let _subscription = b.subscribe(topic(), Arc::clone(&counter) as _);
        for _ in 0..10_000 {
            a.publish(topic(), Bytes::new());
        }
        tokio::task::yield_now().await;
        assert!(
            *lock(&counter.0) < 10_000,
            "this task had no turn meanwhile"
        );
        drop(b);
        yield_often().await;
        assert!(*lock(&counter.0) < 10_000, "it went on after its end");
    }

    #[tokio::test]
    async fn what_was_lost_of_any_topic_is_told_to_every_sink() {
        let network = network(InboxLimits {
            messages: 0,
            bytes: 0,
        });
        let [a, b] = [1, 2].map(|seed| network.join(node(seed), Arc::new(Silent)));
        let topics: Vec<Topic> = (0..2000)
            .map(|n| {
                let app = AppId::generate(&SeededEntropy::new(n));
                Topic::channel(app, &ChannelName::parse("x").expect("a name"))
            })
            .collect();
        let counters: Vec<_> = topics
            .iter()
            .map(|_| Arc::new(Counter::default()))
            .collect();
        let sinks = topics.iter().zip(&counters);
        let _subscriptions: Vec<_> = sinks
            .map(|(topic, counter)| b.subscribe(*topic, Arc::clone(counter) as _))
            .collect();
        for topic in &topics {
            a.publish(*topic, Bytes::new());
        }
        yield_often().await;
        for counter in counters {
            assert_eq!(*lock(&counter.0), 2_000_000);
        }
    }
}
