use std::time::Duration;

use hexline_model::Secret;
use hexline_services::apps::{AppChanges, AppError, AppLimits, AppName, AppSettings};
use hexline_services::keys::KeyEvent;
use hexline_services::revocations::{RevocationError, Scope};
use hexline_token::Reason;

use super::{check, create, demo, events_of, hmac, take, token};
use crate::rig::{NOW, Rig};

on_both!(
    an_app_takes_another_name_and_keeps_all_else,
    two_apps_change_their_names_and_another_process_follows,
    a_deleted_app_is_gone_with_all_that_it_had,
    a_name_is_free_again_in_every_process,
    limits_are_changed_as_a_whole_and_none_is_zero,
    a_key_takes_another_label,
);

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a name")
}

async fn an_app_takes_another_name_and_keeps_all_else(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let other = create(&service, "other").await.expect("creates");
    let key = hmac(&service, &app).await;
    let taken = service.apps.rename(app.id, name("other")).await;
    assert!(matches!(taken, Err(AppError::Exists { .. })), "{taken:?}");
    let renamed = service.apps.rename(app.id, name("shop")).await;
    let renamed = renamed.expect("renames");
    assert_eq!((renamed.id, renamed.name), (app.id, name("shop")));
    assert_eq!(check(&service, &token(&key, NOW), NOW), Ok(()));
    assert!(service.apps.find("demo").is_err(), "the old name is free");
    service
        .apps
        .rename(other.id, name("demo"))
        .await
        .expect("takes it");
    rig.reopen().await;
    let service = rig.service().await;
    assert_eq!(service.apps.find("shop").expect("is there").id, app.id);
    assert_eq!(service.apps.find("demo").expect("is there").id, other.id);
    assert_eq!(service.apps.list().len(), 2);
}

async fn two_apps_change_their_names_and_another_process_follows(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let (a, b) = (
        create(&ours, "a").await.expect("creates"),
        create(&ours, "b").await.expect("creates"),
    );
    let theirs = rig.service_of(&database).await;
    for (app, new) in [(a.id, "c"), (b.id, "a"), (a.id, "b")] {
        ours.apps.rename(app, name(new)).await.expect("renames");
    }
    for service in [&ours, &theirs] {
        service.keys.refresh().await.expect("refreshes");
        assert_eq!(service.apps.find("a").expect("is there").id, b.id);
        assert_eq!(service.apps.find("b").expect("is there").id, a.id);
        assert!(service.apps.find("c").is_err());
        assert_eq!(service.apps.list().len(), 2);
    }
    database.close().await;
}

async fn a_deleted_app_is_gone_with_all_that_it_had(rig: &mut Rig) {
    let service = rig.service().await;
    let (app, other) = (demo(&service).await, create(&service, "other").await);
    let other = other.expect("creates");
    let (key, kept) = (hmac(&service, &app).await, hmac(&service, &other).await);
    service
        .revocations
        .revoke_issued_before(app.id, Scope::App, NOW)
        .await
        .expect("revokes");
    let api_key = service.keys.create_api_key(app.id, None, "web").await;
    let api_key = api_key.expect("creates");
    for (app, at) in [
        (Some(app.id), "x/1"),
        (Some(other.id), "x/2"),
        (None, "x/3"),
    ] {
        let secret = Secret::new("a secret".to_owned());
        service
            .vault
            .put_secret(at, app, secret)
            .await
            .expect("keeps");
    }
    let events = events_of(&service);
    service.apps.delete(app.id).await.expect("deletes");
    assert_eq!(take(&events), [KeyEvent::AppDeleted { app: app.id }]);
    let again = service.apps.delete(app.id).await;
    assert!(matches!(again, Err(AppError::Unknown(_))), "{again:?}");
    let late = service.revocations.revoke_token(app.id, "x", None).await;
    assert!(
        matches!(late, Err(RevocationError::UnknownApp(_))),
        "{late:?}"
    );
    for restarted in [false, true] {
        if restarted {
            rig.reopen().await;
        }
        let service = rig.service().await;
        assert!(service.apps.find("demo").is_err());
        assert!(service.keys.lookup_key(key.record.id).await.is_err());
        assert!(service.keys.find_api_key(api_key.id).is_err());
        assert_eq!(
            check(&service, &token(&key, NOW), NOW),
            Err(Reason::KeyUnknown)
        );
        assert_eq!(check(&service, &token(&kept, NOW), NOW), Ok(()));
        let kept: Vec<bool> = {
            let mut kept = Vec::new();
            for at in ["x/1", "x/2", "x/3"] {
                kept.push(
                    service
                        .vault
                        .open_secret(at)
                        .await
                        .expect("reads")
                        .is_some(),
                );
            }
            kept
        };
        assert_eq!(kept, [false, true, true]);
    }
    let bytes = rig.sqlite_path().map(std::fs::read);
    let secret = key.secret.expect("an HMAC key has one");
    assert!(bytes.is_none_or(|file| {
        let file = file.expect("reads");
        let wanted = secret.expose().as_bytes();
        !file.windows(wanted.len()).any(|window| window == wanted)
    }));
}

