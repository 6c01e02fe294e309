use std::path::Path;
use std::sync::Arc;

use hexline_model::{ManualClock, Secret};
use hexline_services::apps::AppSettings;
use hexline_services::keys::NewKey;
use hexline_services::store::{ChangeError, Revision, StoreError};
use hexline_store::{Backend, Database, DatabaseConfig, DatabaseError};
use hexline_token::Algorithm;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use crate::rig::{NOW, Rig, app, raw_url};

on_both!(
    a_probe_writes_and_reads,
    a_probe_of_a_database_that_is_gone_fails,
    a_database_that_is_gone_is_unavailable,
    a_row_that_no_release_wrote_is_named,
    a_database_that_is_busy_for_too_long_is_unavailable,
    a_secret_stands_nowhere_in_plain_text,
    health_names_the_backend_and_the_schema,
);

async fn a_probe_writes_and_reads(rig: &mut Rig) {
    rig.database.probe().await.expect("works");
    rig.advance(std::time::Duration::from_secs(1));
    let another = rig.another().await;
    for _ in 0..5 {
        let (one, two) = tokio::join!(rig.database.probe(), another.probe());
        one.expect("works");
        two.expect("works");
    }
    another.close().await;
}

async fn a_probe_of_a_database_that_is_gone_fails(rig: &mut Rig) {
    rig.database.close().await;
    let failed = rig.database.probe().await;
    assert!(
        matches!(
            failed,
            Err(DatabaseError::Store(StoreError::Unavailable(_)))
        ),
        "{failed:?}"
    );
}

async fn a_database_that_is_gone_is_unavailable(rig: &mut Rig) {
    let stores = rig.stores();
    rig.database.close().await;
    let read = stores.apps.list(None, 1).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    let written = stores.apps.add(&app("demo"), Revision::default()).await;
    assert!(
        matches!(written, Err(ChangeError::Store(StoreError::Unavailable(_)))),
        "{written:?}"
    );
}

async fn a_database_that_is_busy_for_too_long_is_unavailable(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let mut busy = rig.raw().await;
    if rig.sqlite_path().is_some() {
        busy.execute("begin immediate").await.expect("begins");
    } else {
        busy.execute("begin").await.expect("begins");
        busy.execute("lock table meta in exclusive mode")
            .await
            .expect("locks");
    }
    let refused = rig.stores().apps.update(&demo, None, revision).await;
    assert!(
        matches!(refused, Err(ChangeError::Store(StoreError::Unavailable(_)))),
        "{refused:?}"
    );
    assert_eq!(
        rig.stores().apps.lookup(demo.id).await.expect("reads"),
        Some(demo.clone())
    );
    busy.execute("rollback").await.expect("rolls back");
    rig.stores()
        .apps
        .update(&demo, None, revision)
        .await
        .expect("updates");
    busy.close().await.expect("closes");
}

async fn a_row_that_no_release_wrote_is_named(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    for (sql, expected) in [
        (
            "update apps set settings = '{\"longest_ttl\":\"long\"}'",
            "apps.settings",
        ),
        ("update apps set name = 'Not A Slug'", "apps.name"),
        (
            "update apps set signing_key = 'x', name = 'demo', settings = '{}'",
            "apps.signing_key",
        ),
    ] {
        rig.execute(sql).await;
        let read = rig.stores().apps.lookup(demo.id).await;
        match read {
            Err(StoreError::Corrupt { column, .. }) => {
                assert!(column == expected || sql.contains(&column[5..]), "{column}");
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn a_secret_stands_nowhere_in_plain_text(rig: &mut Rig) {
    let service = rig.service().await;
    let app = service
        .apps
        .create("demo".parse().expect("a name"), AppSettings::default())
        .await
        .expect("creates");
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let made = service
            .keys
            .create_key(app.id, NewKey::generate(Algorithm::Hs256))
            .await
            .expect("creates");
        secrets.push(made.secret.expect("an HMAC key has one").expose().clone());
    }
    if let Some(path) = rig.sqlite_path() {
        // Once while the log holds it, once folded into the file.
        assert_files_hold_none(path, &secrets);
        rig.database.close().await;
        assert_files_hold_none(path, &secrets);
    } else {
        let mut connection = rig.raw().await;
        let rows = connection
            .fetch_all("select cast(keys as text) as text from keys")
            .await;
        for row in rows.expect("reads") {
            let text: String = row.get("text");
            assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())));
            assert!(secrets.iter().all(|s| !text.contains(&hex(s.as_bytes()))));
        }
        connection.close().await.expect("closes");
    }
}

