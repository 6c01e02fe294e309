use hexline_model::{AppId, AuditId, KeyId, OperatorId, SystemEntropy, Timestamp};
use hexline_services::actor::Actor;
use hexline_services::audit::{Actions, AuditCursor, AuditStore as _, Entry, Filter, Recorded};
use serde_json::json;

use crate::rig::{Rig, app};

on_both!(
    an_entry_is_read_as_it_was_written_and_written_once,
    entries_come_newest_first_page_by_page_even_of_one_moment,
    entries_are_filtered_by_app_actor_action_and_time,
    a_reader_of_some_apps_gets_the_entries_of_those,
    what_is_old_is_removed_in_parts,
    entries_outlive_their_app,
    what_an_apps_entries_take_is_counted,
);

async fn an_entry_is_read_as_it_was_written_and_written_once(rig: &mut Rig) {
    let full = Recorded {
        entry: Entry::new(
            operator("ü@example.org"),
            "key.create",
            Some(app_id()),
            "'; %_\\",
        )
        .from("2001:db8::1")
        .detail(json!({"label": "ü \u{0}", "n": [1, null]})),
        ..entry(5, Actor::System, "x.y", None)
    };
    let others = [
        full,
        entry(
            4,
            Actor::Platform {
                key: KeyId::generate(&SystemEntropy),
            },
            "a.b",
            None,
        ),
        entry(3, Actor::Cli, "a.b", None),
        entry(2, Actor::System, "a.b", None),
    ];
    rig.database.add(&others).await.expect("adds");
    rig.database.add(&others[1..3]).await.expect("adds nothing");
    assert_eq!(list(rig, &Filter::default()).await, others);
    rig.reopen().await;
    assert_eq!(list(rig, &Filter::default()).await, others);
}

async fn entries_come_newest_first_page_by_page_even_of_one_moment(rig: &mut Rig) {
    let entries: Vec<_> = (0..10)
        .map(|n| entry(n / 4, Actor::Cli, "a.b", None))
        .collect();
    rig.database.add(&entries).await.expect("adds");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = rig.database.list(&Filter::default(), after, 3).await;
        let page: Vec<Recorded> = page.expect("lists");
        after = page.last().map(AuditCursor::behind);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 10);
    assert!(seen.is_sorted_by(|a, b| (a.at, a.id) > (b.at, b.id)));
}

async fn entries_are_filtered_by_app_actor_action_and_time(rig: &mut Rig) {
    let (one, two) = (app_id(), app_id());
    let olga = operator("olga@example.org");
    let entries = [
        entry(4, olga.clone(), "key.create", Some(one)),
        entry(3, Actor::Cli, "key.revoke", Some(two)),
        entry(2, olga.clone(), "keyring.x", None),
        entry(1, Actor::System, "app.create", Some(one)),
    ];
    rig.database.add(&entries).await.expect("adds");
    let actor = |text: &str| Filter {
        actor: Some(text.to_owned()),
        ..Filter::default()
    };
    let action = |text: &str| Filter {
        action: Some(Actions::parse(text)),
        ..Filter::default()
    };
    let at = |from: Option<i64>, until: Option<i64>| Filter {
        from: from.map(Timestamp::from_millis),
        until: until.map(Timestamp::from_millis),
        ..Filter::default()
    };
    let of = |app| Filter {
        app: Some(app),
        ..Filter::default()
    };
    for (filter, wanted) in [
        (of(one), vec![0, 3]),
        (of(app_id()), vec![]),
        (actor("olga@example.org"), vec![0, 2]),
        (actor(&olga.id().expect("an id")), vec![0, 2]),
        (actor("cli"), vec![1]),
        (actor("' or 1=1"), vec![]),
        (action("key.create"), vec![0]),
        (action("key.*"), vec![0, 1]),
        (action("key*"), vec![0, 1, 2]),
        (action("*"), vec![0, 1, 2, 3]),
        (action("key.%"), vec![]),
        (at(Some(2), Some(4)), vec![1, 2]),
        (at(None, Some(2)), vec![3]),
        (at(Some(i64::MIN), Some(i64::MAX)), vec![0, 1, 2, 3]),
    ] {
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|n: usize| entries[n].clone())
            .collect();
        assert_eq!(list(rig, &filter).await, wanted, "{filter:?}");
    }
}

