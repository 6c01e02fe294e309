//! Webhooks, their queues and the log of deliveries.
//!
//! Whatever changes a queue counts up the webhook's `turn` first. That row is the lock that puts
//! the changes of one queue in order; several webhooks are locked in the order of their ids.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hexline_model::{AppId, DeliveryId, EventId, Timestamp, WebhookId};
use hexline_services::store::StoreError;
use hexline_services::webhooks::{
    Attempt, Claimed, Delivery, DeliveryState, EventSet, Outcome, Queued, Verdict, Webhook,
    WebhookChange, WebhookStore, WebhookUrl, Written,
};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::error::sort;
use crate::row::Columns as _;
use crate::statement::run;

#[async_trait]
impl WebhookStore for Database {
    async fn add(&self, webhook: &Webhook, most: u32) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        // Two that add to one app at once take turns.
        let app = webhook.app.to_string();
        if run(&mut tx, WEBHOOK, sqlx::query(LOCK_APP).bind(&app)).await? == 0 {
            return Err(StoreError::NotFound { what: "app" });
        }
        let query = sqlx::query(ADD)
            .bind(webhook.id.to_string())
            .bind(app)
            .bind(webhook.url.as_str())
            .bind(webhook.events.to_stored())
            .bind(webhook.label.as_str())
            .bind(webhook.created.as_millis())
            .bind(webhook.disabled.map(Timestamp::as_millis))
            .bind(i64::from(most));
        if run(&mut tx, WEBHOOK, query).await? == 0 {
            return Err(StoreError::Conflict { what: WEBHOOK });
        }
        tx.commit().await.map_err(sort(WEBHOOK))
    }

    async fn all(&self) -> Result<Vec<Webhook>, StoreError> {
        let rows = sqlx::query(ALL).fetch_all(self.reader()).await;
        rows.map_err(sort(WEBHOOK))?.iter().map(webhook).collect()
    }

    async fn list(&self, app: AppId) -> Result<Vec<Webhook>, StoreError> {
        let rows = sqlx::query(LIST).bind(app.to_string());
        let rows = rows.fetch_all(self.reader()).await.map_err(sort(WEBHOOK))?;
        rows.iter().map(webhook).collect()
    }

    async fn lookup(&self, app: AppId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .bind(app.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(sort(WEBHOOK))?;
        row.as_ref().map(webhook).transpose()
    }

    async fn update(
        &self,
        app: AppId,
        id: WebhookId,
        change: WebhookChange<'_>,
    ) -> Result<Option<Webhook>, StoreError> {
        let mut tx = self.write().await?;
        lock(&mut tx, id).await?;
        let row = sqlx::query(LOOKUP)
            .bind(id.to_string())
            .bind(app.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(sort(WEBHOOK))?;
        let Some(row) = row else { return Ok(None) };
        let mut changed = webhook(&row)?;
        change(&mut changed);
        let query = sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(app.to_string())
            .bind(changed.url.as_str())
            .bind(changed.events.to_stored())
            .bind(changed.label.as_str())
            .bind(changed.disabled.map(Timestamp::as_millis));
        run(&mut tx, WEBHOOK, query).await?;
        tx.commit().await.map_err(sort(WEBHOOK))?;
        Ok(Some(changed))
    }

    async fn remove(&self, app: AppId, id: WebhookId) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(REMOVE)
            .bind(id.to_string())
            .bind(app.to_string());
        let removed = run(&mut tx, WEBHOOK, query).await?;
        tx.commit().await.map_err(sort(WEBHOOK))?;
        Ok(removed > 0)
    }

    async fn write(
        &self,
        queued: &[Queued],
        outcomes: &[Outcome],
        most: u64,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut work: BTreeMap<WebhookId, (Vec<&Outcome>, Vec<&Queued>)> = BTreeMap::new();
        for outcome in outcomes {
            work.entry(outcome.claimed.webhook)
                .or_default()
                .0
                .push(outcome);
        }
        for one in queued {
            work.entry(one.webhook).or_default().1.push(one);
        }
        let mut written = Written::default();
        let mut tx = self.write().await?;
        for (id, (outcomes, queued)) in work {
            let Some(pending) = lock(&mut tx, id).await? else {
                written.dropped += count(queued.len());
                continue;
            };
            let mut change = 0;
            for outcome in outcomes {
                change -= settle(&mut tx, outcome, now).await?;
            }
            let mut room = signed(most).saturating_sub(pending + change);
            let mut dropped = 0_i64;
            for one in queued {
                if room <= 0 {
                    dropped += 1;
                    continue;
                }
                let added = enqueue(&mut tx, one, None, now).await?;
                room -= added;
                change += added;
                written.queued += u64::from(added > 0);
            }
            written.dropped += u64::try_from(dropped).unwrap_or(0);
            let query = sqlx::query(COUNT)
                .bind(id.to_string())
                .bind(change)
                .bind(dropped);
            run(&mut tx, DELIVERY, query).await?;
        }
        tx.commit().await.map_err(sort(DELIVERY))?;
        Ok(written)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<WebhookId>, StoreError> {
        let rows = sqlx::query(DUE)
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort(DELIVERY))?;
        let id = |row: &AnyRow| row.parsed("webhook_deliveries.webhook", "id", parse_webhook);
        rows.iter().map(id).collect()
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(NEXT_DUE)
            .bind(now.as_millis())
            .fetch_one(self.reader())
            .await
            .map_err(sort(DELIVERY))?;
        row.time_if_any("webhook_deliveries.next_ms")
    }

    async fn claim(
        &self,
        webhook: WebhookId,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut tx = self.write().await?;
        if lock(&mut tx, webhook).await?.is_none() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(CLAIMABLE)
            .bind(webhook.to_string())
            .bind(now.as_millis())
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(DELIVERY))?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let one = Claimed {
                seq: row.column("webhook_deliveries.seq")?,
                webhook,
                lease: lease.to_owned(),
                kind: row.column("webhook_deliveries.kind")?,
                subject: row.column("webhook_deliveries.subject")?,
                body: row.column("webhook_deliveries.body")?,
                queued: row.time("webhook_deliveries.queued_ms")?,
                attempts: number(row.column("webhook_deliveries.attempts")?),
            };
            let query = sqlx::query(LEASE)
                .bind(one.seq)
                .bind(lease)
                .bind(until.as_millis());
            run(&mut tx, DELIVERY, query).await?;
            claimed.push(one);
        }
        tx.commit().await.map_err(sort(DELIVERY))?;
        Ok(claimed)
    }

    async fn release(&self, lease_prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let query = sqlx::query(RELEASE)
            .bind(lease_prefix)
            .bind(signed(count(lease_prefix.len())))
            .bind(now.as_millis());
        let released = run(&mut tx, DELIVERY, query).await?;
        tx.commit().await.map_err(sort(DELIVERY))?;
        Ok(released)
    }

    async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = sqlx::query(DELIVERIES)
            .bind(webhook.to_string())
            .bind(before.unwrap_or(i64::MAX))
            .bind(state.map_or("", DeliveryState::text))
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await
            .map_err(sort(DELIVERY))?;
        rows.iter().map(delivery).collect()
    }

    async fn delivery(
        &self,
        app: AppId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        let mut tx = self.snapshot().await?;
        let Some(delivery) = find(&mut tx, app, id).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(ATTEMPTS)
            .bind(delivery.seq)
            .fetch_all(&mut *tx)
            .await
            .map_err(sort(DELIVERY))?;
        let attempts = rows.iter().map(attempt).collect::<Result<_, _>>()?;
        Ok(Some((delivery, attempts)))
    }

    async fn repeat(
        &self,
        app: AppId,
        id: DeliveryId,
        new: DeliveryId,
        most: u64,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let mut tx = self.write().await?;
        let Some(old) = find(&mut tx, app, id).await? else {
            return Ok(None);
        };
        let Some(pending) = lock(&mut tx, old.webhook).await? else {
            return Ok(None);
        };
        if pending >= signed(most) {
            return Err(StoreError::Conflict { what: DELIVERY });
        }
        let row = sqlx::query(SUBJECT)
            .bind(old.seq)
            .fetch_optional(&mut *tx)
            .await;
        // It may have been swept since.
        let Some(row) = row.map_err(sort(DELIVERY))? else {
            return Ok(None);
        };
        let again = Queued {
            id: new,
            webhook: old.webhook,
            app,
            event: old.event,
            kind: old.kind,
            subject: row.column("webhook_deliveries.subject")?,
            body: old.body,
            at: now,
            once: None,
        };
        let added = enqueue(&mut tx, &again, Some(id), now).await?;
        let query = sqlx::query(COUNT)
            .bind(old.webhook.to_string())
            .bind(added)
            .bind(0_i64);
        run(&mut tx, DELIVERY, query).await?;
        let repeated = find(&mut tx, app, new).await?;
        tx.commit().await.map_err(sort(DELIVERY))?;
        Ok(repeated)
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut swept = 0;
        // Piecemeal, so that nobody waits for long.
        loop {
            let mut tx = self.write().await?;
            let query = sqlx::query(SWEEP_OLD).bind(before.as_millis()).bind(PIECE);
            let done = run(&mut tx, DELIVERY, query).await?;
            tx.commit().await.map_err(sort(DELIVERY))?;
            swept += done;
            if done < PIECE.unsigned_abs() {
                break;
            }
        }
        for webhook in WebhookStore::all(self).await? {
            loop {
                let mut tx = self.write().await?;
                let query = sqlx::query(SWEEP_MANY)
                    .bind(webhook.id.to_string())
                    .bind(i64::from(most))
                    .bind(PIECE);
                let done = run(&mut tx, DELIVERY, query).await?;
                tx.commit().await.map_err(sort(DELIVERY))?;
                swept += done;
                if done < PIECE.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(swept)
    }
}

/// Takes the webhook's queue for this transaction; how many wait, or nothing if it is gone.
async fn lock(
    tx: &mut Transaction<'static, Any>,
    id: WebhookId,
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(LOCK)
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await;
    let row = row.map_err(sort(WEBHOOK))?;
    row.map(|row| row.column("webhooks.pending")).transpose()
}

/// Adds to the end of the queue; how many that were, 0 if it stands there already.
async fn enqueue(
    tx: &mut Transaction<'static, Any>,
    one: &Queued,
    repeats: Option<DeliveryId>,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let query = sqlx::query(ENQUEUE)
        .bind(one.id.to_string())
        .bind(one.webhook.to_string())
        .bind(one.app.to_string())
        .bind(one.event.to_string())
        .bind(one.kind.as_str())
        .bind(one.subject.as_str())
        .bind(one.body.as_str())
        .bind(one.once.as_deref())
        .bind(repeats.map(|id| id.to_string()))
        .bind(one.at.as_millis())
        .bind(now.as_millis());
    run(tx, DELIVERY, query).await.map(signed)
}

/// Notes an attempt and what follows; how many wait less.
async fn settle(
    tx: &mut Transaction<'static, Any>,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let Outcome {
        claimed,
        attempt,
        verdict,
    } = outcome;
    let (next, done) = match verdict {
        Verdict::Retry(next) => (Some(next.as_millis()), None),
        Verdict::Delivered | Verdict::Parked => (None, Some(now.as_millis())),
    };
    let query = sqlx::query(SETTLE)
        .bind(claimed.seq)
        .bind(claimed.lease.as_str())
        .bind(verdict.state().text())
        .bind(next)
        .bind(done);
    if run(tx, DELIVERY, query).await? == 0 {
        return Ok(0);
    }
    // Only the last answer is worth its room.
    run(tx, DELIVERY, sqlx::query(FORGET_ANSWERS).bind(claimed.seq)).await?;
    let query = sqlx::query(NOTE)
        .bind(claimed.seq)
        .bind(attempt.at.as_millis())
        .bind(signed(attempt.duration_ms))
        .bind(attempt.url.as_str())
        .bind(attempt.status.map(i64::from))
        .bind(attempt.error.as_deref().map(without_nul))
        .bind(attempt.answer.as_deref().map(without_nul));
    run(tx, DELIVERY, query).await?;
    if done.is_none() {
        return Ok(0);
    }
    let query = sqlx::query(PROMOTE)
        .bind(claimed.webhook.to_string())
        .bind(claimed.subject.as_str())
        .bind(now.as_millis());
    run(tx, DELIVERY, query).await?;
    Ok(1)
}

