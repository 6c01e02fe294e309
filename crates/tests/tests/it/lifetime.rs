//! How long a connection lives: expiry, revocation, rotation.

use std::time::Duration;

use hexline_tests::{Socket, TestServer, now, refusal};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_with_4001_when_its_token_has_expired_and_the_leeway_passed() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let token = app.token_between("bob/web", now() - 60, now() + 30);
    let mut bob = app.connect_with("bob/web", &token).await;
    bob.call("signal.join", json!({"id": "room"})).await;
    server.advance(Duration::from_secs(31));
    assert_eq!(bob.after_ping().await, [], "not before the leeway");
    server.advance(Duration::from_secs(10));
    assert_eq!(bob.closed().await, 4001);
    assert_eq!(alice.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "token_expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_closes_what_it_opened_with_4501_and_nothing_else() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let other_key = app.another_key(None).await;
    let token = app.token("bob/web");
    let mut bob = app.connect_with("bob/web", &token).await;
    let mut phone = app.connect("bob/phone").await;
    let mut carol = other_key.connect("carol/web").await;
    at_once(app.revoke_key(), async {
        assert_eq!(bob.closed().await, 4501);
        assert_eq!(phone.closed().await, 4501);
    })
    .await;
    assert_eq!(carol.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "key_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_slips_in_while_its_key_is_being_revoked() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    for _ in 0..10 {
        let key = app.another_key(None).await;
        let mut opening = tokio::task::JoinSet::new();
        for n in 0..12 {
            let (key, at) = (key.clone(), server.at());
            opening.spawn(async move {
                let subject = format!("user{n}/web");
                let request = key.request(&key.token(&subject));
                Socket::open(at, &subject, request).await.ok()
            });
        }
        let first = opening.join_next().await.expect("12 are opening");
        key.revoke_key().await;
        let mut opened = vec![first.expect("no panic")];
        opened.extend(opening.join_all().await);
        for socket in opened.iter_mut().flatten() {
            assert_eq!(socket.closed().await, 4501);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_token_by_its_jti_closes_what_it_opened() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app
        .tokens("bob/web")
        .jti("t-1")
        .build()
        .expect("all is set");
    let other = app
        .tokens("bob/web")
        .jti("t-2")
        .build()
        .expect("all is set");
    let mut bob = app.connect_with("bob/web", &token).await;
    let mut tab = app.connect_with("bob/web", &token).await;
    let mut other_tab = app.connect_with("bob/web", &other).await;
    at_once(app.revoke_token("t-1"), async {
        assert_eq!(bob.closed().await, 4501);
        assert_eq!(tab.closed().await, 4501);
    })
    .await;
    assert_eq!(other_tab.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_an_identity_closes_all_its_devices() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let other_key = app.another_key(None).await;
    let token = app.token("bob/web");
    let mut web = app.connect_with("bob/web", &token).await;
    let mut phone = other_key.connect("bob/phone").await;
    let mut bobby = app.connect("bobby/web").await;
    at_once(app.revoke_identity("bob"), async {
        assert_eq!(web.closed().await, 4501);
        assert_eq!(phone.closed().await, 4501);
    })
    .await;
    assert_eq!(bobby.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "token_revoked"));
    let later = app.token_between("bob/web", now() + 2, now() + 60);
    app.connect_with("bob/web", &later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_device_leaves_the_other_devices_alone() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let mut web = app.connect_with("bob/web", &token).await;
    let mut phone = app.connect("bob/phone").await;
    at_once(app.revoke_device("bob/web"), async {
        assert_eq!(web.closed().await, 4501);
    })
    .await;
    assert_eq!(phone.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_everything_issued_closes_the_whole_app() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    at_once(app.revoke_all(), async {
        assert_eq!(alice.closed().await, 4501);
        assert_eq!(bob.closed().await, 4501);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_an_app_closes_it_with_4503_and_refuses_its_tokens() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let mut bob = app.connect_with("bob/web", &token).await;
    at_once(app.disable(), async {
        assert_eq!(bob.closed().await, 4503);
    })
    .await;
    assert_eq!(app.refused(&token).await, refusal(401, "token_revoked"));
    app.enable().await;
    app.connect_with("bob/web", &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_verifies_until_the_overlap_ends_and_then_closes_with_4001() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let mut before = app.connect_with("bob/web", &token).await;
    let fresh = app.rotate(Duration::from_secs(30)).await;
    let mut during = app.connect_with("bob/web", &token).await;
    let mut with_new_key = fresh.connect("bob/web").await;
    assert_eq!(during.after_ping().await, []);
    server.advance(Duration::from_secs(30));
    assert_eq!(before.closed().await, 4001);
    assert_eq!(during.closed().await, 4001);
    assert_eq!(with_new_key.after_ping().await, []);
    assert_eq!(app.refused(&token).await, refusal(401, "key_expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_retiring_key_ends_it_at_once() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token("bob/web");
    let mut bob = app.connect_with("bob/web", &token).await;
    app.rotate(Duration::from_hours(1)).await;
    at_once(app.revoke_key(), async {
        assert_eq!(bob.closed().await, 4501);
    })
    .await;
    assert_eq!(app.refused(&token).await, refusal(401, "key_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_app_that_allows_it_may_have_no_expiry() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let token = app.token_without_expiry("bob/web");
    assert_eq!(app.refused(&token).await, refusal(401, "claim_invalid"));
    app.set(|settings| settings.exp_required = false).await;
    let mut bob = app.connect_with("bob/web", &token).await;
    assert_eq!(bob.after_ping().await, []);
    at_once(app.revoke_identity("bob"), async {
        assert_eq!(bob.closed().await, 4501);
    })
    .await;
}

/// For the server no time passes between the two.
async fn at_once(cause: impl Future<Output = ()>, effect: impl Future<Output = ()>) {
    cause.await;
    effect.await;
}
