use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hexline_gateway::LogLines;
use hexline_model::{AppId, Clock, WebhookId};
use hexline_services::webhooks::{
    Claimed, Outcome, Verdict, Webhook, WebhookError, WebhookService,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::sender::Sender;

/// Claims what is due and has it sent.
///
/// A webhook has a few requests under way, one that failed last has one, an app a part of the whole:
/// whoever hangs is waited for by nobody else.
pub(super) struct Courier {
    service: Arc<WebhookService>,
    sender: Arc<Sender>,
    lease: String,
    lease_for: Duration,
    news: Arc<Notify>,
    log: Arc<LogLines>,
    clock: Arc<dyn Clock>,
    lanes: HashMap<WebhookId, Lane>,
    by_app: HashMap<AppId, usize>,
    under_way: JoinSet<Done>,
    claims: u64,
}

#[derive(Default)]
struct Lane {
    under_way: usize,
    troubled: bool,
}

struct Done {
    webhook: WebhookId,
    app: AppId,
    arrived: bool,
}

impl Courier {
    pub(super) fn new(
        service: Arc<WebhookService>,
        sender: Sender,
        lease: String,
        lease_for: Duration,
        news: Arc<Notify>,
        log: Arc<LogLines>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service,
            sender: Arc::new(sender),
            lease,
            lease_for,
            news,
            log,
            clock,
            lanes: HashMap::new(),
            by_app: HashMap::new(),
            under_way: JoinSet::new(),
            claims: 0,
        }
    }

    /// Goes on until it is told to stop; what is under way then is cut off.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.look().await {
                Ok(pause) => pause,
                Err(error) => {
                    if self.log.pass_once_a_minute("no look for due webhooks") {
                        tracing::warn!(%error, "cannot look for due webhooks; it is tried again");
                    }
                    LONGEST_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.news.notified() => {}
                Some(done) = self.under_way.join_next() => self.take_back(done.ok()),
                () = self.clock.sleep(pause) => {}
            }
            while let Some(done) = self.under_way.try_join_next() {
                self.take_back(done.ok());
            }
        }
        self.under_way.shutdown().await;
    }

    /// Starts what can be started; how long to wait before the next look.
    async fn look(&mut self) -> Result<Duration, WebhookError> {
        let mut due = self.service.due().await?;
        // If there is not room for all, it is not the same ones each time.
        if let Some(places) = u64::try_from(due.len()).ok().filter(|n| *n > 0) {
            due.rotate_left(usize::try_from(self.claims % places).unwrap_or(0));
        }
        for id in due {
            let Some(webhook) = self.webhook(id).await? else {
                continue;
            };
            let room = self.room(&webhook);
            if room == 0 {
                continue;
            }
            self.claims += 1;
            let lease = format!("{}{}", self.lease, self.claims);
            let limit = u32::try_from(room).unwrap_or(u32::MAX);
            let claimed = self
                .service
                .claim(id, &lease, self.lease_for, limit)
                .await?;
            for one in claimed {
                self.start(&webhook, one);
            }
        }
        let due = self.service.until_due().await?.unwrap_or(LONGEST_PAUSE);
        Ok(due.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Arc<Webhook>>, WebhookError> {
        if let Some(webhook) = self.service.known(id) {
            return Ok(Some(webhook));
        }
        // Another process has made it.
        self.service.refresh().await?;
        Ok(self.service.known(id))
    }

    fn room(&self, webhook: &Webhook) -> usize {
        let lane = self.lanes.get(&webhook.id);
        let (under_way, troubled) = lane.map_or((0, false), |lane| (lane.under_way, lane.troubled));
        let own = if troubled { 1 } else { PER_WEBHOOK };
        let app = self.by_app.get(&webhook.app).copied().unwrap_or(0);
        own.saturating_sub(under_way)
            .min(PER_APP.saturating_sub(app))
            .min(IN_ALL.saturating_sub(self.under_way.len()))
    }

    fn start(&mut self, webhook: &Arc<Webhook>, claimed: Claimed) {
        self.lanes.entry(webhook.id).or_default().under_way += 1;
        *self.by_app.entry(webhook.app).or_default() += 1;
        let (service, sender) = (Arc::clone(&self.service), Arc::clone(&self.sender));
        let (webhook, log) = (Arc::clone(webhook), Arc::clone(&self.log));
        self.under_way.spawn(async move {
            let (attempt, failure) = sender.attempt(&service, &webhook, &claimed).await;
            let outcome = service.judge(claimed, attempt);
            let arrived = outcome.verdict == Verdict::Delivered;
            if !arrived {
                log_failure(
                    &log,
                    &outcome,
                    failure.unwrap_or("http_status"),
                    webhook.app,
                );
            }
            service.note(outcome).await;
            Done {
                webhook: webhook.id,
                app: webhook.app,
                arrived,
            }
        });
    }

    fn take_back(&mut self, done: Option<Done>) {
        // A task that panicked says nothing of itself: when nothing is under way, nobody has any.
        let Some(done) = done else {
            if self.under_way.is_empty() {
                self.lanes.clear();
                self.by_app.clear();
            }
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&done.webhook) {
            lane.under_way = lane.under_way.saturating_sub(1);
            lane.troubled = !done.arrived;
            if lane.under_way == 0 && !lane.troubled {
                self.lanes.remove(&done.webhook);
            }
        }
        if let Some(count) = self.by_app.get_mut(&done.app) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_app.remove(&done.app);
            }
        }
    }
}

fn log_failure(log: &LogLines, outcome: &Outcome, reason: &'static str, app: AppId) {
    if log.pass(Some(app), reason) {
        tracing::warn!(
            app.id = %app,
            webhook.id = %outcome.claimed.webhook,
            event.kind = outcome.claimed.kind,
            attempt = outcome.claimed.attempts + 1,
            reason,
            http.status = outcome.attempt.status,
            duration_ms = outcome.attempt.duration_ms,
            parked = outcome.verdict == Verdict::Parked,
            "webhook attempt failed"
        );
    }
}

const PER_WEBHOOK: usize = 8;
const PER_APP: usize = 32;
const IN_ALL: usize = 512;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Another process may have queued something.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