async fn find(
    tx: &mut Transaction<'static, Any>,
    app: AppId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let row = sqlx::query(FIND)
        .bind(id.to_string())
        .bind(app.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(sort(DELIVERY))?;
    row.as_ref().map(delivery).transpose()
}

fn webhook(row: &AnyRow) -> Result<Webhook, StoreError> {
    let events: String = row.column("webhooks.events")?;
    Ok(Webhook {
        id: row.parsed("webhooks.id", "id", parse_webhook)?,
        app: row.parsed("webhooks.app", "app id", |t| AppId::parse(t).ok())?,
        url: WebhookUrl::from_stored(row.column("webhooks.url")?),
        events: EventSet::from_stored(&events),
        label: row.column("webhooks.label")?,
        created: row.time("webhooks.created_ms")?,
        disabled: row.time_if_any("webhooks.disabled_ms")?,
        pending: row.column::<i64>("webhooks.pending")?.max(0).unsigned_abs(),
        dropped: row.column::<i64>("webhooks.dropped")?.max(0).unsigned_abs(),
    })
}

fn delivery(row: &AnyRow) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        seq: row.column("webhook_deliveries.seq")?,
        id: row.parsed("webhook_deliveries.id", "id", |t| DeliveryId::parse(t).ok())?,
        webhook: row.parsed("webhook_deliveries.webhook", "id", parse_webhook)?,
        event: row.parsed("webhook_deliveries.event", "id", |t| EventId::parse(t).ok())?,
        kind: row.column("webhook_deliveries.kind")?,
        body: row.column("webhook_deliveries.body")?,
        state: row.parsed("webhook_deliveries.state", "state", DeliveryState::parse)?,
        queued: row.time("webhook_deliveries.queued_ms")?,
        next: row.time_if_any("webhook_deliveries.next_ms")?,
        done: row.time_if_any("webhook_deliveries.done_ms")?,
        attempts: number(row.column("webhook_deliveries.attempts")?),
        repeats: row.parsed_if_any("webhook_deliveries.repeats", "id", |t| {
            DeliveryId::parse(t).ok()
        })?,
    })
}

