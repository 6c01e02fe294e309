use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorBody, Refusal};
use crate::app::App;

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
    /// `ready` or `not ready`.
    status: &'static str,
    /// `ok`, or what is the matter with the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'static str>,
    /// `ok`, or what is the matter with the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    /// Whether the server is about to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<bool>,
}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether a message goes through the bus, and a record through the store
///
/// Whoever asks shares one probe a second; the detail is for the holder of the metrics bearer.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "The server can do its work", body = Ready),
        (status = 503, description = "It cannot", body = Ready)
    )
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let readiness = app.probe.readiness(&app).await;
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let detail = may_see_detail(&app, &headers);
    let body = Ready {
        status: if readiness.is_ready() {
            "ready"
        } else {
            "not ready"
        },
        bus: detail.then(|| readiness.bus.as_str()),
        store: detail.then(|| readiness.store.as_str()),
        draining: detail.then_some(readiness.draining),
    };
    (status, Json(body)).into_response()
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
pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if !may_see_detail(&app, &headers) {
        return Refusal::new(ErrorCode::NotFound, "there is nothing at this path").into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(CONTENT_TYPE, HeaderValue::from_static(kind))],
        app.metrics.encode(),
    )
        .into_response()
}

fn may_see_detail(app: &App, headers: &HeaderMap) -> bool {
    match &app.config.metrics_bearer {
        None => app.config.dev,
        Some(bearer) => {
            let wanted = format!("Bearer {}", bearer.expose());
            headers.get(AUTHORIZATION).is_some_and(|found| {
                verify_slices_are_equal(found.as_bytes(), wanted.as_bytes()).is_ok()
            })
        }
    }
}
