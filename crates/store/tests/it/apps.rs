use std::time::Duration;

use hexline_model::{AppId, KeyId, SystemEntropy};
use hexline_services::apps::{App, AppLimits, AppName, AppSettings, TokenLife};
use hexline_services::revocations::{Revocation, Scope, Target};
use hexline_services::store::{ChangeError, Revision, StoreError};
use serde_json::json;

use crate::rig::{NOW, Rig, app};

on_both!(
    an_app_is_found_by_id_and_name_as_it_was_added,
    a_name_and_an_id_are_taken_once,
    an_update_replaces_what_may_change,
    settings_of_a_newer_node_survive_a_change_by_this_one,
    an_update_brings_its_mark_with_it_or_not_at_all,
    an_app_that_is_not_there_can_not_be_updated,
    a_change_on_an_old_revision_is_refused_and_changes_nothing,
    apps_are_listed_by_the_bytes_of_their_names_page_by_page,
    apps_survive_a_restart,
    two_apps_never_have_one_name,
    what_is_not_there_can_not_be_removed,
);

async fn an_app_is_found_by_id_and_name_as_it_was_added(rig: &mut Rig) {
    let apps = rig.stores().apps;
    let demo = App {
        disabled: Some(NOW),
        signing_key: Some(KeyId::generate(&SystemEntropy)),
        settings: AppSettings {
            longest_ttl: Duration::from_mins(5),
            exp_required: false,
            audiences: vec!["https://api.example.org/ü?".to_owned()],
            origins: vec!["https://example.org".to_owned()],
            limits: AppLimits {
                connections: Some(3),
                ..AppLimits::default()
            },
        },
        ..app("demo")
    };
    apps.add(&demo, Revision::default()).await.expect("adds");
    assert_eq!(
        apps.lookup(demo.id).await.expect("reads"),
        Some(demo.clone())
    );
    assert_eq!(
        apps.find_by_name(&demo.name).await.expect("reads"),
        Some(demo)
    );
    let nobody = AppName::parse("nobody").expect("a name");
    assert_eq!(apps.find_by_name(&nobody).await.expect("reads"), None);
    assert_eq!(
        apps.lookup(AppId::generate(&SystemEntropy))
            .await
            .expect("reads"),
        None
    );
}

