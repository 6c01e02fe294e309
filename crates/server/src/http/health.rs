use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::error::Refusal;
use crate::app::App;

/// `GET /`: says what answers here.
pub(crate) async fn greeting() -> &'static str {
    concat!("Hexline ", env!("CARGO_PKG_VERSION"), "\n")
}

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: a message goes through the bus, a record through the store.
///
/// Whoever asks shares one probe a second; the detail is for the holder of the metrics bearer.
pub(crate) async fn readyz(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let readiness = app.probe.readiness(&app).await;
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut body = json!({ "status": if readiness.is_ready() { "ready" } else { "not ready" } });
    if may_see_detail(&app, &headers) {
        body["bus"] = readiness.bus.as_str().into();
        body["store"] = readiness.store.as_str().into();
        body["draining"] = readiness.draining.into();
    }
    (status, Json(body)).into_response()
}

/// `GET /metrics`: for Prometheus. Without the bearer there is no such path.
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
