use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hexline_model::ManualClock;
use hexline_services::apps::{App, AppSettings, TokenLife};
use hexline_services::store::Revision;
use hexline_store::{Database, DatabaseConfig, DatabaseError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _, SqlSafeStr as _};

use crate::rig::{NOW, Rig, app, raw_url};

on_both!(
    a_newer_schema_is_refused_and_left_alone,
    a_migration_that_differs_is_refused,
    opening_again_migrates_nothing,
    starting_together_is_safe,
    a_database_that_is_only_looked_at_is_read_and_not_written,
    apps_of_before_lived_by_their_settings_and_at_least_by_the_default,
    what_names_a_user_whom_no_token_can_name_any_more_is_removed,
);

async fn a_newer_schema_is_refused_and_left_alone(rig: &mut Rig) {
    rig.add_app("demo").await;
    rig.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         select 9001, 'later', success, checksum, 0 from _sqlx_migrations where version = 1",
    )
    .await;
    let refused = Database::open(&rig.config, rig.clock.clone())
        .await
        .expect_err("is newer");
    let DatabaseError::SchemaTooNew {
        found: 9001,
        supported,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert!(refused.to_string().contains("9001"), "{refused}");
    assert!(
        refused.to_string().contains(&supported.to_string()),
        "{refused}"
    );
    // The lock was given up, and the newer release goes on.
    rig.execute("delete from _sqlx_migrations where version = 9001")
        .await;
    rig.reopen().await;
    assert_eq!(
        rig.stores().apps.list(None, 9).await.expect("reads").len(),
        1
    );
    assert_eq!(backups(rig).len(), 0);
}

async fn a_migration_that_differs_is_refused(rig: &mut Rig) {
    let other = if rig.sqlite_path().is_some() {
        "x'00'"
    } else {
        "'\\x00'"
    };
    rig.execute(&format!(
        "update _sqlx_migrations set checksum = {other} where version = 2"
    ))
    .await;
    let refused = Database::open(&rig.config, rig.clock.clone())
        .await
        .expect_err("differs");
    assert!(
        matches!(refused, DatabaseError::SchemaDiffers { version: 2 }),
        "{refused:?}"
    );
}

async fn opening_again_migrates_nothing(rig: &mut Rig) {
    rig.add_app("demo").await;
    for _ in 0..3 {
        rig.reopen().await;
    }
    assert_eq!(
        rig.stores().apps.list(None, 9).await.expect("reads").len(),
        1
    );
    assert_eq!(backups(rig).len(), 0);
}

async fn starting_together_is_safe(rig: &mut Rig) {
    // On SQLite a second server is kept out before it comes to this; opening the finished schema
    // from several sides at once is what remains. On PostgreSQL the schema is made anew.
    if rig.sqlite_path().is_none() {
        rig.execute(
            "do $$ declare own text := current_schema(); begin \
             execute format('drop schema %I cascade', own); \
             execute format('create schema %I', own); end $$",
        )
        .await;
    }
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let (config, clock) = (rig.config.clone(), rig.clock.clone());
        tasks.push(tokio::spawn(
            async move { Database::open(&config, clock).await },
        ));
    }
    for task in tasks {
        let database = task.await.expect("does not panic").expect("opens");
        database.probe().await.expect("works");
        database.close().await;
    }
}

async fn a_database_that_is_only_looked_at_is_read_and_not_written(rig: &mut Rig) {
    let (demo, revision) = rig.add_app("demo").await;
    let looked = Database::open_read_only(&rig.config, rig.clock.clone())
        .await
        .expect("opens");
    let stores = looked.stores();
    let found = stores.apps.lookup(demo.id).await.expect("reads");
    assert_eq!(found.as_ref(), Some(&demo));
    stores
        .apps
        .add(&app("other"), revision)
        .await
        .expect_err("only looks");
    looked.probe().await.expect_err("only looks");
    looked.close().await;
    assert_eq!(
        rig.stores().journal.revision().await.expect("reads"),
        revision
    );
}

