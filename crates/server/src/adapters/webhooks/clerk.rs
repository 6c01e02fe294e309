use std::sync::Arc;
use std::time::Duration;

use hexline_model::Clock;
use hexline_services::store::StoreError;
use hexline_services::webhooks::{Entry, WebhookError, WebhookService};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Writes what happened and what came of attempts: whatever waits goes into one transaction.
pub(super) struct Clerk {
    service: Arc<WebhookService>,
    waiting: mpsc::Receiver<Entry>,
    news: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

impl Clerk {
    pub(super) fn new(
        service: Arc<WebhookService>,
        waiting: mpsc::Receiver<Entry>,
        news: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service,
            waiting,
            news,
            clock,
        }
    }

    /// Goes on until it is told to stop, and then until nothing waits.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut entries = Vec::with_capacity(AT_ONCE);
        loop {
            let waiting = self.waiting.recv_many(&mut entries, AT_ONCE);
            if stop.run_until_cancelled(waiting).await.is_none() {
                break;
            }
            self.write(&entries, &stop).await;
            entries.clear();
        }
        self.waiting.close();
        while self.waiting.recv_many(&mut entries, AT_ONCE).await > 0 {
            self.write(&entries, &stop).await;
            entries.clear();
        }
    }

    async fn write(&self, entries: &[Entry], stop: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut refusals = 0;
        loop {
            match self.service.write(entries).await {
                Ok(written) => {
                    if written.dropped > 0 {
                        tracing::debug!(events = written.dropped, "a webhook's queue is full");
                    }
                    self.news.notify_one();
                    return;
                }
                Err(error) => {
                    let passes = matches!(error, WebhookError::Store(StoreError::Unavailable(_)));
                    refusals += u32::from(!passes);
                    if refusals >= MAX_REFUSALS || stop.is_cancelled() {
                        tracing::error!(%error, "webhook events are lost");
                        self.service.lost(entries);
                        return;
                    }
                    tracing::warn!(%error, "cannot write webhook events; it is tried again");
                }
            }
            stop.run_until_cancelled(self.clock.sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

const AT_ONCE: usize = 500;
const MAX_REFUSALS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
