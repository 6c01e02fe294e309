//! Several servers, or none, on one database; and what `/readyz` says of it.

use hexline_model::Secret;
use hexline_tests::{Program, TcpProxy, TestServer, client, within};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::postgres::new_database;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_postgres_names_the_first_and_starts_once_that_is_killed() {
    let place = Place::new().await;
    let (first, ready) = place.serve("one", &[]).await;
    let url = ready["url"].as_str().expect("a URL").to_owned();
    assert!(!first.log().contains("sqlx"), "{}", first.log());
    assert!(!first.log().contains("WARN"), "{}", first.log());

    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let refused = place.run("two", &listen).await;
    assert_eq!(refused.0, Some(6), "{}", refused.1);
    assert!(refused.1.contains(&url), "{}", refused.1);
    assert!(refused.1.contains("--isolated"), "{}", refused.1);

    // The command line is no server.
    let made = place.run("two", &["app", "create", "more"]).await;
    assert_eq!(made.0, Some(0), "{}", made.1);

    let doctor = ["doctor", "--json"];
    assert_eq!(place.others("one", &doctor).await, "ok");
    assert_eq!(place.others("two", &doctor).await, "fail");
    let (beside, _) = place.serve("two", &["--isolated"]).await;
    assert_eq!(place.others("one", &doctor).await, "warn");
    beside.stop().await;
    assert_eq!(place.others("one", &doctor).await, "ok");

    first.kill().await;
    let (second, _) = place.serve("two", &[]).await;
    second.stop().await;
}

// Regression: it was refused only after it had brought the schema up to date.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_refused_leaves_the_schema_as_it_was() {
    let place = Place::new().await;
    let (_first, ready) = place.serve("one", &[]).await;
    let url = ready["url"].as_str().expect("a URL");
    // As an older release knows it.
    let older = "drop table app_usage; delete from _sqlx_migrations where version = 12";
    place.sql(older).await;
    let refused = place
        .run("two", &["serve", "--listen", "127.0.0.1:0"])
        .await;
    assert!(refused.1.contains(url), "{}", refused.1);
    let is_there = place.sql("select count(to_regclass('app_usage'))").await;
    assert_eq!(is_there, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_away_messages_flow_and_readyz_says_degraded_until_it_is_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut proxy, through) = proxied_database().await;
    let server = TestServer::start_in_real_time(|config| {
        config.database = Some(through);
        config.master_key_file = Some(directory.path().join("master.key"));
        config.metrics_bearer = Some(Secret::new(BEARER.to_owned()));
    })
    .await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let well = json!({"status": "ready"});
    assert_eq!(readyz(&server, "").await, (200, well.clone()));
    assert_eq!(readyz(&server, "?strict").await, (200, well.clone()));

    proxy.cut().await;
    within("the answer", until(&server, "degraded")).await;
    // The registration is lost with its connection. Each is noticed in its own time.
    let lost = async {
        loop {
            let checks = checks(&server).await;
            if checks["node"] == "lost" && checks["database"] != "ok" {
                break;
            }
        }
    };
    within("the loss", lost).await;
    assert_eq!(checks(&server).await["fanout"], "ok");
    let degraded = json!({"status": "degraded"});
    for (query, code) in [
        ("", 200),
        ("?strict=0", 200),
        ("?strict", 503),
        ("?strict=1", 503),
        ("?strict=true", 503),
    ] {
        let answer = readyz(&server, query).await;
        assert_eq!(answer, (code, degraded.clone()), "{query}");
    }
    for n in 0..10 {
        let message = json!({"to": "bob", "n": n});
        let sent = alice.call("signal.send", message).await;
        assert_eq!(sent["delivered"], 1);
        assert_eq!(bob.expect("signal.send").await["n"], n);
    }
    let mut carol = app.connect("carol/web").await;
    carol.call("signal.send", json!({"to": "bob"})).await;
    bob.expect("signal.send").await;

    proxy.mend();
    within("the answer", until(&server, "ready")).await;
    let all_is_well = json!({"fanout": "ok", "database": "ok", "node": "ok"});
    assert_eq!(checks(&server).await, all_is_well);
}

