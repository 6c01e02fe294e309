use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hexline_model::{AppId, Clock, Entropy, KeyId, Secret};
use serde::{Deserialize, Serialize};

use super::store::{IdempotencyStore, Record, Reservation};
use crate::store::StoreError;
use crate::vault::{MasterKey, Purpose, Sealed, Sealer, VaultError, VaultService};

/// Does each deed once.
pub struct IdempotencyService {
    store: Arc<dyn IdempotencyStore>,
    vault: Arc<VaultService>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// How many bytes an app may keep.
    most: u64,
}

/// What is to be done once.
pub struct Deed<'a> {
    /// Whose.
    pub app: AppId,
    /// The key that signed the caller's token.
    pub key: KeyId,
    /// Method and path.
    pub route: &'a str,
    /// The caller's word for it.
    pub name: &'a str,
    /// All that decides what is done, in parts.
    pub request: &'a [&'a [u8]],
}

/// Whoever holds it does the deed.
#[derive(Clone)]
pub struct Turn {
    id: String,
    app: AppId,
    mark: String,
}

/// What becomes of a deed that is begun.
pub enum Begun {
    /// It is the caller's to do.
    Fresh(Turn),
    /// It was done; this was the answer.
    Done(Answer),
    /// It was done, and its answer cannot be read any more.
    Unreadable,
    /// Something else was asked by this name.
    Different,
    /// Another is doing it.
    Busy,
    /// The app does as much as it may have bytes for.
    Full,
}

/// An HTTP answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Content-Type`, if there is one.
    pub kind: Option<String>,
    /// The body.
    pub body: String,
}

impl IdempotencyService {
    /// Keeps answers in this store, sealed under a key in this vault.
    pub fn new(
        store: Arc<dyn IdempotencyStore>,
        vault: Arc<VaultService>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            vault,
            clock,
            entropy,
            most: u64::MAX,
        }
    }

    /// Lets each app keep so many bytes; the oldest answers go first.
    #[must_use]
    pub fn keeping(mut self, most: u64) -> Self {
        self.most = most;
        self
    }

    /// Begins a deed, if it is not done yet and nobody does it.
    pub async fn begin(&self, deed: &Deed<'_>) -> Result<Begun, VaultError> {
        let (app, key) = (deed.app.to_string(), deed.key.to_string());
        let id = hash(&[
            app.as_bytes(),
            key.as_bytes(),
            deed.route.as_bytes(),
            deed.name.as_bytes(),
        ]);
        let request = hash(deed.request);
        // What was begun may be given up between two looks.
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let mut turn = [0; 16];
            self.entropy.fill(&mut turn);
            let reservation = Reservation {
                id: id.clone(),
                app: deed.app,
                request: request.clone(),
                turn: URL_SAFE_NO_PAD.encode(turn),
                started: now,
                expires: now.plus(KEPT),
            };
            if self.store.begin(&reservation, now.minus(PATIENCE)).await? {
                let turn = Turn {
                    id,
                    app: deed.app,
                    mark: reservation.turn,
                };
                if self.has_room(deed.app, 0).await? {
                    return Ok(Begun::Fresh(turn));
                }
                self.give_up(&turn).await?;
                return Ok(Begun::Full);
            }
            match self.store.lookup(&id, now).await? {
                None => {}
                Some(record) if record.request != request => return Ok(Begun::Different),
                Some(Record { answer: None, .. }) => return Ok(Begun::Busy),
                Some(Record {
                    answer: Some(sealed),
                    ..
                }) => {
                    let answer = self.open(&id, deed.app, &sealed).await?;
                    return Ok(answer.map_or(Begun::Unreadable, Begun::Done));
                }
            }
        }
        Ok(Begun::Busy)
    }

    /// Keeps the answer of a request for a day, if the app may keep so many bytes.
    pub async fn finish(&self, turn: &Turn, answer: &Answer) -> Result<(), VaultError> {
        let text = serde_json::to_string(answer).expect("an answer is JSON");
        let text = Secret::new(text);
        let sealer = self.sealer().await?;
        let mut sealed = sealer.seal(purpose(&turn.id, turn.app), text.expose());
        let bytes = u64::try_from(sealed.as_bytes().len()).unwrap_or(u64::MAX);
        if !self.has_room(turn.app, bytes).await? {
            // It was done all the same, and is not done again.
            sealed = Sealed::from_stored(Vec::new());
        }
        self.store.finish(&turn.id, &turn.mark, &sealed).await?;
        Ok(())
    }

    /// Lets the deed be begun again: nothing was done.
    pub async fn give_up(&self, turn: &Turn) -> Result<(), StoreError> {
        self.store.give_up(&turn.id, &turn.mark).await?;
        Ok(())
    }

    /// Forgets what is older than a day.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep(self.clock.now()).await
    }

    /// Whether an app may keep so many bytes more, if need be in the place of older answers.
    async fn has_room(&self, app: AppId, bytes: u64) -> Result<bool, StoreError> {
        if self.store.used(app).await?.saturating_add(bytes) <= self.most {
            return Ok(true);
        }
        match self.most.checked_sub(bytes) {
            Some(most) => self.store.make_room(app, most).await,
            None => Ok(false),
        }
    }

    async fn open(
        &self,
        id: &str,
        app: AppId,
        sealed: &Sealed,
    ) -> Result<Option<Answer>, VaultError> {
        let sealer = self.sealer().await?;
        let text = sealer.open(purpose(id, app), sealed).ok();
        Ok(text.and_then(|text| serde_json::from_str(text.expose()).ok()))
    }

    /// Read each time: of two nodes that made the key at once, one lost, and has to hear of it.
    async fn sealer(&self) -> Result<Sealer, VaultError> {
        if self.vault.open_secret(KEY_NAME).await?.is_none() {
            let fresh = MasterKey::generate(&*self.entropy).to_text();
            self.vault.put_secret_once(KEY_NAME, None, fresh).await?;
        }
        let text = self.vault.open_secret(KEY_NAME).await?;
        let key = text.and_then(|text| MasterKey::parse(text.expose()).ok());
        Ok(Sealer::new(&key.ok_or(VaultError::Contended)?))
    }
}

fn purpose(id: &str, app: AppId) -> Purpose<'_> {
    Purpose::Vault {
        name: id,
        app: Some(app),
    }
}

/// Each part with its length before it, so that none can pass into the next.
fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}

impl fmt::Debug for IdempotencyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyService")
    }
}

// An answer may hold a secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.status)
    }
}

/// How long a deed is remembered.
const KEPT: Duration = Duration::from_hours(24);
/// When a deed that was begun and never finished is its doer's no more: that process has died.
const PATIENCE: Duration = Duration::from_mins(2);
const ATTEMPTS: usize = 4;
const KEY_NAME: &str = "idempotency/key";