async fn a_name_is_free_again_in_every_process(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let old = demo(&ours).await;
    let key = hmac(&ours, &old).await;
    let theirs = rig.service_of(&database).await;
    let events = events_of(&theirs);
    ours.apps.delete(old.id).await.expect("deletes");
    let new = demo(&ours).await;
    assert!(theirs.keys.refresh().await.expect("refreshes"));
    assert_eq!(
        take(&events),
        [
            KeyEvent::AppDeleted { app: old.id },
            KeyEvent::AppChanged { app: new.id },
        ]
    );
    assert_eq!(theirs.apps.find("demo").expect("is there").id, new.id);
    assert_eq!(
        check(&theirs, &token(&key, NOW), NOW),
        Err(Reason::KeyUnknown)
    );
    let gone = theirs.apps.disable(old.id).await;
    assert!(matches!(gone, Err(AppError::Unknown(_))), "{gone:?}");
    database.close().await;
}

async fn limits_are_changed_as_a_whole_and_none_is_zero(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let limits = |limits: AppLimits| AppChanges {
        limits: Some(limits),
        longest_ttl: Some(Duration::from_mins(5)),
        ..AppChanges::default()
    };
    let zero = AppLimits {
        messages_per_second: Some(0),
        ..AppLimits::default()
    };
    let refused = service.apps.update(app.id, limits(zero)).await;
    let refused = refused.expect_err("is zero").to_string();
    assert!(refused.contains("messages_per_second"), "{refused}");
    let some = AppLimits {
        connections: Some(7),
        ..AppLimits::default()
    };
    service
        .apps
        .update(app.id, limits(some))
        .await
        .expect("changes");
    rig.reopen().await;
    let service = rig.service().await;
    assert_eq!(service.registry().limits(app.id), some);
    let settings = service.apps.find("demo").expect("is there").settings;
    let expected = AppSettings {
        limits: some,
        longest_ttl: Duration::from_mins(5),
        ..AppSettings::default()
    };
    assert_eq!(settings, expected);
}

async fn a_key_takes_another_label(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await.record.id;
    let labelled = service.keys.set_label(key, "the web shop").await;
    assert_eq!(labelled.expect("labels").label, "the web shop");
    assert!(service.keys.set_label(key, "a\nb").await.is_err());
    assert!(service.keys.set_label(key, "x".repeat(201)).await.is_err());
    service.keys.revoke_key(key).await.expect("revokes");
    rig.reopen().await;
    let found = rig
        .service()
        .await
        .keys
        .lookup_key(key)
        .await
        .expect("is there");
    assert_eq!(found.label, "the web shop");
}
