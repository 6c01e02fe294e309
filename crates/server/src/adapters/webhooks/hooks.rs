use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use governor::Quota;
use hexline_api::{KeyedLimiter, RefusalObserver};
use hexline_fanout::Observer;
use hexline_model::{Address, AppId, ChannelKind, ChannelName, Clock, KeyId, Timestamp};
use hexline_services::apps::App;
use hexline_services::keys::{KeyEvent, KeyRegistry, KeyState};
use hexline_services::webhooks::{Subject, WebhookService};
use hexline_token::UnverifiedToken;
use hexline_token::webhook::{EventKind, Happening};

/// Where things happen tells it here; nothing is made of it unless a webhook wants to know.
pub(crate) struct Hooks {
    service: Arc<WebhookService>,
    registry: Arc<KeyRegistry>,
    clock: Arc<dyn Clock>,
    refusals: Refusals,
    /// Apps as they were last, to tell what is different about them.
    apps: Mutex<HashMap<AppId, App>>,
}

/// Of refused tokens a few are told: anybody can make as many as they like.
struct Refusals {
    limiter: KeyedLimiter<AppId>,
    suppressed: Mutex<HashMap<AppId, u64>>,
}

impl Hooks {
    pub(crate) fn new(
        service: Arc<WebhookService>,
        registry: Arc<KeyRegistry>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(REFUSAL_BURST);
        let limiter = KeyedLimiter::new(quota, Arc::clone(&clock));
        let apps = registry.apps().into_iter().map(|app| (app.id, app));
        Arc::new(Self {
            apps: Mutex::new(apps.collect()),
            service,
            registry,
            clock,
            refusals: Refusals {
                limiter,
                suppressed: Mutex::default(),
            },
        })
    }

    /// Keys or apps have changed. Every process on the database sees it; one event comes of it.
    pub(crate) fn on_key_event(&self, event: &KeyEvent) {
        match event {
            KeyEvent::KeyChanged { app, key } => self.key_changed(*app, *key),
            KeyEvent::AppChanged { app } => self.app_changed(*app),
            KeyEvent::AppDeleted { app } => {
                self.apps
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(app);
            }
            KeyEvent::TokensRevoked { .. } | KeyEvent::HoldChanged { .. } => {}
        }
    }

    /// Forgets apps whose tokens have not been refused for a while.
    pub(crate) fn forget_old_refusals(&self) {
        self.refusals.limiter.forget_the_full();
    }

    fn key_changed(&self, app: AppId, key: KeyId) {
        let Some(record) = self.registry.key_record(key) else {
            return;
        };
        let id = key.to_string();
        let (happening, at) = match record.state {
            KeyState::Active => {
                if !self.is_new(record.created) {
                    return;
                }
                (Happening::KeyCreated { key: id }, record.created)
            }
            KeyState::Retiring { until } => {
                let retiring_until_ms = until.as_millis();
                (
                    Happening::KeyRotated {
                        key: id,
                        retiring_until_ms,
                    },
                    until,
                )
            }
            KeyState::Revoked { at } => {
                if !self.is_new(at) {
                    return;
                }
                (Happening::KeyRevoked { key: id }, at)
            }
        };
        let once = format!("{} {key} {}", happening.kind(), at.as_millis());
        self.service
            .publish_once(app, Subject::Key(key), happening, Some(once));
    }

    /// A change of something else is told with the state that has been for long.
    fn is_new(&self, since: Timestamp) -> bool {
        self.clock.now().as_millis() - since.as_millis() <= NEW_MS
    }

    fn app_changed(&self, id: AppId) {
        let Some(app) = self.registry.app(id) else {
            return;
        };
        let old = {
            let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
            apps.insert(id, app.clone())
        };
        let Some(old) = old else { return };
        let (happening, mark) = match (old.disabled, app.disabled) {
            (None, Some(at)) => (Happening::AppDisabled {}, at.as_millis()),
            (Some(at), None) => (Happening::AppEnabled {}, at.as_millis()),
            _ if old.name == app.name && old.settings == app.settings => return,
            _ => return self.app_updated(&old, &app),
        };
        let once = format!("{} {mark}", happening.kind());
        self.service
            .publish_once(id, Subject::App, happening, Some(once));
    }

