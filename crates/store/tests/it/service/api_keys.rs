use hexline_model::{ApiKey, SystemEntropy};
use hexline_services::Failure as _;
use hexline_services::keys::{KeyError, NewKey};
use hexline_token::{Algorithm, PrivateKey};

use super::{create, demo, hmac};
use crate::rig::Rig;

on_both!(
    an_api_key_names_the_key_that_signs,
    only_an_active_hmac_key_of_the_app_gets_an_api_key,
    a_rotated_key_hands_its_api_keys_on,
    a_revoked_api_key_names_nothing_any_more,
    another_process_hears_of_api_keys,
);

async fn an_api_key_names_the_key_that_signs(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let none = service.keys.create_api_key(app.id, None, "").await;
    assert!(
        matches!(none, Err(KeyError::NoSigningKey { .. })),
        "{none:?}"
    );
    let (first, second) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let one = service.keys.create_api_key(app.id, None, "web").await;
    let one = one.expect("creates");
    assert_eq!((one.key, one.label.as_str()), (first.record.id, "web"));
    let two = service
        .keys
        .create_api_key(app.id, Some(second.record.id), "");
    let two = two.await.expect("creates");
    assert_eq!(two.key, second.record.id);
    rig.reopen().await;
    let service = rig.service().await;
    let mut all = vec![one.clone(), two];
    all.sort_by_key(|record| (record.created, record.id));
    assert_eq!(service.keys.list_api_keys(app.id).expect("lists"), all);
    assert_eq!(service.keys.find_api_key(one.id).expect("is there"), one);
    let unknown = service.keys.find_api_key(ApiKey::generate(&SystemEntropy));
    assert_eq!(unknown.expect_err("is unknown").code().text(), "not_found");
}

async fn only_an_active_hmac_key_of_the_app_gets_an_api_key(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let other = create(&service, "other").await.expect("creates");
    let foreign = hmac(&service, &other).await.record.id;
    let public = PrivateKey::generate(Algorithm::EdDsa).expect("a new key");
    let order = NewKey::public_jwk(public.verifying_key().to_jwk(None).expect("a public key"));
    let public = service
        .keys
        .create_key(app.id, order)
        .await
        .expect("creates");
    let revoked = hmac(&service, &app).await.record.id;
    service.keys.revoke_key(revoked).await.expect("revokes");
    for key in [foreign, public.record.id, revoked] {
        let refused = service.keys.create_api_key(app.id, Some(key), "").await;
        assert!(refused.is_err(), "{refused:?}");
    }
    assert!(
        service
            .keys
            .list_api_keys(app.id)
            .expect("lists")
            .is_empty()
    );
    let label = service.keys.create_api_key(other.id, None, "\u{7}").await;
    assert!(matches!(label, Err(KeyError::Order { .. })), "{label:?}");
}

async fn a_rotated_key_hands_its_api_keys_on(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let (key, other) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let moved = service.keys.create_api_key(app.id, Some(key.record.id), "");
    let moved = moved.await.expect("creates").id;
    let stays = service
        .keys
        .create_api_key(app.id, Some(other.record.id), "");
    let stays = stays.await.expect("creates").id;
    let new = service.keys.rotate_key(key.record.id, None).await;
    let new = new.expect("rotates").record.id;
    for restarted in [false, true] {
        if restarted {
            rig.reopen().await;
        }
        let service = rig.service().await;
        assert_eq!(service.keys.find_api_key(moved).expect("is there").key, new);
        let kept = service.keys.find_api_key(stays).expect("is there").key;
        assert_eq!(kept, other.record.id);
    }
    let service = rig.service().await;
    assert!(service.keys.signing_key_of(app.id, new).is_ok());
    service.keys.revoke_key(new).await.expect("revokes");
    let refused = service.keys.signing_key_of(app.id, new);
    assert_eq!(
        refused.expect_err("is revoked").code().text(),
        "no_signing_key"
    );
}

async fn a_revoked_api_key_names_nothing_any_more(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    hmac(&service, &app).await;
    let id = service.keys.create_api_key(app.id, None, "").await;
    let id = id.expect("creates").id;
    let first = service.keys.revoke_api_key(id).await.expect("revokes");
    let second = service
        .keys
        .revoke_api_key(id)
        .await
        .expect("twice is once");
    assert_eq!(first, second);
    let unknown = service
        .keys
        .revoke_api_key(ApiKey::generate(&SystemEntropy));
    assert!(unknown.await.is_err());
    rig.reopen().await;
    let service = rig.service().await;
    let refused = service.keys.find_api_key(id).expect_err("is revoked");
    assert_eq!(refused.code().text(), "key_revoked");
    assert_eq!(service.keys.list_api_keys(app.id).expect("lists"), [first]);
}

async fn another_process_hears_of_api_keys(rig: &mut Rig) {
    let (ours, database) = (rig.service().await, rig.another().await);
    let theirs = rig.service_of(&database).await;
    let app = demo(&ours).await;
    let key = hmac(&ours, &app).await.record.id;
    let id = ours.keys.create_api_key(app.id, None, "").await;
    let id = id.expect("creates").id;
    assert!(theirs.keys.find_api_key(id).is_err());
    theirs.keys.refresh().await.expect("refreshes");
    assert_eq!(theirs.keys.find_api_key(id).expect("is there").key, key);
    let new = ours
        .keys
        .rotate_key(key, None)
        .await
        .expect("rotates")
        .record
        .id;
    theirs.keys.refresh().await.expect("refreshes");
    assert_eq!(theirs.keys.find_api_key(id).expect("is there").key, new);
    ours.keys.revoke_api_key(id).await.expect("revokes");
    theirs.keys.refresh().await.expect("refreshes");
    assert!(theirs.keys.find_api_key(id).is_err());
    database.close().await;
}
