use std::sync::Arc;
use std::time::Duration;

use hexline_model::{AppId, KeyId, SeededEntropy, SystemEntropy, Timestamp};
use hexline_services::RegistryServices;
use hexline_services::idempotency::{
    Answer, Begun, Deed, IdempotencyService, IdempotencyStore, REQUEST_BYTES, Reservation,
};
use hexline_services::store::StoreError;

use crate::rig::{NOW, Rig, master_key};

on_both!(
    of_two_that_begin_the_same_deed_one_has_it,
    what_was_given_up_may_be_begun_again,
    who_was_taken_over_from_can_neither_finish_nor_give_up,
    what_has_expired_is_forgotten,
    a_deed_without_its_app_is_refused,
    an_answer_outlives_a_restart_and_another_master_key,
    deeds_go_with_their_app,
    the_oldest_answers_make_room_for_new_ones_and_what_was_done_stays_done,
    the_youngest_answers_stay_however_many_requests_came_before,
    what_is_counted_is_what_is_there,
    nodes_that_answer_their_first_at_once_can_read_each_others,
);

fn reservation(app: AppId, turn: &str, started: Timestamp) -> Reservation {
    Reservation {
        id: "deed".to_owned(),
        app,
        request: "asked".to_owned(),
        turn: turn.to_owned(),
        started,
        expires: started.plus(Duration::from_hours(24)),
    }
}

async fn of_two_that_begin_the_same_deed_one_has_it(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let other = rig.another().await;
    let (one, two) = (reservation(app.id, "1", NOW), reservation(app.id, "2", NOW));
    let long_ago = Timestamp::from_secs(0);
    let begun = tokio::join!(
        rig.database.begin(&one, long_ago),
        other.begin(&two, long_ago)
    );
    let begun = [begun.0.expect("writes"), begun.1.expect("writes")];
    assert_eq!(begun.into_iter().filter(|own| *own).count(), 1);
    let record = other.lookup("deed", NOW).await.expect("reads");
    let record = record.expect("it is there");
    assert_eq!((record.request.as_str(), record.answer), ("asked", None));
    other.close().await;
}

async fn what_was_given_up_may_be_begun_again(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let database = &rig.database;
    let long_ago = Timestamp::from_secs(0);
    let one = reservation(app.id, "1", NOW);
    assert!(database.begin(&one, long_ago).await.expect("writes"));
    assert!(!database.begin(&one, long_ago).await.expect("writes"));
    assert!(database.give_up("deed", "1").await.expect("writes"));
    assert_eq!(database.lookup("deed", NOW).await.expect("reads"), None);
    assert!(database.begin(&one, long_ago).await.expect("writes"));
}

async fn who_was_taken_over_from_can_neither_finish_nor_give_up(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let database = &rig.database;
    let sealed = hexline_services::vault::Sealed::from_stored(vec![1, 2, 3]);
    let one = reservation(app.id, "1", NOW);
    assert!(
        database
            .begin(&one, NOW.minus(Duration::from_secs(1)))
            .await
            .expect("writes")
    );
    let two = reservation(app.id, "2", NOW);
    assert!(
        database.begin(&two, NOW).await.expect("writes"),
        "it counts as abandoned"
    );
    assert!(!database.finish("deed", "1", &sealed).await.expect("writes"));
    assert!(!database.give_up("deed", "1").await.expect("writes"));
    assert!(database.finish("deed", "2", &sealed).await.expect("writes"));
    assert!(
        !database.give_up("deed", "2").await.expect("writes"),
        "it is done"
    );
    let three = reservation(app.id, "3", NOW);
    assert!(
        !database.begin(&three, NOW).await.expect("writes"),
        "it is done"
    );
    let record = database.lookup("deed", NOW).await.expect("reads");
    assert_eq!(record.and_then(|record| record.answer), Some(sealed));
}