fn attempt(row: &AnyRow) -> Result<Attempt, StoreError> {
    let status: Option<i64> = row.column("webhook_attempts.status")?;
    Ok(Attempt {
        at: row.time("webhook_attempts.at_ms")?,
        duration_ms: row
            .column::<i64>("webhook_attempts.duration_ms")?
            .max(0)
            .unsigned_abs(),
        url: row.column("webhook_attempts.url")?,
        status: status.and_then(|status| u16::try_from(status).ok()),
        error: row.column("webhook_attempts.error")?,
        answer: row.column("webhook_attempts.answer")?,
    })
}

/// PostgreSQL's text holds none.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn parse_webhook(text: &str) -> Option<WebhookId> {
    WebhookId::parse(text).ok()
}

fn number(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

const WEBHOOK: &str = "webhook";
const DELIVERY: &str = "delivery";
const PIECE: i64 = 500;

macro_rules! webhooks {
    ($rest:literal) => {
        concat!(
            "select id, app, url, events, label, created_ms, disabled_ms, pending, dropped \
             from webhooks ",
            $rest
        )
    };
}

macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "select seq, id, webhook, event, kind, body, state, queued_ms, next_ms, done_ms, \
             attempts, repeats from webhook_deliveries ",
            $rest
        )
    };
}

