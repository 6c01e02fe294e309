//! `/docs`: the API as a page, drawn by a script of our own from `/openapi.json`.
//!
//! Everything that it loads comes from this server, and its policy lets nothing else in: it works
//! without the internet, and what the documents say becomes text, never markup.

use axum::response::{IntoResponse, Response};
use hexline_protocol::ErrorCode;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::Ids;

/// The page and what it loads.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(docs))
        .routes(routes!(docs_file))
}

/// The API as a page
#[utoipa::path(
    get,
    path = "/docs",
    tag = "operations",
    responses((status = 200, description = "A page", body = String, content_type = "text/html"))
)]
async fn docs() -> Response {
    let mut page = file("text/html; charset=utf-8", include_str!("page.html"));
    let policy = HeaderValue::from_static(POLICY);
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    page
}

/// What the page loads
#[utoipa::path(
    get,
    path = "/docs/{file}",
    tag = "operations",
    params(("file" = String, Path, description = "`docs.css` or `docs.js`")),
    responses(
        (status = 200, description = "Style or script", content(
            (String = "text/css"),
            (String = "text/javascript")
        )),
        (status = 404, description = "There is no such file", body = ErrorBody)
    )
)]
async fn docs_file(Ids(name): Ids<String>) -> Result<Response, Refusal> {
    Ok(match name.as_str() {
        "docs.css" => file("text/css; charset=utf-8", include_str!("docs.css")),
        "docs.js" => file("text/javascript; charset=utf-8", include_str!("docs.js")),
        _ => {
            return Err(Refusal::new(
                ErrorCode::NotFound,
                "there is nothing at this path",
            ));
        }
    })
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