async fn what_has_expired_is_forgotten(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let database = &rig.database;
    let one = reservation(app.id, "1", NOW);
    assert!(database.begin(&one, NOW).await.expect("writes"));
    let before = one.expires.minus(Duration::from_millis(1));
    assert_eq!(
        IdempotencyStore::sweep(database, before)
            .await
            .expect("sweeps"),
        0
    );
    assert!(
        database
            .lookup("deed", before)
            .await
            .expect("reads")
            .is_some()
    );
    assert_eq!(
        database.lookup("deed", one.expires).await.expect("reads"),
        None
    );
    assert_eq!(
        IdempotencyStore::sweep(database, one.expires)
            .await
            .expect("sweeps"),
        1
    );
}

async fn a_deed_without_its_app_is_refused(rig: &mut Rig) {
    let nobody = AppId::generate(&SeededEntropy::new(99));
    let begun = rig
        .database
        .begin(&reservation(nobody, "1", NOW), NOW)
        .await;
    assert!(
        matches!(begun, Err(StoreError::NotFound { .. })),
        "{begun:?}"
    );
}

async fn an_answer_outlives_a_restart_and_another_master_key(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let key = KeyId::generate(&SeededEntropy::new(3));
    let body = Answer {
        status: 201,
        kind: Some("application/json".to_owned()),
        body: r#"{"secret":"7f-secret-7f"}"#.to_owned(),
    };
    let deed = |request: &'static [&'static [u8]]| Deed {
        app: app.id,
        key,
        route: "POST /keys",
        name: "order-1",
        request,
    };
    let services = rig.service().await;
    let service = over(rig, &services);
    let Begun::Fresh(turn) = service.begin(&deed(&[b"a", b"b"])).await.expect("begins") else {
        panic!("it is new");
    };
    let again = service.begin(&deed(&[b"a", b"b"])).await.expect("looks");
    assert!(matches!(again, Begun::Busy));
    service.finish(&turn, &body).await.expect("writes");
    services
        .keys
        .rotate_master_key(&master_key(2))
        .await
        .expect("rotates");
    drop((service, services));
    rig.reopen().await;
    let services = rig.try_service(&rig.database, &master_key(2)).await;
    let services = services.expect("opens");
    let service = over(rig, &services);
    let Begun::Done(same) = service.begin(&deed(&[b"a", b"b"])).await.expect("looks") else {
        panic!("it is done");
    };
    assert!(same == body);
    let other = service.begin(&deed(&[b"ab"])).await.expect("looks");
    assert!(matches!(other, Begun::Different));
}

async fn deeds_go_with_their_app(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let one = reservation(app.id, "1", NOW);
    assert!(rig.database.begin(&one, NOW).await.expect("writes"));
    let services = rig.service().await;
    services.apps.delete(app.id).await.expect("deletes");
    assert_eq!(rig.database.lookup("deed", NOW).await.expect("reads"), None);
}

async fn the_oldest_answers_make_room_for_new_ones_and_what_was_done_stays_done(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let key = KeyId::generate(&SeededEntropy::new(3));
    let services = rig.service().await;
    let deed = |name: &'static str| Deed {
        app: app.id,
        key,
        route: "POST /keys",
        name,
        request: &[],
    };
    let answer = Answer {
        status: 200,
        kind: None,
        body: "x".repeat(2000),
    };
    let most = 3 * 2500;
    let service = over(rig, &services).keeping(most);
    let mut turns = Vec::new();
    for name in &NAMES[..4] {
        rig.advance(Duration::from_secs(1));
        let Begun::Fresh(turn) = service.begin(&deed(name)).await.expect("begins") else {
            panic!("it is new");
        };
        service.finish(&turn, &answer).await.expect("writes");
        turns.push(turn);
    }
    let used = IdempotencyStore::used(&rig.database, app.id).await;
    assert!(used.expect("reads") <= most);
    let oldest = service.begin(&deed("a")).await.expect("looks");
    assert!(matches!(oldest, Begun::Unreadable), "done, and not again");
    for name in &NAMES[2..4] {
        let again = service.begin(&deed(name)).await.expect("looks");
        assert!(matches!(again, Begun::Done(_)), "{name}");
    }
    let narrow = over(rig, &services).keeping(200);
    let full = narrow.begin(&deed("z")).await.expect("looks");
    assert!(matches!(full, Begun::Full));
    let again = service.begin(&deed("z")).await.expect("begins");
    assert!(matches!(again, Begun::Fresh(_)), "nothing was left of it");
}

