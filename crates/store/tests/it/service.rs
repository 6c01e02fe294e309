//! The key service on a real database: what one process does, restarts, and does again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hexline_model::{Identity, KeyId, Secret, SystemEntropy, Timestamp};
use hexline_services::keys::{
    App, AppSettings, CreatedKey, KeyError, KeyEvent, KeyService, KeyState, NewKey, Scope,
    StoreError,
};
use hexline_token::{
    Access, Algorithm, Grants, PrivateKey, Reason, Rejection, TokenBuilder, verify,
};

use crate::rig::{NOW, Rig, master_key};

on_both!(
    a_key_that_was_just_made_verifies_its_tokens,
    everything_is_the_same_after_a_restart,
    the_first_hmac_key_signs_and_the_next_after_it_is_gone,
    a_rotated_key_verifies_until_the_overlap_is_over,
    only_an_active_hmac_key_is_rotated,
    a_revoked_key_stays_revoked,
    names_and_ids_are_taken_once,
    a_disabled_app_lets_nobody_in,
    a_token_check_touches_no_database,
    a_refused_order_leaves_nothing_behind,
    what_another_process_changed_takes_effect_on_refresh,
    a_decision_on_old_facts_is_made_again,
    a_change_that_both_want_is_made_once,
    many_changes_at_once_all_happen,
    a_revocation_by_another_process_is_not_lost_between_our_own,
    revocations_are_swept_when_no_token_they_name_can_live,
    an_app_without_exp_keeps_its_revocations,
    uses_are_written_down_in_one_batch,
    a_wrong_master_key_is_told_apart,
    a_new_master_key_opens_everything,
    a_process_with_the_old_master_key_still_verifies_but_changes_nothing,
    a_failed_change_of_the_master_key_leaves_the_old_one_in_force,
);

async fn demo(service: &KeyService) -> App {
    create(service, "demo").await.expect("creates")
}

async fn create(service: &KeyService, name: &str) -> Result<App, KeyError> {
    service
        .create_app(name.parse().expect("a name"), AppSettings::default())
        .await
}

async fn hmac(service: &KeyService, app: &App) -> CreatedKey {
    service
        .create_key(app.id, NewKey::generate(Algorithm::Hs256))
        .await
        .expect("creates")
}

fn token(key: &CreatedKey, now: Timestamp) -> String {
    let secret = key.secret.as_ref().expect("an HMAC key has one");
    TokenBuilder::create()
        .key(&key.record.id.to_string(), secret.expose())
        .identity("alice")
        .device("web1")
        .jti("a-jti")
        .build_at(now)
        .expect("builds")
}

fn check(service: &KeyService, token: &str, now: Timestamp) -> Result<(), Reason> {
    verify(token, Access::Client, &**service.registry(), now)
        .map(|_| ())
        .map_err(|rejection: Rejection| rejection.reason)
}

fn events_of(service: &KeyService) -> Arc<Mutex<Vec<KeyEvent>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    service.on_event(Box::new(move |event| {
        log.lock().expect("not poisoned").push(*event)
    }));
    events
}

fn take(events: &Mutex<Vec<KeyEvent>>) -> Vec<KeyEvent> {
    std::mem::take(&mut *events.lock().expect("not poisoned"))
}

async fn a_key_that_was_just_made_verifies_its_tokens(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    for (algorithm, shown) in [
        (Algorithm::Hs256, 43),
        (Algorithm::Hs384, 64),
        (Algorithm::Hs512, 86),
    ] {
        let order = NewKey::generate(algorithm).label("backend");
        let made = service.create_key(app.id, order).await.expect("creates");
        let secret = made.secret.expect("an HMAC key has one");
        assert_eq!(secret.expose().len(), shown);
        let key = PrivateKey::hmac(algorithm, secret.expose().as_bytes()).expect("passes");
        let token = TokenBuilder::create()
            .signing_key(&made.record.id.to_string(), key)
            .identity("alice")
            .device("web1")
            .build_at(NOW)
            .expect("builds");
        assert_eq!(check(&service, &token, NOW), Ok(()));
        assert_eq!(made.record.label, "backend");
    }
}

