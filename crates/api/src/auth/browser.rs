use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use hexline_model::Secret;
use hexline_protocol::ErrorCode;
use hexline_services::auth::{Arrival, Authorize};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AuthState, device, peer};
use crate::app::App;
use crate::kit::body::PromptBody;
use crate::kit::error::{ErrorBody, Refusal};
use crate::kit::json::{Ids, Params};

/// A sign-in that goes through this server.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuthorizeParams {
    /// Described as the way to be let in.
    #[param(ignore)]
    apikey: String,
    /// Where the browser is sent in the end: one of the app's settings.
    redirect_uri: String,
    /// The device, by a name of the program's own.
    device: String,
    /// The SHA-256 of the program's secret in base64url (PKCE, S256).
    code_challenge: String,
    /// Given back with the browser.
    state: Option<String>,
    /// `json` (the default) answers with the URL, `redirect` sends the browser there.
    #[serde(default)]
    #[param(inline)]
    mode: Mode,
}

/// How the provider's page is given.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Json,
    Redirect,
}

/// Where a browser has to go.
#[derive(Serialize, ToSchema)]
pub(super) struct SignInDeparture {
    /// The provider's page.
    url: String,
    /// What the browser comes back to this server with.
    state: String,
}

/// Begin a sign-in at a provider
///
/// The browser goes to the provider, comes back to this server, and is sent on to `redirect_uri`
/// with `code` and `state`, or with `error`. The code is exchanged as `login_code`.
#[utoipa::path(
    get,
    path = "/app/auth/v1/strategies/{strategy}/authorize",
    tag = "auth",
    security(("apikey" = [])),
    params(("strategy" = String, Path, description = "The strategy's name"), AuthorizeParams),
    responses(
        (status = 200, description = "Where to go", body = SignInDeparture),
        (status = 303, description = "With `mode=redirect`: go there")
    )
)]
pub(super) async fn authorize(
    State(AuthState { app, throttle }): State<AuthState>,
    Ids(strategy): Ids<String>,
    Peer(ip): Peer,
    Params(params): Params<AuthorizeParams>,
) -> Result<Response, Refusal> {
    let caller = app.auth.caller(&params.apikey)?;
    throttle.check_try(caller.app, ip)?;
    let order = Authorize {
        redirect_uri: params.redirect_uri,
        device: device(&params.device)?,
        code_challenge: params.code_challenge,
        state: params.state,
    };
    let departure = app.auth.authorize(&caller, &strategy, order).await?;
    match params.mode {
        Mode::Redirect => see_other(&departure.url),
        Mode::Json => Ok(Json(SignInDeparture {
            url: departure.url,
            state: departure.state,
        })
        .into_response()),
    }
}

/// With what a provider sends a browser back. It may add more, which is passed over.
#[derive(IntoParams, ToSchema, Default)]
#[into_params(parameter_in = Query)]
pub(super) struct ArrivalParams {
    /// What the browser was sent with.
    #[param(required)]
    #[schema(required)]
    state: Option<String>,
    /// The provider's code.
    code: Option<String>,
    /// Why there is none.
    error: Option<String>,
    /// Which provider it is, if it says so (RFC 9207).
    iss: Option<String>,
}

/// A browser comes back from a provider
///
/// This is the URL to register at providers. Not for programs.
#[utoipa::path(
    get,
    path = "/app/auth/v1/callback",
    tag = "auth",
    params(ArrivalParams),
    responses(
        (status = 303, description = "On to the app's page"),
        (status = 401, description = "This sign-in is not under way", body = ErrorBody)
    )
)]
pub(super) async fn arrive(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = uri.query().unwrap_or_default();
    land(&app, ArrivalParams::read(query.as_bytes())).await
}

/// A browser comes back from a provider by a form
#[utoipa::path(
    post,
    path = "/app/auth/v1/callback",
    tag = "auth",
    request_body(content = ArrivalParams, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "On to the app's page"),
        (status = 401, description = "This sign-in is not under way", body = ErrorBody)
    )
)]
pub(super) async fn arrive_by_form(
    State(app): State<Arc<App>>,
    PromptBody(body): PromptBody,
) -> Result<Response, Refusal> {
    land(&app, ArrivalParams::read(&body)).await
}

async fn land(app: &App, params: ArrivalParams) -> Result<Response, Refusal> {
    let fits = |text: &String| text.len() <= LONGEST;
    let state = params.state.filter(fits).ok_or_else(|| {
        let message = "state is missing, expected what the provider was given";
        Refusal::new(ErrorCode::InvalidRequest, message)
    })?;
    let code = params.code.filter(fits).filter(|_| params.error.is_none());
    let arrival = Arrival {
        state,
        code: code.map(Secret::new),
        issuer: params.iss,
    };
    see_other(&app.auth.arrive(arrival).await?)
}

impl ArrivalParams {
    fn read(form: &[u8]) -> Self {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(form) {
            let member = match name.as_ref() {
                "state" => &mut params.state,
                "code" => &mut params.code,
                "error" => &mut params.error,
                "iss" => &mut params.iss,
                _ => continue,
            };
            *member = Some(value.into_owned());
        }
        params
    }
}

/// The network address that a request counts for.
pub(super) struct Peer(IpAddr);

impl FromRequestParts<AuthState> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, Refusal> {
        Ok(Self(peer(parts, &state.app)))
    }
}

fn see_other(url: &str) -> Result<Response, Refusal> {
    let location = HeaderValue::from_str(url).map_err(|_| {
        let message = "the place to go to is no URL";
        Refusal::new(ErrorCode::Unavailable, message)
    })?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

const LONGEST: usize = 8192;
