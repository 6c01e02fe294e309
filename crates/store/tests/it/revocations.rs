use std::time::Duration;

use hexline_model::{Identity, Subject, Timestamp};
use hexline_services::apps::App;
use hexline_services::revocations::{
    Revocation, RevocationCursor, Scope, SweepHorizon, Target, TokenId,
};
use hexline_services::store::{ChangeError, Revision, StoreError};

use crate::rig::{NOW, Rig, app};

on_both!(
    every_kind_of_revocation_is_listed_as_it_was_added,
    revocations_are_listed_page_by_page,
    the_stricter_of_two_stays,
    a_revocation_without_its_app_is_refused,
    a_revocation_counts_as_a_change_whatever_came_before,
    a_sweep_takes_what_is_behind_its_horizon_and_nothing_else,
    a_sweep_without_a_horizon_keeps_what_may_name_the_living,
    a_sweep_by_older_settings_is_refused,
);

async fn revision(rig: &Rig) -> Revision {
    rig.stores().journal.revision().await.expect("reads")
}

fn at(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn token(app: &App, jti: &str, expires: Option<Timestamp>, at: Timestamp) -> Revocation {
    let target = Target::Token {
        jti: TokenId::parse(jti).expect("a jti"),
        expires,
    };
    Revocation {
        app: app.id,
        target,
        at,
    }
}

fn issued(app: &App, scope: Scope, at: Timestamp) -> Revocation {
    Revocation {
        app: app.id,
        target: Target::IssuedBefore(scope),
        at,
    }
}

fn identity(text: &str) -> Scope {
    Scope::Identity(Identity::parse(text).expect("an identity"))
}

fn device(text: &str) -> Scope {
    Scope::Device(Subject::parse(text).expect("a subject"))
}

async fn list(rig: &Rig, app: &App) -> Vec<Revocation> {
    rig.stores()
        .revocations
        .list(app.id, None, 100)
        .await
        .expect("reads")
}

async fn every_kind_of_revocation_is_listed_as_it_was_added(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let (other, _) = rig.add_app("other").await;
    // In the order of the list: by kind, then by subject.
    let all = [
        issued(&demo, Scope::App, at(1)),
        issued(&demo, device("alice/web"), at(2)),
        issued(&demo, identity("Zoë"), at(3)),
        issued(&demo, identity("alice"), at(4)),
        token(&demo, "a jti", None, at(5)),
        token(&demo, "b' or 1=1", Some(at(9)), at(6)),
    ];
    for revocation in all.iter().rev() {
        rig.stores()
            .revocations
            .add(revocation)
            .await
            .expect("adds");
    }
    rig.stores()
        .revocations
        .add(&issued(&other, identity("alice"), at(7)))
        .await
        .expect("adds");
    rig.reopen().await;
    assert_eq!(list(rig, &demo).await, all);
}

async fn revocations_are_listed_page_by_page(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    for n in 0..7 {
        let one = token(&demo, &format!("jti-{n}"), None, at(n));
        rig.stores().revocations.add(&one).await.expect("adds");
        let one = issued(&demo, identity(&format!("user-{n}")), at(n));
        rig.stores().revocations.add(&one).await.expect("adds");
    }
    let mut seen = Vec::new();
    let mut after: Option<RevocationCursor> = None;
    loop {
        let page = rig
            .stores()
            .revocations
            .list(demo.id, after.as_ref(), 3)
            .await
            .expect("reads");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.into());
        seen.extend(page);
    }
    assert_eq!(seen, list(rig, &demo).await);
    assert_eq!(seen.len(), 14);
}

async fn the_stricter_of_two_stays(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let revocations = rig.stores().revocations;
    for moment in [5, 9, 7] {
        revocations
            .add(&issued(&demo, Scope::App, at(moment)))
            .await
            .expect("adds");
    }
    for expires in [Some(20), Some(30), Some(25)] {
        revocations
            .add(&token(&demo, "a", expires.map(at), at(1)))
            .await
            .expect("adds");
    }
    for expires in [Some(20), None, Some(30)] {
        revocations
            .add(&token(&demo, "b", expires.map(at), at(1)))
            .await
            .expect("adds");
    }
    let expected = [
        issued(&demo, Scope::App, at(9)),
        token(&demo, "a", Some(at(30)), at(1)),
        token(&demo, "b", None, at(1)),
    ];
    assert_eq!(list(rig, &demo).await, expected);
}

