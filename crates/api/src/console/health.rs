use std::path::Path;

use axum::Json;
use axum::extract::State;
use hexline_model::{NodeId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::Refusal;
use crate::operations::probe::{Part, StoreProbe};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new().routes(routes!(health))
}

/// How the node is that answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleHealth)]
pub(crate) struct Health {
    /// The server process.
    #[schema(value_type = String)]
    node: NodeId,
    version: &'static str,
    uptime_s: u64,
    dev: bool,
    /// Its live connections; null for an operator of some apps.
    connections: Option<usize>,
    database: DatabaseHealth,
    bus: BusHealth,
    disk: DiskHealth,
    clock: ClockHealth,
}

/// The database.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleDatabaseHealth)]
pub(crate) struct DatabaseHealth {
    /// Whether a record was just written and read.
    ok: bool,
    /// `ok`, `failed` or `timed out`.
    state: &'static str,
    /// `sqlite` or `postgres`.
    kind: &'static str,
    version: Option<String>,
    /// The version of the schema.
    schema: Option<i64>,
    /// Open connections to it.
    connections: Option<u32>,
    /// Whether what it acknowledges is on disk.
    durable: Option<bool>,
}

/// What carries messages between connections.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleBusHealth)]
pub(crate) struct BusHealth {
    /// Whether a message was just delivered.
    ok: bool,
    /// `ok`, `failed` or `timed out`.
    state: &'static str,
    kind: &'static str,
}

/// The file system of the data directory.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleDiskHealth)]
pub(crate) struct DiskHealth {
    /// Whether at least 5 % of it, or 1 GiB, is free.
    ok: bool,
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    /// The size of the SQLite file.
    database_bytes: Option<u64>,
}

/// The clock that tokens are checked against.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleClockHealth)]
pub(crate) struct ClockHealth {
    /// Whether it has gone as evenly since the start as a stop watch.
    ok: bool,
    now_ms: i64,
    started_ms: i64,
    /// How far it was set since the start.
    set_by_ms: i64,
}

/// How the server is
///
/// The node that answers, and what it needs.
#[utoipa::path(
    get,
    path = "/console/api/health",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "How it is, well or not", body = Health))
)]
async fn health(
    State(state): State<ConsoleState>,
    signed: Signed,
) -> Result<Json<Health>, Refusal> {
    let (app, places) = (&state.app, &state.places);
    let readiness = state.probe.readiness(app).await;
    let clock = clock(app);
    Ok(Json(Health {
        node: app.node,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: app.clock.monotonic().since(app.started.1).as_secs(),
        dev: app.options.dev,
        connections: signed.operator.sees_all().then(|| app.hub.total()),
        database: database(state.probe.store(), readiness.store).await,
        bus: BusHealth {
            ok: readiness.fanout == Part::Ok,
            state: readiness.fanout.as_str(),
            kind: "local",
        },
        disk: disk(&places.data_dir, &places.sqlite),
        clock,
    }))
}

async fn database(store: &dyn StoreProbe, part: Part) -> DatabaseHealth {
    // A database that fails its probe is not asked for more, which would only take its time.
    let told = if part == Part::Ok {
        store.health().await
    } else {
        None
    };
    DatabaseHealth {
        ok: part == Part::Ok,
        state: part.as_str(),
        kind: store.kind(),
        durable: told.as_ref().map(|told| told.durable),
        schema: told.as_ref().map(|told| told.schema),
        connections: told.as_ref().map(|told| told.connections),
        version: told.map(|told| told.version),
    }
}

fn disk(data: &Path, database: &Path) -> DiskHealth {
    let found = rustix::fs::statvfs(data).ok();
    let free = found
        .as_ref()
        .map(|f| f.f_bavail.saturating_mul(f.f_frsize));
    let total = found
        .as_ref()
        .map(|f| f.f_blocks.saturating_mul(f.f_frsize));
    let enough = |(free, total): (u64, u64)| free >= GIB.min(total / 20);
    DiskHealth {
        ok: free.zip(total).is_some_and(enough),
        free_bytes: free,
        total_bytes: total,
        database_bytes: std::fs::metadata(database).ok().map(|data| data.len()),
    }
}

fn clock(app: &App) -> ClockHealth {
    let (started, at) = app.started;
    let now = app.clock.now();
    let expected: Timestamp = started.plus(app.clock.monotonic().since(at));
    let set_by_ms = now.as_millis() - expected.as_millis();
    ClockHealth {
        ok: set_by_ms.abs() < LEEWAY_MS,
        now_ms: now.as_millis(),
        started_ms: started.as_millis(),
        set_by_ms,
    }
}

const GIB: u64 = 1 << 30;
/// What tokens allow.
const LEEWAY_MS: i64 = 10_000;
