use std::time::Duration;

use hexline_model::{ApiKey, AppId, Device, Identity, SystemEntropy, Timestamp};
use hexline_services::apps::AppStore as _;
use hexline_services::auth::{AuthStore, Family, OnceKind, SignIn};
use hexline_services::store::{Revision, StoreError};
use serde_json::json;

use crate::rig::{NOW, Rig, app};

on_both!(
    settings_are_kept_by_the_app_and_replaced,
    settings_of_a_newer_node_survive_a_change_by_this_one,
    what_is_good_once_is_taken_once_and_in_time,
    what_was_used_is_known_again,
    a_line_turns_only_from_its_current_token,
    a_revoked_line_never_turns_again,
    lines_are_listed_by_app_and_user_page_by_page,
    a_user_without_a_name_goes_with_all_that_is_known_of_them,
    what_is_over_is_swept_and_nothing_else,
    nothing_is_kept_of_an_app_that_is_not_there,
);

fn at(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn identity(text: &str) -> Identity {
    Identity::parse(text).expect("an identity")
}

async fn an_app(rig: &Rig, name: &str) -> AppId {
    let app = app(name);
    let revision = rig.stores().journal.revision().await.expect("reads");
    let added = rig.stores().apps.add(&app, revision).await;
    let _: Revision = added.expect("the app is new");
    app.id
}

fn family(app: AppId, id: &str, user: &str) -> Family {
    Family {
        id: id.to_owned(),
        app,
        api_key: ApiKey::generate(&SystemEntropy),
        strategy: "acme".to_owned(),
        identity: identity(user),
        device: Device::parse("web").expect("a device"),
        body: "{}".to_owned(),
        created: at(0),
        expires: at(100),
        current: "hash-1".to_owned(),
        previous: None,
        rotated: at(0),
        revoked: None,
    }
}

async fn settings_of_a_newer_node_survive_a_change_by_this_one(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let put = store.put_settings(app, &SignIn::default(), at(0)).await;
    put.expect("puts");
    let newer = r#"{"passkeys":{"enabled":true},"anonymous":{"enabled":false,"invites":7}}"#;
    rig.execute(&format!("update auth_settings set settings = '{newer}'"))
        .await;

    let read = store.settings(app).await.expect("reads");
    let mut settings = read.expect("they are there");
    assert_eq!(settings, SignIn::default());
    settings.anonymous.enabled = true;
    let put = store.put_settings(app, &settings, at(1)).await;
    put.expect("puts");

    let read = store.settings(app).await.expect("reads");
    assert_eq!(read, Some(settings));
    let stored = rig.text("select settings from auth_settings").await;
    let stored: serde_json::Value = serde_json::from_str(&stored).expect("is JSON");
    assert_eq!(stored["passkeys"], json!({"enabled": true}));
    assert_eq!(stored["anonymous"]["invites"], json!(7));
    assert_eq!(stored["anonymous"]["enabled"], json!(true));
}

async fn settings_are_kept_by_the_app_and_replaced(rig: &mut Rig) {
    let (one, two) = (an_app(rig, "one").await, an_app(rig, "two").await);
    let store: &dyn AuthStore = &rig.database;
    assert_eq!(store.settings(one).await.expect("reads"), None);
    let mut settings = SignIn::default();
    for enabled in [true, false] {
        settings.anonymous.enabled = enabled;
        let put = store.put_settings(one, &settings, at(0)).await;
        put.expect("writes");
        let found = store.settings(one).await.expect("reads");
        assert_eq!(found.as_ref(), Some(&settings));
    }
    settings.anonymous.grants = json!({"signal": {"channels": ["é"]}});
    store
        .put_settings(two, &settings, at(0))
        .await
        .expect("writes");
    assert_eq!(store.settings(two).await.expect("reads"), Some(settings));
}

async fn what_is_good_once_is_taken_once_and_in_time(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    for hash in ["a", "b"] {
        let added = store
            .add_once(app, hash, OnceKind::Flow, "{}", at(10))
            .await;
        assert!(added.expect("writes"));
    }
    let take = |hash, kind, now| store.take_once(hash, kind, now);
    // It is what it was made for, and nothing else.
    assert_eq!(
        take("a", OnceKind::Login, at(1)).await.expect("reads"),
        None
    );
    let taken = take("a", OnceKind::Flow, at(10)).await.expect("reads");
    assert_eq!(taken, Some((app, "{}".to_owned())));
    assert_eq!(take("a", OnceKind::Flow, at(1)).await.expect("reads"), None);
    assert_eq!(
        take("b", OnceKind::Flow, at(11)).await.expect("reads"),
        None
    );
}

async fn what_was_used_is_known_again(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let use_it = || store.add_once(app, "a", OnceKind::IdToken, "", at(10));
    let (one, two, three) = tokio::join!(use_it(), use_it(), use_it());
    let taken = [one, two, three].map(|taken| taken.expect("writes"));
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    assert!(!use_it().await.expect("writes"));
}

async fn a_line_turns_only_from_its_current_token(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let line = family(app, "f1", "alice");
    store.add_family(&line).await.expect("writes");
    assert!(store.lookup_family("f1").await.expect("reads") == Some(line.clone()));
    let next = Family {
        current: "hash-2".to_owned(),
        previous: Some("hash-1".to_owned()),
        rotated: at(5),
        expires: at(105),
        ..line
    };
    let turn = || store.rotate_family(&next, "hash-1");
    let (one, two) = tokio::join!(turn(), turn());
    assert_ne!(one.expect("writes"), two.expect("writes"));
    assert!(!turn().await.expect("writes"));
    assert!(store.lookup_family("f1").await.expect("reads") == Some(next));
}

async fn a_revoked_line_never_turns_again(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let line = family(app, "f1", "alice");
    store.add_family(&line).await.expect("writes");
    for later in [1, 2] {
        store.revoke_family("f1", at(later)).await.expect("writes");
    }
    let found = store.lookup_family("f1").await.expect("reads");
    assert_eq!(found.and_then(|line| line.revoked), Some(at(1)));
    assert!(!store.rotate_family(&line, "hash-1").await.expect("writes"));
}

async fn lines_are_listed_by_app_and_user_page_by_page(rig: &mut Rig) {
    let (one, two) = (an_app(rig, "one").await, an_app(rig, "two").await);
    let store: &dyn AuthStore = &rig.database;
    for (app, id, user) in [
        (one, "f1", "alice"),
        (one, "f2", "bob"),
        (two, "f3", "alice"),
        (one, "f4", "alice"),
        (one, "f5", "alice"),
    ] {
        store
            .add_family(&family(app, id, user))
            .await
            .expect("writes");
    }
    store.revoke_family("f5", at(1)).await.expect("writes");
    let list = async |app: Option<AppId>, user: Option<&str>, after: &str, limit| {
        let user = user.map(identity);
        let found = store.list_families(app, user.as_ref(), after, limit).await;
        let found = found.expect("reads").into_iter();
        found.map(|line| line.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, "", 10).await, ["f1", "f2", "f3", "f4"]);
    assert_eq!(list(Some(one), None, "", 2).await, ["f1", "f2"]);
    assert_eq!(list(Some(one), None, "f2", 2).await, ["f4"]);
    assert_eq!(list(Some(one), Some("alice"), "", 10).await, ["f1", "f4"]);
    assert!(list(Some(two), Some("bob"), "", 10).await.is_empty());
}

async fn a_user_without_a_name_goes_with_all_that_is_known_of_them(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let (early, late) = (identity("anon-1"), identity("anon-2"));
    for (user, end) in [(&early, 10), (&late, 20)] {
        let added = store.add_anonymous(app, user, at(0), at(end)).await;
        added.expect("writes");
    }
    let again = store.add_anonymous(app, &early, at(0), at(10)).await;
    assert!(
        matches!(again, Err(StoreError::Conflict { .. })),
        "{again:?}"
    );
    store
        .add_family(&family(app, "f1", "anon-1"))
        .await
        .expect("writes");
    assert!(
        store
            .ended_anonymous(at(10), 10)
            .await
            .expect("reads")
            .is_empty()
    );
    let ended = store.ended_anonymous(at(11), 10).await.expect("reads");
    assert_eq!(ended, [(app, early.clone())]);
    store.remove_anonymous(app, &early).await.expect("writes");
    assert!(
        store
            .ended_anonymous(at(11), 10)
            .await
            .expect("reads")
            .is_empty()
    );
    assert!(store.lookup_family("f1").await.expect("reads").is_none());
    let both = store.ended_anonymous(at(30), 10).await.expect("reads");
    assert_eq!(both, [(app, late)]);
}

async fn what_is_over_is_swept_and_nothing_else(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    for (hash, end) in [("a", 10), ("b", 20)] {
        let added = store
            .add_once(app, hash, OnceKind::IdToken, "", at(end))
            .await;
        assert!(added.expect("writes"));
    }
    store
        .add_family(&family(app, "f1", "alice"))
        .await
        .expect("writes");
    assert_eq!(store.sweep(at(10)).await.expect("writes"), 0);
    assert_eq!(store.sweep(at(11)).await.expect("writes"), 1);
    assert_eq!(store.sweep(at(101)).await.expect("writes"), 2);
    assert!(store.lookup_family("f1").await.expect("reads").is_none());
}

async fn nothing_is_kept_of_an_app_that_is_not_there(rig: &mut Rig) {
    let app = an_app(rig, "one").await;
    let store: &dyn AuthStore = &rig.database;
    let settings = SignIn::default();
    store
        .put_settings(app, &settings, at(0))
        .await
        .expect("writes");
    let added = store.add_once(app, "a", OnceKind::Flow, "{}", at(10)).await;
    assert!(added.expect("writes"));
    store
        .add_family(&family(app, "f1", "alice"))
        .await
        .expect("writes");
    let added = store
        .add_anonymous(app, &identity("anon-1"), at(0), at(10))
        .await;
    added.expect("writes");
    let revision = rig.stores().journal.revision().await.expect("reads");
    let removed = rig.database.remove(app, at(1), revision).await;
    removed.expect("the app is there");
    assert_eq!(store.settings(app).await.expect("reads"), None);
    assert!(store.lookup_family("f1").await.expect("reads").is_none());
    assert!(
        store
            .ended_anonymous(at(99), 10)
            .await
            .expect("reads")
            .is_empty()
    );
    let late = store.put_settings(app, &settings, at(2)).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
    let late = store.add_family(&family(app, "f2", "alice")).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
}