async fn everything_is_the_same_after_a_restart(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let (one, two) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let ceiling = Grants::parse(r#"{"signal":true}"#).expect("grants");
    let private = PrivateKey::generate(Algorithm::Es256).expect("generates");
    let jwk = private.verifying_key().to_jwk(None).expect("is public");
    let order = NewKey::public_jwk(jwk)
        .ceiling(ceiling)
        .expires(NOW.plus(Duration::from_hours(1)));
    let public = service.create_key(app.id, order).await.expect("registers");
    assert!(public.secret.is_none());
    service.revoke_key(two.record.id).await.expect("revokes");
    let settings = AppSettings {
        longest_ttl: Duration::from_hours(2),
        ..AppSettings::default()
    };
    service.update_app(app.id, settings).await.expect("updates");
    service
        .revoke_token(app.id, "another-jti", None)
        .await
        .expect("revokes");
    let all = Identity::parse("bob").expect("an identity");
    service
        .revoke_issued_before(app.id, Scope::Identity(all), NOW)
        .await
        .expect("revokes");

    let before = (
        service.list_apps(),
        service.list_keys(app.id).await.expect("lists"),
        service
            .list_revocations(app.id, None, 9)
            .await
            .expect("lists"),
    );
    rig.reopen().await;
    let again = rig.service().await;
    let after = (
        again.list_apps(),
        again.list_keys(app.id).await.expect("lists"),
        again
            .list_revocations(app.id, None, 9)
            .await
            .expect("lists"),
    );
    assert_eq!(before, after);
    assert_eq!((after.0.len(), after.1.len(), after.2.len()), (1, 3, 2));
    assert_eq!(check(&again, &token(&one, NOW), NOW), Ok(()));
    assert_eq!(
        check(&again, &token(&two, NOW), NOW),
        Err(Reason::KeyRevoked)
    );
    let by_public = TokenBuilder::create()
        .signing_key(&public.record.id.to_string(), private)
        .identity("alice")
        .device("web1")
        .build_at(NOW)
        .expect("builds");
    assert_eq!(check(&again, &by_public, NOW), Ok(()));
    let late = NOW.plus(Duration::from_hours(1));
    assert_eq!(check(&again, &by_public, late), Err(Reason::KeyExpired));
}

async fn the_first_hmac_key_signs_and_the_next_after_it_is_gone(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let none = service.signing_key(app.id).expect_err("nothing signs yet");
    assert_eq!(none.code().text(), "no_signing_key");
    let url = NewKey::jwks_url("https://example.org/jwks.json");
    service.create_key(app.id, url).await.expect("registers");
    assert!(
        service.signing_key(app.id).is_err(),
        "a public key can't sign"
    );

    let (one, two) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let signing = service.signing_key(app.id).expect("signs");
    assert_eq!(signing.id, one.record.id);
    assert_eq!(signing.algorithm, Algorithm::Hs256);
    assert_eq!(
        signing.secret.expose(),
        one.secret.expect("has one").expose()
    );

    service.revoke_key(one.record.id).await.expect("revokes");
    assert!(
        service.signing_key(app.id).is_err(),
        "nobody else takes its place unasked"
    );
    let three = hmac(&service, &app).await;
    assert_eq!(
        service.signing_key(app.id).expect("signs").id,
        three.record.id
    );
    service.set_signing_key(two.record.id).await.expect("sets");
    rig.reopen().await;
    let again = rig.service().await;
    assert_eq!(again.signing_key(app.id).expect("signs").id, two.record.id);
    let refused = again
        .set_signing_key(one.record.id)
        .await
        .expect_err("is revoked");
    assert_eq!(refused.code().text(), "conflict");
}

async fn a_rotated_key_verifies_until_the_overlap_is_over(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let ceiling = Grants::parse(r#"{"chat":true}"#).expect("grants");
    let order = NewKey::generate(Algorithm::Hs512)
        .label("backend")
        .ceiling(ceiling);
    let old = service.create_key(app.id, order).await.expect("creates");
    let events = events_of(&service);

    let new = service
        .rotate_key(old.record.id, None)
        .await
        .expect("rotates");
    assert_ne!(new.record.id, old.record.id);
    assert_ne!(
        new.secret.as_ref().expect("has one").expose(),
        old.secret.as_ref().expect("has one").expose()
    );
    assert_eq!(new.record.label, "backend");
    assert_eq!(new.record.algorithm, Some(Algorithm::Hs512));
    assert_eq!(new.record.ceiling, old.record.ceiling);
    assert_eq!(
        service.signing_key(app.id).expect("signs").id,
        new.record.id
    );
    let until = NOW.plus(Duration::from_hours(24));
    let record = service.lookup_key(old.record.id).await.expect("is there");
    assert_eq!(record.state, KeyState::Retiring { until });
    let told: HashSet<_> = take(&events).into_iter().collect();
    let expected = HashSet::from([
        KeyEvent::KeyChanged {
            app: app.id,
            key: old.record.id,
        },
        KeyEvent::KeyChanged {
            app: app.id,
            key: new.record.id,
        },
        KeyEvent::AppChanged { app: app.id },
    ]);
    assert_eq!(told, expected);

    let made = |key: &CreatedKey, now| {
        let secret = key.secret.as_ref().expect("has one").expose().as_bytes();
        let key_of = PrivateKey::hmac(Algorithm::Hs512, secret).expect("passes");
        TokenBuilder::create()
            .signing_key(&key.record.id.to_string(), key_of)
            .identity("alice")
            .device("web1")
            .build_at(now)
            .expect("builds")
    };
    let last = until.minus(Duration::from_millis(1));
    assert_eq!(check(&service, &made(&old, last), last), Ok(()));
    assert_eq!(
        check(&service, &made(&old, last), until),
        Err(Reason::KeyExpired)
    );
    assert_eq!(check(&service, &made(&new, until), until), Ok(()));
    let again = service
        .rotate_key(old.record.id, None)
        .await
        .expect_err("is retiring");
    assert_eq!(again.code().text(), "conflict");
}

async fn only_an_active_hmac_key_is_rotated(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let url = NewKey::jwks_url("https://example.org/jwks.json");
    let public = service
        .create_key(app.id, url)
        .await
        .expect("registers")
        .record
        .id;
    let refused = service
        .rotate_key(public, None)
        .await
        .expect_err("has no secret");
    assert!(
        matches!(refused, KeyError::NotRotatable { .. }),
        "{refused}"
    );
    assert!(matches!(
        service.reveal_secret(public),
        Err(KeyError::NoSecret { .. })
    ));
    let unknown = KeyId::generate(&SystemEntropy);
    let refused = service
        .rotate_key(unknown, None)
        .await
        .expect_err("is not there");
    assert_eq!(refused.code().text(), "not_found");
    let one = hmac(&service, &app).await.record.id;
    let refused = service
        .rotate_key(one, Some(Duration::MAX))
        .await
        .expect_err("is too long");
    assert_eq!(refused.code().text(), "invalid_params");
    let new = service
        .rotate_key(one, Some(Duration::ZERO))
        .await
        .expect("rotates");
    service.revoke_key(new.record.id).await.expect("revokes");
    let refused = service
        .rotate_key(new.record.id, None)
        .await
        .expect_err("is revoked");
    assert_eq!(refused.code().text(), "conflict");
}

async fn a_revoked_key_stays_revoked(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    let events = events_of(&service);
    let first = service.revoke_key(key.record.id).await.expect("revokes");
    assert_eq!(first.state, KeyState::Revoked { at: NOW });
    assert_eq!(
        take(&events),
        [KeyEvent::KeyChanged {
            app: app.id,
            key: key.record.id
        }]
    );
    let later = rig.advance(Duration::from_secs(5));
    let second = service.revoke_key(key.record.id).await.expect("is revoked");
    assert_eq!(second.state, KeyState::Revoked { at: NOW });
    assert_eq!(take(&events), []);
    assert_eq!(
        check(&service, &token(&key, NOW), later),
        Err(Reason::KeyRevoked)
    );
    rig.reopen().await;
    let again = rig.service().await;
    assert_eq!(
        check(&again, &token(&key, NOW), later),
        Err(Reason::KeyRevoked)
    );
}

async fn names_and_ids_are_taken_once(rig: &mut Rig) {
    let service = rig.service().await;
    let (first, second) = (
        demo(&service).await,
        create(&service, "second").await.expect("creates"),
    );
    let refused = create(&service, "demo").await.expect_err("is taken");
    assert!(matches!(refused, KeyError::AppExists { .. }) && refused.code().text() == "conflict");
    let id = KeyId::parse("b234fdb83571400f9b62e204d735126e").expect("an id");
    let order = || NewKey::hmac(id, Algorithm::Hs256, Secret::new("s".repeat(32)));
    let made = service
        .create_key(first.id, order())
        .await
        .expect("imports");
    assert_eq!(made.record.id, id);
    let refused = service
        .create_key(second.id, order())
        .await
        .expect_err("is taken");
    assert!(matches!(refused, KeyError::KeyExists { .. }) && refused.code().text() == "conflict");
    assert_eq!(check(&service, &token(&made, NOW), NOW), Ok(()));
    for name in ["demo", &first.id.to_string()] {
        assert_eq!(service.find_app(name).expect("is there").id, first.id);
    }
    assert_eq!(
        service
            .find_app("nobody")
            .expect_err("is not there")
            .code()
            .text(),
        "not_found"
    );
}

async fn a_disabled_app_lets_nobody_in(rig: &mut Rig) {
    let service = rig.service().await;
    let (app, other) = (
        demo(&service).await,
        create(&service, "other").await.expect("creates"),
    );
    let (key, elsewhere) = (hmac(&service, &app).await, hmac(&service, &other).await);
    let events = events_of(&service);
    service.disable_app(app.id).await.expect("disables");
    service.disable_app(app.id).await.expect("is disabled");
    assert_eq!(take(&events), [KeyEvent::AppChanged { app: app.id }]);
    assert_eq!(
        check(&service, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    assert_eq!(check(&service, &token(&elsewhere, NOW), NOW), Ok(()));
    rig.reopen().await;
    let again = rig.service().await;
    assert_eq!(
        check(&again, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    again.enable_app(app.id).await.expect("enables");
    assert_eq!(check(&again, &token(&key, NOW), NOW), Ok(()));
}

async fn a_token_check_touches_no_database(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    rig.database.close().await;
    assert_eq!(check(&service, &token(&key, NOW), NOW), Ok(()));
    let unknown = TokenBuilder::create()
        .key(
            &KeyId::generate(&SystemEntropy).to_string(),
            &"s".repeat(32),
        )
        .identity("alice")
        .device("web1")
        .build_at(NOW)
        .expect("builds");
    assert_eq!(check(&service, &unknown, NOW), Err(Reason::KeyUnknown));
    assert_eq!(
        service.signing_key(app.id).expect("signs").id,
        key.record.id
    );
    let refused = service
        .revoke_key(key.record.id)
        .await
        .expect_err("can't be written");
    assert_eq!(refused.code().text(), "unavailable");
    assert_eq!(
        check(&service, &token(&key, NOW), NOW),
        Ok(()),
        "what was not written is not so"
    );
}

async fn a_refused_order_leaves_nothing_behind(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let short = Secret::new("x".repeat(31));
    let id = KeyId::generate(&SystemEntropy);
    for order in [
        NewKey::hmac(id, Algorithm::Hs256, short),
        NewKey::generate(Algorithm::Es256),
        NewKey::generate(Algorithm::Hs256).expires(NOW),
        NewKey::generate(Algorithm::Hs256).label("a\nb"),
        NewKey::jwks_url("http://127.0.0.1/jwks"),
        NewKey::public_jwk(r#"{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"}"#),
        NewKey::public_pem("no key", None),
        NewKey::jwks(r#"{"keys":[]}"#),
    ] {
        let refused = service
            .create_key(app.id, order)
            .await
            .expect_err("is refused");
        assert_eq!(refused.code().text(), "invalid_params", "{refused}");
    }
    assert_eq!(service.list_keys(app.id).await.expect("lists"), []);
    let nobody = hexline_model::AppId::generate(&SystemEntropy);
    let refused = service
        .create_key(nobody, NewKey::generate(Algorithm::Hs256))
        .await;
    assert_eq!(
        refused.expect_err("is not there").code().text(),
        "not_found"
    );
    let refused = service.revoke_issued_before(nobody, Scope::App, NOW).await;
    assert_eq!(
        refused.expect_err("is not there").code().text(),
        "not_found"
    );
}

async fn what_another_process_changed_takes_effect_on_refresh(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await;
    assert!(theirs.refresh().await.expect("refreshes"));
    assert!(
        !theirs.refresh().await.expect("refreshes"),
        "nothing is new"
    );
    assert_eq!(check(&theirs, &token(&key, NOW), NOW), Ok(()));

    let events = events_of(&theirs);
    ours.revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Ok(()),
        "not known there yet"
    );
    assert!(theirs.refresh().await.expect("refreshes"));
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    ours.revoke_key(key.record.id).await.expect("revokes");
    ours.disable_app(app.id).await.expect("disables");
    assert!(theirs.refresh().await.expect("refreshes"));
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Err(Reason::KeyRevoked)
    );
    assert_eq!(
        take(&events),
        [
            KeyEvent::TokensRevoked { app: app.id },
            KeyEvent::AppChanged { app: app.id },
            KeyEvent::KeyChanged {
                app: app.id,
                key: key.record.id
            },
        ]
    );
    assert!(
        !ours.refresh().await.expect("refreshes"),
        "our own changes are not news"
    );
    database.close().await;
}

async fn a_decision_on_old_facts_is_made_again(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    // Theirs has not refreshed: it neither knows the app nor that its name is taken.
    let refused = create(&theirs, "demo").await.expect_err("is taken");
    assert!(matches!(refused, KeyError::AppExists { .. }), "{refused}");
    let key = hmac(&theirs, &app).await;
    let new = ours
        .rotate_key(key.record.id, None)
        .await
        .expect("knows it by now");
    let refused = theirs
        .rotate_key(key.record.id, None)
        .await
        .expect_err("is retiring");
    assert!(
        matches!(
            refused,
            KeyError::NotActive {
                found: "retiring",
                ..
            }
        ),
        "{refused}"
    );
    let signing = theirs.signing_key(app.id).expect("signs");
    assert_eq!(signing.id, new.record.id);
    theirs.revoke_key(new.record.id).await.expect("revokes");
    let other = create(&ours, "other").await.expect("creates");
    let again = ours.revoke_key(new.record.id).await.expect("is revoked");
    assert!(matches!(again.state, KeyState::Revoked { .. }));
    assert_eq!(theirs.find_app("demo").expect("is there").id, app.id);
    assert!(theirs.refresh().await.expect("refreshes"));
    assert_eq!(theirs.find_app("other").expect("is there").id, other.id);
    database.close().await;
}

async fn a_change_that_both_want_is_made_once(rig: &mut Rig) {
    let database = rig.another().await;
    let services = [
        Arc::new(rig.service().await),
        Arc::new(rig.service_of(&database).await),
    ];
    let mut tasks = Vec::new();
    for n in 0..8 {
        let service = services[n % 2].clone();
        tasks.push(tokio::spawn(async move { create(&service, "demo").await }));
    }
    let mut made = Vec::new();
    for task in tasks {
        match task.await.expect("does not panic") {
            Ok(app) => made.push(app),
            Err(KeyError::AppExists { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let [app] = made.as_slice() else {
        panic!("{made:?}")
    };
    let key = hmac(&services[0], app).await.record.id;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let service = services[n % 2].clone();
        tasks.push(tokio::spawn(
            async move { service.rotate_key(key, None).await },
        ));
    }
    let mut rotated = 0;
    for task in tasks {
        match task.await.expect("does not panic") {
            Ok(_) => rotated += 1,
            Err(KeyError::NotActive { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(rotated, 1);
    assert_eq!(services[0].list_keys(app.id).await.expect("lists").len(), 2);
    database.close().await;
}

async fn many_changes_at_once_all_happen(rig: &mut Rig) {
    let database = rig.another().await;
    let services = [
        Arc::new(rig.service().await),
        Arc::new(rig.service_of(&database).await),
    ];
    let app = demo(&services[0]).await;
    let mut tasks = Vec::new();
    for n in 0..24 {
        let (service, app) = (services[n % 2].clone(), app.clone());
        tasks.push(tokio::spawn(async move {
            let key = hmac(&service, &app).await;
            service
                .revoke_token(app.id, &format!("jti-{n}"), None)
                .await
                .expect("revokes");
            if n % 3 == 0 {
                service.revoke_key(key.record.id).await.expect("revokes");
            }
            (key, n % 3 == 0)
        }));
    }
    let mut keys = Vec::new();
    for task in tasks {
        keys.push(task.await.expect("does not panic"));
    }
    for service in &services {
        service.refresh().await.expect("refreshes");
        for (key, revoked) in &keys {
            let expected = if *revoked {
                Err(Reason::KeyRevoked)
            } else {
                Ok(())
            };
            assert_eq!(check(service, &token(key, NOW), NOW), expected);
        }
        assert_eq!(
            service
                .list_revocations(app.id, None, 99)
                .await
                .expect("lists")
                .len(),
            24
        );
        assert!(!service.refresh().await.expect("refreshes"));
    }
    database.close().await;
}

async fn a_revocation_by_another_process_is_not_lost_between_our_own(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await;
    theirs
        .revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    // Ours revokes without having looked: its revision must not skip theirs.
    ours.revoke_token(app.id, "b-jti", None)
        .await
        .expect("revokes");
    assert!(ours.refresh().await.expect("refreshes"));
    assert_eq!(
        check(&ours, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    database.close().await;
}

async fn revocations_are_swept_when_no_token_they_name_can_live(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let settings = AppSettings {
        longest_ttl: Duration::from_hours(1),
        ..AppSettings::default()
    };
    service.update_app(app.id, settings).await.expect("updates");
    let key = hmac(&service, &app).await;
    let exp = NOW.plus(Duration::from_mins(10));
    service
        .revoke_token(app.id, "short", Some(exp))
        .await
        .expect("revokes");
    service
        .revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    service
        .revoke_issued_before(app.id, Scope::App, NOW)
        .await
        .expect("revokes");
    let left = async |at: Timestamp| {
        service.sweep(at).await.expect("sweeps");
        service
            .list_revocations(app.id, None, 9)
            .await
            .expect("lists")
            .len()
    };
    assert_eq!(left(exp.plus(Duration::from_secs(10))).await, 3);
    assert_eq!(left(exp.plus(Duration::from_secs(22))).await, 2);
    let last = NOW.plus(Duration::from_secs(3600 + 10));
    assert_eq!(left(last).await, 2);
    // The last token that they name is dead by its exp; only then are they forgotten.
    assert_eq!(
        check(&service, &token(&key, NOW), last),
        Err(Reason::TokenExpired)
    );
    assert_eq!(left(last.plus(Duration::from_secs(12))).await, 0);
    assert_eq!(
        check(&service, &token(&key, NOW), NOW),
        Ok(()),
        "forgotten in memory as well"
    );
}

async fn an_app_without_exp_keeps_its_revocations(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let settings = AppSettings {
        exp_required: false,
        ..AppSettings::default()
    };
    service.update_app(app.id, settings).await.expect("updates");
    service
        .revoke_token(app.id, "unknown exp", None)
        .await
        .expect("revokes");
    service
        .revoke_issued_before(app.id, Scope::App, NOW)
        .await
        .expect("revokes");
    service
        .revoke_token(app.id, "known exp", Some(NOW))
        .await
        .expect("revokes");
    let far = NOW.plus(Duration::from_hours(100 * 365 * 24));
    assert_eq!(service.sweep(far).await.expect("sweeps"), 1);
}

async fn uses_are_written_down_in_one_batch(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let (one, two) = (
        hmac(&service, &app).await.record.id,
        hmac(&service, &app).await.record.id,
    );
    let used = async |rig: &Rig, id| {
        rig.stores()
            .keys
            .lookup(id)
            .await
            .expect("reads")
            .expect("is there")
            .last_used
    };
    service.registry().touch(one, NOW);
    let shown = service.lookup_key(one).await.expect("is there").last_used;
    assert_eq!((shown, used(rig, one).await), (Some(NOW), None));
    assert_eq!(service.flush_last_used().await.expect("writes"), 1);
    assert_eq!(service.flush_last_used().await.expect("writes"), 0);
    assert_eq!(
        (used(rig, one).await, used(rig, two).await),
        (Some(NOW), None)
    );
    let later = rig.advance(Duration::from_secs(61));
    service.registry().touch(one, later);
    service.registry().touch(two, later);
    assert_eq!(service.flush_last_used().await.expect("writes"), 2);
    assert_eq!(
        (used(rig, one).await, used(rig, two).await),
        (Some(later), Some(later))
    );
    assert!(!service.refresh().await.expect("refreshes"));
    rig.reopen().await;
    let keys = rig.service().await.list_keys(app.id).await.expect("lists");
    assert!(keys.iter().all(|key| key.last_used == Some(later)));
}

async fn a_wrong_master_key_is_told_apart(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    let refused = rig
        .try_service(&rig.database, &master_key(2))
        .await
        .expect_err("is wrong");
    assert!(
        matches!(refused, KeyError::WrongMasterKey { .. }),
        "{refused:?}"
    );
    let told = refused.to_string();
    assert!(told.contains("not the master key"), "{told}");
    assert!(
        told.contains(master_key(1).fingerprint().as_str()),
        "{told}"
    );
    assert!(
        told.contains(master_key(2).fingerprint().as_str()),
        "{told}"
    );
    assert!(service.reveal_secret(key.record.id).is_ok());
}

async fn a_new_master_key_opens_everything(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    let same = service
        .rotate_master_key(&master_key(1))
        .await
        .expect_err("is the old one");
    assert_eq!(same.code().text(), "invalid_params");
    let events = events_of(&service);
    assert_eq!(
        service
            .rotate_master_key(&master_key(2))
            .await
            .expect("re-seals"),
        1
    );
    assert_eq!(
        service.master_key_fingerprint(),
        master_key(2).fingerprint().as_str()
    );
    assert_eq!(take(&events), [], "no connection has to be judged again");
    let secret = key.secret.as_ref().expect("has one").expose();
    assert_eq!(
        service
            .reveal_secret(key.record.id)
            .expect("opens")
            .expose(),
        secret
    );
    assert_eq!(check(&service, &token(&key, NOW), NOW), Ok(()));
    let after = hmac(&service, &app).await;

    rig.reopen().await;
    let refused = rig.try_service(&rig.database, &master_key(1)).await;
    assert!(matches!(refused, Err(KeyError::WrongMasterKey { .. })));
    let again = rig
        .try_service(&rig.database, &master_key(2))
        .await
        .expect("opens");
    for key in [&key, &after] {
        let secret = key.secret.as_ref().expect("has one").expose();
        assert_eq!(
            again.reveal_secret(key.record.id).expect("opens").expose(),
            secret
        );
        assert_eq!(check(&again, &token(key, NOW), NOW), Ok(()));
    }
}

async fn a_process_with_the_old_master_key_still_verifies_but_changes_nothing(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await;
    theirs.refresh().await.expect("refreshes");
    ours.rotate_master_key(&master_key(2))
        .await
        .expect("re-seals");
    ours.revoke_token(app.id, "another", None)
        .await
        .expect("revokes");

    let refused = theirs.refresh().await.expect_err("has the old master key");
    assert!(
        matches!(refused, KeyError::WrongMasterKey { .. }),
        "{refused:?}"
    );
    assert_eq!(check(&theirs, &token(&key, NOW), NOW), Ok(()));
    assert!(
        theirs.signing_key(app.id).is_ok(),
        "what it could open it still can"
    );
    let refused = theirs
        .create_key(app.id, NewKey::generate(Algorithm::Hs256))
        .await;
    assert!(matches!(refused, Err(KeyError::WrongMasterKey { .. })));
    assert_eq!(ours.list_keys(app.id).await.expect("lists").len(), 1);
    ours.revoke_key(key.record.id).await.expect("revokes");
    theirs.refresh().await.expect_err("has the old master key");
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Err(Reason::KeyRevoked)
    );
    database.close().await;
}

async fn a_failed_change_of_the_master_key_leaves_the_old_one_in_force(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let (good, bad) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let broken = if rig.sqlite_path().is_some() {
        "x'01aa'"
    } else {
        "'\\x01aa'"
    };
    rig.execute(&format!(
        "update keys set sealed = {broken} where id = '{}'",
        bad.record.id
    ))
    .await;
    let refused = service
        .rotate_master_key(&master_key(2))
        .await
        .expect_err("one won't open");
    assert!(
        matches!(refused, KeyError::Store(StoreError::Seal { .. })),
        "{refused:?}"
    );
    assert_eq!(
        service.master_key_fingerprint(),
        master_key(1).fingerprint().as_str()
    );
    let secret = good.secret.as_ref().expect("has one").expose();
    assert_eq!(
        service
            .reveal_secret(good.record.id)
            .expect("opens")
            .expose(),
        secret
    );
    hmac(&service, &app).await;

    // One bad row keeps neither the service nor the other keys from working.
    rig.reopen().await;
    let again = rig.service().await;
    assert_eq!(check(&again, &token(&good, NOW), NOW), Ok(()));
    assert_eq!(
        check(&again, &token(&bad, NOW), NOW),
        Err(Reason::KeyUnknown)
    );
    again
        .revoke_key(bad.record.id)
        .await
        .expect("can still be revoked");
}
