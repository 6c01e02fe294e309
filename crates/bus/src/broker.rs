use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hexline_model::NodeId;

use crate::Topic;

/// One node's end of what the nodes tell and ask each other.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Sends a message to every other node that has subscribed to the topic. Never blocks.
    fn publish(&self, topic: Topic, message: Bytes);

    /// Hears of a topic until the subscription is dropped. Other nodes may learn of it a little
    /// later.
    #[must_use = "dropped, it hears nothing"]
    fn subscribe(&self, topic: Topic, sink: Arc<dyn Sink>) -> Subscription;

    /// Asks a node, which may be this one, and waits for its answer.
    async fn request(
        &self,
        node: NodeId,
        question: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BrokerError>;
}

/// Takes the messages of a topic. It runs on the node's dispatcher: be quick, never block. One that
/// panics has lost that message; the other sinks get it.
pub trait Sink: Send + Sync {
    /// Takes a message of another node.
    fn deliver(&self, from: NodeId, message: &Bytes);

    /// Hears that so many messages of another node were lost, in the place where they stood. Where
    /// losses were in too many topics to be told apart, every sink of the node hears of them all, for
    /// each of its subscriptions: then it has lost so many at most.
    fn lost(&self, from: NodeId, count: u64);
}

/// Answers the questions of other nodes.
#[async_trait]
pub trait Responder: Send + Sync {
    /// Answers a question.
    async fn answer(&self, from: NodeId, question: Bytes) -> Bytes;
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no such node, or it is cut off.
    #[error("node {0} is not reached")]
    Unreachable(NodeId),
    /// No answer came in time; the node may have acted all the same.
    #[error("node {node} has not answered within {} ms", .timeout.as_millis())]
    TimedOut {
        /// Who was asked.
        node: NodeId,
        /// How long was waited.
        timeout: Duration,
    },
    /// The question or the answer is too large.
    #[error("has {found} bytes, at most {REQUEST_BYTES} are allowed")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
}

/// How many bytes a question or an answer has at most.
pub const REQUEST_BYTES: usize = 1024 * 1024;

/// A topic that is heard of; dropped, no delivery begins any more. One that has begun may still be
/// under way: dropping waits for nothing, so it may happen inside a sink or under any lock.
pub struct Subscription(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Subscription {
    /// One whose drop calls `end`.
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription(..)")
    }
}
