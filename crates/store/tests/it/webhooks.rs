//! Webhooks: queues in order, leases, the log.

use std::time::Duration;

use hexline_model::Clock as _;
use hexline_model::{AppId, DeliveryId, EventId, SystemEntropy, Timestamp, WebhookId};
use hexline_services::reach::UrlRule;
use hexline_services::store::StoreError;
use hexline_services::webhooks::{
    Attempt, Claimed, DeliveryState, EventSet, Outcome, Queued, Verdict, Webhook, WebhookStore,
    WebhookUrl,
};

use crate::rig::Rig;

on_both! {
    webhooks_are_kept_changed_and_removed_by_their_app_alone,
    an_app_has_no_more_webhooks_than_it_may_even_if_two_add_at_once,
    of_each_subject_only_the_first_is_claimed,
    a_failing_subject_holds_up_nothing_else,
    what_is_under_a_lease_is_nobody_elses_until_that_is_over,
    an_outcome_under_a_lost_lease_is_passed_over,
    what_a_stopping_process_gives_back_is_due_at_once,
    a_full_queue_drops_and_counts,
    what_several_processes_see_is_queued_once,
    the_log_shows_attempts_and_only_the_last_answer,
    a_parked_delivery_is_repeated_behind_what_waits,
    what_is_done_is_forgotten_when_it_is_old_or_too_much,
    a_disabled_webhook_keeps_what_waits,
    two_that_claim_at_once_share_nothing,
}

async fn webhooks_are_kept_changed_and_removed_by_their_app_alone(rig: &mut Rig) {
    let (one, _) = rig.add_app("one").await;
    let (two, _) = rig.add_app("two").await;
    let mut webhook = add(rig, one.id).await;
    rig.reopen().await;
    let db = &rig.database;
    assert_eq!(db.list(one.id).await.expect("reads"), [webhook.clone()]);
    assert_eq!(
        WebhookStore::lookup(db, two.id, webhook.id)
            .await
            .expect("reads"),
        None
    );
    let url = WebhookUrl::parse("https://example.com/other", UrlRule::default()).expect("a URL");
    webhook.events = EventSet::parse(["key.revoked"]).expect("events");
    webhook.disabled = Some(Timestamp::from_secs(7));
    // Each changes what it means to, and nothing else.
    let (id, events) = (webhook.id, webhook.events);
    let other = rig.another().await;
    let change_url = |webhook: &mut Webhook| webhook.url = url.clone();
    let change_the_rest = |webhook: &mut Webhook| {
        webhook.events = events;
        webhook.disabled = Some(Timestamp::from_secs(7));
    };
    let (of_url, of_the_rest, foreign) = tokio::join!(
        WebhookStore::update(db, one.id, id, &change_url),
        WebhookStore::update(&other, one.id, id, &change_the_rest),
        WebhookStore::update(db, two.id, id, &change_url),
    );
    assert!(of_url.expect("writes").is_some() && of_the_rest.expect("writes").is_some());
    assert_eq!(foreign.expect("reads"), None);
    webhook.url = url;
    assert_eq!(
        WebhookStore::all(db).await.expect("reads"),
        [webhook.clone()]
    );
    assert!(
        !WebhookStore::remove(db, two.id, webhook.id)
            .await
            .expect("writes")
    );
    queue(rig, &[event(&webhook, "a")]).await;
    assert!(
        WebhookStore::remove(db, one.id, webhook.id)
            .await
            .expect("writes")
    );
    assert!(
        !WebhookStore::remove(db, one.id, webhook.id)
            .await
            .expect("writes")
    );
    assert_eq!(db.due(rig.clock.now(), 9).await.expect("reads"), []);
}

async fn an_app_has_no_more_webhooks_than_it_may_even_if_two_add_at_once(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let webhooks: Vec<Webhook> = (0..6).map(|_| webhook(app.id)).collect();
    let adding = webhooks
        .iter()
        .map(|webhook| WebhookStore::add(&rig.database, webhook, 3));
    let outcomes = futures_util::future::join_all(adding).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert!(
        outcomes
            .iter()
            .all(|o| matches!(o, Ok(()) | Err(StoreError::Conflict { .. })))
    );
    let stranger = webhook(AppId::generate(&SystemEntropy));
    let refused = WebhookStore::add(&rig.database, &stranger, 3).await;
    assert!(matches!(refused, Err(StoreError::NotFound { what: "app" })));
}

