use hexline_model::{NodeId, Secret, Timestamp};
use hexline_services::store::StoreError;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, ConnectOptions as _, Connection as _, Transaction};

use crate::database::{
    Backend, Database, DatabaseConfig, check_version, connect_failed, postgres_options,
};
use crate::error::{DatabaseError, sort};
use crate::row::Columns as _;

/// How a server works with the others on its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeMode {
    /// It expects to be the only one.
    Alone,
    /// It knows that there may be others, and that it does not reach their users.
    Isolated,
    /// Something that a later release knows.
    Other,
}

/// A server that works on a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The server process.
    pub id: NodeId,
    /// Its public URL.
    pub url: String,
    /// How it works with the others.
    pub mode: NodeMode,
    /// When it was started.
    pub started: Timestamp,
}

/// A server's registration on a PostgreSQL database: a row that names it, and a session advisory
/// lock on a connection of its own, which PostgreSQL gives up when the process or its machine dies.
///
/// Two servers that start at once take turns, so that each sees the other or is seen by it.
pub struct NodeLock {
    connection: AnyConnection,
    id: NodeId,
}

/// Why a server cannot be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Another server works on the database.
    #[error(
        "a server runs on this database already, at {} (node {}, since {}): two servers on one \
         database deliver nothing to each other's users; stop that one, or, if that is what you \
         want, start this one with --isolated",
        .0.url, .0.id, .0.started
    )]
    Taken(NodeRecord),
    /// An earlier session of this server has not ended yet.
    #[error("the database has not noticed yet that this server's earlier connection is gone")]
    Held,
    /// The schema is older than the registration, so that no other server can be known.
    #[error("the database has no table of servers yet")]
    NoTable,
    /// The database does not answer as it should.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl NodeLock {
    /// Registers a server. `None` on SQLite, where the data directory has a lock.
    ///
    /// A server that is [`NodeMode::Alone`] is refused while any other is registered. It need not
    /// wait for the schema to be brought up to date, which would change it under the other one.
    pub async fn take(
        config: &DatabaseConfig,
        node: &NodeRecord,
    ) -> Result<Option<Self>, NodeError> {
        Self::take_unless(config, node, |_| true).await
    }

    /// Registers a server again that works already and has lost its lock.
    ///
    /// An isolated one that came back first is no reason to refuse it: the two stood side by side
    /// before.
    pub async fn take_again(
        config: &DatabaseConfig,
        node: &NodeRecord,
    ) -> Result<Option<Self>, NodeError> {
        Self::take_unless(config, node, |other| other.mode != NodeMode::Isolated).await
    }

    async fn take_unless(
        config: &DatabaseConfig,
        node: &NodeRecord,
        is_minded: fn(&NodeRecord) -> bool,
    ) -> Result<Option<Self>, NodeError> {
        let DatabaseConfig::Postgres { url } = config else {
            return Ok(None);
        };
        let mut connection = connect(url).await?;
        register(&mut connection, node, is_minded).await?;
        let id = node.id;
        Ok(Some(Self { connection, id }))
    }

    /// Whether the lock is still held and the row still there.
    pub async fn is_held(&mut self) -> bool {
        let row = sqlx::query(IS_REGISTERED)
            .bind(self.id.to_string())
            .fetch_one(&mut self.connection)
            .await;
        row.is_ok_and(|row| row.column::<i64>("nodes.n").is_ok_and(|n| n == 1))
    }

    /// Takes the row and the lock back.
    pub async fn release(mut self) -> Result<(), StoreError> {
        sqlx::query(REMOVE)
            .bind(self.id.to_string())
            .execute(&mut self.connection)
            .await
            .map_err(sort(NODE))?;
        self.connection.close().await.map_err(sort(NODE))
    }
}

impl Database {
    /// The servers that work on the database now, the one that started first at the head. Always
    /// none on SQLite.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        if self.backend() == Backend::Sqlite {
            return Ok(Vec::new());
        }
        let mut tx = self.snapshot().await?;
        let (live, _) = look(&mut tx).await?;
        tx.commit().await.map_err(sort(NODE))?;
        Ok(live)
    }
}

impl NodeMode {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Isolated => "isolated",
            Self::Other => "other",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "alone" => Self::Alone,
            "isolated" => Self::Isolated,
            _ => Self::Other,
        }
    }
}

async fn connect(url: &Secret<String>) -> Result<AnyConnection, DatabaseError> {
    sqlx::any::install_default_drivers();
    let options = postgres_options(url)?;
    let mut connection = options.connect().await.map_err(connect_failed)?;
    check_version(&mut connection).await?;
    sqlx::raw_sql(SESSION)
        .execute(&mut connection)
        .await
        .map_err(DatabaseError::Connect)?;
    Ok(connection)
}

