use std::collections::HashMap;
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

    /// Brings a node in, and starts its dispatcher as a task.
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
        lock(&self.network.nodes).remove(&self.node.id);
        self.dispatcher.abort();
    }
}

impl Node {
    fn tell(&self, item: &Item) {
        // Called without the lock: a sink may subscribe and unsubscribe.
        let subscribers = lock(&self.subscriptions).get(&item.topic).cloned();
        for subscriber in subscribers.unwrap_or_default() {
            if subscriber.is_open.load(Ordering::Acquire) {
                match &item.what {
                    What::Message(message) => subscriber.sink.deliver(item.from, message),
                    What::Lost(count) => subscriber.sink.lost(item.from, *count),
                }
            }
        }
    }
}

/// Calls the sinks of a node, one message after the other.
async fn dispatch(node: Arc<Node>) {
    loop {
        let next = lock(&node.inbox).pop();
        match next {
            Some(item) => node.tell(&item),
            None => node.arrived.notified().await,
        }
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
