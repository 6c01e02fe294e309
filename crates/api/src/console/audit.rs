use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hexline_model::{AppId, AuditId, Timestamp};
use hexline_services::actor::Actor;
use hexline_services::audit::{Actions, AuditCursor, Entry, Filter, Recorded};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::Refusal;
use crate::kit::json::Params;
use crate::kit::paging::{Cursor, Limit, Page, Word};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
}

impl Signed {
    /// An entry of the audit log by this operator, from where it is.
    pub(crate) fn entry(
        &self,
        action: &'static str,
        app: Option<AppId>,
        target: impl ToString,
    ) -> Entry {
        let actor = Actor::Operator {
            id: self.operator.id,
            email: self.operator.email.to_string(),
        };
        Entry::new(actor, action, app, target).from(&self.origin.peer)
    }
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleAuditEntryView)]
pub(crate) struct EntryView {
    #[schema(value_type = String)]
    id: AuditId,
    at_ms: i64,
    actor: ActorView,
    /// What was done: `thing.verb`.
    action: String,
    /// The id of the app that it was done to, if to one.
    #[schema(value_type = Option<String>)]
    app: Option<AppId>,
    /// What it was done to.
    target: String,
    /// From which network address.
    peer: Option<String>,
    /// More about it.
    detail: Option<Value>,
}

/// Who did something.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleAuditActorView)]
pub(crate) struct ActorView {
    /// `operator`, `platform`, `cli` or `system`.
    kind: &'static str,
    /// The id of an operator, or of the key of an app's server.
    id: Option<String>,
    /// What an operator signed in with.
    email: Option<String>,
    /// The key of an app's server.
    key: Option<String>,
}

/// Which entries, and which part of them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// Of this app, by its id.
    #[param(value_type = Option<String>)]
    app: Option<AppId>,
    /// By this operator or key, by id or e-mail address, or by a kind of actor.
    #[param(value_type = Option<String>)]
    actor: Option<Word>,
    /// This action, or with a `*` at the end all that start so: `key.*`.
    #[param(value_type = Option<String>)]
    action: Option<Word>,
    /// Not before.
    from_ms: Option<i64>,
    /// Before.
    to_ms: Option<i64>,
    /// How many: 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
}

/// Which entries, and in which form.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Exporting {
    /// Of this app, by its id.
    #[param(value_type = Option<String>)]
    app: Option<AppId>,
    /// By this operator or key, by id or e-mail address, or by a kind of actor.
    #[param(value_type = Option<String>)]
    actor: Option<Word>,
    /// This action, or with a `*` at the end all that start so: `key.*`.
    #[param(value_type = Option<String>)]
    action: Option<Word>,
    /// Not before.
    from_ms: Option<i64>,
    /// Before.
    to_ms: Option<i64>,
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// The form of an export.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[schema(as = ConsoleAuditFormat)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// A table for a spreadsheet.
    Csv,
}

/// Read the audit log
///
/// The newest first. An operator of some apps sees what was done to those.
#[utoipa::path(
    get,
    path = "/console/api/audit",
    tag = "console",
    security(("consoleSession" = [])),
    params(Listing),
    responses((status = 200, description = "Entries", body = Page<EntryView>))
)]
async fn list(
    State(app): State<Arc<App>>,
    signed: Signed,
    Params(params): Params<Listing>,
) -> Result<Json<Page<EntryView>>, Refusal> {
    let limit = params.limit;
    let after = params.cursor.as_ref().map(|c| c.read(read_cursor));
    let after = after.transpose()?;
    let filter = filter(
        &signed,
        params.app,
        (params.actor, params.action),
        (params.from_ms, params.to_ms),
    )?;
    let most = u32::try_from(limit.and_one()).unwrap_or(u32::MAX);
    let found = app.audit.list(&filter, after, most).await;
    let found = found?;
    Ok(Json(Page::cut(found, limit, cursor, EntryView::from)))
}

/// Export the audit log
///
/// All that the filter lets through, the newest first, as JSON lines or CSV.
#[utoipa::path(
    get,
    path = "/console/api/audit/export",
    tag = "console",
    security(("consoleSession" = [])),
    params(Exporting),
    responses((status = 200, description = "Entries, as a file", content(
        (String = "application/jsonl"),
        (String = "text/csv"),
    )))
)]
async fn export(
    State(app): State<Arc<App>>,
    signed: Signed,
    Params(params): Params<Exporting>,
) -> Result<Response, Refusal> {
    let filter = filter(
        &signed,
        params.app,
        (params.actor, params.action),
        (params.from_ms, params.to_ms),
    )?;
    // The first part is read before the answer begins, so that a failure still has a status.
    let first = app.audit.list(&filter, None, PART).await;
    let first = first?;
    let format = params.format;
    let run = Run {
        app,
        filter,
        format,
        next: Next::Part(first, true),
    };
    let parts = stream::unfold(run, |mut run| async move {
        let text = run.part().await?;
        Some((text.map(Bytes::from), run))
    });
    let (kind, file) = match format {
        Format::Jsonl => ("application/jsonl", "attachment; filename=\"audit.jsonl\""),
        Format::Csv => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"audit.csv\"",
        ),
    };
    let headers = [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, file)];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// An export on its way: one part in memory at a time.
