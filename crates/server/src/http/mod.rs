//! The HTTP door: every route, in one table.
//!
//! A handler reads the request, asks `auth.rs` who makes it, calls a service, and writes the
//! answer. Failures leave by [`error::Refusal`] as `{"code":…,"message":…}`. Query strings never
//! reach a log.
//!
//! To add a route: a handler in the file of its service, described by `#[utoipa::path]`, and a line
//! in [`routes`] or in the module's own function of that name. The description is the route: what
//! `routes!` mounts is what `/openapi.json` shows. What the doors refuse is added to every route in
//! `document.rs`.
//!
//! Invariant: there is no other way in. A route is mounted by `.routes(…)` with its description;
//! `.nest(…)` and `.fallback(…)` stand in [`router`] alone, and `.route(…)` nowhere. The tests of
//! `hostile` take their routes from the document, so that none escapes them.

mod auth_service;
pub(crate) mod body;
mod bounds;
mod docs;
mod document;
mod entrance;
pub(crate) mod error;
mod frame;
mod health;
pub(crate) mod json;
mod me;
pub(crate) mod paging;
mod request_id;
mod tokens;
mod upgrade;
pub(crate) mod webhooks;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use hexline_protocol::ErrorCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use tower_http::cors::{Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::config::Config;
use crate::console;
use crate::platform;
pub(crate) use auth_service::Throttle;
pub(crate) use document::{Documents, described, page_at};
use error::Refusal;
use frame::Frame;
use request_id::X_REQUEST_ID;
pub(crate) use request_id::{RequestId, RequestIds, Trace};
pub(crate) use upgrade::{SocketDriver, SocketHandler};

/// All that is served over HTTP.
pub(crate) type Front = Frame<Router>;

/// Every route, at the root and below the path of each base URL.
pub(crate) fn front(app: &Arc<App>, bases: &[String]) -> Front {
    let (routes, api) = routes(&app.config, platform::guarded(app)).split_for_parts();
    app.documents.describe(api, &app.url);
    let mut router = routes.clone();
    let prefixes: BTreeSet<&str> = bases.iter().filter_map(|base| path_of(base)).collect();
    // A nested `/` answers at the prefix alone, not with a slash behind it.
    let (root, _) = root().split_for_parts();
    for prefix in &prefixes {
        let with_slash = format!("{prefix}/");
        for (at, routes) in [(*prefix, &routes), (&with_slash, &root)] {
            router = router.nest(at, routes.clone());
        }
    }
    let prefixes: Arc<[String]> = prefixes.into_iter().map(str::to_owned).collect();
    let no_route =
        move |method: Method, uri: Uri| std::future::ready(no_route(&prefixes, &method, &uri));
    let mut router = router
        // With CORS: a page is to learn that there is nothing, not that the network failed.
        .merge(Router::new().fallback(no_route).layer(cors()))
        .method_not_allowed_fallback(wrong_method);
    if app.config.log.access {
        router = router.layer(middleware::from_fn(frame::tell_route));
    }
    Frame::new(router.with_state(Arc::clone(app)), Arc::clone(app))
}

fn routes(config: &Config, platform: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    open_to_pages(client(config).merge(auth_service::routes()))
        .merge(platform)
        .merge(operations(config))
        .merge(console::routes(config))
        .merge(console::pages::routes())
        .merge(document::routes())
        .merge(docs::routes())
}

/// What users' devices call.
fn client(config: &Config) -> OpenApiRouter<Arc<App>> {
    let mut routes = OpenApiRouter::new()
        .routes(routes!(me::me))
        .merge(upgrade::routes());
    if config.serves_tokens() {
        routes = routes.routes(routes!(tokens::demo_token));
    }
    routes
}

/// How the server is.
fn operations(config: &Config) -> OpenApiRouter<Arc<App>> {
    let mut routes = root()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz));
    if config.dev || config.metrics_bearer.is_some() {
        routes = routes.routes(routes!(health::metrics));
    }
    if config.dev {
        routes = routes.merge(upgrade::echo_route());
    }
    routes
}

/// What is at `/`.
fn root() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health::greeting))
}

/// Lets pages of any origin call these routes.
fn open_to_pages(routes: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    let (routes, api) = routes.split_for_parts();
    let routes = routes
        // Before the layer, so that a preflight finds it and not the refusal.
        .method_not_allowed_fallback(wrong_method)
        .layer(cors());
    let mut routes = OpenApiRouter::from(routes);
    *routes.get_openapi_mut() = api;
    routes
}

/// The path of a URL, without a slash at its end; `None` if that leaves nothing.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest[rest.find('/')?..].trim_end_matches('/');
    (!path.is_empty()).then_some(path)
}

/// Pages of any origin may call: what they may do is in the token, and no cookie is read.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, X_REQUEST_ID])
        .max_age(Duration::from_hours(1))
}

/// What is at no path: below the Console's a page says so, for people.
fn no_route(prefixes: &[String], method: &Method, uri: &Uri) -> Response {
    let path = uri.path();
    let below = prefixes.iter().filter_map(|p| path.strip_prefix(&**p));
    let in_console = |path: &str| path.strip_prefix("/console/").map(str::to_owned);
    let in_console = below.chain([path]).find_map(in_console);
    match in_console {
        // Programs that mistake one of the API's paths are not answered by a page.
        Some(rest) if reads(method) && !rest.starts_with("api/") => console::pages::lost(&rest),
        _ => {
            let message = "there is nothing at this path";
            Refusal::new(ErrorCode::NotFound, message).into_response()
        }
    }
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidRequest,
        "this path does not take that method",
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_is_routed() {
        let mut config = Config::defaults();
        config.dev = true;
        let (router, mut api) = routes(&config, platform::routes()).split_for_parts();
        let mut described = BTreeSet::new();
        for (path, item) in &mut api.paths.paths {
            for (method, _) in document::operations(item) {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert_eq!(routed(&router), described);
    }

    /// Methods and paths, by what a router says of itself.
    fn routed(router: &Router<Arc<App>>) -> BTreeSet<String> {
        let text = format!("{router:?}");
        let (routes, _) = text.split_once("fallback_router:").expect("a router");
        let (endpoints, paths) = routes.split_once("node: Node").expect("a router");
        let by_id = |text: &str, start: &str, end: char| -> BTreeMap<String, String> {
            let parts = text.split("RouteId(").skip(1);
            let rows = parts.filter_map(|part| {
                let (id, rest) = part.split_once(')')?;
                let (value, _) = rest.split_once(start)?.1.split_once(end)?;
                Some((id.to_owned(), value.to_owned()))
            });
            rows.collect()
        };
        let methods = by_id(endpoints, "allow_header: ", '}');
        let paths = by_id(paths, ": \"", '"');
        assert!(paths.len() > 5, "{text}");
        let mut routed = BTreeSet::new();
        for (id, path) in paths {
            let allowed = methods.get(&id).expect("what it allows");
            let allowed = allowed.split('"').nth(1).unwrap_or("any method");
            for method in allowed.split(',').filter(|method| *method != "HEAD") {
                routed.insert(format!("{method} {path}"));
            }
        }
        routed
    }

    #[test]
    fn a_base_url_with_a_path_gives_a_prefix() {
        assert_eq!(path_of("https://x.example"), None);
        assert_eq!(path_of("https://x.example/"), None);
        assert_eq!(path_of("https://x.example/rt/v2/"), Some("/rt/v2"));
    }
}