async fn a_reader_of_some_apps_gets_the_entries_of_those(rig: &mut Rig) {
    let apps = [app_id(), app_id(), app_id()];
    let entries: Vec<_> = (0..4_usize)
        .map(|n| {
            let app = apps.get(n).copied();
            entry(
                10 - i64::try_from(n).expect("small"),
                Actor::Cli,
                "a.b",
                app,
            )
        })
        .collect();
    rig.database.add(&entries).await.expect("adds");
    let seen = async |rig: &Rig, visible: &[AppId]| {
        let visible = Some(visible.to_vec());
        let filter = Filter {
            visible,
            ..Filter::default()
        };
        list(rig, &filter).await
    };
    assert_eq!(
        seen(rig, &[apps[0], apps[2]]).await,
        [entries[0].clone(), entries[2].clone()]
    );
    assert!(seen(rig, &[]).await.is_empty(), "nobody's apps");
    assert!(seen(rig, &[app_id()]).await.is_empty());
    let filter = Filter {
        app: Some(apps[1]),
        visible: Some(vec![apps[0]]),
        ..Filter::default()
    };
    assert!(list(rig, &filter).await.is_empty());
}

async fn what_is_old_is_removed_in_parts(rig: &mut Rig) {
    let entries: Vec<_> = (0..5).map(|n| entry(n, Actor::Cli, "a.b", None)).collect();
    rig.database.add(&entries).await.expect("adds");
    let horizon = Timestamp::from_millis(3);
    for removed in [2, 1, 0] {
        let done = rig.database.remove_before(horizon, 2).await;
        assert_eq!(done.expect("removes"), removed);
    }
    let left = list(rig, &Filter::default()).await;
    assert_eq!(left, [entries[4].clone(), entries[3].clone()]);
}

async fn entries_outlive_their_app(rig: &mut Rig) {
    let (shop, revision) = rig.add_app("shop").await;
    let told = entry(1, Actor::Cli, "app.create", Some(shop.id));
    rig.database
        .add(std::slice::from_ref(&told))
        .await
        .expect("adds");
    let removed = rig.stores().apps.remove(shop.id, told.at, revision).await;
    removed.expect("removes");
    assert_eq!(list(rig, &Filter::default()).await, [told]);
}

async fn what_an_apps_entries_take_is_counted(rig: &mut Rig) {
    let (shop, _) = rig.add_app("shop").await;
    let used = async |app: AppId| rig.database.used(app).await.expect("reads");
    let entries: Vec<_> = (0..10)
        .map(|n| entry(n, Actor::Cli, "key.create", Some(shop.id)))
        .chain([entry(3, Actor::Cli, "operator.invite", None)])
        .collect();
    rig.database.add(&entries).await.expect("adds");
    rig.database
        .add(&entries[2..4])
        .await
        .expect("adds nothing");
    let each = entries[0].entry.bytes();
    assert_eq!(used(shop.id).await, 10 * each);
    assert_eq!(used(app_id()).await, 0);
    let removed = rig.database.remove_before(Timestamp::from_millis(4), 100);
    assert_eq!(removed.await.expect("removes"), 5);
    assert_eq!(used(shop.id).await, 6 * each);
    rig.reopen().await;
    assert_eq!(rig.database.used(shop.id).await.expect("reads"), 6 * each);
}

async fn list(rig: &Rig, filter: &Filter) -> Vec<Recorded> {
    let found = rig.database.list(filter, None, 100).await;
    found.expect("lists")
}

fn entry(at_ms: i64, actor: Actor, action: &str, app: Option<AppId>) -> Recorded {
    Recorded {
        id: AuditId::generate(&SystemEntropy),
        at: Timestamp::from_millis(at_ms),
        entry: Entry::new(actor, action, app, "target"),
    }
}

fn operator(email: &str) -> Actor {
    Actor::Operator {
        id: OperatorId::generate(&SystemEntropy),
        email: email.to_owned(),
    }
}

fn app_id() -> AppId {
    app("any").id
}
