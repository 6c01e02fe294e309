use std::sync::atomic::{AtomicUsize, Ordering};

use hexline_services::keys::{KeyMaterial, KeyRecord};
use hexline_services::store::{ChangeError, Revision};
use hexline_services::vault::{Purpose, SealError, SealStoreError, Sealed, Sealer};

use crate::rig::{Rig, key, master_key, secret_of};

on_both!(
    the_first_claim_stays,
    of_claims_at_once_all_learn_of_the_same,
    re_sealing_moves_every_secret_and_the_fingerprint,
    a_failure_in_the_middle_of_re_sealing_leaves_everything_as_it_was,
    re_sealing_from_another_master_key_is_refused,
    a_key_can_not_slip_in_under_the_old_master_key,
);

async fn the_first_claim_stays(rig: &mut Rig) {
    let seals = rig.stores().seals;
    let (first, second) = (master_key(1).fingerprint(), master_key(2).fingerprint());
    assert_eq!(seals.master_key().await.expect("reads"), None);
    assert_eq!(seals.claim(&first).await.expect("claims"), first);
    assert_eq!(seals.claim(&second).await.expect("claims"), first);
    rig.reopen().await;
    assert_eq!(
        rig.stores().seals.master_key().await.expect("reads"),
        Some(first)
    );
}

async fn of_claims_at_once_all_learn_of_the_same(rig: &mut Rig) {
    let another = rig.another().await;
    let mut tasks = Vec::new();
    for seed in 0..6 {
        let stores = if seed % 2 == 0 {
            rig.stores()
        } else {
            another.stores()
        };
        let fingerprint = master_key(seed).fingerprint();
        tasks.push(tokio::spawn(async move {
            stores.seals.claim(&fingerprint).await
        }));
    }
    let mut learned = Vec::new();
    for task in tasks {
        learned.push(task.await.expect("does not panic").expect("claims"));
    }
    learned.dedup();
    assert_eq!(learned.len(), 1);
    another.close().await;
}

/// Three sealed keys and a public one.
async fn sealed_keys(rig: &Rig) -> (Vec<KeyRecord>, Revision) {
    let (demo, mut revision) = rig.add_app("demo").await;
    rig.stores()
        .seals
        .claim(&master_key(1).fingerprint())
        .await
        .expect("claims");
    let public = KeyRecord {
        material: KeyMaterial::PublicJwk("{}".to_owned()),
        ..key(&demo)
    };
    let all = vec![key(&demo), key(&demo), public, key(&demo)];
    for key in &all {
        revision = rig
            .stores()
            .keys
            .add(key, false, revision)
            .await
            .expect("adds");
    }
    (all, revision)
}

fn move_seal(purpose: Purpose<'_>, sealed: &Sealed) -> Result<Sealed, SealError> {
    let secret = Sealer::new(&master_key(1)).open(purpose, sealed)?;
    Ok(Sealer::new(&master_key(2)).seal(purpose, secret.expose()))
}

async fn opens(rig: &Rig, key: &KeyRecord, master: u64) -> bool {
    let found = rig
        .stores()
        .keys
        .lookup(key.id)
        .await
        .expect("reads")
        .expect("is there");
    let KeyMaterial::Hmac(sealed) = &found.material else {
        return found == *key;
    };
    let purpose = Purpose::HmacSecret {
        app: key.app,
        key: key.id,
    };
    Sealer::new(&master_key(master))
        .open(purpose, sealed)
        .is_ok_and(|secret| *secret.expose() == secret_of(key.id))
}

async fn re_sealing_moves_every_secret_and_the_fingerprint(rig: &mut Rig) {
    let (all, revision) = sealed_keys(rig).await;
    let seals = rig.stores().seals;
    let (from, to) = (master_key(1).fingerprint(), master_key(2).fingerprint());
    assert_eq!(
        seals
            .reseal(&from, &to, &move_seal)
            .await
            .expect("re-seals"),
        3
    );
    rig.reopen().await;
    assert_eq!(
        rig.stores().seals.master_key().await.expect("reads"),
        Some(to)
    );
    for key in &all {
        assert!(opens(rig, key, 2).await);
    }
    let changes = rig.stores().journal.since(revision).await.expect("reads");
    assert_eq!((changes.revision, changes.keys.len()), (revision.next(), 3));
}

async fn a_failure_in_the_middle_of_re_sealing_leaves_everything_as_it_was(rig: &mut Rig) {
    let (all, revision) = sealed_keys(rig).await;
    let done = AtomicUsize::new(0);
    let fails_at_the_third = |purpose: Purpose<'_>, sealed: &Sealed| {
        if done.fetch_add(1, Ordering::SeqCst) == 2 {
            return Err(SealError::Unopened);
        }
        move_seal(purpose, sealed)
    };
    let (from, to) = (master_key(1).fingerprint(), master_key(2).fingerprint());
    let refused = rig
        .stores()
        .seals
        .reseal(&from, &to, &fails_at_the_third)
        .await;
    assert!(
        matches!(refused, Err(SealStoreError::Key { .. })),
        "{refused:?}"
    );
    assert_eq!(done.load(Ordering::SeqCst), 3);
    rig.reopen().await;
    assert_eq!(
        rig.stores().seals.master_key().await.expect("reads"),
        Some(from)
    );
    for key in &all {
        assert!(opens(rig, key, 1).await);
    }
    assert_eq!(
        rig.stores().journal.revision().await.expect("reads"),
        revision
    );
}

async fn re_sealing_from_another_master_key_is_refused(rig: &mut Rig) {
    let (all, _) = sealed_keys(rig).await;
    let (other, to) = (master_key(3).fingerprint(), master_key(2).fingerprint());
    let refused = rig.stores().seals.reseal(&other, &to, &move_seal).await;
    let Err(SealStoreError::MasterKey { found, expected }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((found, expected), (master_key(1).fingerprint(), other));
    for key in &all {
        assert!(opens(rig, key, 1).await);
    }
}

async fn a_key_can_not_slip_in_under_the_old_master_key(rig: &mut Rig) {
    let (all, revision) = sealed_keys(rig).await;
    let app = rig
        .stores()
        .apps
        .lookup(all[0].app)
        .await
        .expect("reads")
        .expect("is there");
    let (from, to) = (master_key(1).fingerprint(), master_key(2).fingerprint());
    rig.stores()
        .seals
        .reseal(&from, &to, &move_seal)
        .await
        .expect("re-seals");
    let late = rig.stores().keys.add(&key(&app), false, revision).await;
    assert!(matches!(late, Err(ChangeError::Stale { .. })), "{late:?}");
}
