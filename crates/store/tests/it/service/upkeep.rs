use std::time::Duration;

use hexline_model::{Entropy as _, Identity, SeededEntropy, Timestamp};
use hexline_services::RegistryServices;
use hexline_services::apps::{App, AppChanges, AppSettings, TokenLife};
use hexline_services::keys::CreatedKey;
use hexline_services::revocations::{Scope, TargetKind};
use hexline_token::{Reason, TokenBuilder};

use super::{check, demo, hmac, token};
use crate::rig::{NOW, Rig};

on_both!(
    revocations_are_swept_when_no_token_they_name_can_live,
    an_app_without_exp_keeps_its_revocations,
    what_was_revoked_stays_so_whatever_becomes_of_the_settings,
    what_may_have_been_forgotten_is_revoked_before_tokens_live_for_ever,
    uses_are_written_down_in_one_batch,
);

/// An app whose tokens have never lived longer than that.
async fn short_lived(service: &RegistryServices, name: &str, longest_ttl: Duration) -> App {
    let settings = AppSettings {
        longest_ttl,
        ..AppSettings::default()
    };
    service
        .apps
        .create(name.parse().expect("a name"), settings)
        .await
        .expect("creates")
}

async fn revocations_are_swept_when_no_token_they_name_can_live(rig: &mut Rig) {
    let service = rig.service().await;
    let app = short_lived(&service, "demo", Duration::from_hours(1)).await;
    let key = hmac(&service, &app).await;
    let exp = NOW.plus(Duration::from_mins(10));
    service
        .revocations
        .revoke_token(app.id, "short", Some(exp))
        .await
        .expect("revokes");
    service
        .revocations
        .revoke_token(app.id, "a-jti", None)
        .await
        .expect("revokes");
    service
        .revocations
        .revoke_issued_before(app.id, Scope::App, NOW)
        .await
        .expect("revokes");
    let left = async |at: Timestamp| {
        service.revocations.sweep(at).await.expect("sweeps");
        service
            .revocations
            .list(app.id, None, 9)
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
    service
        .apps
        .update(app.id, settings)
        .await
        .expect("updates");
    service
        .revocations
        .revoke_token(app.id, "unknown exp", None)
        .await
        .expect("revokes");
    service
        .revocations
        .revoke_issued_before(app.id, Scope::App, NOW)
        .await
        .expect("revokes");
    service
        .revocations
        .revoke_token(app.id, "known exp", Some(NOW))
        .await
        .expect("revokes");
    let far = NOW.plus(Duration::from_hours(100 * 365 * 24));
    assert_eq!(service.revocations.sweep(far).await.expect("sweeps"), 1);
}

/// A token, and what is known about it.
struct Made {
    whose: String,
    token: String,
    issued: Timestamp,
    expires: Timestamp,
    /// Whether the settings allowed it when it was made.
    allowed: bool,
    revoked: bool,
}

fn made(key: &CreatedKey, whose: &str, now: Timestamp, ttl: u64, settings: &AppSettings) -> Made {
    let secret = key.secret.as_ref().expect("an HMAC key has one");
    let builder = TokenBuilder::create()
        .key(key.record.id.to_string(), secret.expose())
        .identity(whose)
        .device("web1")
        .ttl(ttl);
    let life = Duration::from_secs(ttl);
    Made {
        whose: whose.to_owned(),
        token: builder.build_at(now).expect("builds"),
        issued: now,
        expires: now.plus(life),
        allowed: life <= settings.longest_ttl,
        revoked: false,
    }
}

// Regression: a lower longest_ttl let a sweep take revocations of tokens that a higher one let live
// again. Settings, revocations, sweeps and time in any order: what was revoked is never accepted,
// and what was accepted and not revoked is while it lives.
async fn what_was_revoked_stays_so_whatever_becomes_of_the_settings(rig: &mut Rig) {
    let service = rig.service().await;
    let entropy = SeededEntropy::new(7);
    let pick = |below: u64| {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    };
    let (mut revoked, mut swept) = (0, 0);
    for episode in 0..30 {
        let name = format!("app-{episode}");
        let app = short_lived(&service, &name, Duration::from_mins(1)).await;
        let key = hmac(&service, &app).await;
        let mut tokens: Vec<Made> = Vec::new();
        for _ in 0..25 {
            let settings = service.apps.find(&name).expect("is there").settings;
            let now = rig.advance(Duration::from_secs(pick(300)));
            let whose = format!("user{}", pick(3));
            match pick(6) {
                0 | 1 => tokens.push(made(&key, &whose, now, 1 + pick(6_000), &settings)),
                2 => {
                    let at = now.minus(Duration::from_secs(pick(100)));
                    let scope = Scope::Identity(Identity::parse(&whose).expect("an identity"));
                    let done = service
                        .revocations
                        .revoke_issued_before(app.id, scope, at)
                        .await;
                    done.expect("revokes");
                    for token in tokens.iter_mut().filter(|token| token.whose == whose) {
                        token.revoked |= token.issued.as_secs() <= at.as_secs();
                    }
                }
                3 => {
                    let changes = AppChanges {
                        longest_ttl: Some(Duration::from_secs(1 + pick(6_000) * pick(2))),
                        ..AppChanges::default()
                    };
                    service.apps.update(app.id, changes).await.expect("updates");
                }
                _ => swept += service.revocations.sweep(now).await.expect("sweeps"),
            }
            let settings = service.apps.find(&name).expect("is there").settings;
            for token in &tokens {
                let found = check(&service, &token.token, now);
                if token.revoked {
                    assert_ne!(found, Ok(()), "came back to life");
                }
                let lives =
                    token.expires > now && token.expires <= token.issued.plus(settings.longest_ttl);
                if lives && token.allowed && !token.revoked {
                    assert_eq!(found, Ok(()), "was never revoked");
                }
            }
        }
        revoked += tokens.iter().filter(|token| token.revoked).count();
    }
    assert!(revoked > 20 && swept > 20, "{revoked} and {swept}");
}

// The same for tokens that were dead for want of an `exp`.
async fn what_may_have_been_forgotten_is_revoked_before_tokens_live_for_ever(rig: &mut Rig) {
    let service = rig.service().await;
    let app = short_lived(&service, "demo", Duration::from_hours(1)).await;
    let now = rig.advance(Duration::from_hours(10));
    let changes = AppChanges {
        exp_required: Some(false),
        ..AppChanges::default()
    };
    let loosened = service.apps.update(app.id, changes).await.expect("updates");
    assert_eq!(loosened.longest_life, TokenLife::Unlimited);
    let marks = service.revocations.list(app.id, None, 9).await;
    let marks = marks.expect("lists");
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0].target.kind(), TargetKind::App);
    let ago = (now.as_millis() - marks[0].at.as_millis()) / 1000;
    assert_eq!(ago, 3600 + 21);
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
    let shown = service
        .keys
        .lookup_key(one)
        .await
        .expect("is there")
        .last_used;
    assert_eq!((shown, used(rig, one).await), (Some(NOW), None));
    assert_eq!(service.keys.flush_last_used().await.expect("writes"), 1);
    assert_eq!(service.keys.flush_last_used().await.expect("writes"), 0);
    assert_eq!(
        (used(rig, one).await, used(rig, two).await),
        (Some(NOW), None)
    );
    let later = rig.advance(Duration::from_secs(61));
    service.registry().touch(one, later);
    service.registry().touch(two, later);
    assert_eq!(service.keys.flush_last_used().await.expect("writes"), 2);
    assert_eq!(
        (used(rig, one).await, used(rig, two).await),
        (Some(later), Some(later))
    );
    assert!(!service.keys.refresh().await.expect("refreshes"));
    rig.reopen().await;
    let keys = rig
        .service()
        .await
        .keys
        .list_keys(app.id)
        .await
        .expect("lists");
    assert!(keys.iter().all(|key| key.last_used == Some(later)));
}