async fn of_each_subject_only_the_first_is_claimed(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let events: Vec<Queued> = ["a", "b", "a", "b", "a"].map(|s| event(&webhook, s)).into();
    queue(rig, &events).await;
    for wanted in [vec![0, 1], vec![2, 3], vec![4], vec![]] {
        let claimed = claim(rig, &webhook, "p:1").await;
        let bodies: Vec<_> = claimed.iter().map(|c| c.body.clone()).collect();
        let expected: Vec<_> = wanted
            .iter()
            .map(|at: &usize| events[*at].body.clone())
            .collect();
        assert_eq!(bodies, expected);
        assert!(claim(rig, &webhook, "p:2").await.is_empty());
        for one in claimed {
            settle(rig, one, Verdict::Delivered).await;
        }
    }
    let found = WebhookStore::lookup(&rig.database, webhook.app, webhook.id).await;
    assert_eq!(found.expect("reads").expect("there").pending, 0);
}

async fn a_failing_subject_holds_up_nothing_else(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let events: Vec<Queued> = ["a", "a", "b"].map(|s| event(&webhook, s)).into();
    queue(rig, &events).await;
    let mut claimed = claim(rig, &webhook, "p:1").await;
    let (b, a) = (claimed.pop().expect("b"), claimed.pop().expect("a"));
    let later = Timestamp::from_millis(rig.clock.now().as_millis() + 60_000);
    settle(rig, a, Verdict::Retry(later)).await;
    settle(rig, b, Verdict::Delivered).await;
    assert!(
        claim(rig, &webhook, "p:2").await.is_empty(),
        "the second waits for the first"
    );
    queue(rig, &[event(&webhook, "b")]).await;
    let again = claim(rig, &webhook, "p:3").await;
    assert_eq!(again.len(), 1, "the other subject goes on");
    settle(rig, again[0].clone(), Verdict::Delivered).await;
    let next = rig.database.next_due(rig.clock.now()).await.expect("reads");
    assert!(next.is_some());
    rig.advance(Duration::from_mins(1));
    let again: Vec<Claimed> = claim(rig, &webhook, "p:4").await;
    assert_eq!(
        again.iter().map(|c| &c.body).collect::<Vec<_>>(),
        [&events[0].body]
    );
    assert_eq!(again[0].attempts, 1);
    // Given up, it lets the next one pass.
    settle(rig, again[0].clone(), Verdict::Parked).await;
    let next = claim(rig, &webhook, "p:5").await;
    assert_eq!(next[0].body, events[1].body);
}

async fn what_is_under_a_lease_is_nobody_elses_until_that_is_over(rig: &mut Rig) {
    let webhook = ready(rig).await;
    queue(rig, &[event(&webhook, "a")]).await;
    assert_eq!(
        rig.database.due(rig.clock.now(), 9).await.expect("reads"),
        [webhook.id]
    );
    assert_eq!(claim(rig, &webhook, "p:1").await.len(), 1);
    assert_eq!(
        rig.database.due(rig.clock.now(), 9).await.expect("reads"),
        []
    );
    assert!(claim(rig, &webhook, "q:1").await.is_empty());
    rig.advance(LEASE);
    assert_eq!(claim(rig, &webhook, "q:2").await.len(), 1);
}

async fn an_outcome_under_a_lost_lease_is_passed_over(rig: &mut Rig) {
    let webhook = ready(rig).await;
    queue(rig, &[event(&webhook, "a")]).await;
    let mine = claim(rig, &webhook, "p:1").await;
    rig.advance(LEASE);
    let theirs = claim(rig, &webhook, "q:1").await;
    settle(rig, mine[0].clone(), Verdict::Parked).await;
    settle(rig, theirs[0].clone(), Verdict::Delivered).await;
    settle(rig, theirs[0].clone(), Verdict::Delivered).await;
    let log = log(rig, &webhook).await;
    assert_eq!((log[0].0, log[0].1), (DeliveryState::Delivered, 1));
    let found = WebhookStore::lookup(&rig.database, webhook.app, webhook.id).await;
    assert_eq!(found.expect("reads").expect("there").pending, 0);
}

async fn what_a_stopping_process_gives_back_is_due_at_once(rig: &mut Rig) {
    let webhook = ready(rig).await;
    queue(rig, &[event(&webhook, "a"), event(&webhook, "b")]).await;
    assert_eq!(claim(rig, &webhook, "p:1").await.len(), 2);
    let now = rig.clock.now();
    assert_eq!(rig.database.release("q:", now).await.expect("writes"), 0);
    assert_eq!(rig.database.release("p:", now).await.expect("writes"), 2);
    assert_eq!(claim(rig, &webhook, "q:1").await.len(), 2);
    assert_eq!(rig.database.release("", now).await.expect("writes"), 2);
}