const LOCK_APP: &str = "update apps set revision = revision where id = $1";
const ADD: &str = "insert into webhooks \
     (id, app, url, events, label, created_ms, disabled_ms, turn, pending, dropped) \
     select $1, $2, $3, $4, $5, $6, $7, 0, 0, 0 \
     where (select count(*) from webhooks where app = $2) < $8";
const ALL: &str = webhooks!("order by id");
const LIST: &str = webhooks!("where app = $1 order by created_ms, id");
const LOOKUP: &str = webhooks!("where id = $1 and app = $2");
const UPDATE: &str = "update webhooks set url = $3, events = $4, label = $5, disabled_ms = $6 \
     where id = $1 and app = $2";
const REMOVE: &str = "delete from webhooks where id = $1 and app = $2";
const LOCK: &str = "update webhooks set turn = turn + 1 where id = $1 returning pending";
const COUNT: &str = "update webhooks set pending = pending + $2, dropped = dropped + $3 \
     where id = $1";
const ENQUEUE: &str = "insert into webhook_deliveries \
     (id, webhook, app, event, kind, subject, body, once, repeats, state, queued_ms, next_ms, \
     attempts) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', $10, \
     case when exists (select 1 from webhook_deliveries \
     where webhook = $2 and subject = $6 and state = 'pending') then null else $11 end, 0) \
     on conflict do nothing";
