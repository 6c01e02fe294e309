use std::time::Duration;

use hexline_model::{NodeId, SystemEntropy};
use hexline_store::{NodeError, NodeLock, NodeMode, NodeRecord};

use crate::rig::{NOW, Rig};

on_both!(
    a_second_server_is_refused_with_the_url_of_the_first_unless_it_is_isolated,
    of_servers_that_start_at_once_one_is_let_in,
    a_server_whose_connection_has_ended_makes_room_for_the_next,
    a_lost_connection_is_noticed_and_the_same_server_comes_back,
    a_server_comes_back_beside_an_isolated_one_and_beside_no_other,
);

fn node(url: &str, mode: NodeMode) -> NodeRecord {
    NodeRecord {
        id: NodeId::generate(&SystemEntropy),
        url: url.to_owned(),
        mode,
        started: NOW,
    }
}

async fn a_second_server_is_refused_with_the_url_of_the_first_unless_it_is_isolated(rig: &mut Rig) {
    let first = node("http://one.example", NodeMode::Alone);
    let lock = NodeLock::take(&rig.config, &first)
        .await
        .expect("the first");
    let Some(lock) = lock else {
        // The data directory has a lock.
        assert!(rig.sqlite_path().is_some());
        assert_eq!(rig.database.nodes().await.expect("looked"), []);
        return;
    };
    let second = node("http://two.example", NodeMode::Alone);
    let refused = NodeLock::take(&rig.config, &second).await.err();
    let refused = refused.expect("another is there");
    assert!(matches!(&refused, NodeError::Taken(other) if *other == first));
    let told = refused.to_string();
    assert!(
        told.contains("http://one.example") && told.contains("--isolated"),
        "{told}"
    );

    let isolated = NodeRecord {
        started: NOW.plus(Duration::from_secs(1)),
        ..node("http://two.example", NodeMode::Isolated)
    };
    let beside = NodeLock::take(&rig.config, &isolated)
        .await
        .expect("beside");
    let nodes = rig.database.nodes().await.expect("looked");
    assert_eq!(nodes, [first, isolated.clone()]);
    lock.release().await.expect("released");
    assert_eq!(rig.database.nodes().await.expect("looked"), [isolated]);
    let refused = NodeLock::take(&rig.config, &second).await;
    assert!(
        matches!(refused, Err(NodeError::Taken(_))),
        "it expects to be alone"
    );
    drop(beside);
}

async fn of_servers_that_start_at_once_one_is_let_in(rig: &mut Rig) {
    if rig.sqlite_path().is_some() {
        return;
    }
    let starts = (0..8).map(|n| {
        let (config, node) = (
            rig.config.clone(),
            node(&format!("http://{n}"), NodeMode::Alone),
        );
        tokio::spawn(async move { NodeLock::take(&config, &node).await })
    });
    let mut locks = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        match start.await.expect("no panic") {
            Ok(lock) => locks.extend(lock),
            Err(NodeError::Taken(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(locks.len(), 1);
}

async fn a_server_whose_connection_has_ended_makes_room_for_the_next(rig: &mut Rig) {
    if rig.sqlite_path().is_some() {
        return;
    }
    let first = node("http://one.example", NodeMode::Alone);
    drop(
        NodeLock::take(&rig.config, &first)
            .await
            .expect("the first"),
    );
    let second = node("http://two.example", NodeMode::Alone);
    let _lock = taken(rig, &second).await;
    assert_eq!(rig.database.nodes().await.expect("looked"), [second]);
}

async fn a_lost_connection_is_noticed_and_the_same_server_comes_back(rig: &mut Rig) {
    if rig.sqlite_path().is_some() {
        return;
    }
    let first = node("http://one.example", NodeMode::Alone);
    let mut lock = taken(rig, &first).await;
    assert!(lock.is_held().await);
    rig.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name = current_setting('application_name') and pid <> pg_backend_pid() \
         and query like '%from nodes%'",
    )
    .await;
    assert!(!lock.is_held().await);
    drop(lock);
    assert!(taken(rig, &first).await.is_held().await);
}

// Regression: whose lock was lost together with an isolated server's was refused for good if that
// one came back first.
async fn a_server_comes_back_beside_an_isolated_one_and_beside_no_other(rig: &mut Rig) {
    if rig.sqlite_path().is_some() {
        return;
    }
    let first = node("http://one.example", NodeMode::Alone);
    let beside = taken(rig, &node("http://two.example", NodeMode::Isolated)).await;
    let again = NodeLock::take_again(&rig.config, &first).await;
    let again = again.expect("beside").expect("it is PostgreSQL");
    for lock in [again, beside] {
        lock.release().await.expect("released");
    }
    let _other = taken(rig, &node("http://three.example", NodeMode::Alone)).await;
    let refused = NodeLock::take_again(&rig.config, &first).await;
    assert!(matches!(refused, Err(NodeError::Taken(_))));
}

/// PostgreSQL takes a moment to notice that a connection has ended.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
async fn taken(rig: &Rig, node: &NodeRecord) -> NodeLock {
    let taking = async {
        loop {
            match NodeLock::take(&rig.config, node).await {
                Ok(lock) => return lock.expect("it is PostgreSQL"),
                Err(NodeError::Taken(_) | NodeError::Held) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), taking)
        .await
        .expect("there is room soon")
}