fn assert_files_hold_none(path: &Path, secrets: &[String]) {
    let dir = path.parent().expect("has one");
    let mut read = 0;
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        let bytes = std::fs::read(&path).expect("reads");
        read += bytes.len();
        for secret in secrets {
            let there = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!there, "a secret stands in {}", path.display());
        }
    }
    assert!(read > 10_000, "the files were there");
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"))
}

async fn health_names_the_backend_and_the_schema(rig: &mut Rig) {
    let health = rig.database.health().await.expect("reads");
    assert_eq!(health.backend, rig.database.backend());
    assert!(health.schema >= 2 && health.connections >= 1, "{health:?}");
    let major: u32 = health
        .version
        .split('.')
        .next()
        .expect("a part")
        .parse()
        .expect("a number");
    match health.backend {
        Backend::Sqlite => assert_eq!(major, 3),
        Backend::Postgres => assert!(major >= 14),
    }
}

#[tokio::test]
async fn postgres_connections_that_the_server_closed_are_replaced() {
    crate::rig::on_postgres(async |rig: &mut Rig| {
        rig.add_app("demo").await;
        let mut other = rig.raw().await;
        for round in 0..3 {
            let row = other
                .fetch_one(
                    "select count(pg_terminate_backend(pid)) as closed from pg_stat_activity \
                     where application_name = current_setting('application_name') \
                     and pid <> pg_backend_pid()",
                )
                .await
                .expect("closes them");
            assert!(row.get::<i64, _>("closed") > 0, "round {round}");
            rig.database.probe().await.expect("works again");
            assert_eq!(
                rig.stores().apps.list(None, 9).await.expect("reads").len(),
                1
            );
        }
        other.close().await.expect("closes");
    })
    .await;
}

// Regression: with synchronous_commit = off at the server, an acknowledged key could be gone.
#[tokio::test]
async fn a_postgres_that_does_not_wait_for_its_disk_is_made_to() {
    crate::rig::on_postgres(async |rig: &mut Rig| {
        let DatabaseConfig::Postgres { url } = &rig.config else {
            panic!("is PostgreSQL");
        };
        let url = format!("{}&options[synchronous_commit]=off", url.expose());
        let mut raw = AnyConnection::connect(&url).await.expect("connects");
        let row = raw.fetch_one("show synchronous_commit").await;
        assert_eq!(row.expect("reads").get::<String, _>(0), "off");
        let row = raw.fetch_one("show fsync").await;
        let fsync = row.expect("reads").get::<String, _>(0) == "on";
        raw.close().await.expect("closes");
        let config = DatabaseConfig::Postgres {
            url: Secret::new(url),
        };
        let database = Database::open(&config, rig.clock.clone())
            .await
            .expect("opens");
        let health = database.health().await.expect("reads");
        assert!(health.commits_wait);
        assert_eq!(health.fsync, fsync);
        database.close().await;
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_sqlite_database_that_others_can_read_is_taken_from_them() {
    use std::os::unix::fs::PermissionsExt as _;

    crate::rig::on_sqlite(async |rig: &mut Rig| {
        let path = rig.sqlite_path().expect("is SQLite").clone();
        let mode = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("is there");
            metadata.permissions().mode() & 0o777
        };
        rig.database.close().await;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open).expect("changes");
        rig.database = rig.another().await;
        assert_eq!(mode(&path), 0o600);
    })
    .await;
}

// Regression: what root made in the directory of a service, the service could not open.
#[cfg(unix)]
#[tokio::test]
async fn a_sqlite_database_belongs_to_whom_its_directory_does() {
    use std::os::unix::fs::MetadataExt as _;

    let dir = tempfile::tempdir().expect("a temporary directory");
    if std::os::unix::fs::chown(dir.path(), Some(4711), Some(4712)).is_err() {
        return; // Only root can try.
    }
    let path = dir.path().join("hexline.db");
    let config = DatabaseConfig::Sqlite { path };
    let clock = Arc::new(ManualClock::new(NOW));
    let database = Database::open(&config, clock).await.expect("opens");
    for entry in std::fs::read_dir(dir.path()).expect("lists") {
        let entry = entry.expect("lists");
        let metadata = entry.metadata().expect("reads");
        let owner = (metadata.uid(), metadata.gid());
        assert_eq!(owner, (4711, 4712), "{}", entry.path().display());
    }
    database.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_of_a_sqlite_database_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    crate::rig::on_sqlite(async |rig: &mut Rig| {
        rig.add_app("demo").await;
        let path = rig.sqlite_path().expect("is SQLite").clone();
        let dir = path.parent().expect("has one");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).expect("lists") {
            let entry = entry.expect("lists");
            let mode = entry.metadata().expect("reads").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
            seen += 1;
        }
        assert_eq!(seen, 3, "file, log and index");
        let mode = std::fs::metadata(dir).expect("reads").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    })
    .await;
}

