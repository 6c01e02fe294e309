use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hexline_protocol::openrpc;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, RefOr, Required, ResponseBuilder, Server,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::docs::bounds;
use crate::kit::described::error;

/// What describes this server to programs, written once when its routes are known.
#[derive(Default)]
pub(crate) struct Documents {
    openapi: OnceLock<Bytes>,
    openrpc: OnceLock<Bytes>,
}

impl Documents {
    /// Takes down what the routes say of themselves.
    pub(crate) fn describe(&self, api: OpenApi, url: &str) {
        let mut document =
            serde_json::to_value(complete(api, url)).expect("the document is plain data");
        bounds::write(&mut document);
        let text = document.to_string();
        // Several routers of one server have the same routes.
        self.openapi.get_or_init(|| text.into());
        let socket = url.replacen("http", "ws", 1);
        let socket = format!("{}/client/signal/v1/pubsub", socket.trim_end_matches('/'));
        let text = openrpc(&socket, env!("CARGO_PKG_VERSION")).to_string();
        self.openrpc.get_or_init(|| text.into());
    }
}

/// The documents. Pages of any origin may read them.
pub(crate) fn routes() -> OpenApiRouter<Arc<Documents>> {
    OpenApiRouter::new()
        .routes(routes!(openapi_json))
        .routes(routes!(openrpc_json))
}

/// This description of the HTTP API
///
/// Generated from the routes that this server has: what is switched off is not in it.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "An OpenAPI 3.1 document", content_type = "application/json", body = serde_json::Value))
)]
pub(crate) async fn openapi_json(State(documents): State<Arc<Documents>>) -> Response {
    json(&documents.openapi)
}

/// The description of the WebSocket's methods
///
/// Beside the calls it has what the server says by itself, in `x-pushes`.
#[utoipa::path(
    get,
    path = "/openrpc.json",
    tag = "operations",
    responses((status = 200, description = "An OpenRPC 1.3 document", content_type = "application/json", body = serde_json::Value))
)]
pub(crate) async fn openrpc_json(State(documents): State<Arc<Documents>>) -> Response {
    json(&documents.openrpc)
}

fn json(text: &OnceLock<Bytes>) -> Response {
    let text = text.get().cloned().unwrap_or_default();
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Adds what concerns every route: where the server is, who may come in, how it refuses.
fn complete(mut api: OpenApi, url: &str) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("Hexline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0 OR MIT")
                .identifier(Some("Apache-2.0 OR MIT"))
                .build(),
        ))
        .build();
    api.servers = Some(vec![Server::new(url)]);
    let used: BTreeSet<String> = api
        .paths
        .paths
        .values_mut()
        .flat_map(operations)
        .flat_map(|(_, operation)| operation.tags.iter().flatten())
        .cloned()
        .collect();
    let tags = TAGS.iter().filter(|(name, _)| used.contains(*name));
    let tags = tags.map(|(name, text)| {
        let tag = TagBuilder::new().name(*name).description(Some(*text));
        tag.build()
    });
    api.tags = Some(tags.collect());
    let components = api.components.get_or_insert_default();
    for (name, scheme) in security_schemes() {
        components.add_security_scheme(name, scheme);
    }
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            if path.starts_with("/console/api/") && method != "get" {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.push(from_a_page().into());
            }
            add_refusals(operation);
        }
    }
    api
}

/// `get` and `/client/v1/me` make `getClientV1Me`, `{app}` makes `ByApp`: unique, as paths are.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_owned();
    let root = if path.len() > 1 && path.ends_with('/') {
        "root"
    } else {
        ""
    };
    let words = path.split(['/', '-', '.', '_']).chain([root]);
    for word in words.filter(|word| !word.is_empty()) {
        let word = if let Some(parameter) = word.strip_prefix('{') {
            id.push_str("By");
            parameter.trim_end_matches('}')
        } else {
            word
        };
        id.extend(word.chars().take(1).flat_map(char::to_uppercase));
        id.extend(word.chars().skip(1).filter(char::is_ascii_alphanumeric));
    }
    id
}