// Regression: the server that is not isolated stayed degraded if the other one registered first.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_registers_again_beside_an_isolated_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = new_database().await;
    let (mut proxy, through) = proxied(&database).await;
    let key = directory.path().join("master.key");
    let plain = TestServer::start_in_real_time(|config| {
        config.database = Some(through);
        config.master_key_file = Some(key.clone());
        config.metrics_bearer = Some(Secret::new(BEARER.to_owned()));
    })
    .await;
    // Through no proxy: it keeps its registration.
    let _isolated = TestServer::start_in_real_time(|config| {
        config.database = Some(database);
        config.master_key_file = Some(key);
        config.isolated = true;
    })
    .await;
    proxy.cut().await;
    let lost = async { while checks(&plain).await["node"] != "lost" {} };
    within("the loss", lost).await;
    proxy.mend();
    within("the answer", until(&plain, "ready")).await;
}

/// A new database, and the URL of the way to it.
pub(crate) async fn proxied_database() -> (TcpProxy, String) {
    proxied(&new_database().await).await
}

async fn proxied(database: &str) -> (TcpProxy, String) {
    let (start, rest) = database.split_once('@').expect("a URL with a user");
    let (at, name) = rest.split_once('/').expect("a URL with a database");
    let proxy = TcpProxy::to(at.parse().expect("an address")).await;
    let through = format!("{start}@{}/{name}", proxy.at());
    (proxy, through)
}

async fn until(server: &TestServer, status: &str) {
    while readyz(server, "").await.1["status"] != status {}
}

async fn readyz(server: &TestServer, query: &str) -> (u16, Value) {
    let request = client().get(server.url(&format!("/readyz{query}"))).send();
    let response = request.await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn checks(server: &TestServer) -> Value {
    let request = client().get(server.url("/readyz")).bearer_auth(BEARER);
    let response = request.send().await.expect("an answer");
    let body: Value = response.json().await.expect("JSON");
    body["checks"].clone()
}

/// A database for programs that have a data directory each.
struct Place {
    directory: tempfile::TempDir,
    config: String,
    database: String,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (key, config) = (path("master.key"), path("hexline.toml"));
        let database = new_database().await;
        let text = format!("database = '{database}'\nmaster_key_file = '{key}'\n");
        std::fs::write(&config, text).expect("the directory takes a file");
        Self {
            directory,
            config,
            database,
        }
    }

    /// What statements say, or nothing.
    async fn sql(&self, statements: &str) -> String {
        let arguments = ["--quiet", "--no-align", "--tuples-only", "--command"];
        let mut psql = Command::new("psql");
        let psql = psql.args(arguments).args([statements, &self.database]);
        let output = psql.output().await.expect("psql runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn serve(&self, data: &str, more: &[&str]) -> (Program, Value) {
        let more = [&["--config", &self.config], more].concat();
        Program::serve_dev(&self.directory.path().join(data), &more).await
    }

    /// The exit code, and what was printed.
    async fn run(&self, data: &str, command: &[&str]) -> (Option<i32>, String) {
        let data = self.directory.path().join(data);
        let data = data.to_str().expect("a path in UTF-8");
        let place = ["--config", &self.config, "--data", data];
        let output = Program::run(&[command, &place].concat()).await;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        (output.status.code(), printed)
    }

    /// What `doctor` finds of other servers on the database.
    async fn others(&self, data: &str, doctor: &[&str]) -> String {
        let (_, printed) = self.run(data, doctor).await;
        let report: Value = serde_json::from_str(&printed).expect("JSON");
        let checks = report["checks"].as_array().expect("a list");
        let mut others = checks.iter().filter(|c| c["name"] == "other servers");
        let found = others.next().unwrap_or_else(|| panic!("{printed}"));
        found["outcome"].as_str().expect("a word").to_owned()
    }
}

const BEARER: &str = "bearer-of-metrics-7f";
