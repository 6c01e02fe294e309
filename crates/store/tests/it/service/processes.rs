use std::sync::Arc;

use hexline_services::apps::AppError;
use hexline_services::keys::{KeyError, KeyEvent, KeyState, NewKey};
use hexline_token::{Algorithm, Reason};

use super::{check, create, demo, events_of, hmac, take, token};
use crate::rig::{NOW, Rig};

on_both!(
    what_another_process_changed_takes_effect_on_refresh,
    a_decision_on_old_facts_is_made_again,
    a_change_that_both_want_is_made_once,
    many_changes_at_once_all_happen,
    a_revocation_by_another_process_is_not_lost_between_our_own,
    a_change_that_is_dropped_halfway_is_taken_in_later,
);

async fn what_another_process_changed_takes_effect_on_refresh(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await;
    assert!(theirs.keys.refresh().await.expect("refreshes"));
    assert!(
        !theirs.keys.refresh().await.expect("refreshes"),
        "nothing is new"
    );
    assert_eq!(check(&theirs, &token(&key, NOW), NOW), Ok(()));

    let events = events_of(&theirs);
    ours.revocations
        .revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Ok(()),
        "not known there yet"
    );
    assert!(theirs.keys.refresh().await.expect("refreshes"));
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    ours.keys.revoke_key(key.record.id).await.expect("revokes");
    ours.apps.disable(app.id).await.expect("disables");
    assert!(theirs.keys.refresh().await.expect("refreshes"));
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
        !ours.keys.refresh().await.expect("refreshes"),
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
    assert!(matches!(refused, AppError::Exists { .. }), "{refused}");
    let key = hmac(&theirs, &app).await;
    let new = ours
        .keys
        .rotate_key(key.record.id, None)
        .await
        .expect("knows it by now");
    let refused = theirs
        .keys
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
    let signing = theirs.keys.signing_key(app.id).expect("signs");
    assert_eq!(signing.id, new.record.id);
    theirs
        .keys
        .revoke_key(new.record.id)
        .await
        .expect("revokes");
    let other = create(&ours, "other").await.expect("creates");
    let again = ours
        .keys
        .revoke_key(new.record.id)
        .await
        .expect("is revoked");
    assert!(matches!(again.record.state, KeyState::Revoked { .. }));
    assert_eq!(theirs.apps.find("demo").expect("is there").id, app.id);
    assert!(theirs.keys.refresh().await.expect("refreshes"));
    assert_eq!(theirs.apps.find("other").expect("is there").id, other.id);
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
            Err(AppError::Exists { .. }) => {}
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
        tasks.push(tokio::spawn(async move {
            service.keys.rotate_key(key, None).await
        }));
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
    assert_eq!(
        services[0]
            .keys
            .list_keys(app.id)
            .await
            .expect("lists")
            .len(),
        2
    );
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
                .revocations
                .revoke_token(app.id, &format!("jti-{n}"), None)
                .await
                .expect("revokes");
            if n % 3 == 0 {
                service
                    .keys
                    .revoke_key(key.record.id)
                    .await
                    .expect("revokes");
            }
            (key, n % 3 == 0)
        }));
    }
    let mut keys = Vec::new();
    for task in tasks {
        keys.push(task.await.expect("does not panic"));
    }
    for service in &services {
        service.keys.refresh().await.expect("refreshes");
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
                .revocations
                .list(app.id, None, 99)
                .await
                .expect("lists")
                .len(),
            24
        );
        assert!(!service.keys.refresh().await.expect("refreshes"));
    }
    database.close().await;
}

async fn a_revocation_by_another_process_is_not_lost_between_our_own(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await;
    theirs
        .revocations
        .revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    // Ours revokes without having looked: its revision must not skip theirs.
    ours.revocations
        .revoke_token(app.id, "b-jti", None)
        .await
        .expect("revokes");
    assert!(ours.keys.refresh().await.expect("refreshes"));
    assert_eq!(
        check(&ours, &token(&key, NOW), NOW),
        Err(Reason::TokenRevoked)
    );
    database.close().await;
}

async fn a_change_that_is_dropped_halfway_is_taken_in_later(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    // Each time it may go on a little longer; at last it ends.
    let (mut ended, mut turns) = (0_usize, 0_u64);
    while ended < 5 {
        turns += 1 + turns / 8;
        let order = NewKey::generate(Algorithm::Hs256);
        let waited = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            made = service.keys.create_key(app.id, order) => {
                made.expect("creates");
                ended += 1;
            }
            () = waited => {}
        }
    }
    service.keys.refresh().await.expect("refreshes");
    let keys = service.keys.list_keys(app.id).await.expect("lists");
    assert!(keys.len() >= ended);
    for key in &keys {
        assert_eq!(service.registry().key_record(key.id).as_ref(), Some(key));
        service.keys.reveal_secret(key.id).expect("opens");
    }
    assert!(!service.keys.refresh().await.expect("refreshes"));
    hmac(&service, &app).await;
}
