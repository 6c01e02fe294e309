use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hexline_model::{AppId, Clock, DeliveryId, Entropy, EventId, KeyId, Timestamp, WebhookId};
use hexline_token::PrivateKey;
use hexline_token::webhook::{Event, EventKind, Happening, Signer};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::backoff::Backoff;
use super::delivery::{Attempt, Claimed, Delivery, DeliveryState, Outcome, Queued, Verdict};
use super::error::WebhookError;
use super::interest::Interest;
use super::places::{Place, Places};
use super::store::{WebhookStore, Written};
use super::webhook::{EventSet, NewWebhook, Webhook, WebhookChanges, WebhookUrl};
use crate::keys::KeyService;
use crate::reach::UrlRule;
use crate::store::StoreError;

/// The rules of webhooks.
pub struct WebhookService {
    store: Arc<dyn WebhookStore>,
    keys: Arc<KeyService>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    options: WebhookOptions,
    interest: Interest,
    entries: mpsc::Sender<Entry>,
    places: Arc<Places>,
    dropped: AtomicU64,
}

/// What a server decides for all apps.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Where URLs may lead.
    pub urls: UrlRule,
    /// When what failed is tried again.
    pub backoff: Backoff,
    /// How many webhooks an app may have.
    pub per_app: u32,
    /// How many deliveries may wait at one webhook.
    pub queue: u64,
    /// How long what is done is kept.
    pub keep: Duration,
    /// How many done deliveries of a webhook are kept.
    pub keep_most: u32,
    /// How many events wait in memory to be written.
    pub memory: usize,
}

/// What waits to be written.
#[derive(Debug)]
pub enum Entry {
    /// Something that happened.
    Event(Box<Post>),
    /// What came of an attempt.
    Outcome(Box<Outcome>),
}

/// Something that happened, for every webhook that wants to know.
#[derive(Debug)]
pub struct Post {
    app: AppId,
    subject: Subject,
    happening: Happening,
    at: Timestamp,
    once: Option<String>,
    /// One webhook alone, whatever it wants.
    only: Option<(WebhookId, DeliveryId)>,
    /// Where it waits; given back with it.
    _place: Option<Place>,
}

/// What an event concerns: events of one subject are delivered in order.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user.
    User(String),
    /// A channel.
    Channel(String),
    /// A key.
    Key(KeyId),
    /// Refused tokens of a key.
    Refusals(KeyId),
    /// The app.
    App,
    /// A webhook that is tried out.
    Test(DeliveryId),
}

impl WebhookService {
    /// A service, and what its writer has to write: see [`write`](Self::write).
    pub fn new(
        store: Arc<dyn WebhookStore>,
        keys: Arc<KeyService>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: WebhookOptions,
    ) -> (Arc<Self>, mpsc::Receiver<Entry>) {
        let (entries, waiting) = mpsc::channel(options.memory.max(1));
        let service = Self {
            store,
            keys,
            clock,
            entropy,
            options,
            interest: Interest::default(),
            entries,
            places: Arc::default(),
            dropped: AtomicU64::new(0),
        };
        (Arc::new(service), waiting)
    }

    /// Learns which webhooks there are, also those that another process has made.
    pub async fn refresh(&self) -> Result<(), WebhookError> {
        self.interest.set(self.store.all().await?);
        Ok(())
    }

    /// Whether a webhook of this app wants to know of such events. One atomic load if none does.
    pub fn wants(&self, app: AppId, kind: EventKind) -> bool {
        self.interest.wants(app, kind)
    }

    /// Whether a webhook of any app wants to know of such events. One atomic load.
    pub fn wants_any(&self, kind: EventKind) -> bool {
        self.interest.wants_any(kind)
    }

    /// Tells the webhooks that want to know. Never waits; what does not fit is dropped and counted.
    pub fn publish(&self, app: AppId, subject: Subject, happening: Happening) {
        self.publish_once(app, subject, happening, None);
    }

