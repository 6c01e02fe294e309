use hexline_model::AppId;
use hexline_services::actor::Actor;
use hexline_services::audit::Entry;
use hexline_services::keys::KeyRegistry;
use serde_json::{Value, json};

use super::command::{Command, TokenScope, Who};
use super::operators::{OperatorCommand, OperatorView};
use super::view::{Answer, KeyView};

/// What the audit log is to say of a command that changes something.
pub(super) struct Note {
    action: &'static str,
    detail: Option<Value>,
    /// The app and the target, as far as the command alone tells.
    app: Option<AppId>,
    target: String,
}

impl Note {
    /// `None` for a command that only looks.
    pub(super) fn of(command: &Command, registry: &KeyRegistry) -> Option<Self> {
        let (action, detail, app, target) = match command {
            Command::Status
            | Command::AppList
            | Command::AppShow { .. }
            | Command::HoldList { .. }
            | Command::KeyList { .. }
            | Command::KeyShow { .. }
            | Command::TokenExplain { .. } => return None,
            Command::AppCreate { .. } => ("app.create", None, None, None),
            Command::AppSet { app, changes } => {
                ("app.update", Some(json!(changes)), Some(app), None)
            }
            Command::AppRename { app, name } => {
                ("app.rename", Some(json!({ "name": name })), Some(app), None)
            }
            Command::AppDelete { app, .. } => ("app.delete", None, Some(app), None),
            Command::AppDisable { app } => ("app.disable", None, Some(app), None),
            Command::AppEnable { app } => ("app.enable", None, Some(app), None),
            Command::TokensRevoke { app, tokens } => {
                ("token.revoke", None, Some(app), Some(named(tokens)))
            }
            Command::Disconnect { app, who, hold_s } => (
                "connection.disconnect",
                Some(json!({ "hold_s": hold_s })),
                Some(app),
                Some(name_of(who)),
            ),
            Command::HoldLift { app, who } => ("hold.lift", None, Some(app), Some(name_of(who))),
            Command::KeyCreate { .. } => ("key.create", None, None, None),
            Command::KeyRotate { key, overlap_ms } => (
                "key.rotate",
                Some(json!({ "overlap_ms": overlap_ms })),
                None,
                Some(key.clone()),
            ),
            Command::KeyLabel { key, label } => (
                "key.update",
                Some(json!({ "label": label })),
                None,
                Some(key.clone()),
            ),
            Command::KeyRevoke { key, .. } => ("key.revoke", None, None, Some(key.clone())),
            Command::KeyRelease { key } => ("key.release", None, None, Some(key.clone())),
            Command::KeyImport { .. } => ("key.import", None, None, None),
            Command::Operator(command) => {
                let (action, target) = of_operator(command)?;
                (action, None, None, Some(target.to_owned()))
            }
            Command::MasterKeyRotate => ("master_key.rotate", None, None, None),
        };
        let app = app.and_then(|app| registry.find_app(app).ok());
        Some(Self {
            action,
            detail,
            target: target
                .or_else(|| app.as_ref().map(|app| app.name.to_string()))
                .unwrap_or_default(),
            app: app.map(|app| app.id),
        })
    }

    /// The entry, with what the answer tells besides.
    pub(super) fn entry(self, answer: &Answer, registry: &KeyRegistry) -> Entry {
        let of_key = |key: &KeyView| {
            let app = registry.find_app(&key.app).ok().map(|app| app.id);
            let detail =
                json!({ "label": key.label, "algorithm": key.algorithm, "kind": key.kind });
            (app, key.id.clone(), detail)
        };
        let told = match answer {
            Answer::App(app) => Some((AppId::parse(&app.id).ok(), app.name.clone(), Value::Null)),
            Answer::Key(key) => Some(of_key(key)),
            Answer::NewKey(new) => Some(of_key(&new.key)),
            Answer::RevokedKey(revoked) => {
                let (app, target, mut detail) = of_key(&revoked.key);
                let made: Vec<_> = revoked.made.iter().map(|key| key.id.as_str()).collect();
                detail["made"] = json!(made);
                Some((app, target, detail))
            }
            Answer::Operator(operator) => Some(named_operator(operator)),
            Answer::OperatorLink(link) => Some(named_operator(&link.operator)),
            _ => None,
        };
        let (app, target, more) = told.unwrap_or_default();
        let replaces = !self.target.is_empty() && self.target != target && !target.is_empty();
        let detail = match self.detail {
            Some(Value::Object(mut detail)) if self.action == "key.rotate" && replaces => {
                detail.insert("new_key".to_owned(), target.clone().into());
                Some(Value::Object(detail))
            }
            Some(detail) => Some(detail),
            None => Some(more).filter(|more| !more.is_null()),
        };
        let target = if self.target.is_empty() {
            target
        } else {
            self.target
        };
        let entry = Entry::new(Actor::Cli, self.action, self.app.or(app), target);
        match detail {
            Some(detail) => entry.detail(detail),
            None => entry,
        }
    }
}

/// What is done to an operator, and how the command calls it.
fn of_operator(command: &OperatorCommand) -> Option<(&'static str, &str)> {
    Some(match command {
        OperatorCommand::List | OperatorCommand::Show { .. } => return None,
        OperatorCommand::Add { email, .. } => ("operator.invite", email),
        OperatorCommand::Disable { operator } => ("operator.disable", operator),
        OperatorCommand::Enable { operator } => ("operator.enable", operator),
        OperatorCommand::Reset { operator } => ("operator.reset", operator),
        OperatorCommand::Remove { operator } => ("operator.remove", operator),
        OperatorCommand::Role { operator, .. } => ("operator.update", operator),
    })
}

fn named_operator(operator: &OperatorView) -> (Option<AppId>, String, Value) {
    let detail = json!({ "role": operator.role, "apps": operator.apps });
    (None, operator.email.clone(), detail)
}

fn name_of(who: &Who) -> String {
    match &who.device {
        Some(device) => format!("{}/{device}", who.identity),
        None => who.identity.clone(),
    }
}

/// How the log calls some tokens.
fn named(tokens: &TokenScope) -> String {
    match tokens {
        TokenScope::Jti { jti, .. } => format!("jti {jti}"),
        TokenScope::Identity {
            identity, device, ..
        } => match device {
            Some(device) => format!("{identity}/{device}"),
            None => identity.clone(),
        },
        TokenScope::All { .. } => "all".to_owned(),
    }
}
