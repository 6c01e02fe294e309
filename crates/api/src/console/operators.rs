use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{AppId, OperatorId, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::operators::{
    Email, Operator, OperatorChanges, OperatorError, PersonName, Role,
};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list, invite))
        .routes(routes!(change, remove))
        .routes(routes!(invite_again))
}

/// What an operator may do.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleName {
    /// Reads.
    Viewer,
    /// Writes in the apps that it sees.
    Admin,
    /// Everything, operators too.
    Owner,
}

/// An operator, as owners see it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorView {
    #[schema(value_type = String)]
    id: OperatorId,
    email: String,
    name: String,
    role: RoleName,
    /// The apps that the operator sees; null is all.
    #[schema(value_type = Option<Vec<String>>)]
    apps: Option<Vec<AppId>>,
    /// `active`, `invited` or `disabled`.
    state: &'static str,
    /// Whether a one-time code is asked for beside the password.
    totp: bool,
    /// How many passkeys the operator has.
    passkeys: u32,
    created_ms: i64,
    disabled_ms: Option<i64>,
    last_sign_in_ms: Option<i64>,
}

/// Operators.
#[derive(Serialize, ToSchema)]
pub(crate) struct Operators {
    items: Vec<OperatorView>,
    /// Always null: all of them are there.
    next: Option<String>,
}

/// Whom to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    email: String,
    role: RoleName,
    /// Ids of the apps that the operator is to see; null is all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    apps: Option<Vec<AppId>>,
}

/// Who was invited.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invited {
    operator: OperatorView,
    /// The link to hand over, good once and for a week. It is shown now and never again.
    invitation_url: String,
}

/// A link.
#[derive(Serialize, ToSchema)]
pub(crate) struct Link {
    /// The link to hand over, good once and for a week. It is shown now and never again.
    invitation_url: String,
}

/// What to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConsoleOperatorChanges)]
pub(crate) struct Changes {
    name: Option<String>,
    role: Option<RoleName>,
    /// Ids of the apps that the operator is to see; null is all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    #[expect(clippy::option_option, reason = "null is not the same as absent")]
    apps: Option<Option<Vec<AppId>>>,
    /// Whether it may not sign in.
    disabled: Option<bool>,
}

