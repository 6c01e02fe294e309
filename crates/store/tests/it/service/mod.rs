//! The key service on a real database: what one process does, restarts, and does again.

mod api_keys;
mod apps;
mod auth;
mod keys;
mod master_key;
mod operators;
mod processes;
mod tokens;
mod upkeep;
mod vault;

use std::sync::{Arc, Mutex};

use hexline_model::Timestamp;
use hexline_services::RegistryServices;
use hexline_services::apps::{App, AppError, AppSettings};
use hexline_services::keys::{CreatedKey, KeyEvent, NewKey};
use hexline_token::{Access, Algorithm, Reason, Rejection, TokenBuilder, verify};

async fn demo(service: &RegistryServices) -> App {
    create(service, "demo").await.expect("creates")
}

async fn create(service: &RegistryServices, name: &str) -> Result<App, AppError> {
    service
        .apps
        .create(name.parse().expect("a name"), AppSettings::default())
        .await
}

async fn hmac(service: &RegistryServices, app: &App) -> CreatedKey {
    service
        .keys
        .create_key(app.id, NewKey::generate(Algorithm::Hs256))
        .await
        .expect("creates")
}

fn token(key: &CreatedKey, now: Timestamp) -> String {
    let secret = key.secret.as_ref().expect("an HMAC key has one");
    TokenBuilder::create()
        .key(key.record.id.to_string(), secret.expose())
        .identity("alice")
        .device("web1")
        .jti("a-jti")
        .build_at(now)
        .expect("builds")
}

fn check(service: &RegistryServices, token: &str, now: Timestamp) -> Result<(), Reason> {
    verify(token, Access::Client, &**service.registry(), now)
        .map(|_| ())
        .map_err(|rejection: Rejection| rejection.reason)
}

fn events_of(service: &RegistryServices) -> Arc<Mutex<Vec<KeyEvent>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    service.keys.on_event(Box::new(move |event| {
        log.lock().expect("not poisoned").push(*event);
    }));
    events
}

fn take(events: &Mutex<Vec<KeyEvent>>) -> Vec<KeyEvent> {
    std::mem::take(&mut *events.lock().expect("not poisoned"))
}
