use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hexline_model::{AppId, WebhookId};
use hexline_token::webhook::EventKind;

use super::webhook::{EventSet, Webhook};

/// Who wants to know what, in memory: asked before anything is made of an event.
#[derive(Default)]
pub(super) struct Interest {
    /// What any webhook of any app wants.
    any: AtomicU32,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    by_app: HashMap<AppId, Vec<Arc<Webhook>>>,
    by_id: HashMap<WebhookId, Arc<Webhook>>,
}

impl Interest {
    /// Replaces everything.
    pub(super) fn set(&self, webhooks: Vec<Webhook>) {
        let mut state = State::default();
        let mut any = 0;
        for webhook in webhooks.into_iter().map(Arc::new) {
            if webhook.disabled.is_none() {
                any |= webhook.events.bits();
                let own = state.by_app.entry(webhook.app).or_default();
                own.push(Arc::clone(&webhook));
            }
            state.by_id.insert(webhook.id, webhook);
        }
        let mut old = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *old = state;
        self.any.store(any, Ordering::Relaxed);
    }

    /// Whether any webhook wants it.
    pub(super) fn wants_any(&self, kind: EventKind) -> bool {
        self.any.load(Ordering::Relaxed) & EventSet::of(kind).bits() != 0
    }

    /// Whether a webhook of this app wants it.
    pub(super) fn wants(&self, app: AppId, kind: EventKind) -> bool {
        if !self.wants_any(kind) {
            return false;
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_app.get(&app);
        own.is_some_and(|own| own.iter().any(|webhook| webhook.events.contains(kind)))
    }

    /// The webhooks of this app that want it.
    pub(super) fn of(&self, app: AppId, kind: EventKind) -> Vec<Arc<Webhook>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_app.get(&app).into_iter().flatten();
        own.filter(|webhook| webhook.events.contains(kind))
            .cloned()
            .collect()
    }

    /// A webhook.
    pub(super) fn lookup(&self, id: WebhookId) -> Option<Arc<Webhook>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.by_id.get(&id).cloned()
    }
}