/// What no other site's page can send: the Console's own API wants it where something changes.
fn from_a_page() -> Parameter {
    let one = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["1"]));
    ParameterBuilder::new()
        .name("X-Hexline-Console")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some("Keeps other sites out."))
        .schema(Some(one))
        .build()
}

/// What the doors answer before a handler is asked, and what any handler may have to: the same for
/// all routes of a kind, so that none has to repeat it.
fn add_refusals(operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let in_path = parameters
        .iter()
        .any(|p| matches!(p, RefOr::T(p) if p.parameter_in == ParameterIn::Path));
    let takes_input = has_body || !parameters.is_empty();
    let guarded = operation.security.is_some();
    let refusals = [
        (
            400,
            takes_input || guarded,
            "The request cannot be read or does not fit",
        ),
        (
            401,
            guarded,
            "Who calls is not known: the credentials are missing or refused",
        ),
        (403, guarded, "Who calls may not do this"),
        (404, in_path || guarded, "There is no such thing"),
        (408, has_body, "The body did not arrive in time"),
        (
            409,
            has_body && guarded,
            "It exists already, or has changed meanwhile",
        ),
        (413, has_body, "The body is too large"),
        (
            415,
            has_body,
            "The body is not of the type that is expected",
        ),
        (
            429,
            guarded || has_body,
            "Too many calls; `Retry-After` says when to come back",
        ),
        (
            503,
            guarded,
            "Something that the server needs is out of reach; try again",
        ),
    ];
    for (status, applies, text) in refusals {
        let known = &mut operation.responses.responses;
        if applies && !known.contains_key(&status.to_string()) {
            known.insert(status.to_string(), refusal(text));
        }
    }
}

fn refusal(text: &str) -> RefOr<utoipa::openapi::Response> {
    ResponseBuilder::new()
        .description(text)
        .content("application/json", error())
        .build()
        .into()
}

/// Each operation of a path, with its method.
pub(crate) fn operations(
    item: &mut PathItem,
) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn security_schemes() -> [(&'static str, SecurityScheme); 4] {
    let bearer = |text: &str| {
        let http = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(text));
        SecurityScheme::Http(http.build())
    };
    [
        (
            "clientToken",
            bearer("An AccessToken of a user's device: its audience ends in /client/v1."),
        ),
        (
            "platformToken",
            bearer(
                "An AccessToken of an app's server: its audience ends in /platform/v1, and it \
                    has no sub.",
            ),
        ),
        (
            "consoleSession",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "hexline_console",
                "What an operator's sign-in sets. Where the public URL is https without a path, \
                 its name is __Host-hexline_console.",
            ))),
        ),
        (
            "apikey",
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(
                "apikey",
                "The public id of an app at the Auth Service.",
            ))),
        ),
    ]
}

const TAGS: [(&str, &str); 7] = [
    ("client", "For users' devices, with a client token."),
    ("platform", "For an app's server, with a platform token."),
    (
        "auth",
        "The Auth Service: tokens for apps that have no token server of their own.",
    ),
    ("console", "What the Console's pages use, for operators."),
    ("pages", "The Console itself, for people."),
    (
        "operations",
        "Health, figures and descriptions of the server.",
    ),
    ("demo", "What `--dev` or a setting switches on."),
];

const ABOUT: &str = "A communications platform behind one token. Errors are \
    `{\"code\":…,\"message\":…}`, times milliseconds since 1970. The methods of the WebSocket are \
    described by `/openrpc.json`.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_named_after_its_method_and_path() {
        for (method, path, wanted) in [
            ("get", "/", "get"),
            ("get", "/console/", "getConsoleRoot"),
            ("get", "/client/v1/me", "getClientV1Me"),
            ("get", "/openapi.json", "getOpenapiJson"),
            ("post", "/a/{app}/api-keys", "postAByAppApiKeys"),
        ] {
            assert_eq!(operation_id(method, path), wanted);
        }
    }
}
