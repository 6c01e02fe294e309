//! The whole server on PostgreSQL, which several servers may share.

use std::path::PathBuf;
use std::time::Duration;

use hexline_tests::{TestServer, WebhookReceiver, refusal, within};
use serde_json::json;
use tokio::process::Command;

use crate::webhooks::{add, json as json_of, open};

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres_know_the_same_keys_and_revocations() {
    let directory = tempfile::tempdir().expect("a directory");
    let (database, master_key) = (new_database().await, directory.path().join("master.key"));
    let one = server_on(&database, &master_key).await;
    let app = one.app("one").await;
    let other = app.another_key(None).await;
    let mut two = server_on(&database, &master_key).await;
    // Audiences name the server, and each of these has a public URL of its own.
    let there = app.at(&two);
    let token = there.token("bob/web");
    let mut bob = there.connect_with("bob/web", &token).await;
    let mut carol = other.at(&two).connect("carol/web").await;
    bob.call("signal.send", json!({"to": "carol"})).await;
    carol.expect("signal.send").await;

    let hold = json!({"identity": "carol", "hold_s": 3600});
    let done = app
        .platform()
        .posted("/connections/disconnect", &hold)
        .await;
    assert_eq!(done["closed"], 0, "none on this node");
    two.advance(Duration::from_secs(1));
    assert_eq!(carol.closed().await, 4503, "within a second, on every node");
    let there_too = other.at(&two);
    let refused = there_too.refused(&there_too.token("carol/web")).await;
    assert_eq!(refused, refusal(401, "token_revoked"));
    let lift = json!({"identity": "carol"});
    app.at(&two).platform().posted("/holds/lift", &lift).await;
    let mut carol = there_too.connect("carol/web").await;

    app.revoke_key().await;
    two.advance(Duration::from_secs(1));
    assert_eq!(bob.closed().await, 4501, "within a second, on every node");
    assert_eq!(there.refused(&token).await, refusal(401, "key_revoked"));
    assert_eq!(carol.after_ping().await, []);

    two.stop_while_time_passes().await;
    two.resume().await;
    let there = app.at(&two);
    let refused = there.refused(&there.token("bob/web")).await;
    assert_eq!(refused, refusal(401, "key_revoked"));
    other.at(&two).connect("carol/web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres_do_once_what_is_asked_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let (database, master_key) = (new_database().await, directory.path().join("master.key"));
    let one = known_server_on(&database, &master_key).await;
    let app = one.app("one").await;
    let two = known_server_on(&database, &master_key).await;
    let order = json!({"label": "backend"});
    let nodes = [app.at(&one).platform(), app.at(&two).platform()];
    let mut made = Vec::new();
    for round in 0..10 {
        let post = async |node: &hexline_tests::TestPlatform| {
            loop {
                let request = node.post("/keys", &order);
                let request = request.header("idempotency-key", format!("order-{round}"));
                let response = request.send().await.expect("it answers");
                // The other one is at it.
                if response.status() != 409 {
                    assert_eq!(response.status(), 201);
                    return response.text().await.expect("a body");
                }
            }
        };
        let (here, there) = tokio::join!(post(&nodes[0]), post(&nodes[1]));
        assert_eq!(here, there, "one deed, and one secret");
        made.push(here);
    }
    let keys = nodes[0].got("/keys?limit=200").await;
    let keys = keys["items"].as_array().expect("a list").clone();
    let labelled = keys.iter().filter(|key| key["label"] == "backend");
    assert_eq!(labelled.count(), made.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres_tell_a_webhook_everything_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (database, master_key) = (new_database().await, directory.path().join("master.key"));
    let one = known_server_on(&database, &master_key).await;
    let app = one.app("one").await;
    let mut receiver = WebhookReceiver::answering(200).await;
    let events = ["user.connected", "key.created", "key.revoked"];
    let hook = add(&one, &app, &receiver.url(), &events).await;
    let two = known_server_on(&database, &master_key).await;
    let mut sockets = Vec::new();
    for user in 0..20 {
        for server in [&one, &two] {
            sockets.push(app.at(server).connect(&format!("user{user}/web")).await);
        }
    }
    // Both servers see these two.
    let key = app.another_key(None).await;
    key.revoke_key().await;
    two.advance(Duration::from_secs(1));
    let there = key.at(&two);
    let token = there.token("bob/web");
    let seen = async { while there.refused(&token).await.code != "key_revoked" {} };
    within("the other server sees it", seen).await;
    let mut told = Vec::new();
    while told.len() < 42 {
        told.push(json_of(&receiver.accepted().await.body)["id"].clone());
    }
    // What the other server saw later would be told by the time that the log has settled.
    let platform = app.at(&two).platform();
    let seen = app.at(&two).another_key(None).await;
    one.advance(Duration::from_secs(1));
    loop {
        let event = json_of(&receiver.accepted().await.body);
        told.push(event["id"].clone());
        if event["data"]["key"] == seen.key_id() {
            break;
        }
    }
    assert_eq!(told.len(), 43, "none twice");
    let log = format!("/webhooks/{hook}/deliveries?limit=200");
    let log = platform.got(&log).await;
    assert_eq!(log["items"].as_array().expect("a list").len(), 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_learns_within_five_seconds_of_a_webhook_that_another_one_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let (database, master_key) = (new_database().await, directory.path().join("master.key"));
    let one = known_server_on(&database, &master_key).await;
    let app = one.app("one").await;
    let two = known_server_on(&database, &master_key).await;
    let there = app.at(&two);
    let mut receiver = WebhookReceiver::answering(200).await;
    add(&one, &app, &receiver.url(), &["user.connected"]).await;
    // For the second server no time has passed, so it knows nothing of it.
    there.connect("early/web").await.close().await;
    two.advance(Duration::from_secs(5));
    let connecting = async {
        loop {
            there.connect("late/web").await.close().await;
        }
    };
    let told = tokio::select! {
        told = receiver.accepted() => told,
        never = connecting => never,
    };
    assert_eq!(json_of(&told.body)["data"]["identity"], "late");
}

/// One name for both, so that a token is good at either.
async fn known_server_on(database: &str, master_key: &std::path::Path) -> TestServer {
    let master_key: PathBuf = master_key.to_owned();
    TestServer::start_with(|config| {
        open(config);
        config.public_url = Some("https://chat.example".to_owned());
        config.database = Some(database.to_owned());
        config.isolated = true;
        config.master_key_file = Some(master_key);
    })
    .await
}

async fn server_on(database: &str, master_key: &std::path::Path) -> TestServer {
    let master_key: PathBuf = master_key.to_owned();
    TestServer::start_with(|config| {
        config.database = Some(database.to_owned());
        config.isolated = true;
        config.master_key_file = Some(master_key);
    })
    .await
}

/// A new database on the server that `HEXLINE_TEST_POSTGRES` names.
pub(crate) async fn new_database() -> String {
    let server = std::env::var("HEXLINE_TEST_POSTGRES").expect(
        "HEXLINE_TEST_POSTGRES names no PostgreSQL server; eval \"$(ci/postgres.sh start)\" starts \
         a throw-away one",
    );
    let unique = hexline_model::NodeId::generate(&hexline_model::SystemEntropy);
    let name = format!("hexline_server_{unique}");
    let made = Command::new("psql")
        .args([
            "--quiet",
            "--command",
            &format!("create database {name}"),
            &server,
        ])
        .status()
        .await;
    assert!(
        made.is_ok_and(|status| status.success()),
        "psql makes {name}"
    );
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}
