//! The route table: every door, at the root and below the path of each base URL.

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

use crate::app::App;
use crate::auth::{self, AuthState};
use crate::client::upgrade;
use crate::client::{self, ClientState};
use crate::console;
use crate::console::state::ConsoleState;
use crate::docs::document::{self, Documents};
use crate::docs::page;
use crate::kit::error::Refusal;
use crate::kit::frame::{self, Frame};
use crate::kit::request_id::X_REQUEST_ID;
use crate::operations::{self, OperationsState};
use crate::platform;
use crate::platform::state::PlatformState;

/// All that is served over HTTP.
pub type Front = Frame<Router>;

/// What the doors stand on, each on its own.
pub struct Api {
    /// What all doors share.
    pub app: Arc<App>,
    /// What devices call.
    pub client: ClientState,
    /// Sign-in for apps without a server.
    pub auth: AuthState,
    /// What apps' servers call.
    pub platform: PlatformState,
    /// The Console.
    pub console: ConsoleState,
    /// How the server is.
    pub operations: OperationsState,
    /// Whether `POST /token` answers.
    pub serves_tokens: bool,
}

impl Api {
    /// Every route, at the root and below the path of each base URL.
    pub fn front(&self, bases: &[String]) -> Front {
        let documents = Arc::<Documents>::default();
        let (routes, api) = self.routes(&documents).split_for_parts();
        documents.describe(api, &self.app.url);
        let mut router = routes.clone();
        let prefixes: BTreeSet<&str> = bases.iter().filter_map(|base| path_of(base)).collect();
        // A nested `/` answers at the prefix alone, not with a slash behind it.
        let (root, _) = operations::root().split_for_parts();
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
        if self.app.options.access_log {
            router = router.layer(middleware::from_fn(frame::tell_route));
        }
        Frame::new(router, Arc::clone(&self.app))
    }

    fn routes(&self, documents: &Arc<Documents>) -> OpenApiRouter {
        let client = client::routes(self.serves_tokens).with_state(self.client.clone());
        let auth = auth::routes().with_state(self.auth.clone());
        let pages = console::pages::routes().with_state(self.console.clone());
        let dev = self.app.options.dev;
        let shows_metrics = dev || self.operations.bearer.is_some();
        let operations = operations::routes(shows_metrics).with_state(self.operations.clone());
        let routes = open_to_pages(client.merge(auth))
            .merge(platform::guarded(&self.platform).with_state(self.platform.clone()))
            .merge(operations)
            .merge(console::guarded(&self.console).with_state(self.console.clone()))
            .merge(pages)
            .merge(document::routes().with_state(Arc::clone(documents)))
            .merge(page::routes());
        if dev {
            routes.merge(upgrade::echo_route().with_state(self.client.clone()))
        } else {
            routes
        }
    }
}

/// Lets pages of any origin call these routes.
fn open_to_pages(routes: OpenApiRouter) -> OpenApiRouter {
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

    /// What a door routes and what it describes.
    fn of_door<S: Clone + Send + Sync + 'static>(
        routes: OpenApiRouter<S>,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let (router, mut api) = routes.split_for_parts();
        let mut described = BTreeSet::new();
        for (path, item) in &mut api.paths.paths {
            for (method, _) in document::operations(item) {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        (routed(&router), described)
    }

    #[test]
    fn every_route_is_described_and_every_description_is_routed() {
        let mut all = 0;
        for (routed, described) in [
            of_door(client::routes(true)),
            of_door(upgrade::echo_route()),
            of_door(auth::routes()),
            of_door(platform::routes()),
            of_door(operations::routes(true)),
            of_door(console::routes()),
            of_door(console::pages::routes()),
            of_door(document::routes()),
            of_door(page::routes::<()>()),
        ] {
            assert_eq!(routed, described);
            all += routed.len();
        }
        assert!(all > 100, "{all} routes");
    }

    /// Methods and paths, by what a router says of itself.
    fn routed<S>(router: &Router<S>) -> BTreeSet<String> {
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
        assert!(!paths.is_empty(), "{text}");
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
