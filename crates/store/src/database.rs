use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Clock, Secret};
use hexline_services::keys::Stores;
use hexline_services::store::StoreError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, ConnectOptions as _, Connection as _, Row as _, Transaction};

use crate::error::{DatabaseError, sort};
use crate::{migrations, sqlite};

/// Where the records are.
#[derive(Clone)]
pub enum DatabaseConfig {
    /// A file, made if it is missing. Backups go to `backups/` beside it.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A server. TLS by the URL's own `sslmode`, `sslrootcert`, …
    Postgres {
        /// `postgres://user:password@host:port/name?sslmode=…`
        url: Secret<String>,
    },
}

/// Which kind of database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// What a database says about itself, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which kind it is.
    pub backend: Backend,
    /// The version of SQLite or of the server.
    pub version: String,
    /// The schema version, equal to the newest that this release knows.
    pub schema: i64,
    /// Open connections.
    pub connections: u32,
    /// Whether a commit waits until it is on disk, on the connections of every pool: SQLite's
    /// `synchronous`, PostgreSQL's `synchronous_commit`. Always so, unless something is broken.
    pub commits_wait: bool,
    /// Whether what is said to be on disk is: PostgreSQL's `fsync`. If not, a power cut may lose
    /// what was acknowledged, or the database.
    pub fsync: bool,
}

/// An open database; implements every store trait. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    backend: Backend,
    /// One connection on SQLite; all connections on PostgreSQL.
    writer: AnyPool,
    /// Connections that can't write on SQLite; the same pool on PostgreSQL.
    reader: AnyPool,
    /// Whether it was opened for more than reading.
    writes: bool,
    clock: Arc<dyn Clock>,
}

impl DatabaseConfig {
    /// What a `--database` option means: a `postgres://` URL, or, without one, the file in the
    /// data directory.
    pub fn parse(option: Option<&str>, data_dir: &Path) -> Result<Self, DatabaseError> {
        match option {
            None => Ok(Self::Sqlite {
                path: data_dir.join(FILE_NAME),
            }),
            Some(url) if is_postgres(url) => Ok(Self::Postgres {
                url: Secret::new(url.to_owned()),
            }),
            Some(_) => Err(DatabaseError::Url),
        }
    }
}

impl Database {
    /// Opens a database, makes it if it is missing, and brings its schema up to date: on SQLite
    /// after a backup, on PostgreSQL one node at a time.
    pub async fn open(
        config: &DatabaseConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        match config {
            DatabaseConfig::Sqlite { path } => Self::open_sqlite(path, clock).await,
            DatabaseConfig::Postgres { url } => Self::open_postgres(url, clock).await,
        }
    }

    /// Opens a database that is there and up to date, for reading alone: makes nothing, migrates
    /// nothing, and every write fails. Safe beside whoever works with it.
    pub async fn open_read_only(
        config: &DatabaseConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let (backend, options, setup) = match config {
            DatabaseConfig::Sqlite { path } => {
                let options = sqlite::options(path, "ro")?;
                (Backend::Sqlite, options, sqlite::READER)
            }
            DatabaseConfig::Postgres { url } => {
                (Backend::Postgres, postgres_options(url)?, LOOK_SESSION)
            }
        };
        let mut connection = options.connect().await.map_err(connect_failed)?;
        let checked = migrations::check(&mut connection, backend).await;
        let closed = connection.close().await;
        checked?;
        closed.map_err(DatabaseError::Connect)?;
        let pool = pool(1, setup)
            .connect_with(options)
            .await
            .map_err(connect_failed)?;
        Ok(Self {
            backend,
            writer: pool.clone(),
            reader: pool,
            writes: false,
            clock,
        })
    }

