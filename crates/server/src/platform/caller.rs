use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use hexline_model::{AppId, KeyId};
use hexline_protocol::ErrorCode;
use hexline_token::{Permissions, PlatformArea};
use http::request::Parts;

use crate::app::App;
use crate::http::error::Refusal;

/// The app's server that makes the request, by its verified platform token.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    pub(crate) app: AppId,
    /// The key that signed its token.
    pub(crate) key: KeyId,
    /// What its token grants, below the ceiling of its key.
    pub(crate) permissions: Permissions,
    /// Whence the request came.
    pub(crate) peer: IpAddr,
}

impl Platform {
    /// The token and its key must grant this part of the API.
    pub(crate) fn needs(&self, area: PlatformArea) -> Result<(), Refusal> {
        let granted = self.permissions.may_platform(area);
        granted.map_err(|rejection| Refusal::from(&rejection))
    }
}

impl FromRequestParts<Arc<App>> for Platform {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refusal> {
        // Put there by `admit`, which stands before every route of the platform API.
        let caller = parts.extensions.get::<Self>();
        let missing = || Refusal::new(ErrorCode::TokenMalformed, "no token");
        caller.cloned().ok_or_else(missing)
    }
}