    /// The same for what several processes on one database see: all but the first with the same
    /// mark are passed over.
    pub fn publish_once(
        &self,
        app: AppId,
        subject: Subject,
        happening: Happening,
        once: Option<String>,
    ) {
        if !self.wants(app, happening.kind()) {
            return;
        }
        let Some(place) = self.places.take(app, self.entries.capacity()) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let post = Post {
            app,
            subject,
            happening,
            at: self.clock.now(),
            once,
            only: None,
            _place: Some(place),
        };
        if self.entries.try_send(Entry::Event(Box::new(post))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were dropped: the database did not keep up, or a queue is full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Makes a webhook.
    pub async fn create(&self, app: AppId, order: NewWebhook) -> Result<Webhook, WebhookError> {
        self.app(app)?;
        let webhook = Webhook {
            id: WebhookId::generate(&*self.entropy),
            app,
            url: WebhookUrl::parse(&order.url, self.options.urls)?,
            events: EventSet::parse(order.events.iter().map(String::as_str))?,
            label: label(order.label)?,
            created: self.clock.now(),
            disabled: None,
            pending: 0,
            dropped: 0,
        };
        let limit = self.options.per_app;
        match self.store.add(&webhook, limit).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Err(WebhookError::TooMany { limit }),
            Err(error) => return Err(error.into()),
        }
        self.refresh().await?;
        Ok(webhook)
    }

    /// Changes a webhook.
    pub async fn update(
        &self,
        app: AppId,
        id: WebhookId,
        changes: WebhookChanges,
    ) -> Result<Webhook, WebhookError> {
        let url = changes
            .url
            .map(|url| WebhookUrl::parse(&url, self.options.urls));
        let url = url.transpose()?;
        let events = changes.events;
        let events = events.map(|events| EventSet::parse(events.iter().map(String::as_str)));
        let (events, label) = (events.transpose()?, changes.label.map(label).transpose()?);
        let now = self.clock.now();
        let change = |webhook: &mut Webhook| {
            if let Some(url) = &url {
                webhook.url = url.clone();
            }
            webhook.events = events.unwrap_or(webhook.events);
            if let Some(label) = &label {
                webhook.label.clone_from(label);
            }
            match changes.enabled {
                Some(true) => webhook.disabled = None,
                Some(false) => webhook.disabled = webhook.disabled.or(Some(now)),
                None => {}
            }
        };
        let webhook = self
            .store
            .update(app, id, &change)
            .await?
            .ok_or(NO_WEBHOOK)?;
        self.refresh().await?;
        Ok(webhook)
    }

    /// Removes a webhook with its queue and its log.
    pub async fn remove(&self, app: AppId, id: WebhookId) -> Result<(), WebhookError> {
        if !self.store.remove(app, id).await? {
            return Err(NO_WEBHOOK);
        }
        self.refresh().await
    }

    /// The webhooks of an app, oldest first.
    pub async fn list(&self, app: AppId) -> Result<Vec<Webhook>, WebhookError> {
        Ok(self.store.list(app).await?)
    }

    /// A webhook of an app.
    pub async fn lookup(&self, app: AppId, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.store.lookup(app, id).await?.ok_or(NO_WEBHOOK)
    }

    /// Sends a webhook an event that means nothing. Answers with the delivery once it is queued.
    pub async fn test(&self, app: AppId, id: WebhookId) -> Result<Delivery, WebhookError> {
        self.lookup(app, id).await?;
        let delivery = DeliveryId::generate(&*self.entropy);
        let post = Post {
            app,
            subject: Subject::Test(delivery),
            happening: Happening::WebhookTest {},
            at: self.clock.now(),
            once: None,
            only: Some((id, delivery)),
            _place: None,
        };
        let queued = self.queued(&post);
        self.store
            .write(&queued, &[], self.options.queue, self.clock.now())
            .await?;
        match self.store.delivery(app, delivery).await? {
            Some((delivery, _)) => Ok(delivery),
            None => Err(WebhookError::QueueFull),
        }
    }

    /// The deliveries of a webhook before `before`, newest first.
    pub async fn deliveries(
        &self,
        app: AppId,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.lookup(app, webhook).await?;
        let found = self.store.deliveries(webhook, state, before, limit).await?;
        Ok(found)
    }

    /// A delivery of an app, its webhook, and its attempts, oldest first.
    pub async fn delivery(
        &self,
        app: AppId,
        id: DeliveryId,
    ) -> Result<(Delivery, Vec<Attempt>), WebhookError> {
        self.store.delivery(app, id).await?.ok_or(NO_DELIVERY)
    }

    /// Sends a delivery again, whatever came of it: the same event, under a new delivery.
    pub async fn redeliver(&self, app: AppId, id: DeliveryId) -> Result<Delivery, WebhookError> {
        let new = DeliveryId::generate(&*self.entropy);
        let repeated = self
            .store
            .repeat(app, id, new, self.options.queue, self.clock.now())
            .await;
        match repeated {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => Err(NO_DELIVERY),
            Err(StoreError::Conflict { .. }) => Err(WebhookError::QueueFull),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what waited, many at once.
    pub async fn write(&self, entries: &[Entry]) -> Result<Written, WebhookError> {
        let (mut queued, mut outcomes) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Event(post) => queued.extend(self.queued(post)),
                Entry::Outcome(outcome) => outcomes.push(Outcome::clone(outcome)),
            }
        }
        if queued.is_empty() && outcomes.is_empty() {
            return Ok(Written::default());
        }
        let (now, most) = (self.clock.now(), self.options.queue);
        let written = self.store.write(&queued, &outcomes, most, now).await?;
        self.dropped.fetch_add(written.dropped, Ordering::Relaxed);
        Ok(written)
    }

    /// Notes that entries could not be written and are given up.
    pub fn lost(&self, entries: &[Entry]) {
        let events = entries.iter().filter(|e| matches!(e, Entry::Event(_)));
        let count = u64::try_from(events.count()).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Webhooks that have something due.
    pub async fn due(&self) -> Result<Vec<WebhookId>, WebhookError> {
        Ok(self.store.due(self.clock.now(), DUE_AT_ONCE).await?)
    }

    /// How long it is until something is due that is not yet.
    pub async fn until_due(&self) -> Result<Option<Duration>, WebhookError> {
        let now = self.clock.now();
        let next = self.store.next_due(now).await?;
        Ok(next.map(|next| {
            let ms = next.as_millis().saturating_sub(now.as_millis());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }))
    }

    /// A webhook, if this process knows of it.
    pub fn known(&self, id: WebhookId) -> Option<Arc<Webhook>> {
        self.interest.lookup(id)
    }

    /// Takes due deliveries of a webhook for `lease_for`.
    pub async fn claim(
        &self,
        webhook: WebhookId,
        lease: &str,
        lease_for: Duration,
        limit: u32,
    ) -> Result<Vec<Claimed>, WebhookError> {
        let now = self.clock.now();
        let ms = i64::try_from(lease_for.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_millis(now.as_millis().saturating_add(ms));
        let claimed = self.store.claim(webhook, lease, now, until, limit).await?;
        Ok(claimed)
    }

    /// Gives back what this process has claimed; what any has, if the prefix is empty.
    pub async fn release(&self, lease_prefix: &str) -> Result<u64, WebhookError> {
        Ok(self.store.release(lease_prefix, self.clock.now()).await?)
    }

    /// What goes into `Authorization`, made anew for each attempt.
    pub fn sign(&self, webhook: &Webhook, body: &[u8]) -> Result<String, WebhookError> {
        let key = self.keys.signing_key(webhook.app)?;
        let signer = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .expect("a stored secret was validated when it was made");
        let signer = Signer {
            key_id: &key.id.to_string(),
            key: &signer,
            audience: webhook.url.as_str(),
            token_id: &EventId::generate(&*self.entropy).to_string(),
        };
        let signed = signer.sign(body, self.clock.now());
        Ok(signed.expect("an HMAC can be made"))
    }

    /// What follows from an attempt.
    pub fn judge(&self, claimed: Claimed, attempt: Attempt) -> Outcome {
        let arrived = attempt
            .status
            .is_some_and(|status| (200..300).contains(&status));
        let verdict = if arrived {
            Verdict::Delivered
        } else {
            let failures = claimed.attempts.saturating_add(1);
            let backoff = &self.options.backoff;
            let now = self.clock.now();
            backoff
                .next(claimed.queued, failures, now, &*self.entropy)
                .map_or(Verdict::Parked, Verdict::Retry)
        };
        Outcome {
            claimed,
            attempt,
            verdict,
        }
    }

    /// Has an outcome written, when there is room.
    pub async fn note(&self, outcome: Outcome) {
        // Without a writer the server is going, and the lease sees to it that it is tried again.
        let _ = self.entries.send(Entry::Outcome(Box::new(outcome))).await;
    }

    /// Forgets what is done and old.
    pub async fn sweep(&self) -> Result<u64, WebhookError> {
        let keep = i64::try_from(self.options.keep.as_millis()).unwrap_or(i64::MAX);
        let before = self.clock.now().as_millis().saturating_sub(keep);
        let before = Timestamp::from_millis(before);
        Ok(self.store.sweep(before, self.options.keep_most).await?)
    }

    fn queued(&self, post: &Post) -> Vec<Queued> {
        let kind = post.happening.kind();
        let targets: Vec<(WebhookId, DeliveryId)> = if let Some(only) = post.only {
            vec![only]
        } else {
            let wanting = self.interest.of(post.app, kind).into_iter();
            let id = || DeliveryId::generate(&*self.entropy);
            wanting.map(|webhook| (webhook.id, id())).collect()
        };
        if targets.is_empty() {
            return Vec::new();
        }
        let event = EventId::generate(&*self.entropy);
        let body = body(event, post);
        let queue = |(webhook, id)| Queued {
            id,
            webhook,
            app: post.app,
            event,
            kind: kind.text().to_owned(),
            subject: post.subject.to_string(),
            body: body.clone(),
            at: post.at,
            once: post.once.clone(),
        };
        targets.into_iter().map(queue).collect()
    }

    fn app(&self, id: AppId) -> Result<(), WebhookError> {
        let app = self.keys.registry().app(id);
        app.map(|_| ())
            .ok_or(WebhookError::NotFound { what: "app" })
    }
}

fn body(event: EventId, post: &Post) -> String {
    let happening = serde_json::to_value(&post.happening).expect("it is plain data");
    let data = match happening {
        Value::Object(mut members) => members.remove("data"),
        _ => None,
    };
    let event = Event {
        id: event.to_string(),
        kind_text: post.happening.kind().text().to_owned(),
        app: post.app.to_string(),
        at_ms: post.at.as_millis(),
        data: match data {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        },
    };
    serde_json::to_string(&event).expect("it is plain data")
}

fn label(text: String) -> Result<String, WebhookError> {
    if text.len() > 200 || text.chars().any(char::is_control) {
        return Err(WebhookError::Label);
    }
    Ok(text)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(identity) => write!(f, "user/{identity}"),
            Self::Channel(name) => write!(f, "channel/{name}"),
            Self::Key(key) => write!(f, "key/{key}"),
            Self::Refusals(key) => write!(f, "refusals/{key}"),
            Self::App => f.write_str("app"),
            Self::Test(delivery) => write!(f, "test/{delivery}"),
        }
    }
}

// It names people.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(..)")
    }
}

impl fmt::Debug for WebhookService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookService(..)")
    }
}

const NO_WEBHOOK: WebhookError = WebhookError::NotFound { what: "webhook" };
const NO_DELIVERY: WebhookError = WebhookError::NotFound { what: "delivery" };
const DUE_AT_ONCE: u32 = 10_000;