    async fn open_sqlite(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, DatabaseError> {
        sqlite::make_file(path)?;
        let options = sqlite::options(path, "rw")?;
        // A connection of its own first: a pool would try again until its patience ends, and
        // then not say why.
        let mut connection = options.connect().await.map_err(DatabaseError::Connect)?;
        sqlite::prepare(&mut connection, sqlite::WRITER)
            .await
            .map_err(DatabaseError::Connect)?;
        sqlite::check_journal(&mut connection).await?;
        let now = clock.now();
        migrations::run(
            &mut connection,
            Backend::Sqlite,
            async |connection, schema| sqlite::back_up(connection, path, schema, now).await,
        )
        .await?;
        connection.close().await.map_err(DatabaseError::Connect)?;

        let writer = pool(1, sqlite::WRITER)
            .connect_with(options.clone())
            .await
            .map_err(DatabaseError::Connect)?;
        let reader = pool(READERS, sqlite::READER)
            .connect_with(options)
            .await
            .map_err(DatabaseError::Connect)?;
        Ok(Self {
            backend: Backend::Sqlite,
            writer,
            reader,
            writes: true,
            clock,
        })
    }

    async fn open_postgres(
        url: &Secret<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DatabaseError> {
        let options = postgres_options(url)?;
        // A connection of its own: if a migration fails, closing it gives up the lock.
        let mut connection = options.connect().await.map_err(connect_failed)?;
        // What is there already is no news: the log has better things to say at a start.
        sqlx::raw_sql(QUIET)
            .execute(&mut connection)
            .await
            .map_err(DatabaseError::Connect)?;
        let migrated = migrate_postgres(&mut connection).await;
        let closed = connection.close().await;
        migrated?;
        closed.map_err(DatabaseError::Connect)?;

        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| {
                Box::pin(
                    async move { sqlx::raw_sql(SESSION).execute(connection).await.map(|_| ()) },
                )
            })
            .connect_with(options)
            .await
            .map_err(connect_failed)?;
        Ok(Self {
            backend: Backend::Postgres,
            writer: pool.clone(),
            reader: pool,
            writes: true,
            clock,
        })
    }

    /// Closes every connection after what it is doing now. SQLite folds its log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Writes a row and reads it back: proves that an acknowledged write is possible now.
    pub async fn probe(&self) -> Result<(), DatabaseError> {
        let now = self.clock.now().as_millis();
        let mut tx = self.write().await?;
        sqlx::query(PROBE_WRITE)
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(sort("probe"))?;
        let found: i64 = sqlx::query(PROBE_READ)
            .fetch_one(&mut *tx)
            .await
            .and_then(|row| row.try_get("at_ms"))
            .map_err(sort("probe"))?;
        tx.commit().await.map_err(sort("probe"))?;
        if found == now {
            Ok(())
        } else {
            Err(DatabaseError::Probe {
                found,
                expected: now,
            })
        }
    }

    /// What the database says about itself.
    pub async fn health(&self) -> Result<Health, DatabaseError> {
        let version = match self.backend {
            Backend::Sqlite => "select sqlite_version() as version",
            Backend::Postgres => "select current_setting('server_version') as version",
        };
        let version: String = sqlx::query(version)
            .fetch_one(&self.reader)
            .await
            .and_then(|row| row.try_get("version"))
            .map_err(sort("version"))?;
        let pools: &[&AnyPool] = match self.backend {
            Backend::Sqlite => &[&self.writer, &self.reader],
            Backend::Postgres => &[&self.reader],
        };
        let mut health = Health {
            backend: self.backend,
            version,
            schema: migrations::newest(self.backend),
            connections: pools.iter().map(|pool| pool.size()).sum(),
            commits_wait: true,
            fsync: true,
        };
        for pool in pools {
            match self.backend {
                Backend::Sqlite => {
                    health.commits_wait &= number(pool, SQLITE_SYNCHRONOUS).await? >= FULL;
                }
                Backend::Postgres => {
                    health.commits_wait &= number(pool, COMMITS_WAIT).await? == 1;
                    health.fsync = number(pool, FSYNC).await? == 1;
                }
            }
        }
        Ok(health)
    }

    /// Which kind of database it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// This database as every store that the key service wants.
    pub fn stores(&self) -> Stores {
        let database = Arc::new(self.clone());
        Stores {
            apps: database.clone(),
            keys: database.clone(),
            revocations: database.clone(),
            holds: database.clone(),
            seals: database.clone(),
            api_keys: database.clone(),
            vault: database.clone(),
            journal: database,
        }
    }

    pub(crate) fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// A transaction that writes. SQLite takes the write lock at once, so that a transaction
    /// that reads first is never refused halfway.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        if !self.writes {
            return Err(StoreError::ReadOnly);
        }
        let begin = match self.backend {
            Backend::Sqlite => "begin immediate",
            Backend::Postgres => "begin isolation level read committed, read write",
        };
        self.writer
            .begin_with(begin)
            .await
            .map_err(sort("transaction"))
    }

    /// A transaction all of whose reads see one state.
    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begin = match self.backend {
            Backend::Sqlite => "begin",
            Backend::Postgres => "begin isolation level repeatable read, read only",
        };
        self.reader
            .begin_with(begin)
            .await
            .map_err(sort("transaction"))
    }
}

