use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use hexline_model::{AppId, KeyId, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::Caller;
use hexline_services::actor::Actor;
use hexline_services::audit::Entry;
use hexline_token::{Grants, Permissions, PlatformArea};
use http::request::Parts;
use serde_json::Value;

use crate::app::App;
use crate::kit::authenticator::AuthenticatedToken;
use crate::kit::error::Refusal;

/// The app's server that makes the request, by its verified platform token.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    pub(crate) app: AppId,
    /// The key that signed its token.
    pub(crate) key: KeyId,
    /// When that key ends, as is known now.
    pub(crate) key_ends: Option<Timestamp>,
    /// What its token grants, below the ceiling of its key.
    pub(crate) permissions: Arc<Permissions>,
    /// Where the request came from.
    pub(crate) peer: IpAddr,
}

impl Platform {
    /// Whose token it is.
    pub(super) fn of(token: &AuthenticatedToken) -> Self {
        let authorization = &token.authorization;
        Self {
            app: authorization.app,
            key: authorization.key,
            key_ends: token.entry.end(),
            permissions: Arc::clone(&authorization.permissions),
            peer: token.peer.ip(),
        }
    }

    /// As the services know it: the app's server, for itself.
    pub(super) fn caller(&self) -> Caller {
        Caller::server(self.app, Arc::clone(&self.permissions))
    }

    /// The token and its key must grant this part of the API.
    pub(crate) fn needs(&self, area: PlatformArea) -> Result<(), Refusal> {
        let granted = self.permissions.may_platform(area);
        granted.map_err(|rejection| Refusal::from(&rejection))
    }

    /// What a key that it makes may grant at most; `None` is no limit. Its own ceiling, and of the
    /// platform API no more than its token grants.
    pub(crate) fn reach(&self) -> Option<Grants> {
        let ceiling = self.permissions.ceiling();
        let has = |area: &PlatformArea| self.permissions.may_platform(*area).is_ok();
        let all = Grants::all();
        if ceiling.is_none() && self.permissions.token().platform() == all.platform() {
            return None;
        }
        let mut reach = serde_json::to_value(ceiling.unwrap_or(&all)).expect("grants are JSON");
        let areas = PlatformArea::ALL.into_iter().filter(has);
        let areas = areas.map(|area| (area.name().to_owned(), Value::Bool(true)));
        reach["platform"] = Value::Object(areas.collect());
        Some(Grants::parse_ceiling(&reach.to_string()).expect("it was a ceiling"))
    }

    /// Writes down what it has just changed. Never a secret.
    pub(crate) async fn record(
        &self,
        app: &App,
        action: &str,
        target: impl ToString,
        detail: Value,
    ) {
        let actor = Actor::Platform { key: self.key };
        let entry = Entry::new(actor, action, Some(self.app), target)
            .detail(detail)
            .from(self.peer);
        app.audit.record(entry).await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Platform {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Put there by `middleware::admit`, which stands before every route of the platform API.
        let caller = parts.extensions.get::<Self>();
        let missing = || Refusal::new(ErrorCode::TokenMalformed, "no token");
        caller.cloned().ok_or_else(missing)
    }
}