async fn register(
    connection: &mut AnyConnection,
    node: &NodeRecord,
    is_minded: fn(&NodeRecord) -> bool,
) -> Result<(), NodeError> {
    let mut tx = connection.begin().await.map_err(failed)?;
    let is_there = sqlx::query(IS_THERE).fetch_one(&mut *tx).await;
    let is_there: i64 = is_there
        .map_err(failed)?
        .column("nodes.n")
        .map_err(stored)?;
    if is_there == 0 {
        return Err(NodeError::NoTable);
    }
    // Until the end of the transaction.
    count(&mut tx, TAKE_TURNS, TURNS).await.map_err(stored)?;
    let (live, dead) = look(&mut tx).await.map_err(stored)?;
    for id in dead {
        let removal = sqlx::query(REMOVE).bind(id.to_string());
        removal.execute(&mut *tx).await.map_err(failed)?;
    }
    let mut others = live.into_iter().filter(|other| other.id != node.id);
    let other = others.find(is_minded);
    if let (NodeMode::Alone, Some(other)) = (node.mode, other) {
        tx.commit().await.map_err(failed)?;
        return Err(NodeError::Taken(other));
    }
    // Until the end of the session.
    if count(&mut tx, LOCK, key(node.id)).await.map_err(stored)? == 0 {
        return Err(NodeError::Held);
    }
    sqlx::query(ADD)
        .bind(node.id.to_string())
        .bind(&node.url)
        .bind(node.mode.as_str())
        .bind(node.started.as_millis())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    tx.commit().await.map_err(failed)
}

/// The servers whose lock is held, and those whose is not.
async fn look(tx: &mut Transaction<'_, Any>) -> Result<(Vec<NodeRecord>, Vec<NodeId>), StoreError> {
    let rows = sqlx::query(LIST).fetch_all(&mut **tx).await;
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for row in rows.map_err(sort(NODE))? {
        let node = read(&row)?;
        // Shared, so that two who look do not take each other for the server.
        if count(tx, IS_FREE, key(node.id)).await? == 0 {
            live.push(node);
        } else {
            dead.push(node.id);
        }
    }
    Ok((live, dead))
}

async fn count(
    tx: &mut Transaction<'_, Any>,
    sql: &'static str,
    key: i64,
) -> Result<i64, StoreError> {
    let row = sqlx::query(sql).bind(key).fetch_one(&mut **tx).await;
    row.map_err(sort(NODE))?.column("nodes.n")
}

fn read(row: &AnyRow) -> Result<NodeRecord, StoreError> {
    Ok(NodeRecord {
        id: row.parsed("nodes.id", "node id", |text| NodeId::parse(text).ok())?,
        url: row.column("nodes.url")?,
        mode: row.parsed("nodes.mode", "mode", |text| Some(NodeMode::of(text)))?,
        started: row.time("nodes.started_ms")?,
    })
}

/// The advisory lock of a server: 64 of the random bits of its id.
fn key(id: NodeId) -> i64 {
    let text = id.to_string();
    let bits = u64::from_str_radix(&text[..16], 16).expect("an id is hex digits");
    bits.cast_signed()
}

fn failed(error: sqlx::Error) -> NodeError {
    stored(sort(NODE)(error))
}

fn stored(error: StoreError) -> NodeError {
    NodeError::Database(error.into())
}

const NODE: &str = "node";
/// Nobody else's number: "hx nodes" in ASCII.
const TURNS: i64 = i64::from_be_bytes(*b"hx nodes");
// What does not answer for some seconds counts as gone: a machine that lost its power says nothing.
const SESSION: &str = "set client_min_messages = warning; set lock_timeout = '5s'; \
     set statement_timeout = '5s'; set idle_session_timeout = 0; set tcp_keepalives_idle = 5; \
     set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3";
const IS_THERE: &str = "select count(to_regclass('nodes')) as n";
const TAKE_TURNS: &str = "select count(*) as n where pg_advisory_xact_lock($1) is not null";
const LOCK: &str = "select count(*) as n where pg_try_advisory_lock($1)";
const IS_FREE: &str = "select count(*) as n where pg_try_advisory_xact_lock_shared($1)";
const LIST: &str = "select id, url, mode, started_ms from nodes order by started_ms, id";
const ADD: &str = "insert into nodes (id, url, mode, started_ms) values ($1, $2, $3, $4) \
     on conflict (id) do update set url = excluded.url, mode = excluded.mode, \
     started_ms = excluded.started_ms";
const REMOVE: &str = "delete from nodes where id = $1";
const IS_REGISTERED: &str = "select count(*) as n from nodes where id = $1";
