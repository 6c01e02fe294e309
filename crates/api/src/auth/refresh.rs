use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::Secret;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{SignInTokens, Try, device};
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::Body;

/// What is renewed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshOrder {
    /// The refresh token that came last.
    refresh_token: String,
    /// The device that it was given to.
    #[schema(example = "web1")]
    device: String,
}

/// What is ended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignOut {
    /// A refresh token; all that came and would come after it end with it.
    refresh_token: String,
}

/// Renew a token
///
/// Gives an access token and the next refresh token. One that was used before ends them all: it
/// was copied. Only within 30 seconds the one right before gets the same next one again, for an answer
/// may be lost.
#[utoipa::path(
    post,
    path = "/app/auth/v1/token/refresh",
    tag = "auth",
    security(("apikey" = [])),
    request_body = RefreshOrder,
    responses((status = 200, description = "Renewed", body = SignInTokens))
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Try(caller): Try,
    Body(body): Body<RefreshOrder>,
) -> Result<Json<SignInTokens>, Refusal> {
    let device = device(&body.device)?;
    let token = Secret::new(body.refresh_token);
    Ok(Json(
        app.auth.refresh(&caller, &device, &token).await?.into(),
    ))
}

/// Sign out: end a refresh token
///
/// What is none any more is ended already. Access tokens live to their end.
#[utoipa::path(
    post,
    path = "/app/auth/v1/token/revoke",
    tag = "auth",
    security(("apikey" = [])),
    request_body = SignOut,
    responses((status = 204, description = "Ended"))
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Try(caller): Try,
    Body(body): Body<SignOut>,
) -> Result<StatusCode, Refusal> {
    let token = Secret::new(body.refresh_token);
    app.auth.revoke(&caller, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