async fn the_youngest_answers_stay_however_many_requests_came_before(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let services = rig.service().await;
    let most = 20 * REQUEST_BYTES;
    let service = over(rig, &services).keeping(most);
    let names: Vec<_> = (0..60).map(|n| format!("order-{n}")).collect();
    let deed = |name| Deed {
        app: app.id,
        key: KeyId::generate(&SeededEntropy::new(3)),
        route: "POST /keys",
        name,
        request: &[],
    };
    let answer = Answer {
        status: 200,
        kind: None,
        body: "x".repeat(100),
    };
    for name in &names {
        rig.advance(Duration::from_secs(1));
        let Begun::Fresh(turn) = service.begin(&deed(name)).await.expect("begins") else {
            panic!("it is new");
        };
        service.finish(&turn, &answer).await.expect("writes");
        let used = IdempotencyStore::used(&rig.database, app.id).await;
        assert!(used.expect("reads") <= most);
    }
    for name in &names[55..] {
        let again = service.begin(&deed(name)).await.expect("looks");
        assert!(matches!(again, Begun::Done(_)), "{name}");
    }
    let first = service.begin(&deed(&names[0])).await.expect("begins");
    assert!(matches!(first, Begun::Fresh(_)), "the oldest are forgotten");
}

async fn what_is_counted_is_what_is_there(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let database = &rig.database;
    let used = async || {
        IdempotencyStore::used(database, app.id)
            .await
            .expect("reads")
    };
    let sealed = hexline_services::vault::Sealed::from_stored(vec![0; 1000]);
    let one = reservation(app.id, "1", NOW);
    let long_ago = Timestamp::from_secs(0);
    assert!(database.begin(&one, long_ago).await.expect("writes"));
    assert!(!database.begin(&one, long_ago).await.expect("writes"));
    assert_eq!(used().await, REQUEST_BYTES);
    assert!(database.begin(&one, NOW).await.expect("takes over"));
    assert_eq!(used().await, REQUEST_BYTES);
    assert!(database.finish("deed", "1", &sealed).await.expect("writes"));
    assert!(!database.finish("deed", "1", &sealed).await.expect("writes"));
    assert_eq!(used().await, REQUEST_BYTES + 1000);
    let tomorrow = reservation(app.id, "2", NOW.plus(Duration::from_hours(25)));
    assert!(database.begin(&tomorrow, long_ago).await.expect("writes"));
    assert_eq!(used().await, REQUEST_BYTES, "the old one had expired");
    assert!(database.give_up("deed", "2").await.expect("writes"));
    assert_eq!(used().await, 0);
    assert!(database.begin(&one, long_ago).await.expect("writes"));
    let swept = IdempotencyStore::sweep(database, tomorrow.started).await;
    assert_eq!(swept.expect("writes"), 1);
    assert_eq!(used().await, 0);
}

fn over(rig: &Rig, services: &RegistryServices) -> IdempotencyService {
    IdempotencyService::new(
        Arc::new(rig.database.clone()),
        Arc::clone(&services.vault),
        rig.clock.clone(),
        Arc::new(SystemEntropy),
    )
}

async fn nodes_that_answer_their_first_at_once_can_read_each_others(rig: &mut Rig) {
    let (app, _) = rig.add_app("one").await;
    let key = KeyId::generate(&SeededEntropy::new(3));
    let deed = |name: &'static str| Deed {
        app: app.id,
        key,
        route: "POST /keys",
        name,
        request: &[],
    };
    let answer = Answer {
        status: 200,
        kind: None,
        body: "done".to_owned(),
    };
    let services = rig.service().await;
    let nodes: Vec<_> = (0..NAMES.len()).map(|_| over(rig, &services)).collect();
    let answering = nodes.iter().zip(NAMES).map(async |(node, name)| {
        let Begun::Fresh(turn) = node.begin(&deed(name)).await.expect("begins") else {
            panic!("it is new");
        };
        node.finish(&turn, &answer).await.expect("writes");
    });
    futures_util::future::join_all(answering).await;
    for name in NAMES {
        let again = nodes[0].begin(&deed(name)).await.expect("looks");
        assert!(matches!(again, Begun::Done(_)), "{name} cannot be read");
    }
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
