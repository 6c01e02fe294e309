use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use super::error::Refusal;
use crate::app::App;
use crate::kit::authenticator::{AuthenticatedToken, Door};

/// A user's device that asks over HTTP, by its verified client token.
pub(crate) struct ClientCaller(pub(crate) AuthenticatedToken);

impl<S> FromRequestParts<S> for ClientCaller
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let app = Arc::<App>::from_ref(state);
        let token = app.authenticator.authenticate(parts, Door::Client).await?;
        Ok(Self(token))
    }
}