struct Run {
    app: Arc<App>,
    filter: Filter,
    format: Format,
    next: Next,
}

enum Next {
    /// Entries to write, and whether they are the first.
    Part(Vec<Recorded>, bool),
    After(AuditCursor),
    Nothing,
}

impl Run {
    /// The next part. An error breaks the answer off, so that nobody takes it for whole.
    async fn part(&mut self) -> Option<io::Result<String>> {
        let (entries, is_first) = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Part(entries, is_first) => (entries, is_first),
            Next::After(cursor) => {
                let found = self.app.audit.list(&self.filter, Some(cursor), PART).await;
                match found {
                    Ok(found) => (found, false),
                    Err(error) => {
                        tracing::warn!(%error, "an export of the audit log broke off");
                        return Some(Err(io::Error::other("broke off")));
                    }
                }
            }
            Next::Nothing => return None,
        };
        let is_full = entries.len() == PART as usize;
        if let Some(last) = entries.last().filter(|_| is_full) {
            self.next = Next::After(AuditCursor::behind(last));
        }
        let mut text = String::new();
        if is_first && matches!(self.format, Format::Csv) {
            text.push_str(HEAD);
        }
        for entry in entries {
            match self.format {
                Format::Jsonl => {
                    let view = EntryView::from(entry);
                    text.push_str(&serde_json::to_string(&view).expect("an entry is JSON"));
                    text.push('\n');
                }
                Format::Csv => text.push_str(&row(&entry)),
            }
        }
        Some(Ok(text))
    }
}

/// What was asked for, less what the operator does not see.
fn filter(
    signed: &Signed,
    app: Option<AppId>,
    (actor, action): (Option<Word>, Option<Word>),
    (from, until): (Option<i64>, Option<i64>),
) -> Result<Filter, Refusal> {
    if let Some(app) = app {
        signed.may_read(app)?;
    }
    let action = action.and_then(Word::given);
    Ok(Filter {
        app,
        visible: if signed.operator.sees_all() {
            None
        } else {
            Some(signed.operator.apps.clone().unwrap_or_default())
        },
        actor: actor.and_then(Word::given),
        action: action.as_deref().map(Actions::parse),
        from: from.map(Timestamp::from_millis),
        until: until.map(Timestamp::from_millis),
    })
}

fn cursor(entry: &Recorded) -> String {
    format!("{} {}", entry.at.as_millis(), entry.id)
}

fn read_cursor(text: &str) -> Option<AuditCursor> {
    let (at, id) = text.split_once(' ')?;
    Some(AuditCursor {
        at: Timestamp::from_millis(at.parse().ok()?),
        id: AuditId::parse(id).ok()?,
    })
}

fn row(Recorded { id, at, entry }: &Recorded) -> String {
    let detail = entry.detail.as_ref().map(ToString::to_string);
    let cells = [
        at.to_string(),
        at.as_millis().to_string(),
        entry.actor.kind().to_owned(),
        entry.actor.id().unwrap_or_default(),
        entry.actor.name().unwrap_or_default().to_owned(),
        entry.action.clone(),
        entry.app.map(|app| app.to_string()).unwrap_or_default(),
        entry.target.clone(),
        entry.peer.clone().unwrap_or_default(),
        detail.unwrap_or_default(),
        id.to_string(),
    ];
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let steers = text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠',
    ]);
    let guard = if steers { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

impl From<Recorded> for EntryView {
    fn from(Recorded { id, at, entry }: Recorded) -> Self {
        let key = match &entry.actor {
            Actor::Platform { key } => Some(key.to_string()),
            _ => None,
        };
        Self {
            id,
            at_ms: at.as_millis(),
            actor: ActorView {
                kind: entry.actor.kind(),
                id: entry.actor.id(),
                email: entry.actor.name().map(ToOwned::to_owned),
                key,
            },
            action: entry.action,
            app: entry.app,
            target: entry.target,
            peer: entry.peer,
            detail: entry.detail,
        }
    }
}

const PART: u32 = 500;
const HEAD: &str = "at,at_ms,actor_kind,actor_id,actor_email,action,app,target,peer,detail,id\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_ends_early() {
        for (text, wanted) in [
            ("plain", "\"plain\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("", "\"\""),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
