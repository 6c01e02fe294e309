use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{AuditId, Timestamp};
use hexline_services::audit::{Actions, AuditCursor, Filter, Recorded};
use hexline_token::PlatformArea;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Platform;
use super::state::PlatformState;
use crate::app::App;
use crate::kit::error::Refusal;
use crate::kit::json::Params;
use crate::kit::paging::{Cursor, Limit, Page, Word};

pub(super) fn routes() -> OpenApiRouter<PlatformState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What was changed in the app.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformAuditEntry)]
pub(super) struct EntryShown {
    /// Names the entry.
    id: String,
    /// When it happened.
    at_ms: i64,
    /// `operator`, `platform`, `cli` or `system`
    actor: String,
    /// The actor's id, if it has one: with `platform` the key.
    actor_id: Option<String>,
    /// What was done, such as `key.create`.
    action: String,
    /// On what.
    target: String,
    /// From which network address, if it was an app's server.
    peer: Option<String>,
    /// More about it.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Query {
    /// Only this action, or with a `*` at its end all that begin so.
    #[param(value_type = Option<String>)]
    action: Option<Word>,
    /// Only by an actor of this kind or id.
    #[param(value_type = Option<String>)]
    actor: Option<Word>,
    /// Not before.
    #[param(value_type = Option<i64>)]
    from_ms: Option<i64>,
    /// Before.
    #[param(value_type = Option<i64>)]
    to_ms: Option<i64>,
    /// How many at most: 1 to 200, 50 unless set.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// What was changed in the app, the newest first
#[utoipa::path(
    get,
    path = "/platform/v1/audit",
    tag = "platform",
    security(("platformToken" = [])),
    params(Query),
    responses((status = 200, description = "A page of it", body = Page<EntryShown>))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Platform,
    Params(query): Params<Query>,
) -> Result<Json<Page<EntryShown>>, Refusal> {
    caller.needs(PlatformArea::Settings)?;
    let after = query.cursor.map(|cursor| {
        cursor.read(|key| {
            let (at, id) = key.split_once(' ')?;
            Some(AuditCursor {
                at: Timestamp::from_millis(at.parse().ok()?),
                id: AuditId::parse(id).ok()?,
            })
        })
    });
    let action = query.action.and_then(Word::given);
    let filter = Filter {
        app: Some(caller.app),
        visible: None,
        actor: query.actor.and_then(Word::given),
        action: action.as_deref().map(Actions::parse),
        from: query.from_ms.map(Timestamp::from_millis),
        until: query.to_ms.map(Timestamp::from_millis),
    };
    let limit = u32::try_from(query.limit.and_one()).expect("it is small");
    let found = app.audit.list(&filter, after.transpose()?, limit).await;
    let found = found?;
    let key = |entry: &Recorded| format!("{} {}", entry.at.as_millis(), entry.id);
    Ok(Json(Page::cut(found, query.limit, key, Into::into)))
}

impl From<Recorded> for EntryShown {
    fn from(recorded: Recorded) -> Self {
        let entry = recorded.entry;
        let by_server = entry.actor.kind() == "platform";
        Self {
            id: recorded.id.to_string(),
            at_ms: recorded.at.as_millis(),
            actor: entry.actor.kind().to_owned(),
            actor_id: entry.actor.id(),
            action: entry.action,
            target: entry.target,
            // Where people work is not the app's to know.
            peer: entry.peer.filter(|_| by_server),
            detail: entry.detail,
        }
    }
}