impl Backend {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "Sqlite({})", path.display()),
            Self::Postgres { .. } => f.write_str("Postgres(..)"),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.backend.as_str())
    }
}

/// What a statement of one number says on a connection of this pool.
async fn number(pool: &AnyPool, sql: &'static str) -> Result<i64, StoreError> {
    let row = sqlx::query(sql).fetch_one(pool).await;
    row.and_then(|row| row.try_get(0)).map_err(sort("setting"))
}

/// Connections that stay, each set up by these statements.
fn pool(most: u32, setup: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .min_connections(1)
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(sqlite::prepare(connection, setup)))
}

pub(crate) fn postgres_options(url: &Secret<String>) -> Result<AnyConnectOptions, DatabaseError> {
    if !is_postgres(url.expose()) {
        return Err(DatabaseError::Url);
    }
    // The parser's own error may quote the URL and with it the password.
    let mut options: AnyConnectOptions = url.expose().parse().map_err(|_| DatabaseError::Url)?;
    let url = &mut options.database_url;
    if !url
        .query_pairs()
        .any(|(name, _)| name == "application_name")
    {
        url.query_pairs_mut()
            .append_pair("application_name", "hexline");
    }
    Ok(options.disable_statement_logging())
}

async fn migrate_postgres(connection: &mut sqlx::AnyConnection) -> Result<(), DatabaseError> {
    check_version(connection).await?;
    // Others may be at work on the schema; the lock is waited for below.
    migrations::run(connection, Backend::Postgres, async |_, _| Ok(())).await
}

/// Refuses a PostgreSQL server that is too old.
pub(crate) async fn check_version(
    connection: &mut sqlx::AnyConnection,
) -> Result<(), DatabaseError> {
    let row = sqlx::query(SERVER_VERSION)
        .fetch_one(&mut *connection)
        .await
        .map_err(DatabaseError::Connect)?;
    let number: String = row.try_get("number").map_err(DatabaseError::Connect)?;
    if number.parse::<u32>().is_ok_and(|n| n < OLDEST_POSTGRES) {
        let found = row.try_get("version").map_err(DatabaseError::Connect)?;
        return Err(DatabaseError::ServerTooOld { found });
    }
    Ok(())
}

/// Parts of a URL that only show to be wrong on connecting are not quoted either.
pub(crate) fn connect_failed(error: sqlx::Error) -> DatabaseError {
    match error {
        sqlx::Error::Configuration(_) => DatabaseError::Url,
        error => DatabaseError::Connect(error),
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

const FILE_NAME: &str = "hexline.db";
const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;
const OLDEST_POSTGRES: u32 = 140_000;
const PATIENCE: Duration = Duration::from_secs(5);
const PROBE_WRITE: &str = "update probe set at_ms = $1 where id = 1";
const PROBE_READ: &str = "select at_ms from probe where id = 1";
const SERVER_VERSION: &str = "select current_setting('server_version_num') as number, \
     current_setting('server_version') as version";
const QUIET: &str = "set client_min_messages = warning";
const LOOK_SESSION: &str = "set default_transaction_read_only = on; set lock_timeout = '5s'; \
     set statement_timeout = '30s'";
// A statement that hangs must not hang its caller.
//
// What is acknowledged is on disk: a server, role or URL that says otherwise is overruled.
const SESSION: &str = "set lock_timeout = '5s'; set statement_timeout = '30s'; \
     set idle_in_transaction_session_timeout = '30s'; \
     select set_config('synchronous_commit', 'on', false) \
     where current_setting('synchronous_commit') = 'off'";
const SQLITE_SYNCHRONOUS: &str = "pragma synchronous";
const FULL: i64 = 2;
const COMMITS_WAIT: &str =
    "select count(*) as n where current_setting('synchronous_commit') <> 'off'";
const FSYNC: &str = "select count(*) as n where current_setting('fsync') = 'on'";
