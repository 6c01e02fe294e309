use std::time::Duration;

use hexline_model::{KeyId, SystemEntropy, Timestamp};
use hexline_services::keys::{KeyMaterial, KeyRecord, KeyState};
use hexline_services::store::{ChangeError, StoreError};
use hexline_services::vault::Sealed;
use hexline_token::{Algorithm, Grants};

use crate::rig::{NOW, Rig, app, key};

on_both!(
    every_kind_of_key_is_found_as_it_was_added,
    a_key_id_is_taken_once_whatever_the_app,
    a_key_without_its_app_is_refused,
    a_signing_key_is_set_together_with_the_key,
    a_rotation_adds_retires_and_hands_over_signing_at_once,
    a_rotation_of_a_key_that_is_gone_adds_nothing,
    every_state_is_kept,
    only_the_latest_use_is_kept,
    noting_uses_is_no_change,
    keys_are_listed_oldest_first_page_by_page,
    of_many_that_add_at_once_one_wins_each_round,
);

async fn every_kind_of_key_is_found_as_it_was_added(rig: &mut Rig) {
    let (demo, mut revision) = rig.add_app("demo").await;
    let keys = rig.stores().keys;
    let plain = key(&demo);
    let full = KeyRecord {
        label: "Ünï cödé 'quoted' $1".to_owned(),
        state: KeyState::Retiring {
            until: NOW.plus(Duration::from_secs(9)),
        },
        expires: Some(Timestamp::from_millis(1)),
        last_used: Some(Timestamp::from_millis(i64::MAX)),
        ceiling: Some(
            Grants::parse(r#"{"signal":{"channels":["news.*"],"publish":false}}"#).expect("grants"),
        ),
        made_by: Some(plain.id),
        released: Some(NOW),
        ..key(&demo)
    };
    let mut all = vec![plain, full];
    for material in [
        KeyMaterial::Hmac(Sealed::from_stored((0..=255).collect())),
        KeyMaterial::PublicPem("pem\n".to_owned()),
        KeyMaterial::PublicJwk("{}".to_owned()),
        KeyMaterial::Jwks(String::new()),
        KeyMaterial::JwksUrl("https://example.org/".to_owned()),
    ] {
        let algorithm = match material {
            KeyMaterial::Jwks(_) | KeyMaterial::JwksUrl(_) => None,
            _ => Some(Algorithm::EdDsa),
        };
        all.push(KeyRecord {
            material,
            algorithm,
            label: String::new(),
            ..key(&demo)
        });
    }
    for key in &all {
        revision = keys.add(key, false, revision).await.expect("adds");
    }
    rig.reopen().await;
    for key in &all {
        assert_eq!(
            rig.stores()
                .keys
                .lookup(key.id)
                .await
                .expect("reads")
                .as_ref(),
            Some(key)
        );
    }
    let nothing = rig
        .stores()
        .keys
        .lookup(KeyId::generate(&SystemEntropy))
        .await;
    assert_eq!(nothing.expect("reads"), None);
}

async fn a_key_id_is_taken_once_whatever_the_app(rig: &mut Rig) {
    let (first, _) = rig.add_app("first").await;
    let (second, revision) = rig.add_app("second").await;
    let keys = rig.stores().keys;
    let taken = key(&first);
    let revision = keys.add(&taken, false, revision).await.expect("adds");
    let refused = keys
        .add(
            &KeyRecord {
                id: taken.id,
                ..key(&second)
            },
            true,
            revision,
        )
        .await;
    assert!(
        matches!(
            refused,
            Err(ChangeError::Store(StoreError::Conflict { what: "key" }))
        ),
        "{refused:?}"
    );
    assert_eq!(keys.lookup(taken.id).await.expect("reads"), Some(taken));
    assert_eq!(
        rig.stores().apps.lookup(second.id).await.expect("reads"),
        Some(second)
    );
}

async fn a_key_without_its_app_is_refused(rig: &mut Rig) {
    let (_, revision) = rig.add_app("demo").await;
    let orphan = key(&app("nobody"));
    let refused = rig.stores().keys.add(&orphan, false, revision).await;
    assert!(
        matches!(
            refused,
            Err(ChangeError::Store(StoreError::NotFound { what: "app" }))
        ),
        "{refused:?}"
    );
}

async fn a_signing_key_is_set_together_with_the_key(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let signing = key(&demo);
    rig.stores()
        .keys
        .add(&signing, true, revision)
        .await
        .expect("adds");
    let found = rig
        .stores()
        .apps
        .lookup(demo.id)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(found.signing_key, Some(signing.id));
}

async fn a_rotation_adds_retires_and_hands_over_signing_at_once(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let stores = rig.stores();
    let old = key(&demo);
    let revision = stores.keys.add(&old, true, revision).await.expect("adds");
    let (new, until) = (key(&demo), NOW.plus(Duration::from_hours(24)));
    let after = stores
        .keys
        .rotate(old.id, until, &new, true, revision)
        .await
        .expect("rotates");
    assert_eq!(after, revision.next());
    let found = stores
        .keys
        .lookup(old.id)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(
        found,
        KeyRecord {
            state: KeyState::Retiring { until },
            ..old
        }
    );
    assert_eq!(
        stores.keys.lookup(new.id).await.expect("reads"),
        Some(new.clone())
    );
    let found = stores
        .apps
        .lookup(demo.id)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(found.signing_key, Some(new.id));
}

async fn a_rotation_of_a_key_that_is_gone_adds_nothing(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let keys = rig.stores().keys;
    let new = key(&demo);
    let refused = keys.rotate(key(&demo).id, NOW, &new, true, revision).await;
    assert!(
        matches!(
            refused,
            Err(ChangeError::Store(StoreError::NotFound { what: "key" }))
        ),
        "{refused:?}"
    );
    assert_eq!(keys.lookup(new.id).await.expect("reads"), None);
    assert_eq!(
        rig.stores().apps.lookup(demo.id).await.expect("reads"),
        Some(demo)
    );
}

async fn every_state_is_kept(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let keys = rig.stores().keys;
    let one = key(&demo);
    let mut revision = keys.add(&one, false, revision).await.expect("adds");
    for state in [
        KeyState::Retiring { until: NOW },
        KeyState::Active,
        KeyState::Retiring { until: NOW },
        KeyState::Revoked {
            at: NOW.plus(Duration::from_secs(1)),
        },
    ] {
        revision = keys
            .set_state(&[one.id], state, revision)
            .await
            .expect("changes");
        let found = keys.lookup(one.id).await.expect("reads").expect("is there");
        assert_eq!(
            found,
            KeyRecord {
                state,
                ..one.clone()
            }
        );
    }
    let missing = keys
        .set_state(&[key(&demo).id], KeyState::Active, revision)
        .await;
    assert!(
        matches!(
            missing,
            Err(ChangeError::Store(StoreError::NotFound { what: "key" }))
        ),
        "{missing:?}"
    );
}

async fn only_the_latest_use_is_kept(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let keys = rig.stores().keys;
    let (one, two) = (key(&demo), key(&demo));
    let revision = keys.add(&one, false, revision).await.expect("adds");
    keys.add(&two, false, revision).await.expect("adds");
    let at = |secs| NOW.plus(Duration::from_secs(secs));
    let unknown = KeyId::generate(&SystemEntropy);
    keys.touch(&[(one.id, at(5)), (unknown, at(5)), (two.id, at(1))])
        .await
        .expect("notes");
    keys.touch(&[(two.id, at(9)), (one.id, at(3))])
        .await
        .expect("notes");
    keys.touch(&[]).await.expect("notes nothing");
    for (id, expected) in [(one.id, at(5)), (two.id, at(9))] {
        let found = keys.lookup(id).await.expect("reads").expect("is there");
        assert_eq!(found.last_used, Some(expected));
    }
}

async fn noting_uses_is_no_change(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let stores = rig.stores();
    let one = key(&demo);
    let revision = stores.keys.add(&one, false, revision).await.expect("adds");
    stores.keys.touch(&[(one.id, NOW)]).await.expect("notes");
    assert_eq!(stores.journal.revision().await.expect("reads"), revision);
    assert!(
        stores
            .journal
            .since(revision)
            .await
            .expect("reads")
            .keys
            .is_empty()
    );
}

async fn keys_are_listed_oldest_first_page_by_page(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let (other, mut revision) = rig.add_app("other").await;
    let keys = rig.stores().keys;
    let mut expected = Vec::new();
    // Two share each millisecond, so that the id decides.
    for n in (0..9).rev() {
        let created = Timestamp::from_millis(n / 2 - 2);
        let one = KeyRecord {
            created,
            ..key(&demo)
        };
        revision = keys.add(&one, false, revision).await.expect("adds");
        revision = keys.add(&key(&other), false, revision).await.expect("adds");
        expected.push((created, one.id));
    }
    expected.sort_unstable();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = keys.list(demo.id, after, 4).await.expect("reads");
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        after = Some((last.created, last.id));
        seen.extend(page.iter().map(|key| (key.created, key.id)));
    }
    assert_eq!(seen, expected);
}

async fn of_many_that_add_at_once_one_wins_each_round(rig: &mut Rig) {
    let (demo, start) = rig.add_app("demo").await;
    let another = rig.another().await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let keys = if n % 2 == 0 {
            rig.stores().keys
        } else {
            another.stores().keys
        };
        let one = key(&demo);
        tasks.push(tokio::spawn(
            async move { keys.add(&one, true, start).await },
        ));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.expect("does not panic") {
            Ok(revision) => {
                assert_eq!(revision, start.next());
                won += 1;
            }
            Err(ChangeError::Stale { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(
        rig.stores()
            .keys
            .list(demo.id, None, 10)
            .await
            .expect("reads")
            .len(),
        1
    );
    another.close().await;
}
