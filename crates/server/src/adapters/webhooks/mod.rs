//! Webhooks at work: what is written, what is sent, and where things happen.
//!
//! * `hooks.rs`: hub, bus, door and keys tell what happened. None of them waits.
//! * `clerk.rs`: one task writes events and outcomes, many in one transaction.
//! * `courier.rs`: one task claims what is due; each attempt is a task of its own.
//! * `sender.rs`: one HTTP request, to where `adapters/guarded.rs` lets it go.
//!
//! Invariants: an app's hanging webhooks use up a part of what may be under way,
//! never all of it.

mod clerk;
mod courier;
pub(crate) mod hooks;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use hexline_gateway::LogLines;
use hexline_model::{Clock, Monotonic, NodeId};
use hexline_services::reach::UrlRule;
use hexline_services::webhooks::{Entry, WebhookService};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use clerk::Clerk;
use courier::Courier;
use sender::Sender;

/// The tasks that write and send.
pub(crate) struct Post {
    service: Arc<WebhookService>,
    lease: String,
    clock: Arc<dyn Clock>,
    stop_sending: CancellationToken,
    stop_writing: CancellationToken,
    courier: JoinHandle<()>,
    clerk: JoinHandle<()>,
}

/// What a server allows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostOptions {
    /// Where requests may go.
    pub(crate) rule: UrlRule,
    /// How long an answer may take.
    pub(crate) answer_timeout: Duration,
    /// Whether no other process works on the database.
    pub(crate) alone: bool,
}

impl Post {
    /// Starts to write and to send.
    pub(crate) async fn start(
        service: &Arc<WebhookService>,
        waiting: mpsc::Receiver<Entry>,
        node: NodeId,
        log: Arc<LogLines>,
        clock: Arc<dyn Clock>,
        options: PostOptions,
    ) -> anyhow::Result<Self> {
        service.refresh().await?;
        if options.alone {
            // Whoever had a lease is no more.
            service.release("").await?;
        }
        let news = Arc::new(Notify::new());
        let (stop_sending, stop_writing) = (CancellationToken::new(), CancellationToken::new());
        let lease = format!("{node}:");
        let sender = Sender::new(options.rule, options.answer_timeout, Arc::clone(&clock))?;
        let clerk = Clerk::new(
            Arc::clone(service),
            waiting,
            Arc::clone(&news),
            Arc::clone(&clock),
        );
        let courier = Courier::new(
            Arc::clone(service),
            sender,
            lease.clone(),
            options.answer_timeout + LEASE_GRACE,
            news,
            log,
            Arc::clone(&clock),
        );
        Ok(Self {
            service: Arc::clone(service),
            lease,
            clock,
            courier: tokio::spawn(courier.run(stop_sending.clone())),
            clerk: tokio::spawn(clerk.run(stop_writing.clone())),
            stop_sending,
            stop_writing,
        })
    }

    /// Ends: what is under way is cut off and given back, what waits is written until the deadline.
    pub(crate) async fn end(mut self, deadline: Monotonic) {
        self.stop_sending.cancel();
        end(&mut self.courier, deadline, self.clock.as_ref()).await;
        self.stop_writing.cancel();
        end(&mut self.clerk, deadline, self.clock.as_ref()).await;
        if let Err(error) = self.service.release(&self.lease).await {
            tracing::warn!(%error, "cannot give back webhook deliveries; their leases will end");
        }
    }
}

async fn end(task: &mut JoinHandle<()>, deadline: Monotonic, clock: &dyn Clock) {
    if clock.timeout_at(deadline, &mut *task).await.is_err() {
        task.abort();
        let _ = task.await;
    }
}

/// What a lease lasts beyond the longest attempt: the outcome has to be written too.
const LEASE_GRACE: Duration = Duration::from_secs(20);