/// List the operators
#[utoipa::path(
    get,
    path = "/console/api/operators",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "All of them", body = Operators))
)]
async fn list(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Operators>, Refusal> {
    signed.may_administer()?;
    let mut items = Vec::new();
    let mut after: Option<Email> = None;
    loop {
        let page = app.operators.list(after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|operator| operator.email.clone());
        items.extend(page.into_iter().map(OperatorView::from));
        if is_last {
            return Ok(Json(Operators { items, next: None }));
        }
    }
}

/// Invite an operator
///
/// In a session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/operators",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = Invite,
    responses(
        (status = 201, description = "Invited", body = Invited),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn invite(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<Invite>,
) -> Result<(StatusCode, Json<Invited>), Refusal> {
    signed.may_administer()?;
    signed.confirmed(&app)?;
    let email = Email::parse(&body.email).map_err(OperatorError::from)?;
    check_apps(&app, body.apps.as_deref())?;
    let (operator, token) = app
        .operators
        .invite(email, body.role.into(), body.apps)
        .await?;
    note(&app, &signed, "operator.invite", &operator).await;
    let invited = Invited {
        operator: operator.into(),
        invitation_url: app.invitation_url(&token),
    };
    Ok((StatusCode::CREATED, Json(invited)))
}

/// Change an operator
///
/// Disabling one ends its sessions. The last owner who can sign in stays one. Role
/// and apps are changed, and one who was disabled is let in again, in a session that was confirmed.
#[utoipa::path(
    patch,
    path = "/console/api/operators/{operator}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("operator" = String, Path, description = "The operator's id")),
    request_body = Changes,
    responses(
        (status = 200, description = "Changed", body = OperatorView),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn change(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<OperatorId>,
    Body(body): Body<Changes>,
) -> Result<Json<OperatorView>, Refusal> {
    signed.may_administer()?;
    if let Some(apps) = &body.apps {
        check_apps(&app, apps.as_deref())?;
    }
    let name = body.name.as_deref().map(PersonName::parse).transpose();
    let changes = OperatorChanges {
        name: name.map_err(OperatorError::from)?,
        role: body.role.map(Role::from),
        apps: body.apps,
        disabled: body.disabled,
    };
    let before = app.operators.lookup(id).await?;
    if opens(&before, &changes.apply(before.clone(), app.clock.now())) {
        signed.confirmed(&app)?;
    }
    let changed = app.operators.update(id, changes).await?;
    note(&app, &signed, "operator.update", &changed).await;
    Ok(Json(changed.into()))
}

/// Remove an operator
#[utoipa::path(
    delete,
    path = "/console/api/operators/{operator}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("operator" = String, Path, description = "The operator's id")),
    responses(
        (status = 204, description = "Removed, its sessions with it"),
        (status = 409, description = "It is the last owner who can sign in", body = ErrorBody),
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<OperatorId>,
) -> Result<StatusCode, Refusal> {
    signed.may_administer()?;
    let operator = app.operators.lookup(id).await?;
    app.operators.remove(id).await?;
    note(&app, &signed, "operator.remove", &operator).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new link for an operator
///
/// For one who was invited, or has lost the password or the authenticator: whoever opens the link
/// sets a new password, one-time codes are off and passkeys are gone. An older link is dead. In a
/// session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/operators/{operator}/invitation",
    tag = "console",
    security(("consoleSession" = [])),
    params(("operator" = String, Path, description = "The operator's id")),
    responses(
        (status = 200, description = "The link", body = Link),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn invite_again(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<OperatorId>,
) -> Result<Json<Link>, Refusal> {
    signed.may_administer()?;
    signed.confirmed(&app)?;
    let operator = app.operators.lookup(id).await?;
    let token = app.operators.invite_again(id).await?;
    note(&app, &signed, "operator.reset", &operator).await;
    Ok(Json(Link {
        invitation_url: app.invitation_url(&token),
    }))
}

/// Whether a change may let an operator do more than before.
fn opens(before: &Operator, after: &Operator) -> bool {
    let is_let_in = before.disabled.is_some() && after.disabled.is_none();
    is_let_in || before.role != after.role || before.apps != after.apps
}

/// Writes down what was done to an operator, and what it is now.
async fn note(app: &App, signed: &Signed, action: &'static str, operator: &Operator) {
    let detail = json!({
        "role": operator.role,
        "apps": operator.apps,
        "disabled": operator.disabled.is_some(),
    });
    let entry = signed.entry(action, None, &operator.email).detail(detail);
    app.audit.record(entry).await;
}

fn check_apps(app: &App, apps: Option<&[AppId]>) -> Result<(), Refusal> {
    let registry = app.keys.registry();
    let mut apps = apps.unwrap_or_default().iter();
    if apps.all(|id| registry.app(*id).is_some()) {
        return Ok(());
    }
    let message = "apps names an app that does not exist";
    Err(Refusal::new(ErrorCode::InvalidParams, message))
}

/// Tells null from absent.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl From<Operator> for OperatorView {
    fn from(operator: Operator) -> Self {
        let state = match (operator.disabled, operator.has_password) {
            (Some(_), _) => "disabled",
            (None, true) => "active",
            (None, false) => "invited",
        };
        Self {
            id: operator.id,
            email: operator.email.to_string(),
            name: operator.name.to_string(),
            role: operator.role.into(),
            apps: operator.apps,
            state,
            totp: operator.totp.is_some(),
            passkeys: operator.passkeys,
            created_ms: operator.created.as_millis(),
            disabled_ms: operator.disabled.map(Timestamp::as_millis),
            last_sign_in_ms: operator.last_sign_in.map(Timestamp::as_millis),
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Viewer => Self::Viewer,
            RoleName::Admin => Self::Admin,
            RoleName::Owner => Self::Owner,
        }
    }
}

const PAGE: u32 = 200;
