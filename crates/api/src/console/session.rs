use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use hexline_gateway::LogLines;
use hexline_model::{AppId, OperatorId, Secret};
use hexline_protocol::ErrorCode;
use hexline_services::Failure as _;
use hexline_services::actor::Actor;
use hexline_services::audit::Entry;
use hexline_services::operators::{
    Credentials, Email, NewSession, Operator, OperatorError, Origin, Proof,
};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::{self, Signed, Visitor};
use super::operators::RoleName;
use super::passkeys::Answer;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::Body;
use crate::kit::trace::Trace;

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(show, sign_in, sign_out))
        .routes(routes!(set_up))
        .routes(routes!(check_setup))
        .routes(routes!(accept))
        .routes(routes!(check_invitation))
        .routes(routes!(confirm))
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

/// A link, before it is used.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkToken {
    /// What stands behind the `#` of the link.
    token: String,
}

/// Whom an invitation is for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invitee {
    email: String,
}

/// What shows that it is still the operator who sits there.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confirmation {
    /// The password.
    Password(String),
    /// The answer of one of the operator's passkeys, asked for as to sign in.
    Passkey(Answer),
}

/// Who is signed in
#[utoipa::path(
    get,
    path = "/console/api/session",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "The session", body = Session))
)]
async fn show(State(app): State<Arc<App>>, signed: Signed) -> Json<Session> {
    Json(session(&app, &signed.operator))
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
    trace: Trace,
    Body(body): Body<SignIn>,
) -> Result<Response, Refusal> {
    let credentials = Credentials {
        email: body.email,
        password: Secret::new(body.password),
        code: body.code.map(Secret::new),
    };
    // Only an address that is one of an operator's is written down: people type passwords here.
    let whose = app.operators.find(&credentials.email).await.ok();
    let outcome = app.operators.sign_in(credentials, &origin).await;
    log_refusal(&app, &outcome, &trace);
    if let Err(OperatorError::SignInFailed) = outcome {
        failed(&app, whose.map(|operator| operator.email), &origin).await;
    }
    begun(&app, outcome?, "operator.sign_in").await
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
    let entry = signed.entry("operator.sign_out", None, &signed.operator.email);
    app.audit.record(entry).await;
    let cookie = AppendHeaders([(SET_COOKIE, guard::cookie(&app, None))]);
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Confirm a session
///
/// With the password or a passkey. What changes how operators sign in is refused with
/// `confirmation_required` unless this was done, or the session began, in the last five minutes.
#[utoipa::path(
    post,
    path = "/console/api/session/confirm",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = Confirmation,
    responses(
        (status = 204, description = "Confirmed, for five minutes"),
        (status = 403, description = "It does not fit", body = ErrorBody),
        (status = 409, description = "A passkey, and the server has no host name", body = ErrorBody),
        (status = 429, description = "Too many wrong passwords", body = ErrorBody),
    )
)]
async fn confirm(
    State(app): State<Arc<App>>,
    signed: Signed,
    trace: Trace,
    Body(body): Body<Confirmation>,
) -> Result<StatusCode, Refusal> {
    let proof = match body {
        Confirmation::Password(password) => Proof::Password(Secret::new(password)),
        Confirmation::Passkey(answer) => {
            let (challenge, assertion) = answer.read();
            Proof::Passkey {
                challenge,
                assertion,
            }
        }
    };
    let confirmed = app.operators.confirm(&signed.signed_in(), proof).await;
    let action = match &confirmed {
        Ok(()) => Some("operator.confirm"),
        Err(OperatorError::PasswordWrong | OperatorError::PasskeyWrong) => {
            Some("operator.confirm_failed")
        }
        Err(_) => None,
    };
    if let Err(
        error @ (OperatorError::PasswordWrong
        | OperatorError::PasskeyWrong
        | OperatorError::Throttled { .. }
        | OperatorError::Busy),
    ) = &confirmed
    {
        warn_refused(
            &app.log,
            "operator confirmation refused",
            error.code(),
            &trace,
        );
    }
    if let Some(action) = action {
        let entry = signed.entry(action, None, &signed.operator.email);
        app.audit.record(entry).await;
    }
    confirmed?;
    Ok(StatusCode::NO_CONTENT)
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
    begun(&app, new, "operator.set_up").await
}

/// Check a set-up link
///
/// Uses nothing up.
#[utoipa::path(
    post,
    path = "/console/api/setup/check",
    tag = "console",
    request_body = LinkToken,
    responses(
        (status = 204, description = "It makes the first operator"),
        (status = 403, description = "The link is of no use any more", body = ErrorBody),
    )
)]
async fn check_setup(
    State(app): State<Arc<App>>,
    Body(link): Body<LinkToken>,
) -> Result<StatusCode, Refusal> {
    app.operators.check_setup(&Secret::new(link.token)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Check an invitation
///
/// Uses nothing up.
#[utoipa::path(
    post,
    path = "/console/api/invitation/check",
    tag = "console",
    request_body = LinkToken,
    responses(
        (status = 200, description = "It can be accepted", body = Invitee),
        (status = 403, description = "The link is of no use any more", body = ErrorBody),
    )
)]
async fn check_invitation(
    State(app): State<Arc<App>>,
    Body(link): Body<LinkToken>,
) -> Result<Json<Invitee>, Refusal> {
    let operator = app.operators.invited(&Secret::new(link.token)).await?;
    let email = operator.email.to_string();
    Ok(Json(Invitee { email }))
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
    begun(&app, new, "operator.accept_invitation").await
}

/// Answers with the session and hands it to the browser.
pub(super) async fn begun(
    app: &App,
    new: NewSession,
    action: &'static str,
) -> Result<Response, Refusal> {
    let operator = &new.signed_in.operator;
    let actor = Actor::Operator {
        id: operator.id,
        email: operator.email.to_string(),
    };
    let entry = Entry::new(actor, action, None, &operator.email);
    let entry = entry.from(&new.signed_in.session.peer);
    app.audit.record(entry).await;
    let session = session(app, operator);
    let cookie = guard::cookie(app, Some(&new.token));
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Json(session)).into_response())
}

/// Logs that somebody did not get in.
pub(super) fn log_refusal<T>(app: &App, outcome: &Result<T, OperatorError>, trace: &Trace) {
    if let Err(
        error @ (OperatorError::SignInFailed
        | OperatorError::Throttled { .. }
        | OperatorError::Busy),
    ) = outcome
    {
        warn_refused(&app.log, "operator sign-in refused", error.code(), trace);
    }
}

fn warn_refused(log: &LogLines, what: &'static str, reason: ErrorCode, trace: &Trace) {
    if log.pass(None, reason.text()) {
        tracing::warn!(
            reason = reason.text(),
            request.id = trace.id.as_ref().map(display),
            peer = log.peer(trace.peer.remote()).map(display),
            "{what}"
        );
    }
}

/// Writes down that somebody did not get in.
pub(super) async fn failed(app: &App, whose: Option<Email>, origin: &Origin) {
    let target = whose.map_or(String::new(), |email| email.to_string());
    let entry = Entry::new(Actor::System, "operator.sign_in_failed", None, target);
    app.audit.record(entry.from(&origin.peer)).await;
}

fn session(app: &App, operator: &Operator) -> Session {
    Session {
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
        dev: app.options.dev,
    }
}
