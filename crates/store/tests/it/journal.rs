use std::time::Duration;

use hexline_services::apps::App;
use hexline_services::keys::{Changes, KeyState};
use hexline_services::revocations::{Revocation, Scope, Target};
use hexline_services::store::Revision;

use crate::rig::{NOW, Rig, app, key, master_key};

on_both!(
    a_new_database_has_revision_0_and_nothing_in_it,
    everything_comes_after_revision_0,
    only_what_changed_comes_after_a_revision,
    a_view_is_of_one_moment,
);

async fn a_new_database_has_revision_0_and_nothing_in_it(rig: &mut Rig) {
    let journal = rig.stores().journal;
    assert_eq!(
        journal.revision().await.expect("reads"),
        Revision::default()
    );
    let changes = journal.since(Revision::default()).await.expect("reads");
    assert_eq!(changes, Changes::none(Revision::default()));
}

async fn everything_comes_after_revision_0(rig: &mut Rig) {
    let stores = rig.stores();
    let fingerprint = master_key(1).fingerprint();
    stores.seals.claim(&fingerprint).await.expect("claims");
    let (demo, revision) = rig.add_app("demo").await;
    let one = key(&demo);
    stores.keys.add(&one, true, revision).await.expect("adds");
    let all = Revocation {
        app: demo.id,
        target: Target::IssuedBefore(Scope::App),
        at: NOW,
    };
    let revision = stores.revocations.add(&all).await.expect("adds");
    let expected = Changes {
        master_key: Some(fingerprint),
        apps: vec![App {
            signing_key: Some(one.id),
            ..demo
        }],
        keys: vec![one],
        revocations: vec![all],
        ..Changes::none(revision)
    };
    rig.reopen().await;
    let changes = rig
        .stores()
        .journal
        .since(Revision::default())
        .await
        .expect("reads");
    assert_eq!(changes, expected);
}

async fn only_what_changed_comes_after_a_revision(rig: &mut Rig) {
    let stores = rig.stores();
    let (first, _) = rig.add_app("first").await;
    let (_second, revision) = rig.add_app("second").await;
    let (one, two) = (key(&first), key(&first));
    let revision = stores.keys.add(&one, false, revision).await.expect("adds");
    let before = stores.keys.add(&two, false, revision).await.expect("adds");
    assert_eq!(stores.journal.since(before).await.expect("reads").keys, []);

    let state = KeyState::Revoked { at: NOW };
    let after = stores
        .keys
        .set_state(&[two.id], state, before)
        .await
        .expect("changes");
    let changes = stores.journal.since(before).await.expect("reads");
    assert_eq!((changes.revision, changes.apps.len()), (after, 0));
    assert_eq!(
        changes.keys.iter().map(|k| k.id).collect::<Vec<_>>(),
        [two.id]
    );

    let disabled = App {
        disabled: Some(NOW),
        ..first
    };
    let after = stores
        .apps
        .update(&disabled, None, after)
        .await
        .expect("updates");
    let new = key(&disabled);
    let until = NOW.plus(Duration::from_secs(1));
    stores
        .keys
        .rotate(one.id, until, &new, true, after)
        .await
        .expect("rotates");
    let changes = stores.journal.since(after).await.expect("reads");
    assert_eq!(
        changes.apps,
        [App {
            signing_key: Some(new.id),
            ..disabled
        }]
    );
    let mut ids: Vec<_> = changes.keys.iter().map(|k| k.id).collect();
    ids.sort_unstable();
    let mut expected = vec![one.id, new.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

async fn a_view_is_of_one_moment(rig: &mut Rig) {
    let writer = rig.stores();
    let rounds = 40;
    let task = tokio::spawn(async move {
        let mut revision = Revision::default();
        for n in 0..rounds {
            let app = app(&format!("app-{n}"));
            revision = writer.apps.add(&app, revision).await.expect("adds");
            revision = writer
                .keys
                .add(&key(&app), true, revision)
                .await
                .expect("adds");
        }
    });
    let reader = rig.another().await;
    loop {
        let changes = reader
            .stores()
            .journal
            .since(Revision::default())
            .await
            .expect("reads");
        // Each app is one change, each key another that also changes its app.
        let signed = changes
            .apps
            .iter()
            .filter(|app| app.signing_key.is_some())
            .count();
        assert_eq!(signed, changes.keys.len());
        let total = changes.apps.len() + changes.keys.len();
        assert_eq!(
            i64::try_from(total).expect("small"),
            changes.revision.count()
        );
        if changes.revision.count() == 2 * rounds {
            break;
        }
        tokio::task::yield_now().await;
    }
    task.await.expect("does not panic");
    reader.close().await;
}