async fn a_full_queue_drops_and_counts(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let other = add(rig, webhook.app).await;
    let mut events: Vec<Queued> = (0..5).map(|_| event(&webhook, "a")).collect();
    events.push(event(&other, "a"));
    let now = rig.clock.now();
    let written = rig
        .database
        .write(&events, &[], 3, now)
        .await
        .expect("writes");
    assert_eq!((written.queued, written.dropped), (4, 2));
    let found = WebhookStore::lookup(&rig.database, webhook.app, webhook.id).await;
    let found = found.expect("reads").expect("there");
    assert_eq!((found.pending, found.dropped), (3, 2));
}

async fn what_several_processes_see_is_queued_once(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let other = rig.another().await;
    let seen = || Queued {
        once: Some("key.revoked k 5".to_owned()),
        ..event(&webhook, "a")
    };
    let now = rig.clock.now();
    let first = rig
        .database
        .write(&[seen()], &[], 9, now)
        .await
        .expect("writes");
    let second = other
        .write(&[seen(), event(&webhook, "a")], &[], 9, now)
        .await;
    let second = second.expect("writes");
    assert_eq!((first.queued, second.queued), (1, 1));
    other.close().await;
}

async fn the_log_shows_attempts_and_only_the_last_answer(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let one = event(&webhook, "a");
    queue(rig, std::slice::from_ref(&one)).await;
    let now = rig.clock.now();
    for verdict in [Verdict::Retry(now), Verdict::Retry(now), Verdict::Delivered] {
        let claimed = claim(rig, &webhook, "p:1").await;
        settle(rig, claimed[0].clone(), verdict).await;
    }
    let (delivery, attempts) = rig
        .database
        .delivery(webhook.app, one.id)
        .await
        .expect("reads")
        .expect("there");
    assert_eq!(delivery.body, one.body);
    assert_eq!(delivery.attempts, 3);
    let answers: Vec<_> = attempts.iter().map(|a| a.answer.as_deref()).collect();
    assert_eq!(answers, [None, None, Some("no\u{fffd}pe")]);
    assert!(attempts.iter().all(|a| a.status == Some(500)));
    let stranger = AppId::generate(&SystemEntropy);
    let found = rig
        .database
        .delivery(stranger, one.id)
        .await
        .expect("reads");
    assert!(found.is_none());
}

async fn a_parked_delivery_is_repeated_behind_what_waits(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let (one, two) = (event(&webhook, "a"), event(&webhook, "a"));
    queue(rig, &[one.clone(), two.clone()]).await;
    let claimed = claim(rig, &webhook, "p:1").await;
    settle(rig, claimed[0].clone(), Verdict::Parked).await;
    let db = &rig.database;
    let new = DeliveryId::generate(&SystemEntropy);
    let now = rig.clock.now();
    let stranger = AppId::generate(&SystemEntropy);
    assert!(
        db.repeat(stranger, one.id, new, 9, now)
            .await
            .expect("reads")
            .is_none()
    );
    let full = db.repeat(webhook.app, one.id, new, 1, now).await;
    assert!(matches!(full, Err(StoreError::Conflict { .. })));
    let again = db.repeat(webhook.app, one.id, new, 9, now).await;
    let again = again.expect("writes").expect("there");
    assert_eq!((again.repeats, again.event), (Some(one.id), one.event));
    for wanted in [&two, &one] {
        let claimed = claim(rig, &webhook, "p:2").await;
        assert_eq!(
            claimed.iter().map(|c| &c.body).collect::<Vec<_>>(),
            [&wanted.body]
        );
        settle(rig, claimed[0].clone(), Verdict::Delivered).await;
    }
    let parked = db
        .deliveries(webhook.id, Some(DeliveryState::Parked), None, 9)
        .await;
    assert_eq!(
        parked.expect("reads").len(),
        1,
        "what was parked stays in the log"
    );
}

async fn what_is_done_is_forgotten_when_it_is_old_or_too_much(rig: &mut Rig) {
    let webhook = ready(rig).await;
    for _ in 0..3 {
        queue(rig, &[event(&webhook, "a")]).await;
        let claimed = claim(rig, &webhook, "p:1").await;
        settle(rig, claimed[0].clone(), Verdict::Delivered).await;
        rig.advance(Duration::from_mins(1));
    }
    queue(rig, &[event(&webhook, "a")]).await;
    let start = Timestamp::from_millis(rig.clock.now().as_millis() - 180_000);
    let db = &rig.database;
    assert_eq!(db.sweep(start, 3).await.expect("writes"), 0);
    assert_eq!(db.sweep(start, 2).await.expect("writes"), 1, "the oldest");
    assert_eq!(db.sweep(rig.clock.now(), 2).await.expect("writes"), 2);
    let left = log(rig, &webhook).await;
    assert_eq!(left.len(), 1, "what waits is never forgotten");
    assert_eq!(left[0].0, DeliveryState::Pending);
}

