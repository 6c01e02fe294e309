//! The Console's pages, below `/console`.
//!
//! A page is a shell from `templates/console`: layout, headings, forms, empty rows. A module of
//! `assets/console` asks the Console's API for what belongs in it. There is no build step, nothing
//! comes from elsewhere, and every link is relative: a page does not know below which prefix it
//! stands.
//!
//! Invariants: no script and no style stands in a page, which [`POLICY`] enforces; a module puts
//! data into a page as text, never as markup; whoever is not signed in sees the entrance only, and
//! an app that an operator does not see does not exist.
//!
//! To add a page: a variant of [`Page`] with its words, a template of its name with a line in
//! `page.html`, a module of its name.

mod asset;
mod page;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use form_urlencoded::byte_serialize;
use hexline_model::AppId;
use hexline_protocol::ErrorCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use utoipa_axum::router::OpenApiRouter;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::described::page_at;
use crate::kit::error::Refusal;
use crate::kit::json::Ids;
use page::{AgainView, Entrance, EntranceView, Page, PageView};

/// Every page and what they load.
pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    let mut routes = OpenApiRouter::new()
        // Relative, for the path that the browser knows may be longer than the one that we see.
        .merge(page_at(
            "/console",
            false,
            get(|| async { Redirect::temporary("console/") }),
        ))
        .merge(page_at("/console/apps/{app}", false, get(to_the_keys)))
        .merge(page_at(
            "/console/assets/{version}/{name}",
            false,
            get(asset::serve),
        ));
    for page in [Entrance::SetUp, Entrance::SignIn, Entrance::Invitation] {
        let path = format!("/console/{}", page.module());
        let show = move |State(app): State<Arc<App>>| entrance(page, app);
        routes = routes.merge(page_at(&path, false, get(show)));
    }
    for page in Page::OF_SERVER.into_iter().chain([Page::Profile]) {
        let path = format!("/console/{}", page.path());
        let show = move |uri: Uri, headers: HeaderMap, signed: Result<Signed, Refusal>| {
            std::future::ready(of_server(page, &uri, &headers, signed))
        };
        routes = routes.merge(page_at(&path, true, get(show)));
    }
    for page in Page::OF_APP {
        let path = format!("/console/apps/{{app}}/{}", page.path());
        let show = move |State(app): State<Arc<App>>,
                         Ids(id): Ids<String>,
                         uri: Uri,
                         headers: HeaderMap,
                         signed: Result<Signed, Refusal>| {
            std::future::ready(of_app(page, &app, &id, (&uri, &headers), signed))
        };
        routes = routes.merge(page_at(&path, true, get(show)));
    }
    routes
}

async fn to_the_keys(Ids(id): Ids<String>) -> Response {
    match AppId::parse(&id) {
        Ok(id) => Redirect::temporary(&format!("{id}/keys")).into_response(),
        Err(_) => render(
            StatusCode::NOT_FOUND,
            &EntranceView::new(Entrance::Lost, "../", false),
        ),
    }
}

async fn entrance(page: Entrance, app: Arc<App>) -> Response {
    // Whoever has lost the link of the first start is told where it is.
    let is_new = match page {
        Entrance::SignIn => app.operators.is_setup_open().await.unwrap_or(false),
        _ => false,
    };
    render(StatusCode::OK, &EntranceView::new(page, "./", is_new))
}

fn of_server(
    page: Page,
    uri: &Uri,
    headers: &HeaderMap,
    signed: Result<Signed, Refusal>,
) -> Response {
    match signed {
        Ok(signed) if page.needs_owner() && !signed.operator.administers() => render(
            StatusCode::NOT_FOUND,
            &EntranceView::new(Entrance::Lost, "./", false),
        ),
        Ok(signed) => render(
            StatusCode::OK,
            &PageView::new(page, "./", None, &signed.operator),
        ),
        Err(refusal) => turned_away(refusal, (uri, headers), "./", page.path()),
    }
}

fn of_app(
    page: Page,
    app: &App,
    id: &str,
    asked: (&Uri, &HeaderMap),
    signed: Result<Signed, Refusal>,
) -> Response {
    const ROOT: &str = "../../";
    let signed = match signed {
        Ok(signed) => signed,
        Err(refusal) => {
            let next = AppId::parse(id).map(|id| format!("apps/{id}/{}", page.path()));
            return turned_away(refusal, asked, ROOT, &next.unwrap_or_default());
        }
    };
    let seen = AppId::parse(id)
        .ok()
        .filter(|id| signed.sees(*id))
        .and_then(|id| app.keys.registry().app(id));
    match seen {
        Some(seen) => {
            let view = PageView::new(page, ROOT, Some(&seen), &signed.operator);
            render(StatusCode::OK, &view)
        }
        None => render(
            StatusCode::NOT_FOUND,
            &EntranceView::new(Entrance::Lost, ROOT, false),
        ),
    }
}

/// Says that there is no page at `/console/{rest}`.
pub(crate) fn lost(rest: &str) -> Response {
    let depth = rest.matches('/').count();
    let root = if depth == 0 {
        "./".to_owned()
    } else {
        "../".repeat(depth)
    };
    render(
        StatusCode::NOT_FOUND,
        &EntranceView::new(Entrance::Lost, &root, false),
    )
}

/// To the sign-in, and back afterwards; a fault is no reason to ask for a password.
///
/// A link on a page of somebody else comes without the cookie, which is `SameSite=Strict`: that
/// browser is sent here once more, by a page of ours.
fn turned_away(
    refusal: Refusal,
    (uri, headers): (&Uri, &HeaderMap),
    root: &str,
    next: &str,
) -> Response {
    if refusal.code != ErrorCode::SignedOut {
        return refusal.into_response();
    }
    // What a page shows may stand in its query: the filters of the audit log.
    let query = uri.query().filter(|query| !query.is_empty());
    let is_from_elsewhere = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site" || site == "same-site");
    if is_from_elsewhere {
        let target = match query {
            Some(query) => format!("{root}{next}?{query}"),
            None => format!("{root}{next}"),
        };
        return render(StatusCode::OK, &AgainView::new(target));
    }
    let query: String = match query {
        Some(query) => byte_serialize(format!("?{query}").as_bytes()).collect(),
        None => String::new(),
    };
    let next = if next.is_empty() && query.is_empty() {
        String::new()
    } else {
        format!("?next={next}{query}")
    };
    Redirect::to(&format!("{root}sign-in{next}")).into_response()
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    let html = page.render().expect("writing to memory does not fail");
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (status, headers, html).into_response()
}

/// What a page may load: its own files, and nothing that stands in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
