use std::collections::HashSet;
use std::time::Duration;

use hexline_model::{AppId, Identity, KeyId, Secret, SystemEntropy};
use hexline_services::Failure as _;
use hexline_services::apps::{AppError, AppSettings};
use hexline_services::keys::{CreatedKey, KeyError, KeyEvent, KeyState, NewKey};
use hexline_services::revocations::Scope;
use hexline_token::{Algorithm, Grants, PrivateKey, Reason, TokenBuilder};

use super::{check, create, demo, events_of, hmac, take, token};
use crate::rig::{NOW, Rig};

on_both!(
    a_key_that_was_just_made_verifies_its_tokens,
    everything_is_the_same_after_a_restart,
    the_first_hmac_key_signs_and_the_next_after_it_is_gone,
    a_rotated_key_verifies_until_the_overlap_is_over,
    only_an_active_hmac_key_is_rotated,
    a_revoked_key_stays_revoked,
    a_key_that_a_key_made_ends_with_it_and_is_revoked_with_it,
    a_later_rotation_of_its_maker_changes_nothing_for_a_key,
    a_key_that_retires_or_is_of_another_app_makes_none,
    an_id_that_was_released_is_free_for_another_app_alone,
    releasing_a_key_revokes_what_it_made,
    names_and_ids_are_taken_once,
    a_disabled_app_lets_nobody_in,
    a_token_check_touches_no_database,
    a_refused_order_leaves_nothing_behind,
);