async fn a_disabled_webhook_keeps_what_waits(rig: &mut Rig) {
    let webhook = ready(rig).await;
    queue(rig, &[event(&webhook, "a")]).await;
    disable(rig, &webhook, Some(rig.clock.now())).await;
    assert_eq!(
        rig.database.due(rig.clock.now(), 9).await.expect("reads"),
        []
    );
    disable(rig, &webhook, None).await;
    assert_eq!(
        rig.database.due(rig.clock.now(), 9).await.expect("reads"),
        [webhook.id]
    );
}

async fn two_that_claim_at_once_share_nothing(rig: &mut Rig) {
    let webhook = ready(rig).await;
    let other = rig.another().await;
    let subjects: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let events: Vec<Queued> = subjects.iter().map(|s| event(&webhook, s)).collect();
    queue(rig, &events).await;
    let now = rig.clock.now();
    let until = Timestamp::from_millis(now.as_millis() + 60_000);
    let claims = (0..10).map(|n| {
        let db = if n % 2 == 0 { &rig.database } else { &other };
        let lease = format!("p:{n}");
        async move {
            db.claim(webhook.id, &lease, now, until, 5)
                .await
                .expect("writes")
        }
    });
    let claimed: Vec<Claimed> = futures_util::future::join_all(claims).await.concat();
    let mut seen: Vec<i64> = claimed.iter().map(|c| c.seq).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((claimed.len(), seen.len()), (40, 40));
    other.close().await;
}

fn webhook(app: AppId) -> Webhook {
    Webhook {
        id: WebhookId::generate(&SystemEntropy),
        app,
        url: WebhookUrl::parse("https://example.com/hook", UrlRule::default()).expect("a URL"),
        events: EventSet::all(),
        label: "hook".to_owned(),
        created: Timestamp::from_secs(5),
        disabled: None,
        pending: 0,
        dropped: 0,
    }
}

async fn add(rig: &Rig, app: AppId) -> Webhook {
    let webhook = webhook(app);
    let added = WebhookStore::add(&rig.database, &webhook, 9).await;
    added.expect("there is room");
    webhook
}

async fn disable(rig: &Rig, webhook: &Webhook, since: Option<Timestamp>) {
    let (app, id) = (webhook.app, webhook.id);
    let change = move |webhook: &mut Webhook| webhook.disabled = since;
    let changed = WebhookStore::update(&rig.database, app, id, &change).await;
    assert!(changed.expect("writes").is_some());
}

async fn ready(rig: &Rig) -> Webhook {
    let (app, _) = rig.add_app("one").await;
    add(rig, app.id).await
}

fn event(webhook: &Webhook, subject: &str) -> Queued {
    let event = EventId::generate(&SystemEntropy);
    Queued {
        id: DeliveryId::generate(&SystemEntropy),
        webhook: webhook.id,
        app: webhook.app,
        event,
        kind: "user.online".to_owned(),
        subject: subject.to_owned(),
        body: format!("{{\"id\":\"{event}\"}}"),
        at: Timestamp::from_secs(9),
        once: None,
    }
}

async fn queue(rig: &Rig, events: &[Queued]) {
    let written = rig.database.write(events, &[], 1000, rig.clock.now()).await;
    assert_eq!(written.expect("writes").queued, events.len() as u64);
}

async fn claim(rig: &Rig, webhook: &Webhook, lease: &str) -> Vec<Claimed> {
    let now = rig.clock.now();
    let ms = i64::try_from(LEASE.as_millis()).expect("short");
    let until = Timestamp::from_millis(now.as_millis() + ms);
    let claimed = rig.database.claim(webhook.id, lease, now, until, 100).await;
    claimed.expect("writes")
}

async fn settle(rig: &Rig, claimed: Claimed, verdict: Verdict) {
    let attempt = Attempt {
        at: rig.clock.now(),
        duration_ms: 5,
        url: "https://example.com/hook".to_owned(),
        status: Some(500),
        error: None,
        answer: Some("no\0pe".to_owned()),
    };
    let outcome = Outcome {
        claimed,
        attempt,
        verdict,
    };
    let written = rig
        .database
        .write(&[], &[outcome], 1000, rig.clock.now())
        .await;
    written.expect("writes");
}

async fn log(rig: &Rig, webhook: &Webhook) -> Vec<(DeliveryState, u32)> {
    let log = rig.database.deliveries(webhook.id, None, None, 100).await;
    let log = log.expect("reads").into_iter();
    log.map(|delivery| (delivery.state, delivery.attempts))
        .collect()
}

const LEASE: Duration = Duration::from_secs(30);
