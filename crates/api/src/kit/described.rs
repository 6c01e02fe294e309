use axum::routing::MethodRouter;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, ObjectBuilder, Ref, Required, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

/// A page for people, described as what a browser gets there; `guarded` ones want an operator.
pub(crate) fn page_at<S: Clone + Send + Sync + 'static>(
    path: &str,
    guarded: bool,
    methods: MethodRouter<S>,
) -> OpenApiRouter<S> {
    let of_kind = |text: &str, kinds: &[&str]| {
        let response = ResponseBuilder::new().description(text);
        let text = || Some(ObjectBuilder::new().schema_type(Type::String));
        kinds.iter().fold(response, |response, kind| {
            response.content(*kind, ContentBuilder::new().schema(text()).build())
        })
    };
    let of_file = ["text/html", "text/css", "text/javascript", "image/svg+xml"];
    let kinds = if path.contains("/assets/") {
        &of_file[..]
    } else {
        &of_file[..1]
    };
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|part| part.split('}').next());
    let mut operation = OperationBuilder::new()
        .tag("pages")
        .summary(Some("A page of the Console, or what it loads"))
        .response("200", of_kind("The page", kinds))
        .response("303", ResponseBuilder::new().description("To the sign-in"))
        .response("307", ResponseBuilder::new().description("To where it is"))
        .response(
            "404",
            of_kind("There is no such page", &kinds[..1]).content("application/json", error()),
        );
    if guarded {
        let signed_in = SecurityRequirement::new("consoleSession", [""; 0]);
        operation = operation.security(signed_in);
    }
    for name in names {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(schema));
        operation = operation.parameter(parameter);
    }
    described(path, vec![HttpMethod::Get], operation.build(), methods)
}

/// A route whose path is no literal, with its description: what `routes!` makes of a handler.
pub(crate) fn described<S: Clone + Send + Sync + 'static>(
    path: &str,
    methods: Vec<HttpMethod>,
    operation: Operation,
    handlers: MethodRouter<S>,
) -> OpenApiRouter<S> {
    let mut paths = Paths::new();
    paths.add_path_operation(path, methods, operation);
    OpenApiRouter::new().routes((Vec::new(), paths, handlers))
}

/// The body of a refusal.
pub(crate) fn error() -> Content {
    let schema = Ref::from_schema_name("Error");
    ContentBuilder::new().schema(Some(schema)).build()
}
