use std::time::Duration;

use hexline_model::Timestamp;
use hexline_services::keys::{AppSettings, Scope};
use hexline_token::Reason;

use super::{check, demo, hmac, token};
use crate::rig::{NOW, Rig};

on_both!(
    revocations_are_swept_when_no_token_they_name_can_live,
    an_app_without_exp_keeps_its_revocations,
    uses_are_written_down_in_one_batch,
);

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