async fn apps_of_before_lived_by_their_settings_and_at_least_by_the_default(rig: &mut Rig) {
    let days = |n: u64| Duration::from_hours(24 * n);
    let with = |settings: &str| serde_json::from_str::<AppSettings>(settings).expect("reads");
    let mut revision = Revision::default();
    let mut expected = Vec::new();
    for (name, settings, life) in [
        ("a", "{}", TokenLife::AtMost(days(30))),
        ("b", r#"{"longest_ttl":60}"#, TokenLife::AtMost(days(30))),
        (
            "c",
            r#"{"longest_ttl":8640000}"#,
            TokenLife::AtMost(days(100)),
        ),
        ("d", r#"{"exp_required":false}"#, TokenLife::Unlimited),
    ] {
        let app = App {
            settings: with(settings),
            ..app(name)
        };
        revision = rig.stores().apps.add(&app, revision).await.expect("adds");
        expected.push(life);
    }
    rig.execute("update apps set settings = '{}' where name = 'a'")
        .await;
    rig.database.close().await;
    rig.execute("alter table apps drop column longest_life_s")
        .await;
    rig.execute("delete from _sqlx_migrations where version = 3")
        .await;
    rig.database = rig.another().await;
    let apps = rig.stores().apps.list(None, 9).await.expect("reads");
    let lives: Vec<_> = apps.iter().map(|app| app.longest_life).collect();
    assert_eq!(lives, expected);
}

async fn what_names_a_user_whom_no_token_can_name_any_more_is_removed(rig: &mut Rig) {
    let (demo, _) = rig.add_app("demo").await;
    for (kind, subject) in [
        ("identity", "al\u{200b}ice"),
        ("identity", "\u{202e}alice"),
        ("device", "alice/we\u{2069}b"),
        ("identity", "\u{646}\u{200c}\u{647}"),
        ("token", "a\u{feff}b"),
    ] {
        rig.execute(&format!(
            "insert into revocations (app, kind, subject, at_ms, revision) \
             values ('{}', '{kind}', '{subject}', 1, 1)",
            demo.id
        ))
        .await;
    }
    rig.database.close().await;
    rig.execute("drop table holds").await;
    rig.execute("delete from _sqlx_migrations where version = 13")
        .await;
    rig.database = rig.another().await;
    let left = rig.stores().revocations.list(demo.id, None, 9).await;
    let left: Vec<String> = left
        .expect("reads")
        .iter()
        .map(|revocation| revocation.target.subject())
        .collect();
    assert_eq!(left, ["\u{646}\u{200c}\u{647}", "a\u{feff}b"]);
}

fn backups(rig: &Rig) -> Vec<PathBuf> {
    let Some(path) = rig.sqlite_path() else {
        return Vec::new();
    };
    let dir = path.with_file_name("backups");
    if !dir.exists() {
        return Vec::new();
    }
    std::fs::read_dir(dir)
        .expect("lists")
        .map(|e| e.expect("lists").path())
        .collect()
}

/// A database as the first migration left it, with an app in it.
async fn database_of_schema_1() -> (tempfile::TempDir, DatabaseConfig, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("hexline.db");
    let config = DatabaseConfig::Sqlite { path: path.clone() };
    let mut connection = AnyConnection::connect(&format!("{}?mode=rwc", raw_url(&config)))
        .await
        .expect("connects");
    let first = Migration::new(
        1,
        "0001_keys".into(),
        MigrationType::Simple,
        include_str!("../../migrations/sqlite/0001_keys.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![first])
        .run_direct(None, &mut connection, false)
        .await
        .expect("migrates");
    connection
        .execute(
            "insert into apps (id, name, created_ms, settings, revision) \
             values ('00000000000000000000000000000001', 'old', 5, '{}', 1)",
        )
        .await
        .expect("inserts");
    connection.close().await.expect("closes");
    (dir, config, path)
}

#[tokio::test]
async fn an_older_sqlite_database_is_backed_up_and_migrated() {
    let (dir, config, _) = database_of_schema_1().await;
    let database = Database::open(&config, Arc::new(ManualClock::new(NOW)))
        .await
        .expect("migrates");
    let apps = database.stores().apps.list(None, 9).await.expect("reads");
    assert_eq!(
        apps.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
        ["old"]
    );
    database.probe().await.expect("works");
    database.close().await;

    let backup = dir
        .path()
        .join("backups/schema-0001-20270115T080000.000Z.db");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&backup)
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let config = DatabaseConfig::Sqlite { path: backup };
    let mut connection = AnyConnection::connect(&raw_url(&config))
        .await
        .expect("connects");
    let row = connection
        .fetch_one("select (select max(version) from _sqlx_migrations) as v, name from apps")
        .await
        .expect("reads");
    assert_eq!(
        (row.get::<i64, _>("v"), row.get::<&str, _>("name")),
        (1, "old")
    );
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn looking_at_an_older_database_is_refused_and_changes_nothing() {
    let (dir, config, path) = database_of_schema_1().await;
    let before = std::fs::read(&path).expect("reads");
    let clock = Arc::new(ManualClock::new(NOW));
    let refused = Database::open_read_only(&config, clock.clone()).await;
    assert!(
        matches!(refused, Err(DatabaseError::SchemaTooOld { found: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    assert!(!dir.path().join("backups").exists());

    let nowhere = DatabaseConfig::Sqlite {
        path: dir.path().join("nowhere.db"),
    };
    Database::open_read_only(&nowhere, clock)
        .await
        .expect_err("is not there");
    assert!(!dir.path().join("nowhere.db").exists());
}

#[tokio::test]
async fn without_a_backup_nothing_is_migrated() {
    let (dir, config, path) = database_of_schema_1().await;
    // Where the directory should be stands a file.
    std::fs::write(dir.path().join("backups"), "").expect("writes");
    let clock = Arc::new(ManualClock::new(NOW));
    let refused = Database::open(&config, clock)
        .await
        .expect_err("can't back up");
    assert!(matches!(refused, DatabaseError::File { .. }), "{refused:?}");
    let config = DatabaseConfig::Sqlite { path };
    let mut connection = AnyConnection::connect(&raw_url(&config))
        .await
        .expect("connects");
    let row = connection
        .fetch_one("select max(version) as v from _sqlx_migrations")
        .await
        .expect("reads");
    assert_eq!(row.get::<i64, _>("v"), 1);
    connection.close().await.expect("closes");
}

// Regression: killed while it was copying, the server left half a copy under the name of a backup.
#[tokio::test]
async fn a_copy_that_came_to_no_end_is_never_taken_for_a_backup() {
    let (dir, config, _) = database_of_schema_1().await;
    let backups = dir.path().join("backups");
    std::fs::create_dir(&backups).expect("creates");
    // What a kill leaves: the name under which a copy is made is not that of a backup.
    let stale = backups.join("schema-0001-20270115T070000.000Z.db.part");
    std::fs::write(&stale, "half a copy").expect("writes");
    let clock = Arc::new(ManualClock::new(NOW));
    let database = Database::open(&config, clock).await.expect("migrates");
    database.close().await;
    assert_eq!(
        listed(&backups),
        ["schema-0001-20270115T080000.000Z.db"],
        "the stale copy is gone, and so is the name of the new one"
    );

    // Where a copy can't be made at all, none is there afterwards.
    let (dir, config, path) = database_of_schema_1().await;
    let mut held = AnyConnection::connect(&raw_url(&config))
        .await
        .expect("connects");
    held.execute("create table big as select randomblob(1000000) as bytes")
        .await
        .expect("creates");
    held.close().await.expect("closes");
    // A page in the middle that is none: copying stops there.
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    std::fs::write(&path, bytes).expect("writes");
    let clock = Arc::new(ManualClock::new(NOW));
    Database::open(&config, clock)
        .await
        .expect_err("can't be copied");
    assert_eq!(listed(&dir.path().join("backups")), [""; 0]);
}

// Regression: a migration that failed at every start filled the disk with copies.
#[tokio::test]
async fn of_each_schema_version_the_latest_backups_stay() {
    let (dir, config, _) = database_of_schema_1().await;
    let backups = dir.path().join("backups");
    std::fs::create_dir(&backups).expect("creates");
    for name in [
        "schema-0001-20260101T000000.000Z.db",
        "schema-0001-20260102T000000.000Z.db",
        "schema-0001-20260103T000000.000Z.db",
        "schema-0002-20250101T000000.000Z.db",
        "mine.db",
    ] {
        std::fs::write(backups.join(name), name).expect("writes");
    }
    let clock = Arc::new(ManualClock::new(NOW));
    let database = Database::open(&config, clock).await.expect("migrates");
    database.close().await;
    assert_eq!(
        listed(&backups),
        [
            "mine.db",
            "schema-0001-20260102T000000.000Z.db",
            "schema-0001-20260103T000000.000Z.db",
            "schema-0001-20270115T080000.000Z.db",
            "schema-0002-20250101T000000.000Z.db",
        ]
    );
}

fn listed(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("lists").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_never_replaces_another() {
    let (dir, config, _) = database_of_schema_1().await;
    let backup = dir
        .path()
        .join("backups/schema-0001-20270115T080000.000Z.db");
    std::fs::create_dir(dir.path().join("backups")).expect("creates");
    std::fs::write(&backup, "precious").expect("writes");
    let clock = Arc::new(ManualClock::new(NOW));
    Database::open(&config, clock)
        .await
        .expect_err("the name is taken");
    assert_eq!(std::fs::read_to_string(&backup).expect("reads"), "precious");
}
