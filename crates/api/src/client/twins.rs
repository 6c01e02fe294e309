//! The HTTP twins of methods: routes and descriptions that follow from the rows of the table.
//!
//! A twin's parameters come in its path, and in the query or the body; together they are the
//! method's parameters, read by the same code. The body's members pass through untouched.

use std::borrow::Cow;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest as _, RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use hexline_protocol::{Call, ErrorCode, HttpRoute, Kind, RawCall, Row, Verb};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Object, Schema};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::ClientState;
use super::calls::HttpCaller;
use crate::kit::body::FrameBody;
use crate::kit::error::Refusal;

/// A route for each row that names one.
pub(super) fn routes() -> OpenApiRouter<ClientState> {
    let rows = Call::rows().filter_map(|row| Some((row, row.http?)));
    rows.map(|(row, http)| route(row, http))
        .fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

fn route(row: &'static Row, http: HttpRoute) -> OpenApiRouter<ClientState> {
    let handler =
        move |state: State<ClientState>,
              caller: HttpCaller,
              path: Result<RawPathParams, RawPathParamsRejection>,
              request: Request| call(row, http, state, caller, path, request);
    let (filter, method) = match http.verb {
        Verb::Get => (MethodFilter::GET, HttpMethod::Get),
        Verb::Post => (MethodFilter::POST, HttpMethod::Post),
        Verb::Put => (MethodFilter::PUT, HttpMethod::Put),
        Verb::Patch => (MethodFilter::PATCH, HttpMethod::Patch),
        Verb::Delete => (MethodFilter::DELETE, HttpMethod::Delete),
    };
    let handlers: MethodRouter<ClientState> = on(filter, handler);
    let mut schemas = row.answer.components();
    let params = row.params.components();
    schemas.extend(
        params
            .into_iter()
            .filter(|(name, _)| *name != row.params.name()),
    );
    let body = describe_body(row, http);
    let operation = describe(row, http, body.as_ref().map(|(name, _)| name.as_str()));
    schemas.extend(body);
    let mut paths = Paths::new();
    paths.add_path_operation(format!("{BELOW}{}", http.path), vec![method], operation);
    OpenApiRouter::new().routes((schemas, paths, handlers))
}

async fn call(
    row: &'static Row,
    http: HttpRoute,
    State(state): State<ClientState>,
    caller: HttpCaller,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let path = path.map_err(|_| {
        let message = "the path names something that cannot be";
        Refusal::new(ErrorCode::NotFound, message)
    })?;
    let mut params = Params::default();
    for (name, value) in &path {
        params.add_text(name, value);
    }
    if http.verb.has_body() {
        let FrameBody(body) = FrameBody::from_request(request, &state).await?;
        params.add_members(&body)?;
    } else {
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            params.add_from_query(row, &name, &value);
        }
    }
    caller.count(1).map_err(|wait| {
        let message = "too many calls of this device over HTTP";
        Refusal::new(ErrorCode::RateLimited, message).retry_in(wait)
    })?;
    let params = params.finish()?;
    let call = RawCall {
        id: None,
        method: Cow::Borrowed(row.name),
        params: Some(&params),
    };
    let reply = caller.carry_out(&call).await;
    let reply = reply.map_err(|failure| Refusal::new(failure.code, failure.message))?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, kind)], reply.as_str().to_owned()).into_response())
}

/// A method's parameters, gathered from a request.
#[derive(Default)]
struct Params(String);

impl Params {
    fn add(&mut self, name: &str, json: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        let name = Value::from(name);
        self.0 = format!("{}{comma}{name}:{json}", self.0);
    }

    fn add_text(&mut self, name: &str, text: &str) {
        self.add(name, &Value::from(text).to_string());
    }

    /// What the method reads as a number or a truth value is one.
    fn add_from_query(&mut self, row: &Row, name: &str, text: &str) {
        let schema = json!(row.params.schema());
        let kinds = schema["properties"][name]["type"].to_string();
        let is_plain = |value: &Value| match value {
            Value::Bool(_) => kinds.contains("boolean"),
            Value::Number(_) => kinds.contains("integer") || kinds.contains("number"),
            _ => false,
        };
        if serde_json::from_str(text).is_ok_and(|value| is_plain(&value)) {
            self.add(name, text);
        } else {
            self.add_text(name, text);
        }
    }

    /// The members of a body that is an object, as they are written.
    fn add_members(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let body: &RawValue = serde_json::from_slice(body).map_err(|_| {
            let message = "the body is not valid JSON";
            Refusal::new(ErrorCode::InvalidRequest, message)
        })?;
        let members = body.get().strip_prefix('{');
        let members = members
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(|| {
                let message = "the body is not an object";
                Refusal::new(ErrorCode::InvalidParams, message)
            })?;
        if !members.trim().is_empty() {
            let comma = if self.0.is_empty() { "" } else { "," };
            self.0 = format!("{}{comma}{members}", self.0);
        }
        Ok(())
    }

    fn finish(self) -> Result<Box<RawValue>, Refusal> {
        RawValue::from_string(format!("{{{}}}", self.0)).map_err(|_| {
            let message = "the parameters cannot be read";
            Refusal::new(ErrorCode::InvalidRequest, message)
        })
    }
}

fn describe(row: &Row, http: HttpRoute, body: Option<&str>) -> Operation {
    let reference = Ref::from_schema_name(row.answer.name());
    let content = ContentBuilder::new().schema(Some(reference)).build();
    let done = ResponseBuilder::new()
        .description("What the method gives")
        .content("application/json", content);
    let mut operation = OperationBuilder::new()
        .tag("client")
        .summary(Some(row.summary))
        .description(Some(format!("The method `{}` over HTTP.", row.name)))
        .security(SecurityRequirement::new("clientToken", [""; 0]))
        .response("200", done);
    let params = object(row);
    for (name, schema) in params.properties {
        let in_path = http.path_params().any(|held| held == name);
        if !in_path && http.verb.has_body() {
            continue;
        }
        let required = in_path || params.required.contains(&name);
        let (place, required) = match (in_path, required) {
            (true, _) => (ParameterIn::Path, Required::True),
            (false, true) => (ParameterIn::Query, Required::True),
            (false, false) => (ParameterIn::Query, Required::False),
        };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .schema(Some(schema));
        operation = operation.parameter(parameter);
    }
    if let Some(body) = body {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(body)));
        let body = RequestBodyBuilder::new()
            .content("application/json", content.build())
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation.build()
}

/// The parameters that come in the body, with a name of their own.
fn describe_body(row: &Row, http: HttpRoute) -> Option<(String, RefOr<Schema>)> {
    if !http.verb.has_body() {
        return None;
    }
    let mut params = object(row);
    for name in http.path_params() {
        params.properties.remove(name);
        params.required.retain(|required| required != name);
        if let Some(example) = params.example.as_mut().and_then(Value::as_object_mut) {
            example.remove(name);
        }
    }
    if row.kind == Kind::Relay {
        params.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
    }
    let name = format!("{}Body", row.params.name().trim_end_matches("Params"));
    Some((name, RefOr::T(Schema::Object(params))))
}

fn object(row: &Row) -> Object {
    match row.params.schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => panic!("the parameters of {} are not an object", row.name),
    }
}

/// Where twins are.
const BELOW: &str = "/client/v1";
