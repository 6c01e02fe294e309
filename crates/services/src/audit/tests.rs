use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hexline_model::{AppId, ManualClock, SeededEntropy, Timestamp};
use serde_json::json;

use super::*;
use crate::actor::Actor;
use crate::store::StoreError;

/// Takes what it is given, unless it is told not to.
#[derive(Default)]
struct Shelf {
    is_shut: AtomicBool,
    held: Mutex<Vec<Recorded>>,
}

#[async_trait]
impl AuditStore for Shelf {
    async fn add(&self, entries: &[Recorded]) -> Result<(), StoreError> {
        if self.is_shut.load(Ordering::SeqCst) {
            return Err(StoreError::ReadOnly);
        }
        let mut held = self.held.lock().expect("unpoisoned");
        held.extend_from_slice(entries);
        Ok(())
    }

    async fn list(
        &self,
        _: &Filter,
        _: Option<AuditCursor>,
        _: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        Ok(self.held.lock().expect("unpoisoned").clone())
    }

    async fn used(&self, app: AppId) -> Result<u64, StoreError> {
        let held = self.held.lock().expect("unpoisoned");
        let about = held.iter().filter(|held| held.entry.app == Some(app));
        Ok(about.map(|held| held.entry.bytes()).sum())
    }

    async fn remove_before(&self, at: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut held = self.held.lock().expect("unpoisoned");
        let mut left = limit;
        let before = held.len();
        held.retain(|entry| {
            let goes = entry.at < at && left > 0;
            left -= u32::from(goes);
            !goes
        });
        Ok((before - held.len()) as u64)
    }
}

fn service() -> (AuditService, Arc<Shelf>, Arc<ManualClock>) {
    let shelf = Arc::new(Shelf::default());
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let service = AuditService::new(shelf.clone(), clock.clone(), entropy);
    (service, shelf, clock)
}

fn entry(target: &str) -> Entry {
    Entry::new(Actor::Cli, "app.create", None, target)
}

fn targets(shelf: &Shelf) -> Vec<String> {
    let held = shelf.held.lock().expect("unpoisoned");
    held.iter().map(|e| e.entry.target.clone()).collect()
}

#[tokio::test]
async fn what_the_store_does_not_take_is_written_later_in_order_and_with_its_own_time() {
    let (service, shelf, clock) = service();
    shelf.is_shut.store(true, Ordering::SeqCst);
    service.record(entry("one")).await;
    clock.advance(Duration::from_secs(5));
    service.record(entry("two")).await;
    assert!(service.flush().await.is_err());
    assert!(targets(&shelf).is_empty());
    shelf.is_shut.store(false, Ordering::SeqCst);
    service.record(entry("three")).await;
    assert_eq!(targets(&shelf), ["one", "two", "three"]);
    let held = shelf.held.lock().expect("unpoisoned");
    assert_eq!(held[0].at, Timestamp::from_secs(1_000_000));
    assert_eq!(held[1].at, Timestamp::from_secs(1_000_005));
}

#[tokio::test]
async fn sweeping_removes_what_is_older_than_the_retention_however_much_it_is() {
    let (service, shelf, clock) = service();
    for _ in 0..2500 {
        service.record(entry("old")).await;
    }
    clock.advance(Duration::from_hours(24));
    service.record(entry("young")).await;
    let swept = service.sweep(Duration::from_hours(23)).await;
    assert_eq!(swept.expect("it sweeps"), 2500);
    assert_eq!(targets(&shelf), ["young"]);
}

#[test]
fn an_entry_is_cut_to_what_a_log_can_show() {
    let long = "x".repeat(10_000);
    let entry = Entry::new(
        Actor::System,
        "key.create",
        None,
        format!("a\u{1b}[2J\n{long}"),
    )
    .from("127.0.0.1\r\n")
    .detail(json!({ "grants": long }));
    assert!(entry.target.starts_with("a[2Jxxx") && entry.target.len() == 600);
    assert_eq!(entry.peer.as_deref(), Some("127.0.0.1"));
    assert_eq!(entry.detail, Some(json!("too long")));
}

#[test]
fn an_actor_is_read_back_as_it_was_written() {
    let entropy = SeededEntropy::new(1);
    for actor in [
        Actor::Operator {
            id: hexline_model::OperatorId::generate(&entropy),
            email: "a@example.org".to_owned(),
        },
        Actor::Platform {
            key: hexline_model::KeyId::generate(&entropy),
        },
        Actor::Cli,
        Actor::System,
    ] {
        let id = actor.id();
        let read = Actor::from_parts(actor.kind(), id.as_deref(), actor.name());
        assert_eq!(read, Some(actor));
    }
    assert_eq!(Actor::from_parts("nobody", None, None), None);
    assert_eq!(Actor::from_parts("operator", None, None), None);
}
