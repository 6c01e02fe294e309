use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use hexline_model::{AppId, OperatorId, Secret};
use hexline_services::operators::{Credentials, NewSession, Operator};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::{self, Signed, Visitor};
use super::operators::RoleName;
use crate::app::App;
use crate::http::error::{ErrorBody, Refusal};
use crate::http::json::Body;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(show, sign_in, sign_out))
        .routes(routes!(set_up))
        .routes(routes!(accept))
}

/// Who is signed in, and to what.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    operator: Me,
    /// The release of the server.
    version: &'static str,
    /// The server process that answers.
    #[schema(value_type = String)]
    node: hexline_model::NodeId,
    /// Whether it runs with `--dev`.
    dev: bool,
}

/// The operator who is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    #[schema(value_type = String)]
    id: OperatorId,
    email: String,
    name: String,
    role: RoleName,
    /// The apps that the operator sees; null is all.
    #[schema(value_type = Option<Vec<String>>)]
    apps: Option<Vec<AppId>>,
    /// Whether a one-time code is asked for beside the password.
    totp: bool,
    /// How many passkeys the operator has.
    passkeys: u32,
}

/// What somebody signs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    email: String,
    #[schema(format = Password)]
    password: String,
    /// A one-time code or a recovery code, once that is asked for.
    code: Option<String>,
}

/// The first operator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    /// What stands behind the `#` of the set-up link.
    token: String,
    email: String,
    name: String,
    #[schema(format = Password)]
    password: String,
}

/// What an invited operator chooses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    /// What stands behind the `#` of the invitation.
    token: String,
    name: String,
    #[schema(format = Password)]
    password: String,
}

/// Who is signed in
#[utoipa::path(
    get,
    path = "/console/api/session",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "The session", body = Session))
)]
async fn show(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Session>, Refusal> {
    Ok(Json(session(&app, &signed.operator).await?))
}

/// Sign in
#[utoipa::path(
    post,
    path = "/console/api/session",
    tag = "console",
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in: the cookie is set", body = Session),
        (status = 401, description = "`totp_required` asks for a code, `sign_in_failed` tells nothing", body = ErrorBody),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
    )
)]
async fn sign_in(
    State(app): State<Arc<App>>,
    Visitor(origin): Visitor,
    Body(body): Body<SignIn>,
) -> Result<Response, Refusal> {
    let credentials = Credentials {
        email: body.email,
        password: Secret::new(body.password),
        code: body.code.map(Secret::new),
    };
    let new = app.operators.sign_in(credentials, &origin).await?;
    begun(&app, new).await
}

/// Sign out
#[utoipa::path(
    delete,
    path = "/console/api/session",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 204, description = "The session has ended"))
)]
async fn sign_out(State(app): State<Arc<App>>, signed: Signed) -> Result<Response, Refusal> {
    app.operators
        .end_session(signed.operator.id, signed.session.id)
        .await?;
    let cookie = AppendHeaders([(SET_COOKIE, guard::cookie(&app, None))]);
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Make the first operator
///
/// By the link that the server prints at its start while there is no operator.
#[utoipa::path(
    post,
    path = "/console/api/setup",
    tag = "console",
    request_body = SetUp,
    responses(
        (status = 200, description = "Made and signed in: the cookie is set", body = Session),
        (status = 403, description = "The link is of no use any more", body = ErrorBody),
    )
)]
async fn set_up(
    State(app): State<Arc<App>>,
    Visitor(origin): Visitor,
    Body(body): Body<SetUp>,
) -> Result<Response, Refusal> {
    let (token, password) = (Secret::new(body.token), Secret::new(body.password));
    let new = app
        .operators
        .set_up(&token, &body.email, &body.name, password, &origin)
        .await?;
    begun(&app, new).await
}

/// Accept an invitation
#[utoipa::path(
    post,
    path = "/console/api/invitation",
    tag = "console",
    request_body = Acceptance,
    responses(
        (status = 200, description = "Signed in: the cookie is set", body = Session),
        (status = 403, description = "The link is of no use any more", body = ErrorBody),
    )
)]
async fn accept(
    State(app): State<Arc<App>>,
    Visitor(origin): Visitor,
    Body(body): Body<Acceptance>,
) -> Result<Response, Refusal> {
    let (token, password) = (Secret::new(body.token), Secret::new(body.password));
    let new = app
        .operators
        .accept_invitation(&token, &body.name, password, &origin)
        .await?;
    begun(&app, new).await
}

/// Answers with the session and hands it to the browser.
pub(super) async fn begun(app: &App, new: NewSession) -> Result<Response, Refusal> {
    let session = session(app, &new.signed_in.operator).await?;
    let cookie = guard::cookie(app, Some(&new.token));
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Json(session)).into_response())
}

async fn session(app: &App, operator: &Operator) -> Result<Session, Refusal> {
    Ok(Session {
        operator: Me {
            id: operator.id,
            email: operator.email.to_string(),
            name: operator.name.to_string(),
            role: operator.role.into(),
            apps: operator.apps.clone(),
            totp: operator.totp.is_some(),
            passkeys: operator.passkeys,
        },
        version: env!("CARGO_PKG_VERSION"),
        node: app.node,
        dev: app.config.dev,
    })
}
