use hexline_services::Failure as _;
use hexline_services::keys::{KeyError, NewKey, RegistryError};
use hexline_services::vault::VaultError;
use hexline_token::{Algorithm, Reason};

use super::{check, demo, events_of, hmac, take, token};
use crate::rig::{NOW, Rig, master_key};

on_both!(
    a_wrong_master_key_is_told_apart,
    a_new_master_key_opens_everything,
    a_process_with_the_old_master_key_still_verifies_but_changes_nothing,
    a_failed_change_of_the_master_key_leaves_the_old_one_in_force,
);

async fn a_wrong_master_key_is_told_apart(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    let refused = rig
        .try_service(&rig.database, &master_key(2))
        .await
        .expect_err("is wrong");
    assert!(
        matches!(refused, KeyError::Vault(VaultError::WrongMasterKey(_))),
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
    assert!(service.keys.reveal_secret(key.record.id).is_ok());
}

async fn a_new_master_key_opens_everything(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    let same = service
        .keys
        .rotate_master_key(&master_key(1))
        .await
        .expect_err("is the old one");
    assert_eq!(same.code().text(), "invalid_params");
    let events = events_of(&service);
    assert_eq!(
        service
            .keys
            .rotate_master_key(&master_key(2))
            .await
            .expect("re-seals"),
        1
    );
    assert_eq!(service.vault.fingerprint(), master_key(2).fingerprint());
    assert_eq!(take(&events), [], "no connection has to be judged again");
    let secret = key.secret.as_ref().expect("has one").expose();
    assert_eq!(
        service
            .keys
            .reveal_secret(key.record.id)
            .expect("opens")
            .expose(),
        secret
    );
    assert_eq!(check(&service, &token(&key, NOW), NOW), Ok(()));
    let after = hmac(&service, &app).await;

    rig.reopen().await;
    let refused = rig.try_service(&rig.database, &master_key(1)).await;
    assert!(matches!(
        refused,
        Err(KeyError::Vault(VaultError::WrongMasterKey(_)))
    ));
    let again = rig
        .try_service(&rig.database, &master_key(2))
        .await
        .expect("opens");
    for key in [&key, &after] {
        let secret = key.secret.as_ref().expect("has one").expose();
        assert_eq!(
            again
                .keys
                .reveal_secret(key.record.id)
                .expect("opens")
                .expose(),
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
    theirs.keys.refresh().await.expect("refreshes");
    ours.keys
        .rotate_master_key(&master_key(2))
        .await
        .expect("re-seals");
    ours.revocations
        .revoke_token(app.id, "another", None)
        .await
        .expect("revokes");

    let refused = theirs
        .keys
        .refresh()
        .await
        .expect_err("has the old master key");
    assert!(
        matches!(refused, RegistryError::WrongMasterKey(_)),
        "{refused:?}"
    );
    assert_eq!(check(&theirs, &token(&key, NOW), NOW), Ok(()));
    assert!(
        theirs.keys.signing_key(app.id).is_ok(),
        "what it could open it still can"
    );
    let refused = theirs
        .keys
        .create_key(app.id, NewKey::generate(Algorithm::Hs256))
        .await;
    assert!(matches!(
        refused,
        Err(KeyError::Registry(RegistryError::WrongMasterKey(_)))
    ));
    assert_eq!(ours.keys.list_keys(app.id).await.expect("lists").len(), 1);
    ours.keys.revoke_key(key.record.id).await.expect("revokes");
    theirs
        .keys
        .refresh()
        .await
        .expect_err("has the old master key");
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
        .keys
        .rotate_master_key(&master_key(2))
        .await
        .expect_err("one won't open");
    assert!(
        matches!(refused, KeyError::Vault(VaultError::KeySeal { .. })),
        "{refused:?}"
    );
    assert_eq!(service.vault.fingerprint(), master_key(1).fingerprint());
    let secret = good.secret.as_ref().expect("has one").expose();
    assert_eq!(
        service
            .keys
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
        .keys
        .revoke_key(bad.record.id)
        .await
        .expect("can still be revoked");
}
