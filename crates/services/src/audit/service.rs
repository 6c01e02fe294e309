use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hexline_model::{AppId, AuditId, Clock, Entropy};

use super::entry::{Entry, Recorded};
use super::store::{AuditCursor, AuditStore, Filter};
use crate::store::StoreError;

/// Writes and reads the audit log.
pub struct AuditService {
    store: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// What the store has yet to take.
    waiting: Mutex<VecDeque<Recorded>>,
}

impl AuditService {
    /// Over a store.
    pub fn new(
        store: Arc<dyn AuditStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            clock,
            entropy,
            waiting: Mutex::default(),
        }
    }

    /// Writes down what has just been done. When this returns it is on disk, or, if the store
    /// takes nothing at the moment, waits for [`flush`](Self::flush).
    pub async fn record(&self, entry: Entry) {
        let recorded = Recorded {
            id: AuditId::generate(&*self.entropy),
            at: self.clock.now(),
            entry,
        };
        {
            let mut waiting = self.waiting();
            if waiting.len() == MOST_WAITING {
                tracing::error!("an audit entry is lost: too many wait for the store");
                waiting.pop_front();
            }
            waiting.push_back(recorded);
        }
        if let Err(error) = self.flush().await {
            tracing::error!(%error, "an audit entry cannot be written; it is tried again");
        }
    }

    /// Writes what waits.
    pub async fn flush(&self) -> Result<(), StoreError> {
        loop {
            // Copied, so that nothing is lost if this is dropped halfway; the store tells twins
            // by their ids.
            let batch: Vec<_> = self.waiting().iter().take(BATCH).cloned().collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.store.add(&batch).await?;
            self.waiting()
                .retain(|entry| !batch.iter().any(|written| written.id == entry.id));
        }
    }

    /// Up to `limit` entries that pass a filter, the newest first, that come after a cursor.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<AuditCursor>,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        // No entry has one, and not every database can be asked for one.
        if filter.texts().any(|text| text.contains('\0')) {
            return Ok(Vec::new());
        }
        self.store.list(filter, after, limit).await
    }

    /// How many bytes the entries about an app take.
    pub async fn used(&self, app: AppId) -> Result<u64, StoreError> {
        self.store.used(app).await
    }

    /// Removes what is older than the retention. How many entries there were.
    pub async fn sweep(&self, retention: Duration) -> Result<u64, StoreError> {
        let horizon = self.clock.now().minus(retention);
        let mut removed = 0;
        loop {
            let some = self.store.remove_before(horizon, SWEEP).await?;
            removed += some;
            if some < u64::from(SWEEP) {
                return Ok(removed);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Recorded>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AuditService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditService")
    }
}

const MOST_WAITING: usize = 10_000;
const BATCH: usize = 100;
const SWEEP: u32 = 1000;