// One look into the index for each webhook, however much waits at it.
const DUE: &str = "select w.id as webhook from webhooks w where w.disabled_ms is null \
     and exists (select 1 from webhook_deliveries d \
     where d.webhook = w.id and d.state = 'pending' and d.next_ms <= $1) limit $2";
const NEXT_DUE: &str = "select min(next_ms) as next_ms from webhook_deliveries \
     where state = 'pending' and next_ms > $1";
const CLAIMABLE: &str = "select seq, kind, subject, body, queued_ms, attempts \
     from webhook_deliveries \
     where webhook = $1 and state = 'pending' and next_ms <= $2 order by next_ms, seq limit $3";
const LEASE: &str = "update webhook_deliveries set lease = $2, next_ms = $3 where seq = $1";
const RELEASE: &str = "update webhook_deliveries set lease = null, next_ms = $3 \
     where state = 'pending' and lease is not null and substr(lease, 1, cast($2 as integer)) = $1";
const SETTLE: &str = "update webhook_deliveries set state = $3, next_ms = $4, done_ms = $5, \
     lease = null, attempts = attempts + 1 where seq = $1 and lease = $2 and state = 'pending'";
const FORGET_ANSWERS: &str = "update webhook_attempts set answer = null \
     where delivery = $1 and answer is not null";
const NOTE: &str = "insert into webhook_attempts \
     (delivery, number, at_ms, duration_ms, url, status, error, answer) \
     select seq, attempts, $2, $3, $4, $5, $6, $7 from webhook_deliveries where seq = $1";
const PROMOTE: &str = "update webhook_deliveries set next_ms = $3 where seq = \
     (select min(seq) from webhook_deliveries \
     where webhook = $1 and subject = $2 and state = 'pending') and next_ms is null";
const DELIVERIES: &str = deliveries!(
    "where webhook = $1 and seq < $2 and ($3 = '' or state = $3) \
     order by seq desc limit $4"
);
const FIND: &str = deliveries!("where id = $1 and app = $2");
const SUBJECT: &str = "select subject from webhook_deliveries where seq = $1";
const ATTEMPTS: &str = "select at_ms, duration_ms, url, status, error, answer \
     from webhook_attempts where delivery = $1 order by number";
const SWEEP_OLD: &str = "delete from webhook_deliveries where seq in \
     (select seq from webhook_deliveries where done_ms is not null and done_ms < $1 limit $2)";
const SWEEP_MANY: &str = "delete from webhook_deliveries where seq in \
     (select seq from webhook_deliveries where webhook = $1 and done_ms is not null \
     and seq <= coalesce((select seq from webhook_deliveries where webhook = $1 \
     and done_ms is not null order by seq desc limit 1 offset $2), 0) limit $3)";
