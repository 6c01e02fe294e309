//! Webhooks: what is delivered whatever happens, in which order, and whereto nothing is sent.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hexline_model::{SystemClock, Timestamp};
use hexline_tests::{TestApp, TestServer, WebhookReceiver, within};
use hexline_token::webhook::{Keys, WebhookError, verify};
use serde_json::Value;

use crate::webhooks::{LOOK, Platform, add, json as parsed, open, ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_for_a_while_gets_every_event_in_order_once_it_is_back() {
    let (server, app, mut receiver) = ready(&["user.connected", "user.disconnected"]).await;
    receiver.answer(500);
    for _ in 0..5 {
        for user in USERS {
            drop(app.connect(&format!("{user}/web")).await);
        }
    }
    let failures = async {
        for _ in 0..10 {
            assert_eq!(receiver.next().await.status, 500);
        }
    };
    server.advance_until(LOOK, failures).await;
    receiver.answer(200);
    let told = server.advance_until(LOOK, all(&mut receiver, &app)).await;
    are_in_order(&server, &app, told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_between_loses_none() {
    let mut server = TestServer::start_with(open).await;
    let app = server.app("one").await;
    let mut receiver = WebhookReceiver::answering(500).await;
    add(
        &server,
        &app,
        &receiver.url(),
        &["user.connected", "user.disconnected"],
    )
    .await;
    for _ in 0..5 {
        for user in USERS {
            drop(app.connect(&format!("{user}/web")).await);
        }
    }
    receiver.next().await;
    server.restart().await;
    server.advance_until(LOOK, receiver.next()).await;
    // While it is answering nobody, so that the second stop cuts off what is under way.
    receiver.answer(0);
    let unanswered = async { while receiver.next().await.status != 0 {} };
    server.advance_until(LOOK, unanswered).await;
    server.stop().await;
    receiver.answer(200);
    server.resume().await;
    let told = server.advance_until(LOOK, all(&mut receiver, &app)).await;
    are_in_order(&server, &app, told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_slows_nobody() {
    let (server, app, mut receiver) = ready(&["user.connected", "user.disconnected"]).await;
    let other = server.app("two").await;
    let mut elsewhere = WebhookReceiver::answering(200).await;
    add(&server, &other, &elsewhere.url(), &["user.online"]).await;
    let mut hanging = WebhookReceiver::answering(0).await;
    for _ in 0..5 {
        add(&server, &app, &hanging.url(), &["*"]).await;
    }
    for _ in 0..5 {
        for user in USERS {
            drop(app.connect(&format!("{user}/web")).await);
        }
    }
    // It has been asked and still has the request.
    assert_eq!(hanging.next().await.status, 0);
    let told = all(&mut receiver, &app).await;
    are_in_order(&server, &app, told).await;
    other.connect("eve/web").await;
    assert_eq!(
        parsed(&elsewhere.accepted().await.body)["type"],
        "user.online"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_parked_and_lets_the_next_one_pass() {
    let server = TestServer::start_with(|config| {
        open(config);
        config.webhooks.give_up_after = Duration::ZERO;
    })
    .await;
    let app = server.app("one").await;
    let mut receiver = WebhookReceiver::answering(503).await;
    let id = add(
        &server,
        &app,
        &receiver.url(),
        &["user.online", "user.offline"],
    )
    .await;
    drop(app.connect("alice/web").await);
    assert_eq!(parsed(&receiver.next().await.body)["type"], "user.online");
    assert_eq!(parsed(&receiver.next().await.body)["type"], "user.offline");
    let platform = Platform::of(&server, &app);
    let path = format!("/webhooks/{id}/deliveries?state=parked");
    let parked = within("parking", async {
        loop {
            let parked = platform.get(&path).await["items"].clone();
            if parked.as_array().is_some_and(|items| items.len() == 2) {
                return parked;
            }
        }
    })
    .await;
    receiver.answer(200);
    let last = parked[0]["id"].as_str().expect("an id");
    platform
        .post(
            &format!("/webhook-deliveries/{last}/redeliver"),
            &Value::Null,
        )
        .await;
    let again = server.advance_until(LOOK, receiver.accepted()).await;
    let again = again.check(&app);
    assert_eq!(again.event.id, parked[0]["event"].as_str().expect("an id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_altered_or_old_is_refused_by_the_receiver() {
    let (server, app, mut receiver) = ready(&["user.online"]).await;
    app.connect("alice/web").await;
    let received = receiver.accepted().await;
    let keys = Keys::new()
        .key(app.key_id(), app.secret())
        .expect("a good secret");
    let now = SystemClock::new().now();
    let check = |body: &[u8], now| verify(&received.authorization, body, &keys, now);
    assert!(check(&received.body, now).is_ok());
    let altered = String::from_utf8(received.body.clone())
        .expect("text")
        .replace("alice", "malice");
    assert_eq!(
        check(altered.as_bytes(), now),
        Err(WebhookError::BodyAltered)
    );
    let later = Timestamp::from_secs(now.as_secs() + 311);
    assert_eq!(check(&received.body, later), Err(WebhookError::Expired));
    // Nor is it a token that opens a door.
    let token = received.authorization.trim_start_matches("Bearer ");
    let refused = app.refused(token).await;
    assert_eq!(refused, hexline_tests::refusal(401, "token_malformed"));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_is_followed() {
    let server = TestServer::start_with(open).await;
    let app = server.app("one").await;
    let mut behind = WebhookReceiver::answering(200).await;
    let mut front = WebhookReceiver::redirecting(&behind.url()).await;
    let attempt = first_attempt(&server, &app, &front.url()).await;
    assert_eq!(attempt["status"], 307);
    front.next().await;
    // Tried again, and still not followed.
    server.advance_until(LOOK, front.next()).await;
    assert!(behind.rest().is_empty());
}

/// Adds a webhook, tries it out, and waits for the first attempt.
async fn first_attempt(server: &TestServer, app: &TestApp, url: &str) -> Value {
    let id = add(server, app, url, &["webhook.test"]).await;
    let platform = Platform::of(server, app);
    let tried = platform
        .post(&format!("/webhooks/{id}/test"), &Value::Null)
        .await;
    let path = format!(
        "/webhook-deliveries/{}",
        tried["id"].as_str().expect("an id")
    );
    let attempt = async {
        loop {
            let shown = platform.get(&path).await;
            if shown["attempts"] != 0 {
                return shown["log"][0].clone();
            }
        }
    };
    server.advance_until(LOOK, attempt).await
}

/// Of each user what was told: the event's id, its kind and the route.
type Told = HashMap<String, Vec<(String, String, String)>>;

/// Five times each user has come and gone: each accepted delivery is checked, and one that came
/// again for want of an outcome is passed over by its event's id.
async fn all(receiver: &mut WebhookReceiver, app: &TestApp) -> Told {
    let (mut seen, mut jtis) = (HashSet::new(), HashSet::new());
    let mut told = Told::new();
    while seen.len() < USERS.len() * 10 {
        let received = receiver.accepted().await;
        let delivery = received.check(app);
        assert!(jtis.insert(delivery.token_id), "no token is used twice");
        let id = delivery.event.id.clone();
        if !seen.insert(id.clone()) {
            continue;
        }
        let event = parsed(&received.body);
        let text = |name: &str| event["data"][name].as_str().expect(name).to_owned();
        let one = (id, delivery.event.kind_text, text("route"));
        told.entry(text("identity")).or_default().push(one);
    }
    told
}

/// Of each user they came in the order of the queue, which is that in which they happened.
async fn are_in_order(server: &TestServer, app: &TestApp, told: Told) {
    let platform = Platform::of(server, app);
    let hooks = platform.get("/webhooks").await;
    let path = format!(
        "/webhooks/{}/deliveries?limit=200",
        hooks["items"][0]["id"].as_str().expect("an id")
    );
    let log = platform.get(&path).await;
    let log = log["items"].as_array().expect("a list");
    let place = |id: &str| log.iter().rev().position(|one| one["event"] == id);
    for (_, events) in told {
        assert_eq!(events.len(), 10);
        let places: Vec<_> = events.iter().map(|(id, ..)| place(id)).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some));
        let mut open = HashSet::new();
        for (_, kind, route) in events {
            match kind.as_str() {
                "user.connected" => assert!(open.insert(route)),
                "user.disconnected" => assert!(open.remove(&route), "it came before it went"),
                kind => panic!("{kind} was not asked for"),
            }
        }
        assert!(open.is_empty());
    }
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
