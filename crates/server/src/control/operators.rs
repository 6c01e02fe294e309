//! The commands on operators.

use hexline_api::invitation_url;
use hexline_model::{AppId, Secret, Timestamp};
use hexline_services::operators::{Email, Operator, OperatorChanges, OperatorService, Role};
use serde::{Deserialize, Serialize};

use super::command::{Failure, Outcome};
use super::desk::Desk;
use super::view::Answer;

/// What is asked for about operators. An operator is named by its e-mail address or id.
#[derive(Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorCommand {
    /// Makes an operator who sets a password by a link.
    Add {
        /// Its e-mail address.
        email: String,
        /// `viewer`, `admin` or `owner`.
        role: Role,
        /// Names or ids of its apps; none is all.
        apps: Vec<String>,
    },
    /// All of them.
    List,
    /// One of them.
    Show {
        /// Which.
        operator: String,
    },
    /// Keeps one out, and ends its sessions.
    Disable {
        /// Which.
        operator: String,
    },
    /// Lets one in again.
    Enable {
        /// Which.
        operator: String,
    },
    /// Makes a link by which one sets a new password; turns one-time codes off once it is used.
    Reset {
        /// Which.
        operator: String,
    },
    /// Removes one.
    Remove {
        /// Which.
        operator: String,
    },
    /// Changes what one may do.
    Role {
        /// Which.
        operator: String,
        /// `viewer`, `admin` or `owner`.
        role: Role,
        /// Names or ids of its apps; none is all.
        apps: Vec<String>,
    },
}

/// An operator as administrators see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct OperatorView {
    /// Its id.
    pub id: String,
    /// What it signs in with.
    pub email: String,
    /// What it is called.
    pub name: String,
    /// `viewer`, `admin` or `owner`.
    pub role: String,
    /// Names of the apps that it sees; `None` is all.
    pub apps: Option<Vec<String>>,
    /// `active`, `invited` or `disabled`.
    pub state: String,
    /// Whether a one-time code is asked for.
    pub totp: bool,
    /// How many passkeys it has.
    pub passkeys: u32,
    /// When it was made.
    pub created_ms: i64,
    /// When it last signed in.
    pub last_sign_in_ms: Option<i64>,
}

/// An operator with the link that lets it set a password.
#[derive(Serialize, Deserialize)]
pub struct OperatorLinkView {
    /// Who.
    pub operator: OperatorView,
    /// The link; shown now and never again.
    pub invitation_url: String,
}

impl Desk {
    /// Carries out a command on operators.
    pub(super) async fn operators(&self, command: OperatorCommand) -> Outcome {
        let service = self.operator_service();
        match command {
            OperatorCommand::Add { email, role, apps } => {
                let email = Email::parse(&email).map_err(|e| Failure::invalid(e.to_string()))?;
                let apps = self.apps(&apps)?;
                let (operator, token) = service.invite(email, role, apps).await?;
                Ok(self.link(operator, &token))
            }
            OperatorCommand::List => {
                let mut operators = Vec::new();
                let mut after: Option<Email> = None;
                loop {
                    let page = service.list(after.as_ref(), PAGE).await?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.email.clone());
                    operators.extend(page.into_iter().map(|operator| self.operator(operator)));
                }
                Ok(Answer::Operators(operators))
            }
            OperatorCommand::Show { operator } => Ok(Answer::Operator(
                self.operator(service.find(&operator).await?),
            )),
            OperatorCommand::Disable { operator } => {
                let changes = OperatorChanges {
                    disabled: Some(true),
                    ..OperatorChanges::default()
                };
                self.change(service, &operator, changes).await
            }
            OperatorCommand::Enable { operator } => {
                let changes = OperatorChanges {
                    disabled: Some(false),
                    ..OperatorChanges::default()
                };
                self.change(service, &operator, changes).await
            }
            OperatorCommand::Role {
                operator,
                role,
                apps,
            } => {
                let changes = OperatorChanges {
                    role: Some(role),
                    apps: Some(self.apps(&apps)?),
                    ..OperatorChanges::default()
                };
                self.change(service, &operator, changes).await
            }
            OperatorCommand::Reset { operator } => {
                let operator = service.find(&operator).await?;
                let token = service.invite_again(operator.id).await?;
                Ok(self.link(operator, &token))
            }
            OperatorCommand::Remove { operator } => {
                let operator = service.find(&operator).await?;
                service.remove(operator.id).await?;
                Ok(Answer::Operator(self.operator(operator)))
            }
        }
    }

    async fn change(
        &self,
        service: &OperatorService,
        operator: &str,
        changes: OperatorChanges,
    ) -> Outcome {
        let id = service.find(operator).await?.id;
        let changed = service.update(id, changes).await?;
        Ok(Answer::Operator(self.operator(changed)))
    }

    fn link(&self, operator: Operator, token: &Secret<String>) -> Answer {
        Answer::OperatorLink(Box::new(OperatorLinkView {
            operator: self.operator(operator),
            invitation_url: invitation_url(self.url(), token),
        }))
    }

    fn apps(&self, names: &[String]) -> Result<Option<Vec<AppId>>, Failure> {
        let ids: Result<Vec<AppId>, Failure> = names
            .iter()
            .map(|name| Ok(self.app_service().find(name)?.id))
            .collect();
        Ok(Some(ids?).filter(|ids| !ids.is_empty()))
    }

    fn operator(&self, operator: Operator) -> OperatorView {
        let state = match (operator.disabled, operator.has_password) {
            (Some(_), _) => "disabled",
            (None, true) => "active",
            (None, false) => "invited",
        };
        let registry = self.registry();
        let name_of = |id: AppId| {
            let app = registry.app(id);
            app.map_or_else(|| id.to_string(), |app| app.name.to_string())
        };
        let apps = operator.apps.map(|apps| apps.into_iter().map(name_of));
        OperatorView {
            id: operator.id.to_string(),
            email: operator.email.to_string(),
            name: operator.name.to_string(),
            role: operator.role.to_string(),
            apps: apps.map(Iterator::collect),
            state: state.to_owned(),
            totp: operator.totp.is_some(),
            passkeys: operator.passkeys,
            created_ms: operator.created.as_millis(),
            last_sign_in_ms: operator.last_sign_in.map(Timestamp::as_millis),
        }
    }
}

// The link does not print.
impl std::fmt::Debug for OperatorLinkView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorLinkView")
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

const PAGE: u32 = 200;
