use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::Timestamp;
use hexline_services::revocations::{Revocation, RevocationCursor, Scope, Target, TargetKind};
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::names::{self, invalid};
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Params};
use crate::kit::paging::{Cursor, Limit, Page};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new().routes(routes!(list, revoke))
}

/// Which tokens to refuse from now on: `jti`, or `identity` with or without `device`, or `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlatformRevocationOrder, example = json!({"identity": "alice", "device": "web1"}))]
pub(super) struct Order {
    /// One token, by its name.
    jti: Option<String>,
    /// When that token ends, if that is known: then the revocation can be forgotten.
    expires_ms: Option<i64>,
    /// What was issued to an identity.
    identity: Option<String>,
    /// What was issued to this device of it.
    device: Option<String>,
    /// What was issued in the app.
    all: Option<bool>,
    /// Tokens issued at or before this, in whole seconds; unset, now.
    issued_before_ms: Option<i64>,
}

/// Tokens that are refused though their key is not.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformRevocation)]
pub(super) struct RevocationShown {
    /// `token`, `identity`, `device` or `app`
    kind: String,
    /// The `jti`, the identity or `identity/device`; empty for the whole app.
    target: String,
    /// When it was said; for all but a single token, those issued up to this second.
    at_ms: i64,
    /// When the token ends, if that is known.
    expires_ms: Option<i64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Query {
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// Refuse tokens from now on, and close what they opened
#[utoipa::path(
    post,
    path = "/platform/v1/revocations",
    tag = "platform",
    security(("platformToken" = [])),
    request_body = Order,
    responses((status = 200, description = "What is refused", body = RevocationShown))
)]
async fn revoke(
    State(app): State<Arc<App>>,
    caller: Platform,
    Body(order): Body<Order>,
) -> Result<Json<RevocationShown>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    let scope = match (&order.jti, &order.identity, order.all) {
        (Some(_), None, None) if order.device.is_none() && order.issued_before_ms.is_none() => None,
        (None, Some(identity), None) => Some(match &order.device {
            Some(device) => Scope::Device(names::subject(identity, device)?),
            None => Scope::Identity(names::identity(identity)?),
        }),
        (None, None, Some(true)) if order.device.is_none() => Some(Scope::App),
        _ => {
            return Err(invalid(
                "expected jti alone, or identity (and device), or all: true; issued_before_ms \
                 not with jti",
            ));
        }
    };
    if scope.is_some() && order.expires_ms.is_some() {
        return Err(invalid("expires_ms goes with jti"));
    }
    let revocation = match (scope, &order.jti) {
        (Some(scope), _) => {
            let at = order.issued_before_ms.map(Timestamp::from_millis);
            let at = at.unwrap_or_else(|| app.clock.now());
            app.revocations
                .revoke_issued_before(caller.app, scope, at)
                .await?
        }
        (None, jti) => {
            let expires = order.expires_ms.map(Timestamp::from_millis);
            let jti = jti.as_deref().unwrap_or_default();
            app.revocations
                .revoke_token(caller.app, jti, expires)
                .await?
        }
    };
    let shown = RevocationShown::from(revocation);
    let detail = json!({"kind": shown.kind, "at_ms": shown.at_ms});
    caller
        .record(&app, "token.revoke", &shown.target, detail)
        .await;
    Ok(Json(shown))
}

/// What is refused though its key is not
#[utoipa::path(
    get,
    path = "/platform/v1/revocations",
    tag = "platform",
    security(("platformToken" = [])),
    params(Query),
    responses((status = 200, description = "A page of them", body = Page<RevocationShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<Query>,
) -> Result<Json<Page<RevocationShown>>, Refusal> {
    caller.needs(PlatformArea::Tokens)?;
    let after = query.cursor.map(|cursor| {
        cursor.read(|key| {
            let (kind, subject) = key.split_once(' ')?;
            let kind = TargetKind::parse(kind)?;
            Target::from_parts(kind, subject, None)?;
            Some(RevocationCursor {
                kind,
                subject: subject.to_owned(),
            })
        })
    });
    let after = after.transpose()?;
    let limit = u32::try_from(query.limit.and_one()).expect("it is small");
    let found = app
        .revocations
        .list(caller.app, after.as_ref(), limit)
        .await?;
    let key = |revocation: &Revocation| {
        let target = &revocation.target;
        format!("{} {}", target.kind().as_str(), target.subject())
    };
    Ok(Json(Page::cut(found, query.limit, key, Into::into)))
}

impl From<Revocation> for RevocationShown {
    fn from(revocation: Revocation) -> Self {
        let expires = match &revocation.target {
            Target::Token { expires, .. } => *expires,
            Target::IssuedBefore(_) => None,
        };
        Self {
            kind: revocation.target.kind().as_str().to_owned(),
            target: revocation.target.subject(),
            at_ms: revocation.at.as_millis(),
            expires_ms: expires.map(Timestamp::as_millis),
        }
    }
}