async fn a_name_and_an_id_are_taken_once(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let apps = rig.stores().apps;
    for twin in [
        app("demo"),
        App {
            id: demo.id,
            ..app("other")
        },
    ] {
        let refused = apps.add(&twin, revision).await;
        assert!(
            matches!(
                refused,
                Err(ChangeError::Store(StoreError::Conflict { what: "app" }))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(
        rig.stores().journal.revision().await.expect("reads"),
        revision
    );
}

async fn an_update_replaces_what_may_change(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let apps = rig.stores().apps;
    let changed = App {
        disabled: Some(NOW),
        settings: AppSettings {
            exp_required: false,
            ..AppSettings::default()
        },
        longest_life: TokenLife::Unlimited,
        signing_key: Some(KeyId::generate(&SystemEntropy)),
        ..demo.clone()
    };
    let changed = App {
        name: AppName::parse("renamed").expect("a name"),
        ..changed
    };
    assert_eq!(
        apps.update(&changed, None, revision)
            .await
            .expect("updates"),
        revision.next()
    );
    assert_eq!(apps.lookup(demo.id).await.expect("reads"), Some(changed));
    assert_eq!(
        apps.update(&demo, None, revision.next())
            .await
            .expect("updates")
            .count(),
        3
    );
    assert_eq!(apps.lookup(demo.id).await.expect("reads"), Some(demo));
}

async fn settings_of_a_newer_node_survive_a_change_by_this_one(rig: &mut Rig) {
    let stores = rig.stores();
    let mut app = app("demo");
    let revision = stores.apps.add(&app, Revision::default()).await;
    let revision = revision.expect("adds");
    let newer = r#"{"longest_ttl":60,"rooms":{"most":3},"limits":{"rooms":2}}"#;
    rig.execute(&format!(
        "update apps set settings = '{newer}' where id = '{}'",
        app.id
    ))
    .await;

    let read = stores.apps.lookup(app.id).await.expect("reads");
    app.settings = read.expect("it is there").settings;
    assert_eq!(app.settings.longest_ttl, Duration::from_mins(1));
    app.settings.limits.connections = Some(5);
    app.settings.exp_required = false;
    let updated = stores.apps.update(&app, None, revision).await;
    updated.expect("updates");

    let read = stores.apps.lookup(app.id).await.expect("reads");
    assert_eq!(read.expect("it is there").settings, app.settings);
    let stored = rig.text("select settings from apps").await;
    let stored: serde_json::Value = serde_json::from_str(&stored).expect("is JSON");
    assert_eq!(stored["rooms"], json!({"most": 3}));
    assert_eq!(stored["limits"]["rooms"], json!(2));
    assert_eq!(stored["limits"]["connections"], json!(5));
    assert_eq!(stored["exp_required"], json!(false));
}

async fn an_update_brings_its_mark_with_it_or_not_at_all(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let stores = rig.stores();
    let mark = Revocation {
        app: demo.id,
        target: Target::IssuedBefore(Scope::App),
        at: NOW,
    };
    stores
        .apps
        .update(&demo, Some(&mark), revision.next())
        .await
        .expect_err("is stale");
    let changes = stores.journal.since(revision).await.expect("reads");
    assert_eq!(changes.revocations, []);
    stores
        .apps
        .update(&demo, Some(&mark), revision)
        .await
        .expect("updates");
    let changes = stores.journal.since(revision).await.expect("reads");
    assert_eq!(
        (changes.apps, changes.revocations),
        (vec![demo], vec![mark])
    );
}

async fn an_app_that_is_not_there_can_not_be_updated(rig: &mut Rig) {
    let refused = rig
        .stores()
        .apps
        .update(&app("demo"), None, Revision::default())
        .await;
    assert!(
        matches!(
            refused,
            Err(ChangeError::Store(StoreError::NotFound { what: "app" }))
        ),
        "{refused:?}"
    );
    assert_eq!(
        rig.stores().journal.revision().await.expect("reads"),
        Revision::default()
    );
}

async fn a_change_on_an_old_revision_is_refused_and_changes_nothing(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let apps = rig.stores().apps;
    let late = apps.add(&app("late"), Revision::default()).await;
    assert!(matches!(late, Err(ChangeError::Stale { expected }) if expected.count() == 0));
    let changed = App {
        disabled: Some(NOW),
        ..demo.clone()
    };
    let early = apps.update(&changed, None, revision.next()).await;
    assert!(matches!(early, Err(ChangeError::Stale { .. })), "{early:?}");
    assert_eq!(apps.list(None, 10).await.expect("reads"), [demo]);
}

async fn apps_are_listed_by_the_bytes_of_their_names_page_by_page(rig: &mut Rig) {
    // Sorted as a language would, "a-b" stands after "aa" and digits elsewhere.
    for name in ["b", "a-b", "aa", "a", "9", "ab"] {
        rig.add_app(name).await;
    }
    let apps = rig.stores().apps;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = apps.list(after.as_ref(), 2).await.expect("reads");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        seen.extend(page.into_iter().map(|app| app.name.to_string()));
    }
    assert_eq!(seen, ["9", "a", "a-b", "aa", "ab", "b"]);
}

async fn apps_survive_a_restart(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    rig.reopen().await;
    assert_eq!(
        rig.stores().apps.lookup(demo.id).await.expect("reads"),
        Some(demo)
    );
}

async fn two_apps_never_have_one_name(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    let (other, revision) = rig.add_app("other").await;
    let twin = App {
        name: demo.name.clone(),
        ..other
    };
    let refused = rig.stores().apps.update(&twin, None, revision).await;
    assert!(
        matches!(
            refused,
            Err(ChangeError::Store(StoreError::Conflict { what: "app" }))
        ),
        "{refused:?}"
    );
}

async fn what_is_not_there_can_not_be_removed(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let apps = rig.stores().apps;
    let nobody = apps.remove(app("nobody").id, NOW, revision).await;
    assert!(
        matches!(
            nobody,
            Err(ChangeError::Store(StoreError::NotFound { what: "app" }))
        ),
        "{nobody:?}"
    );
    let stale = apps.remove(demo.id, NOW, Revision::default()).await;
    assert!(matches!(stale, Err(ChangeError::Stale { .. })), "{stale:?}");
    assert_eq!(
        apps.list(None, 10).await.expect("reads"),
        std::slice::from_ref(&demo)
    );
    let gone = apps.remove(demo.id, NOW, revision).await.expect("removes");
    assert_eq!(apps.list(None, 10).await.expect("reads"), []);
    let journal = rig.stores().journal;
    let changes = journal.since(revision).await.expect("reads");
    assert_eq!((changes.revision, changes.deleted), (gone, vec![demo.id]));
    let later = journal.since(gone).await.expect("reads");
    assert_eq!(later.deleted, []);
}