    /// No time of it is stored. Processes see it within a second of each other, and what it was and
    /// is tells it from the change before.
    fn app_updated(&self, old: &App, new: &App) {
        let text = |app: &App| {
            let settings = serde_json::to_string(&app.settings).unwrap_or_default();
            format!("{} {settings}", app.name)
        };
        let change = format!("{} > {}", text(old), text(new));
        let hash = digest::digest(&digest::SHA256, change.as_bytes());
        let minute = self.clock.now().as_secs() / 60;
        let once = format!("{} {minute} {}", EventKind::AppUpdated, BASE64.encode(hash));
        self.service
            .publish_once(new.id, Subject::App, Happening::AppUpdated {}, Some(once));
    }

    fn of_user(&self, app: AppId, address: &Address, happening: Happening) {
        let subject = Subject::User(address.identity().to_owned());
        self.service.publish(app, subject, happening);
    }
}

impl RefusalObserver for Hooks {
    fn refused(&self, token: &str, reason: &str, remote: IpAddr) {
        if !self.service.wants_any(EventKind::TokenRefused) {
            return;
        }
        let Ok(token) = UnverifiedToken::parse(token) else {
            return;
        };
        let Ok(key) = KeyId::parse(token.issuer()) else {
            return;
        };
        let Some(record) = self.registry.key_record(key) else {
            return;
        };
        if !self.service.wants(record.app, EventKind::TokenRefused) {
            return;
        }
        let Some(suppressed) = self.refusals.pass(record.app) else {
            return;
        };
        let happening = Happening::TokenRefused {
            key: key.to_string(),
            reason: reason.to_owned(),
            remote: remote.to_string(),
            suppressed,
        };
        self.service
            .publish(record.app, Subject::Refusals(key), happening);
    }
}

impl Observer for Hooks {
    fn connected(&self, app: AppId, address: &Address, first: bool) {
        if self.service.wants(app, EventKind::UserConnected) {
            let happening = Happening::UserConnected {
                identity: address.identity().to_owned(),
                device: address.device().to_owned(),
                route: address.route().to_string(),
                first_device: first,
            };
            self.of_user(app, address, happening);
        }
        if first && self.service.wants(app, EventKind::UserOnline) {
            let identity = address.identity().to_owned();
            self.of_user(app, address, Happening::UserOnline { identity });
        }
    }

    fn disconnected(&self, app: AppId, address: &Address, last: bool) {
        if self.service.wants(app, EventKind::UserDisconnected) {
            let happening = Happening::UserDisconnected {
                identity: address.identity().to_owned(),
                device: address.device().to_owned(),
                route: address.route().to_string(),
                last_device: last,
            };
            self.of_user(app, address, happening);
        }
        if last && self.service.wants(app, EventKind::UserOffline) {
            let identity = address.identity().to_owned();
            self.of_user(app, address, Happening::UserOffline { identity });
        }
    }

    fn occupied(&self, app: AppId, channel: &ChannelName) {
        if is_told(channel) && self.service.wants(app, EventKind::ChannelOccupied) {
            let channel = channel.as_str().to_owned();
            let subject = Subject::Channel(channel.clone());
            self.service
                .publish(app, subject, Happening::ChannelOccupied { channel });
        }
    }

    fn vacated(&self, app: AppId, channel: &ChannelName) {
        if is_told(channel) && self.service.wants(app, EventKind::ChannelVacated) {
            let channel = channel.as_str().to_owned();
            let subject = Subject::Channel(channel.clone());
            self.service
                .publish(app, subject, Happening::ChannelVacated { channel });
        }
    }
}

impl Refusals {
    /// How many were suppressed before this one, unless it is to be as well.
    fn pass(&self, app: AppId) -> Option<u64> {
        let passes = self.limiter.allows(&app);
        let mut suppressed = self
            .suppressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if passes {
            return Some(suppressed.remove(&app).unwrap_or(0));
        }
        *suppressed.entry(app).or_default() += 1;
        None
    }
}

/// Channels of conversations and sessions are none of an app's own.
fn is_told(channel: &ChannelName) -> bool {
    channel.kind() == ChannelKind::Open
}

const REFUSAL_BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const NEW_MS: i64 = 60_000;
