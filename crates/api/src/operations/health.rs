use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hexline_protocol::ErrorCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::kit::error::{ErrorBody, Refusal, Told};
use crate::operations::OperationsState;
use crate::operations::probe::Status;

/// What answers here
#[utoipa::path(
    get,
    path = "/",
    tag = "operations",
    responses((status = 200, description = "Name and version", body = String, content_type = "text/plain"))
)]
pub(crate) async fn greeting() -> &'static str {
    concat!(
        "Hexline ",
        env!("CARGO_PKG_VERSION"),
        "\n\nConsole: console/\nAPI: docs\n"
    )
}

/// Whether the process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether the server can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ready`, `degraded`, `draining` or `failed`.
    status: &'static str,
    /// For the holder of the metrics bearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// What was tried.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadyChecks)]
pub(crate) struct Checks {
    /// A message from one connection to another: `ok`, `failed` or `timed out`.
    fanout: &'static str,
    /// A record written and read: `ok`, `failed` or `timed out`.
    database: &'static str,
    /// The registration among the servers on the database: `ok` or `lost`.
    node: &'static str,
}

/// Check liveness
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Check readiness
///
/// Whether a message is delivered and a record stored.
///
/// All who ask share one probe a second. `degraded` says that something shared with other servers,
/// such as PostgreSQL, is away while what is connected works: 200, and 503 with `strict`. The detail
/// is for the holder of the metrics bearer.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    params(("strict" = Option<String>, Query, description = "Empty, `1` or `true`: `degraded` is 503 too")),
    responses(
        (status = 200, description = "The server does its work: `ready` or `degraded`", body = Ready),
        (status = 503, description = "It does not: `draining` or `failed`", body = Ready)
    )
)]
pub(crate) async fn readyz(
    State(state): State<OperationsState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let readiness = state.probe.readiness(&state.app).await;
    let status = readiness.status();
    let serves = match status {
        Status::Ready => true,
        Status::Degraded => !is_strict(query.as_deref()),
        Status::Draining | Status::Failed => false,
    };
    let code = if serves {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let checks = may_see_detail(&state, &headers).then(|| Checks {
        fanout: readiness.fanout.as_str(),
        database: readiness.store.as_str(),
        node: if readiness.registered { "ok" } else { "lost" },
    });
    let status = status.as_str();
    (code, Extension(Told), Json(Ready { status, checks })).into_response()
}

fn is_strict(query: Option<&str>) -> bool {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| name == "strict" && ["", "1", "true"].contains(&value.as_ref()))
}

/// Figures for Prometheus
///
/// Without the configured bearer there is no such path.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
        (status = 404, description = "The bearer is not the configured one", body = ErrorBody)
    )
)]
pub(crate) async fn metrics(State(state): State<OperationsState>, headers: HeaderMap) -> Response {
    if !may_see_detail(&state, &headers) {
        return Refusal::new(ErrorCode::NotFound, "there is nothing at this path").into_response();
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &state.figures)
        .expect("writing to a string does not fail");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

fn may_see_detail(state: &OperationsState, headers: &HeaderMap) -> bool {
    match &state.bearer {
        None => state.app.options.dev,
        Some(bearer) => {
            let wanted = format!("Bearer {}", bearer.expose());
            headers.get(AUTHORIZATION).is_some_and(|found| {
                verify_slices_are_equal(found.as_bytes(), wanted.as_bytes()).is_ok()
            })
        }
    }
}
