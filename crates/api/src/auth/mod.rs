//! `/app/auth/v1`: access tokens for users of apps without a server of their own, or with a sign-in
//! that exists already.
//!
//! `apikey`, a public id, names the app and the key that signs. Pages of any origin may call, and no
//! cookie of ours is read. `strategies.rs` signs in, `browser.rs` sends a browser to a provider and
//! takes it back, `refresh.rs` renews. The rules are in the services' `auth`.
//!
//! Invariants: whoever tries often is turned away before anything is asked or written
//! ([`throttle::Throttle`]); no answer and no log tells whose sign-in failed.
//!
//! To add a route: a handler here with the tag `auth`, and a line in [`routes`].

mod browser;
mod refresh;
mod strategies;
mod throttle;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use hexline_model::{Device, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::auth::SignedIn;
use hexline_services::keys::ApiKeyRecord;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::Params;
pub use throttle::Throttle;

/// What these routes stand on.
#[derive(Clone)]
pub struct AuthState {
    /// What all doors share.
    pub app: Arc<App>,
    /// Who tries too often.
    pub throttle: Arc<Throttle>,
}

impl FromRef<AuthState> for Arc<App> {
    fn from_ref(state: &AuthState) -> Self {
        Arc::clone(&state.app)
    }
}

/// Every route, for pages of any origin.
pub(crate) fn routes() -> OpenApiRouter<AuthState> {
    OpenApiRouter::new()
        .routes(routes!(strategies::list))
        .routes(routes!(strategies::anonymous))
        .routes(routes!(strategies::external))
        .routes(routes!(strategies::token))
        .routes(routes!(browser::authorize))
        .routes(routes!(browser::arrive, browser::arrive_by_form))
        .routes(routes!(refresh::refresh))
        .routes(routes!(refresh::revoke))
}

/// Which app calls: its API key, 32 hex digits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyParam {
    apikey: String,
}

/// The app that calls, by its API key.
pub(crate) struct Caller(pub(crate) ApiKeyRecord);

impl FromRequestParts<AuthState> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, Refusal> {
        let Params(ApiKeyParam { apikey }) = Params::from_request_parts(parts, state).await?;
        let caller = state.app.auth.caller(&apikey);
        caller.map(Self).map_err(Refusal::from)
    }
}

/// One try of a sign-in by an app's user. Those who try too often get no further.
pub(crate) struct Try(pub(crate) ApiKeyRecord);

impl FromRequestParts<AuthState> for Try {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, Refusal> {
        let Caller(caller) = Caller::from_request_parts(parts, state).await?;
        state
            .throttle
            .check_try(caller.app, peer(parts, &state.app))?;
        Ok(Self(caller))
    }
}

/// One try to come in without a name, of which there are fewer.
pub(crate) struct AnonymousTry(pub(crate) ApiKeyRecord);

impl FromRequestParts<AuthState> for AnonymousTry {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, Refusal> {
        let Caller(caller) = Caller::from_request_parts(parts, state).await?;
        let ip = peer(parts, &state.app);
        state.throttle.check_anonymous(caller.app, ip)?;
        Ok(Self(caller))
    }
}

fn peer(parts: &Parts, app: &App) -> IpAddr {
    let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let ConnectInfo(socket) = *socket.expect("every connection has one");
    app.authenticator.peer(socket, &parts.headers).ip()
}

/// What a sign-in ends with.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInTokens {
    /// The access token.
    token: String,
    /// When it ends, in milliseconds.
    expires_ms: i64,
    /// Who signed in.
    identity: String,
    /// On which device.
    device: String,
    /// What gets the next token, once; not for users without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Until when that is good, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_ms: Option<i64>,
}

impl From<SignedIn> for SignInTokens {
    fn from(signed_in: SignedIn) -> Self {
        let (refresh, until) = signed_in.refresh.unzip();
        Self {
            token: signed_in.token,
            expires_ms: signed_in.expires.as_millis(),
            identity: signed_in.identity.to_string(),
            device: signed_in.device.to_string(),
            refresh_token: refresh.map(|token| token.expose().clone()),
            refresh_expires_ms: until.map(Timestamp::as_millis),
        }
    }
}

fn device(text: &str) -> Result<Device, Refusal> {
    Device::parse(text)
        .map_err(|error| Refusal::new(ErrorCode::InvalidRequest, format!("device {error}")))
}
