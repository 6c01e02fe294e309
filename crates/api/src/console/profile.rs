use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{ConsoleSessionId, Secret};
use hexline_services::operators::{OperatorChanges, PersonName};
use http::StatusCode;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use super::operators::OperatorView;
use super::passkeys::PasskeyView;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(show, change))
        .routes(routes!(change_password))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
        .routes(routes!(offer_totp))
        .routes(routes!(confirm_totp))
        .routes(routes!(remove_totp))
}

/// What to change of oneself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConsoleProfileChanges)]
pub(crate) struct Changes {
    name: Option<String>,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// At least 12 characters, at most 1024 bytes.
    #[schema(format = Password)]
    new: String,
}

/// What a changed password leaves in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordChanged {
    /// The operator's passkeys, oldest first: each still signs in. Remove those that are not known.
    passkeys: Vec<PasskeyView>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionView {
    #[schema(value_type = String)]
    id: ConsoleSessionId,
    created_ms: i64,
    /// When it was last used, to the minute.
    seen_ms: i64,
    /// When it ends if it is not used again.
    ends_ms: i64,
    /// The network address from which it began.
    address: String,
    /// What the browser calls itself.
    agent: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// Sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    items: Vec<SessionView>,
    /// Always null: all of them are there.
    next: Option<String>,
}

/// What to tell an authenticator app.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offer {
    /// In base32, to type.
    secret: String,
    /// As `otpauth://…`.
    uri: String,
    /// The same as a picture to scan: an SVG document.
    svg: String,
}

/// The first code of an authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstCode {
    #[schema(example = "123456")]
    code: String,
}

/// Codes for when the authenticator app is lost.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Each is good once. They are shown now and never again.
    recovery_codes: Vec<String>,
}

/// Show oneself
#[utoipa::path(
    get,
    path = "/console/api/profile",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "The operator who is signed in", body = OperatorView))
)]
async fn show(signed: Signed) -> Json<OperatorView> {
    Json(signed.operator.into())
}

/// Change one's name
#[utoipa::path(
    patch,
    path = "/console/api/profile",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = Changes,
    responses((status = 200, description = "Changed", body = OperatorView))
)]
async fn change(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<Changes>,
) -> Result<Json<OperatorView>, Refusal> {
    let name = body.name.as_deref().map(PersonName::parse).transpose();
    let changes = OperatorChanges {
        name: name.map_err(hexline_services::operators::OperatorError::from)?,
        ..OperatorChanges::default()
    };
    let changed = app.operators.update(signed.operator.id, changes).await?;
    let entry = signed.entry("operator.update", None, &changed.email);
    let entry = entry.detail(json!({ "name": changed.name.as_str() }));
    app.audit.record(entry).await;
    Ok(Json(changed.into()))
}

/// Change one's password
///
/// In a session that was confirmed. Ends all other sessions of the operator; passkeys stay, and the
/// answer lists them.
#[utoipa::path(
    post,
    path = "/console/api/profile/password",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = NewPassword,
    responses(
        (status = 200, description = "Changed", body = PasswordChanged),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
        (status = 429, description = "Too many new passwords", body = ErrorBody),
    )
)]
async fn change_password(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<NewPassword>,
) -> Result<Json<PasswordChanged>, Refusal> {
    signed.confirmed(&app)?;
    let new = Secret::new(body.new);
    app.operators
        .change_password(&signed.signed_in(), new)
        .await?;
    note(&app, &signed, "operator.change_password").await;
    let passkeys = app.operators.list_passkeys(signed.operator.id).await?;
    Ok(Json(PasswordChanged {
        passkeys: passkeys.into_iter().map(PasskeyView::from).collect(),
    }))
}

/// List one's sessions
#[utoipa::path(
    get,
    path = "/console/api/profile/sessions",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "Newest first", body = Sessions))
)]
async fn sessions(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Sessions>, Refusal> {
    let sessions = app.operators.list_sessions(signed.operator.id).await?;
    let items = sessions.into_iter().map(|session| SessionView {
        id: session.id,
        created_ms: session.created.as_millis(),
        seen_ms: session.seen.as_millis(),
        ends_ms: session.ends().as_millis(),
        current: session.id == signed.session.id,
        address: session.peer,
        agent: session.agent,
    });
    Ok(Json(Sessions {
        items: items.collect(),
        next: None,
    }))
}

/// End one of one's sessions
#[utoipa::path(
    delete,
    path = "/console/api/profile/sessions/{session}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("session" = String, Path, description = "The session's id")),
    responses((status = 204, description = "Ended"))
)]
async fn end_session(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<ConsoleSessionId>,
) -> Result<StatusCode, Refusal> {
    app.operators.end_session(signed.operator.id, id).await?;
    note(&app, &signed, "operator.end_session").await;
    Ok(StatusCode::NO_CONTENT)
}

/// Begin with one-time codes
///
/// In a session that was confirmed. Makes a secret for an authenticator app. Codes are asked for
/// once the first one was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/profile/totp",
    tag = "console",
    security(("consoleSession" = [])),
    responses(
        (status = 200, description = "What to tell the authenticator app", body = Offer),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
        (status = 409, description = "One-time codes are on already", body = ErrorBody),
    )
)]
async fn offer_totp(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Offer>, Refusal> {
    signed.confirmed(&app)?;
    let offer = app.operators.offer_totp(&signed.operator).await?;
    let picture = QrCode::new(offer.uri.expose().as_bytes()).expect("a URI of this length fits");
    let mut svg = picture.render::<svg::Color<'_>>();
    svg.min_dimensions(200, 200);
    Ok(Json(Offer {
        secret: offer.secret.expose().clone(),
        uri: offer.uri.expose().clone(),
        svg: svg.build(),
    }))
}

/// Turn one-time codes on
///
/// In a session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/profile/totp/confirm",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = FirstCode,
    responses(
        (status = 200, description = "They are on", body = RecoveryCodes),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn confirm_totp(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<FirstCode>,
) -> Result<Json<RecoveryCodes>, Refusal> {
    signed.confirmed(&app)?;
    let codes = app
        .operators
        .confirm_totp(&signed.operator, &body.code)
        .await?;
    note(&app, &signed, "totp.enable").await;
    Ok(Json(RecoveryCodes {
        recovery_codes: codes.iter().map(|code| code.expose().clone()).collect(),
    }))
}

/// Turn one-time codes off
///
/// In a session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/profile/totp/remove",
    tag = "console",
    security(("consoleSession" = [])),
    responses(
        (status = 204, description = "They are off"),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn remove_totp(State(app): State<Arc<App>>, signed: Signed) -> Result<StatusCode, Refusal> {
    signed.confirmed(&app)?;
    app.operators.remove_totp(&signed.operator).await?;
    note(&app, &signed, "totp.disable").await;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes down what an operator did to itself.
async fn note(app: &App, signed: &Signed, action: &'static str) {
    let entry = signed.entry(action, None, &signed.operator.email);
    app.audit.record(entry).await;
}
