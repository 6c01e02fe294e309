use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::Timestamp;
use hexline_services::operators::{Assertion, Challenge, OperatorError, Passkey, Registration};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::{Signed, Visitor};
use super::session::{self, Session};
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Body, Ids};
use crate::kit::trace::Trace;

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(ask))
        .routes(routes!(sign_in))
        .routes(routes!(list))
        .routes(routes!(offer))
        .routes(routes!(add))
        .routes(routes!(remove))
}

/// What the page hands to `navigator.credentials`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Question {
    /// Comes back with the answer, within five minutes.
    id: String,
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    #[schema(value_type = Object)]
    options: Value,
}

/// A new passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskey {
    /// The question's.
    id: String,
    /// A word for its owner; `Passkey` if absent.
    label: Option<String>,
    credential: NewCredential,
}

/// A `RegistrationResponseJSON`; members that are not named here are passed over.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewCredential {
    response: NewCredentialResponse,
}

/// An `AuthenticatorAttestationResponseJSON`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewCredentialResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    attestation_object: String,
}

/// An answer by a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The question's.
    id: String,
    credential: Credential,
}

/// An `AuthenticationResponseJSON`; members that are not named here are passed over.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credential {
    raw_id: String,
    response: CredentialResponse,
}

/// An `AuthenticatorAssertionResponseJSON`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyView {
    /// The credential's id in base64url.
    id: String,
    label: String,
    created_ms: i64,
    last_used_ms: Option<i64>,
}

/// Passkeys.
#[derive(Serialize, ToSchema)]
pub(crate) struct Passkeys {
    items: Vec<PasskeyView>,
    /// Always null: all of them are there.
    next: Option<String>,
}

/// Ask for a passkey to sign in or to confirm a session with
#[utoipa::path(
    post,
    path = "/console/api/session/passkey/start",
    tag = "console",
    responses(
        (status = 200, description = "For `navigator.credentials.get`", body = Question),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
        (status = 409, description = "The server has no host name", body = ErrorBody),
    )
)]
async fn ask(State(app): State<Arc<App>>) -> Result<Json<Question>, Refusal> {
    Ok(Json(app.operators.ask_for_passkey()?.into()))
}

/// Sign in with a passkey
///
/// Alone: the authenticator has verified who holds it.
#[utoipa::path(
    post,
    path = "/console/api/session/passkey/finish",
    tag = "console",
    request_body = Answer,
    responses(
        (status = 200, description = "Signed in: the cookie is set", body = Session),
        (status = 401, description = "It does not fit", body = ErrorBody),
        (status = 403, description = "The request comes from another site", body = ErrorBody),
        (status = 409, description = "The server has no host name", body = ErrorBody),
    )
)]
async fn sign_in(
    State(app): State<Arc<App>>,
    Visitor(origin): Visitor,
    trace: Trace,
    Body(body): Body<Answer>,
) -> Result<Response, Refusal> {
    let (challenge, assertion) = body.read();
    let new = app
        .operators
        .sign_in_with_passkey(&challenge, &assertion, &origin)
        .await;
    session::log_refusal(&app, &new, &trace);
    if let Err(OperatorError::SignInFailed) = new {
        session::failed(&app, None, &origin).await;
    }
    session::begun(&app, new?, "operator.sign_in").await
}

/// List one's passkeys
#[utoipa::path(
    get,
    path = "/console/api/profile/passkeys",
    tag = "console",
    security(("consoleSession" = [])),
    responses((status = 200, description = "Oldest first", body = Passkeys))
)]
async fn list(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Passkeys>, Refusal> {
    let passkeys = app.operators.list_passkeys(signed.operator.id).await?;
    Ok(Json(Passkeys {
        items: passkeys.into_iter().map(PasskeyView::from).collect(),
        next: None,
    }))
}

/// Ask for a new passkey
///
/// In a session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/profile/passkeys/start",
    tag = "console",
    security(("consoleSession" = [])),
    responses(
        (status = 200, description = "For `navigator.credentials.create`", body = Question),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
        (status = 409, description = "The server has no host name, or there are too many", body = ErrorBody),
    )
)]
async fn offer(State(app): State<Arc<App>>, signed: Signed) -> Result<Json<Question>, Refusal> {
    signed.confirmed(&app)?;
    let question = app.operators.offer_passkey(&signed.operator).await?;
    Ok(Json(question.into()))
}

/// Register a passkey
///
/// In a session that was confirmed.
#[utoipa::path(
    post,
    path = "/console/api/profile/passkeys/finish",
    tag = "console",
    security(("consoleSession" = [])),
    request_body = NewPasskey,
    responses(
        (status = 201, description = "Registered", body = PasskeyView),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn add(
    State(app): State<Arc<App>>,
    signed: Signed,
    Body(body): Body<NewPasskey>,
) -> Result<(StatusCode, Json<PasskeyView>), Refusal> {
    signed.confirmed(&app)?;
    let registration = Registration {
        client_data: body.credential.response.client_data_json,
        attestation: body.credential.response.attestation_object,
    };
    let label = body.label.as_deref().unwrap_or("Passkey");
    let passkey = app
        .operators
        .add_passkey(&signed.operator, &body.id, &registration, label)
        .await?;
    let entry = signed.entry("passkey.add", None, &signed.operator.email);
    let entry = entry.detail(json!({ "label": passkey.label }));
    app.audit.record(entry).await;
    Ok((StatusCode::CREATED, Json(passkey.into())))
}

/// Remove one of one's passkeys
///
/// In a session that was confirmed.
#[utoipa::path(
    delete,
    path = "/console/api/profile/passkeys/{passkey}",
    tag = "console",
    security(("consoleSession" = [])),
    params(("passkey" = String, Path, description = "The passkey's id")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "`confirmation_required`: confirm the session first", body = ErrorBody),
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<String>,
) -> Result<StatusCode, Refusal> {
    signed.confirmed(&app)?;
    app.operators
        .remove_passkey(signed.operator.id, &id)
        .await?;
    let entry = signed.entry("passkey.remove", None, &signed.operator.email);
    app.audit.record(entry).await;
    Ok(StatusCode::NO_CONTENT)
}

impl Answer {
    /// The challenge's id, and what was answered.
    pub(super) fn read(self) -> (String, Assertion) {
        let Credential { raw_id, response } = self.credential;
        let assertion = Assertion {
            id: raw_id,
            client_data: response.client_data_json,
            authenticator_data: response.authenticator_data,
            signature: response.signature,
        };
        (self.id, assertion)
    }
}

impl From<Challenge> for Question {
    fn from(challenge: Challenge) -> Self {
        Self {
            id: challenge.id,
            options: challenge.options,
        }
    }
}

impl From<Passkey> for PasskeyView {
    fn from(passkey: Passkey) -> Self {
        Self {
            id: BASE64_URL_SAFE_NO_PAD.encode(&passkey.id),
            label: passkey.label,
            created_ms: passkey.created.as_millis(),
            last_used_ms: passkey.last_used.map(Timestamp::as_millis),
        }
    }
}
