//! The whole server on PostgreSQL, which several servers may share.

use std::path::PathBuf;
use std::time::Duration;

use hexline_tests::{TestServer, refusal};
use serde_json::json;
use tokio::process::Command;

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

    app.revoke_key().await;
    let closed = tokio::time::timeout(Duration::from_secs(1), bob.closed()).await;
    assert_eq!(closed, Ok(4501), "within a second, on every node");
    assert_eq!(there.refused(&token).await, refusal(401, "key_revoked"));
    assert_eq!(carol.after_ping().await, []);

    two.restart().await;
    let there = app.at(&two);
    let refused = there.refused(&there.token("bob/web")).await;
    assert_eq!(refused, refusal(401, "key_revoked"));
    other.at(&two).connect("carol/web").await;
}

async fn server_on(database: &str, master_key: &std::path::Path) -> TestServer {
    let master_key: PathBuf = master_key.to_owned();
    TestServer::start_with(|config| {
        config.database = Some(database.to_owned());
        config.master_key_file = Some(master_key);
    })
    .await
}

/// A new database on the server that `HEXLINE_TEST_POSTGRES` names.
async fn new_database() -> String {
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
