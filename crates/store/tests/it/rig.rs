//! A database of its own for each test: a file, or a schema of a PostgreSQL server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{
    AppId, Clock, KeyId, ManualClock, NodeId, Secret, SeededEntropy, SystemEntropy, Timestamp,
};
use hexline_services::RegistryServices;
use hexline_services::apps::{App, AppName, AppSettings, TokenLife};
use hexline_services::keys::{KeyMaterial, KeyOptions, KeyRecord, KeyState, Stores};
use hexline_services::reach::UrlRule;
use hexline_services::store::Revision;
use hexline_services::vault::{MasterKey, Purpose, Sealer};
use hexline_store::{Database, DatabaseConfig};
use hexline_token::Algorithm;
use sqlx::{AnyConnection, Connection as _, Executor as _};

/// An empty database, and what it takes to open it again.
pub(crate) struct Rig {
    pub(crate) config: DatabaseConfig,
    pub(crate) database: Database,
    pub(crate) clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

/// Runs a case on a new SQLite file.
pub(crate) async fn on_sqlite(case: impl AsyncFnOnce(&mut Rig)) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("a dir?#%41/hexline.db");
    let mut rig = Rig::open(DatabaseConfig::Sqlite { path }, dir).await;
    case(&mut rig).await;
    rig.database.close().await;
}

/// Runs a case in a new schema of the PostgreSQL that the environment names.
pub(crate) async fn on_postgres(case: impl AsyncFnOnce(&mut Rig)) {
    let server = std::env::var("HEXLINE_TEST_POSTGRES").expect(
        "HEXLINE_TEST_POSTGRES names no PostgreSQL server; eval \"$(ci/postgres.sh start)\" starts \
         a throw-away one",
    );
    let name = format!("hexline_test_{}", NodeId::generate(&SystemEntropy));
    run(&server, &format!("create schema {name}")).await;
    let url = Secret::new(in_schema(&server, &name));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::open(DatabaseConfig::Postgres { url }, dir).await;
    case(&mut rig).await;
    rig.database.close().await;
    run(&server, &format!("drop schema {name} cascade")).await;
}

impl Rig {
    async fn open(config: DatabaseConfig, dir: tempfile::TempDir) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let database = Database::open(&config, clock.clone()).await.expect("opens");
        Self {
            config,
            database,
            clock,
            _dir: dir,
        }
    }

    /// The same database, opened once more as another process would.
    pub(crate) async fn another(&self) -> Database {
        Database::open(&self.config, self.clock.clone())
            .await
            .expect("opens again")
    }

    /// Closes and opens.
    pub(crate) async fn reopen(&mut self) {
        self.database.close().await;
        self.database = self.another().await;
    }

    pub(crate) fn stores(&self) -> Stores {
        self.database.stores()
    }

    pub(crate) fn sqlite_path(&self) -> Option<&PathBuf> {
        match &self.config {
            DatabaseConfig::Sqlite { path } => Some(path),
            DatabaseConfig::Postgres { .. } => None,
        }
    }

    /// A connection of one's own, past the code under test.
    pub(crate) async fn raw(&self) -> AnyConnection {
        AnyConnection::connect(&raw_url(&self.config))
            .await
            .expect("connects")
    }

    /// The one text that a query finds, past the code under test.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let mut connection = self.raw().await;
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection);
        let found = found.await.expect(sql);
        connection.close().await.expect("closes");
        found
    }

    /// Runs statements past the code under test.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = self.raw().await;
        connection
            .execute(sqlx::AssertSqlSafe(sql))
            .await
            .expect(sql);
        connection.close().await.expect("closes");
    }

    /// A key service on this database, as a server would open it.
    pub(crate) async fn service(&self) -> RegistryServices {
        self.service_of(&self.database).await
    }

    pub(crate) async fn service_of(&self, database: &Database) -> RegistryServices {
        self.try_service(database, &master_key(1))
            .await
            .expect("opens")
    }

    pub(crate) async fn try_service(
        &self,
        database: &Database,
        master: &MasterKey,
    ) -> Result<RegistryServices, hexline_services::keys::KeyError> {
        RegistryServices::open(
            database.stores(),
            Sealer::new(master),
            self.clock.clone(),
            Arc::new(SystemEntropy),
            options(),
        )
        .await
    }

    /// An app that stands in the database, and the revision after it.
    pub(crate) async fn add_app(&self, name: &str) -> (App, Revision) {
        let app = app(name);
        let stores = self.stores();
        let revision = stores.journal.revision().await.expect("reads");
        let revision = stores.apps.add(&app, revision).await.expect("adds");
        (app, revision)
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, span: Duration) -> Timestamp {
        self.clock.advance(span);
        self.clock.now()
    }
}

pub(crate) fn options() -> KeyOptions {
    KeyOptions {
        base_audiences: vec!["http://localhost:8000".to_owned()],
        jwks_urls: UrlRule::default(),
    }
}

/// The address of the database for a connection past the code under test.
pub(crate) fn raw_url(config: &DatabaseConfig) -> String {
    sqlx::any::install_default_drivers();
    match config {
        DatabaseConfig::Sqlite { path } => {
            let path = path.to_str().expect("UTF-8").replace('%', "%25");
            format!(
                "sqlite://{}",
                path.replace('?', "%3F")
                    .replace('#', "%23")
                    .replace(' ', "%20")
            )
        }
        DatabaseConfig::Postgres { url } => url.expose().clone(),
    }
}

pub(crate) fn master_key(seed: u64) -> MasterKey {
    MasterKey::generate(&SeededEntropy::new(seed))
}

/// An app that stands nowhere yet.
pub(crate) fn app(name: &str) -> App {
    App {
        id: AppId::generate(&SystemEntropy),
        name: AppName::parse(name).expect("a name"),
        created: NOW,
        disabled: None,
        settings: AppSettings::default(),
        longest_life: TokenLife::of(&AppSettings::default()),
        signing_key: None,
    }
}

/// An HMAC key that stands nowhere yet, sealed under `master_key(1)`.
pub(crate) fn key(app: &App) -> KeyRecord {
    let id = KeyId::generate(&SystemEntropy);
    let purpose = Purpose::HmacSecret {
        app: app.id,
        key: id,
    };
    let sealed = Sealer::new(&master_key(1)).seal(purpose, &secret_of(id));
    KeyRecord {
        id,
        app: app.id,
        label: "a label".to_owned(),
        algorithm: Some(Algorithm::Hs256),
        state: KeyState::Active,
        created: NOW,
        expires: None,
        last_used: None,
        ceiling: None,
        made_by: None,
        released: None,
        material: KeyMaterial::Hmac(sealed),
    }
}

/// The secret of a key that [`key`] made.
pub(crate) fn secret_of(id: KeyId) -> String {
    format!("secret-of-{id}")
}

async fn run(server: &str, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server)
        .await
        .expect("HEXLINE_TEST_POSTGRES names a PostgreSQL server that answers");
    connection
        .execute(sqlx::AssertSqlSafe(sql))
        .await
        .expect(sql);
    connection.close().await.expect("closes");
}

fn in_schema(server: &str, name: &str) -> String {
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options[search_path]={name}&application_name={name}")
}

/// When every test begins.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