async fn a_revocation_without_its_app_is_refused(rig: &mut Rig) {
    let orphan = issued(&app("nobody"), Scope::App, NOW);
    let refused = rig.stores().revocations.add(&orphan).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound { what: "app" })),
        "{refused:?}"
    );
}

async fn a_revocation_counts_as_a_change_whatever_came_before(rig: &mut Rig) {
    let (demo, start) = rig.add_app("demo").await;
    let another = rig.another().await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let stores = if n % 2 == 0 {
            rig.stores()
        } else {
            another.stores()
        };
        let one = issued(&demo, identity(&format!("user-{n}")), NOW);
        tasks.push(tokio::spawn(
            async move { stores.revocations.add(&one).await },
        ));
    }
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.expect("does not panic").expect("adds").count());
    }
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (1..=8).map(|n| start.count() + n).collect::<Vec<_>>()
    );
    another.close().await;
}

async fn a_sweep_takes_what_is_behind_its_horizon_and_nothing_else(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let (other, _) = rig.add_app("other").await;
    let kept = [
        issued(&demo, identity("kept"), at(50)),
        token(&demo, "at the horizon", Some(at(100)), at(1)),
        token(&demo, "kept", None, at(50)),
    ];
    let gone = [
        issued(&demo, Scope::App, at(49)),
        issued(&demo, device("gone/web"), at(49)),
        issued(&demo, identity("gone"), at(49)),
        token(&demo, "expired", Some(at(99)), at(60)),
        token(&demo, "old", None, at(49)),
    ];
    let elsewhere = issued(&other, Scope::App, at(1));
    for revocation in kept.iter().chain(&gone).chain([&elsewhere]) {
        rig.stores()
            .revocations
            .add(revocation)
            .await
            .expect("adds");
    }
    let before = rig.stores().journal.revision().await.expect("reads");
    let horizon = SweepHorizon {
        expired_before: at(100),
        issued_before: Some(at(50)),
    };
    assert!(gone.iter().all(|r| horizon.covers(r)) && !kept.iter().any(|r| horizon.covers(r)));
    assert_eq!(
        rig.stores()
            .revocations
            .sweep(demo.id, horizon, revision(rig).await)
            .await
            .expect("sweeps"),
        5
    );
    assert_eq!(list(rig, &demo).await, kept);
    assert_eq!(list(rig, &other).await, [elsewhere]);
    assert_eq!(
        rig.stores().journal.revision().await.expect("reads"),
        before
    );
}

async fn a_sweep_without_a_horizon_keeps_what_may_name_the_living(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let kept = [
        issued(&demo, Scope::App, at(1)),
        token(&demo, "unknown", None, at(1)),
    ];
    for revocation in kept
        .iter()
        .chain([&token(&demo, "expired", Some(at(2)), at(1))])
    {
        rig.stores()
            .revocations
            .add(revocation)
            .await
            .expect("adds");
    }
    let horizon = SweepHorizon {
        expired_before: at(1_000_000),
        issued_before: None,
    };
    assert_eq!(
        rig.stores()
            .revocations
            .sweep(demo.id, horizon, revision(rig).await)
            .await
            .expect("sweeps"),
        1
    );
    assert_eq!(list(rig, &demo).await, kept);
}

// Regression: a node that had not heard of looser settings yet swept by the tighter ones.
async fn a_sweep_by_older_settings_is_refused(rig: &mut Rig) {
    let (demo, old) = rig.add_app("demo").await;
    let kept = [issued(&demo, Scope::App, at(1))];
    rig.stores().revocations.add(&kept[0]).await.expect("adds");
    let horizon = SweepHorizon {
        expired_before: at(2),
        issued_before: Some(at(2)),
    };
    let refused = rig.stores().revocations.sweep(demo.id, horizon, old).await;
    assert!(
        matches!(refused, Err(ChangeError::Stale { .. })),
        "{refused:?}"
    );
    assert_eq!(list(rig, &demo).await, kept);
}