#[tokio::test]
async fn sqlite_writes_ahead_and_syncs_every_commit() {
    crate::rig::on_sqlite(async |rig: &mut Rig| {
        let mut connection = rig.raw().await;
        let row = connection
            .fetch_one("pragma journal_mode")
            .await
            .expect("reads");
        assert_eq!(row.get::<String, _>(0), "wal");
        connection.close().await.expect("closes");
        // Of this connection alone; those of the pools are asked by the code that has them.
        assert!(rig.database.health().await.expect("reads").commits_wait);
    })
    .await;
}

#[tokio::test]
async fn a_database_is_a_path_in_the_data_directory_or_a_postgres_url() {
    let dir = Path::new("data");
    let parse = |option| DatabaseConfig::parse(option, dir);
    assert!(matches!(
        parse(None),
        Ok(DatabaseConfig::Sqlite { path }) if path == dir.join("hexline.db")
    ));
    assert!(matches!(
        parse(Some("postgres://h/d")),
        Ok(DatabaseConfig::Postgres { .. })
    ));
    assert!(matches!(
        parse(Some("postgresql://h/d")),
        Ok(DatabaseConfig::Postgres { .. })
    ));
    for bad in ["mysql://h/d", "hexline.db", ""] {
        assert!(
            matches!(parse(Some(bad)), Err(DatabaseError::Url)),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn no_error_tells_the_password_of_a_database() {
    let clock = Arc::new(ManualClock::new(NOW));
    for url in [
        "postgres://hexline:hunter2@127.0.0.1:1/hexline",
        "postgres://hexline:hunter2@127.0.0.1:1/hexline?sslmode=hunter2",
        "postgres://hexline:hunter2@127.0.0.1:hunter2/hexline",
        "postgres://hexline:hunter2@[/hexline",
        "mysql://hexline:hunter2@127.0.0.1/hexline",
    ] {
        let config = DatabaseConfig::Postgres {
            url: Secret::new(url.to_owned()),
        };
        let error = Database::open(&config, clock.clone())
            .await
            .expect_err("nobody is there");
        let mut told = format!("{error} {error:?} {config:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            told = format!("{told} {inner} {inner:?}");
            cause = inner.source();
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("hexline.db");
    let text = "this is no database, but it is long enough to be taken for one. ".repeat(40);
    std::fs::write(&path, &text).expect("writes");
    let config = DatabaseConfig::Sqlite { path: path.clone() };
    let clock = Arc::new(ManualClock::new(NOW));
    let error = Database::open(&config, clock)
        .await
        .expect_err("is no database");
    assert!(matches!(error, DatabaseError::Connect(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), text);
    assert!(raw_url(&config).starts_with("sqlite://"));
}
