use hexline_model::{AppId, Secret, SystemEntropy};
use hexline_services::RegistryServices;
use hexline_services::vault::{SealStore as _, VaultError};

use super::{demo, hmac};
use crate::rig::{Rig, master_key};

on_both!(
    a_secret_is_kept_replaced_and_removed,
    a_secret_is_in_the_database_only_sealed,
    a_name_or_secret_out_of_bounds_is_refused,
    a_new_master_key_re_seals_the_vault_too,
    a_process_that_missed_the_new_master_key_catches_up,
    a_secret_that_was_moved_to_another_name_does_not_open,
);

async fn put(service: &RegistryServices, name: &str, app: Option<AppId>, secret: &str) {
    let secret = Secret::new(secret.to_owned());
    service
        .vault
        .put_secret(name, app, secret)
        .await
        .expect("keeps");
}

async fn open(service: &RegistryServices, name: &str) -> Option<String> {
    let found = service.vault.open_secret(name).await.expect("opens");
    found.map(|secret| secret.expose().clone())
}

async fn a_secret_is_kept_replaced_and_removed(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await.id;
    assert_eq!(open(&service, "oidc/a").await, None);
    put(&service, "oidc/a", Some(app), "first").await;
    put(&service, "oidc/b", None, "other").await;
    put(&service, "oidc/a", None, "second").await;
    rig.reopen().await;
    let service = rig.service().await;
    assert_eq!(open(&service, "oidc/a").await.as_deref(), Some("second"));
    assert!(
        service
            .vault
            .remove_secret("oidc/a")
            .await
            .expect("removes")
    );
    assert!(
        !service
            .vault
            .remove_secret("oidc/a")
            .await
            .expect("removes")
    );
    assert_eq!(open(&service, "oidc/a").await, None);
    assert_eq!(open(&service, "oidc/b").await.as_deref(), Some("other"));
}

async fn a_secret_is_in_the_database_only_sealed(rig: &mut Rig) {
    let service = rig.service().await;
    put(&service, "totp/1", None, "nobody may read this").await;
    let entry = rig.stores().vault.lookup("totp/1").await.expect("reads");
    let entry = entry.expect("is there");
    let sealed = String::from_utf8_lossy(entry.sealed.as_bytes()).into_owned();
    assert!(!sealed.contains("nobody") && !format!("{entry:?}").contains("nobody"));
}

async fn a_name_or_secret_out_of_bounds_is_refused(rig: &mut Rig) {
    let service = rig.service().await;
    let long = "x".repeat(301);
    for name in ["", "a b", "a\n", "ä", &long] {
        let refused = service
            .vault
            .put_secret(name, None, Secret::new(String::new()));
        let refused = refused.await;
        assert!(matches!(refused, Err(VaultError::Invalid { .. })), "{name}");
    }
    let huge = Secret::new("x".repeat((16 << 10) + 1));
    let refused = service.vault.put_secret("a", None, huge).await;
    assert!(
        matches!(refused, Err(VaultError::Invalid { .. })),
        "{refused:?}"
    );
    let nobody = Some(AppId::generate(&SystemEntropy));
    let refused = service
        .vault
        .put_secret("a", nobody, Secret::new(String::new()));
    let refused = refused.await;
    assert!(
        matches!(refused, Err(VaultError::UnknownApp(_))),
        "{refused:?}"
    );
}

async fn a_new_master_key_re_seals_the_vault_too(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    hmac(&service, &app).await;
    put(&service, "totp/1", None, "one").await;
    put(&service, "oidc/1", Some(app.id), "two").await;
    let count = service.keys.rotate_master_key(&master_key(2)).await;
    assert_eq!(count.expect("re-seals"), 3);
    put(&service, "totp/3", None, "three").await;
    rig.reopen().await;
    let service = rig.try_service(&rig.database, &master_key(2)).await;
    let service = service.expect("opens");
    for (name, secret) in [("totp/1", "one"), ("oidc/1", "two"), ("totp/3", "three")] {
        assert_eq!(open(&service, name).await.as_deref(), Some(secret));
    }
}

async fn a_process_that_missed_the_new_master_key_catches_up(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    put(&ours, "totp/1", None, "one").await;
    ours.keys
        .rotate_master_key(&master_key(2))
        .await
        .expect("re-seals");
    // It has the old master key alone: it can neither open nor slip in what nobody could open.
    let opened = theirs.vault.open_secret("totp/1").await;
    assert!(
        matches!(opened, Err(VaultError::WrongMasterKey(_))),
        "{opened:?}"
    );
    let slipped = theirs
        .vault
        .put_secret("totp/2", None, Secret::new("two".to_owned()));
    let slipped = slipped.await;
    assert!(
        matches!(slipped, Err(VaultError::WrongMasterKey(_))),
        "{slipped:?}"
    );
    assert_eq!(open(&ours, "totp/1").await.as_deref(), Some("one"));
    assert_eq!(open(&ours, "totp/2").await, None);
    let in_force = database.master_key().await.expect("reads");
    assert_eq!(in_force, Some(master_key(2).fingerprint()));
    database.close().await;
}

async fn a_secret_that_was_moved_to_another_name_does_not_open(rig: &mut Rig) {
    let service = rig.service().await;
    put(&service, "totp/mallory", None, "hers").await;
    rig.execute("update vault set name = 'totp/alice'").await;
    let opened = service.vault.open_secret("totp/alice").await;
    assert!(matches!(opened, Err(VaultError::Seal { .. })), "{opened:?}");
}
