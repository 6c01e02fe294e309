use std::time::Duration;

use hexline_model::{Identity, Subject, Timestamp};
use hexline_services::apps::App;
use hexline_services::revocations::{HeldOut, Hold, HoldCursor};
use hexline_services::store::{Revision, StoreError};

use crate::rig::{NOW, Rig, app};

on_both!(
    holds_are_listed_page_by_page_until_they_end,
    the_later_end_of_two_holds_stays,
    a_hold_that_is_lifted_ends_then_and_is_told_to_others,
    a_hold_without_its_app_is_refused,
    a_sweep_takes_holds_that_ended_before_then,
    a_deleted_app_takes_its_holds_with_it,
);

fn at(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn identity(text: &str) -> HeldOut {
    HeldOut::Identity(Identity::parse(text).expect("an identity"))
}

fn device(text: &str) -> HeldOut {
    HeldOut::Device(Subject::parse(text).expect("a subject"))
}

fn hold(app: &App, who: HeldOut, until: Timestamp) -> Hold {
    Hold {
        app: app.id,
        who,
        until,
    }
}

async fn add(rig: &Rig, hold: &Hold) -> Timestamp {
    rig.stores().holds.add(hold).await.expect("adds").0
}

async fn list(rig: &Rig, app: &App, now: Timestamp) -> Vec<Hold> {
    let holds = rig.stores().holds.list(app.id, now, None, 100).await;
    holds.expect("reads")
}

async fn revision(rig: &Rig) -> Revision {
    rig.stores().journal.revision().await.expect("reads")
}

async fn holds_are_listed_page_by_page_until_they_end(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let (other, _) = rig.add_app("other").await;
    // In the order of the list: by kind, then by name.
    let all = [
        hold(&demo, device("alice/web"), at(10)),
        hold(&demo, device("bob/web"), at(20)),
        hold(&demo, identity("Zoë"), at(30)),
        hold(&demo, identity("alice"), at(40)),
    ];
    for one in all.iter().rev() {
        add(rig, one).await;
    }
    add(rig, &hold(&other, identity("alice"), at(99))).await;
    rig.reopen().await;
    assert_eq!(list(rig, &demo, NOW).await, all);
    assert_eq!(list(rig, &demo, at(20)).await, all[2..]);
    let (mut seen, mut after): (Vec<Hold>, Option<HoldCursor>) = (Vec::new(), None);
    loop {
        let holds = rig.stores().holds;
        let page = holds.list(demo.id, NOW, after.as_ref(), 3).await;
        let page = page.expect("reads");
        let Some(last) = page.last() else { break };
        after = Some(last.into());
        seen.extend(page);
    }
    assert_eq!(seen, all);
}

async fn the_later_end_of_two_holds_stays(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    for (until, stays) in [(20, 20), (50, 50), (30, 50)] {
        let added = add(rig, &hold(&demo, identity("alice"), at(until))).await;
        assert_eq!(added, at(stays));
    }
    let stays = [hold(&demo, identity("alice"), at(50))];
    assert_eq!(list(rig, &demo, NOW).await, stays);
}

async fn a_hold_that_is_lifted_ends_then_and_is_told_to_others(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let holds = rig.stores().holds;
    add(rig, &hold(&demo, identity("alice"), at(50))).await;
    let before = revision(rig).await;
    let nobody = holds.lift(demo.id, &device("alice/web"), at(1)).await;
    assert_eq!(nobody.expect("looks"), None);
    assert_eq!(revision(rig).await, before, "nothing changed");
    let lifted = holds.lift(demo.id, &identity("alice"), at(1)).await;
    assert_eq!(lifted.expect("lifts"), Some(before.next()));
    let again = holds.lift(demo.id, &identity("alice"), at(1)).await;
    assert_eq!(again.expect("looks"), None);
    assert_eq!(list(rig, &demo, at(1)).await, []);
    let told = rig.stores().journal.since(before).await.expect("reads");
    assert_eq!(told.holds, [hold(&demo, identity("alice"), at(1))]);
}

async fn a_hold_without_its_app_is_refused(rig: &mut Rig) {
    let nowhere = app("nowhere");
    let refused = rig.stores().holds;
    let refused = refused.add(&hold(&nowhere, identity("alice"), at(1))).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound { .. })),
        "{refused:?}"
    );
}

async fn a_sweep_takes_holds_that_ended_before_then(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    add(rig, &hold(&demo, identity("alice"), at(10))).await;
    add(rig, &hold(&demo, identity("bob"), at(20))).await;
    let before = revision(rig).await;
    let holds = rig.stores().holds;
    assert_eq!(holds.sweep(at(20)).await.expect("sweeps"), 1);
    assert_eq!(holds.sweep(at(20)).await.expect("sweeps"), 0);
    assert_eq!(revision(rig).await, before);
    let left = [hold(&demo, identity("bob"), at(20))];
    assert_eq!(list(rig, &demo, NOW).await, left);
}

async fn a_deleted_app_takes_its_holds_with_it(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    add(rig, &hold(&demo, identity("alice"), at(10))).await;
    let removed = rig
        .stores()
        .apps
        .remove(demo.id, NOW, revision.next())
        .await;
    removed.expect("removes");
    assert_eq!(list(rig, &demo, NOW).await, []);
}