async fn a_key_that_was_just_made_verifies_its_tokens(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    for (algorithm, shown) in [
        (Algorithm::Hs256, 43),
        (Algorithm::Hs384, 64),
        (Algorithm::Hs512, 86),
    ] {
        let order = NewKey::generate(algorithm).label("backend");
        let made = service
            .keys
            .create_key(app.id, order)
            .await
            .expect("creates");
        let secret = made.secret.expect("an HMAC key has one");
        assert_eq!(secret.expose().len(), shown);
        let key = PrivateKey::hmac(algorithm, secret.expose().as_bytes()).expect("passes");
        let token = TokenBuilder::create()
            .signing_key(made.record.id.to_string(), key)
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
    let public = service
        .keys
        .create_key(app.id, order)
        .await
        .expect("registers");
    assert!(public.secret.is_none());
    service
        .keys
        .revoke_key(two.record.id)
        .await
        .expect("revokes");
    let settings = AppSettings {
        longest_ttl: Duration::from_hours(2),
        ..AppSettings::default()
    };
    service
        .apps
        .update(app.id, settings)
        .await
        .expect("updates");
    service
        .revocations
        .revoke_token(app.id, "another-jti", None)
        .await
        .expect("revokes");
    let all = Identity::parse("bob").expect("an identity");
    service
        .revocations
        .revoke_issued_before(app.id, Scope::Identity(all), NOW)
        .await
        .expect("revokes");

    let before = (
        service.apps.list(),
        service.keys.list_keys(app.id).await.expect("lists"),
        service
            .revocations
            .list(app.id, None, 9)
            .await
            .expect("lists"),
    );
    rig.reopen().await;
    let again = rig.service().await;
    let after = (
        again.apps.list(),
        again.keys.list_keys(app.id).await.expect("lists"),
        again
            .revocations
            .list(app.id, None, 9)
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
        .signing_key(public.record.id.to_string(), private)
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
    let none = service
        .keys
        .signing_key(app.id)
        .expect_err("nothing signs yet");
    assert_eq!(none.code().text(), "no_signing_key");
    let url = NewKey::jwks_url("https://example.org/jwks.json");
    service
        .keys
        .create_key(app.id, url)
        .await
        .expect("registers");
    assert!(
        service.keys.signing_key(app.id).is_err(),
        "a public key can't sign"
    );

    let (one, two) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let signing = service.keys.signing_key(app.id).expect("signs");
    assert_eq!(signing.id, one.record.id);
    assert_eq!(signing.algorithm, Algorithm::Hs256);
    assert_eq!(
        signing.secret.expose(),
        one.secret.expect("has one").expose()
    );

    service
        .keys
        .revoke_key(one.record.id)
        .await
        .expect("revokes");
    assert!(
        service.keys.signing_key(app.id).is_err(),
        "nobody else takes its place unasked"
    );
    let three = hmac(&service, &app).await;
    assert_eq!(
        service.keys.signing_key(app.id).expect("signs").id,
        three.record.id
    );
    service
        .apps
        .set_signing_key(two.record.id)
        .await
        .expect("sets");
    rig.reopen().await;
    let again = rig.service().await;
    assert_eq!(
        again.keys.signing_key(app.id).expect("signs").id,
        two.record.id
    );
    let refused = again
        .apps
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
    let old = service
        .keys
        .create_key(app.id, order)
        .await
        .expect("creates");
    let events = events_of(&service);

    let new = service
        .keys
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
        service.keys.signing_key(app.id).expect("signs").id,
        new.record.id
    );
    let until = NOW.plus(Duration::from_hours(24));
    let record = service
        .keys
        .lookup_key(old.record.id)
        .await
        .expect("is there");
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
            .signing_key(key.record.id.to_string(), key_of)
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
        .keys
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
        .keys
        .create_key(app.id, url)
        .await
        .expect("registers")
        .record
        .id;
    let refused = service
        .keys
        .rotate_key(public, None)
        .await
        .expect_err("has no secret");
    assert!(
        matches!(refused, KeyError::NotRotatable { .. }),
        "{refused}"
    );
    assert!(matches!(
        service.keys.reveal_secret(public),
        Err(KeyError::NoSecret { .. })
    ));
    let unknown = KeyId::generate(&SystemEntropy);
    let refused = service
        .keys
        .rotate_key(unknown, None)
        .await
        .expect_err("is not there");
    assert_eq!(refused.code().text(), "not_found");
    let one = hmac(&service, &app).await.record.id;
    let refused = service
        .keys
        .rotate_key(one, Some(Duration::MAX))
        .await
        .expect_err("is too long");
    assert_eq!(refused.code().text(), "invalid_params");
    let new = service
        .keys
        .rotate_key(one, Some(Duration::ZERO))
        .await
        .expect("rotates");
    service
        .keys
        .revoke_key(new.record.id)
        .await
        .expect("revokes");
    let refused = service
        .keys
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
    let first = service
        .keys
        .revoke_key(key.record.id)
        .await
        .expect("revokes");
    assert_eq!(first.record.state, KeyState::Revoked { at: NOW });
    assert_eq!(
        take(&events),
        [KeyEvent::KeyChanged {
            app: app.id,
            key: key.record.id
        }]
    );
    let later = rig.advance(Duration::from_secs(5));
    let second = service
        .keys
        .revoke_key(key.record.id)
        .await
        .expect("is revoked");
    assert_eq!(second.record.state, KeyState::Revoked { at: NOW });
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

async fn a_key_that_a_key_made_ends_with_it_and_is_revoked_with_it(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let ends = NOW.plus(Duration::from_hours(1));
    let maker = NewKey::generate(Algorithm::Hs256).expires(ends);
    let maker = service
        .keys
        .create_key(app.id, maker)
        .await
        .expect("creates");
    let make = async |by: KeyId, order: NewKey| {
        let made = service.keys.create_key(app.id, order.made_by(by)).await;
        made.expect("creates").record
    };
    let plain = make(maker.record.id, NewKey::generate(Algorithm::Hs256)).await;
    assert_eq!(
        (plain.made_by, plain.expires),
        (Some(maker.record.id), Some(ends))
    );
    let later = NewKey::generate(Algorithm::Hs256).expires(NOW.plus(Duration::from_hours(2)));
    assert_eq!(
        make(maker.record.id, later).await.expires,
        Some(ends),
        "no later"
    );
    let sooner = NOW.plus(Duration::from_mins(1));
    let order = NewKey::generate(Algorithm::Hs256).expires(sooner);
    assert_eq!(make(plain.id, order).await.expires, Some(sooner));
    let rotated = service
        .keys
        .rotate_key_by(plain.id, None, maker.record.id)
        .await;
    let rotated = rotated.expect("rotates").record;
    assert_eq!(rotated.made_by, Some(maker.record.id));
    let bystander = hmac(&service, &app).await.record.id;

    rig.reopen().await;
    let service = rig.service().await;
    let revoked = service
        .keys
        .revoke_key(maker.record.id)
        .await
        .expect("revokes");
    assert_eq!(revoked.made.len(), 4, "its own, and those that they made");
    for key in service.keys.list_keys(app.id).await.expect("lists") {
        let stands = key.state == KeyState::Active;
        assert_eq!(stands, key.id == bystander, "{}", key.id);
    }
    let again = service
        .keys
        .revoke_key(maker.record.id)
        .await
        .expect("is revoked");
    assert_eq!(again.made, []);
}

async fn a_later_rotation_of_its_maker_changes_nothing_for_a_key(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let maker = hmac(&service, &app).await.record.id;
    let order = NewKey::generate(Algorithm::Hs256).made_by(maker);
    let made = service
        .keys
        .create_key(app.id, order)
        .await
        .expect("creates")
        .record;
    let next = service
        .keys
        .rotate_key(maker, Some(Duration::from_mins(1)))
        .await;
    let next = next.expect("rotates").record;
    assert_eq!(next.made_by, None, "an operator made it");
    let found = service.keys.lookup_key(made.id).await.expect("is there");
    assert_eq!(found, made);
    service.keys.revoke_key(next.id).await.expect("revokes");
    let found = service.keys.lookup_key(made.id).await.expect("is there");
    assert_eq!(found.state, KeyState::Active);
    let kept = service.keys.revoke_key_alone(maker).await.expect("revokes");
    assert_eq!(kept.made, []);
    let found = service.keys.lookup_key(made.id).await.expect("is there");
    assert_eq!(found.state, KeyState::Active);
    let revoked = service.keys.revoke_key(maker).await.expect("is revoked");
    let made_ids: Vec<_> = revoked.made.iter().map(|key| key.id).collect();
    assert_eq!(
        made_ids,
        [made.id],
        "a key that was kept can be revoked later"
    );
}

async fn a_key_that_retires_or_is_of_another_app_makes_none(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let other = create(&service, "other").await.expect("creates");
    let (maker, target) = (hmac(&service, &app).await, hmac(&service, &app).await);
    let (maker, target) = (maker.record.id, target.record.id);
    let foreign = hmac(&service, &other).await.record.id;
    service.keys.rotate_key(maker, None).await.expect("rotates");
    let unknown = KeyId::generate(&SystemEntropy);
    for (by, code) in [
        (maker, "conflict"),
        (foreign, "not_found"),
        (unknown, "not_found"),
    ] {
        let order = NewKey::generate(Algorithm::Hs256).made_by(by);
        let refused = service.keys.create_key(app.id, order).await;
        assert_eq!(refused.expect_err("is refused").code().text(), code);
        let refused = service.keys.rotate_key_by(target, None, by).await;
        assert_eq!(refused.expect_err("is refused").code().text(), code);
    }
}

async fn an_id_that_was_released_is_free_for_another_app_alone(rig: &mut Rig) {
    let service = rig.service().await;
    let (app, owner) = (demo(&service).await, create(&service, "owner").await);
    let owner = owner.expect("creates");
    let id = KeyId::generate(&SystemEntropy);
    let order = |secret: &str| NewKey::hmac(id, Algorithm::Hs256, Secret::new(secret.repeat(32)));
    service
        .keys
        .create_key(app.id, order("a"))
        .await
        .expect("takes it");
    let api_key = service.keys.create_api_key(app.id, Some(id), "web").await;
    let api_key = api_key.expect("names it").id;
    let other = rig.service().await;
    other.keys.find_api_key(api_key).expect("is there");
    let taken = service.keys.create_key(owner.id, order("b")).await;
    assert_eq!(taken.expect_err("is taken").code().text(), "conflict");
    let released = service.keys.release_key(id).await.expect("releases");
    assert_eq!(released.record.state, KeyState::Revoked { at: NOW });
    let back = service.keys.create_key(app.id, order("c")).await;
    let message = "not by the same app again";
    assert_eq!(back.expect_err(message).code().text(), "conflict");
    let own = service
        .keys
        .create_key(owner.id, order("b"))
        .await
        .expect("takes it");
    assert_eq!(check(&service, &token(&own, NOW), NOW), Ok(()));
    other.keys.refresh().await.expect("follows");
    for node in [&service, &other] {
        let gone = node
            .keys
            .find_api_key(api_key)
            .expect_err("went with the id");
        assert_eq!(gone.code().text(), "not_found");
        assert_eq!(node.keys.list_api_keys(app.id).expect("lists"), []);
    }
    drop(other);
    rig.reopen().await;
    let service = rig.service().await;
    assert_eq!(check(&service, &token(&own, NOW), NOW), Ok(()));
    assert_eq!(service.keys.list_keys(app.id).await.expect("lists"), []);
    let signing = service
        .keys
        .signing_key(app.id)
        .expect_err("has none any more");
    assert_eq!(signing.code().text(), "no_signing_key");
    assert_eq!(service.keys.signing_key(owner.id).expect("signs").id, id);
}

async fn releasing_a_key_revokes_what_it_made(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let maker = hmac(&service, &app).await.record.id;
    let order = |by| NewKey::generate(Algorithm::Hs256).made_by(by);
    let child = service.keys.create_key(app.id, order(maker)).await;
    let child = child.expect("creates");
    let grandchild = service
        .keys
        .create_key(app.id, order(child.record.id))
        .await;
    let grandchild = grandchild.expect("creates");
    let released = service.keys.release_key(maker).await.expect("releases");
    let made: Vec<_> = released.made.iter().map(|key| key.id).collect();
    let mut wanted = [child.record.id, grandchild.record.id];
    wanted.sort_unstable();
    assert_eq!(made, wanted);
    for node in [&service, &rig.service().await] {
        for key in [&child, &grandchild] {
            let found = check(node, &token(key, NOW), NOW);
            assert_eq!(found, Err(Reason::KeyRevoked));
            let state = node
                .keys
                .lookup_key(key.record.id)
                .await
                .expect("reads")
                .state;
            assert_eq!(state, KeyState::Revoked { at: NOW });
        }
    }
    let again = service.keys.release_key(maker).await.expect("is released");
    assert_eq!(again.made, [], "twice is once");
}

async fn names_and_ids_are_taken_once(rig: &mut Rig) {
    let service = rig.service().await;
    let (first, second) = (
        demo(&service).await,
        create(&service, "second").await.expect("creates"),
    );
    let refused = create(&service, "demo").await.expect_err("is taken");
    assert!(matches!(refused, AppError::Exists { .. }) && refused.code().text() == "conflict");
    let id = KeyId::parse("b234fdb83571400f9b62e204d735126e").expect("an id");
    let order = || NewKey::hmac(id, Algorithm::Hs256, Secret::new("s".repeat(32)));
    let made = service
        .keys
        .create_key(first.id, order())
        .await
        .expect("imports");
    assert_eq!(made.record.id, id);
    let refused = service
        .keys
        .create_key(second.id, order())
        .await
        .expect_err("is taken");
    assert!(matches!(refused, KeyError::KeyExists { .. }) && refused.code().text() == "conflict");
    assert_eq!(check(&service, &token(&made, NOW), NOW), Ok(()));
    for name in ["demo", &first.id.to_string()] {
        assert_eq!(service.apps.find(name).expect("is there").id, first.id);
    }
    assert_eq!(
        service
            .apps
            .find("nobody")
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
    service.apps.disable(app.id).await.expect("disables");
    service.apps.disable(app.id).await.expect("is disabled");
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
    again.apps.enable(app.id).await.expect("enables");
    assert_eq!(check(&again, &token(&key, NOW), NOW), Ok(()));
}

async fn a_token_check_touches_no_database(rig: &mut Rig) {
    let service = rig.service().await;
    let app = demo(&service).await;
    let key = hmac(&service, &app).await;
    rig.database.close().await;
    assert_eq!(check(&service, &token(&key, NOW), NOW), Ok(()));
    let unknown = TokenBuilder::create()
        .key(KeyId::generate(&SystemEntropy).to_string(), "s".repeat(32))
        .identity("alice")
        .device("web1")
        .build_at(NOW)
        .expect("builds");
    assert_eq!(check(&service, &unknown, NOW), Err(Reason::KeyUnknown));
    assert_eq!(
        service.keys.signing_key(app.id).expect("signs").id,
        key.record.id
    );
    let refused = service
        .keys
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
            .keys
            .create_key(app.id, order)
            .await
            .expect_err("is refused");
        assert_eq!(refused.code().text(), "invalid_params", "{refused}");
    }
    assert_eq!(service.keys.list_keys(app.id).await.expect("lists"), []);
    let nobody = AppId::generate(&SystemEntropy);
    let refused = service
        .keys
        .create_key(nobody, NewKey::generate(Algorithm::Hs256))
        .await;
    assert_eq!(
        refused.expect_err("is not there").code().text(),
        "not_found"
    );
    let refused = service
        .revocations
        .revoke_issued_before(nobody, Scope::App, NOW)
        .await;
    assert_eq!(
        refused.expect_err("is not there").code().text(),
        "not_found"
    );
}
