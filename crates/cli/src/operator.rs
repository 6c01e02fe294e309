use clap::{Subcommand, ValueEnum};
use hexline_server::control::{Answer, Command, OperatorCommand, OperatorLinkView, OperatorView};
use hexline_services::operators;

use super::exit::{CliError, Exit};
use super::paint::Paint;
use super::{Context, DataArgs, office, print};

/// `hexline operator`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Invite a person: prints a link by which the person sets a password.
    Add {
        /// The e-mail address that the person signs in with.
        email: String,
        /// What the person may do.
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// An app that the person sees, by name or id; repeatable. All unless given.
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List all operators.
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Show an operator.
    Show {
        /// E-mail address or id.
        operator: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Keep an operator out, and end its sessions.
    Disable {
        /// E-mail address or id.
        operator: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Let a disabled operator in again.
    Enable {
        /// E-mail address or id.
        operator: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print a new link: for who has lost the password, the authenticator app or the invitation.
    Reset {
        /// E-mail address or id.
        operator: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove an operator.
    Remove {
        /// E-mail address or id.
        operator: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Change what an operator may do, and in which apps.
    Role {
        /// E-mail address or id.
        operator: String,
        /// What the person may do from now on.
        role: Role,
        /// An app that the person sees, by name or id; repeatable. All unless given.
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes in its apps.
    Admin,
    /// Everything, operators too.
    Owner,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let make = matches!(args.action, Action::Add { .. });
    let removes = matches!(args.action, Action::Remove { .. });
    let (command, data) = args.action.split();
    let command = Command::Operator(command);
    let answer = office::carry_out(&context.records(&data)?, command, make).await?;
    match (answer, context.json) {
        (Answer::Operator(operator), true) => print::json(&operator)?,
        (Answer::Operator(operator), false) if removes => {
            print::text(&format!("Removed {}.", operator.email))?;
        }
        (Answer::Operator(operator), false) => print::text(&describe(&operator))?,
        (Answer::Operators(operators), true) => print::json(&operators)?,
        (Answer::Operators(operators), false) => print::text(&list(&operators))?,
        (Answer::OperatorLink(link), true) => tell(&link, &print::to_json(&link))?,
        (Answer::OperatorLink(link), false) => {
            tell(&link, &Paint::stdout().strong(&link.invitation_url))?;
            eprintln!(
                "\nHand this link to {}. It is good once and for a week, and is not shown again.",
                link.operator.email
            );
        }
        (other, _) => return Err(office::unexpected(&other)),
    }
    Ok(Exit::Done)
}

impl Action {
    fn split(self) -> (OperatorCommand, DataArgs) {
        match self {
            Self::Add {
                email,
                role,
                apps,
                data,
            } => {
                let role = role.into();
                (OperatorCommand::Add { email, role, apps }, data)
            }
            Self::List { data } => (OperatorCommand::List, data),
            Self::Show { operator, data } => (OperatorCommand::Show { operator }, data),
            Self::Disable { operator, data } => (OperatorCommand::Disable { operator }, data),
            Self::Enable { operator, data } => (OperatorCommand::Enable { operator }, data),
            Self::Reset { operator, data } => (OperatorCommand::Reset { operator }, data),
            Self::Remove { operator, data } => (OperatorCommand::Remove { operator }, data),
            Self::Role {
                operator,
                role,
                apps,
                data,
            } => {
                let role = role.into();
                let command = OperatorCommand::Role {
                    operator,
                    role,
                    apps,
                };
                (command, data)
            }
        }
    }
}

impl From<Role> for operators::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

// The link is told this once: if it did not get through, somebody has to know.
fn tell(link: &OperatorLinkView, text: &str) -> Result<(), CliError> {
    print::once(text).map_err(|e| {
        let email = &link.operator.email;
        CliError::failed(format!(
            "the link for {email} could not be written to stdout ({e}) and cannot be shown again: \
             hexline operator reset {email} gives another"
        ))
    })
}

fn describe(operator: &OperatorView) -> String {
    let mut lines = vec![format!("Operator {}", operator.email)];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<13} {value}"));
    line("id", &operator.id);
    line("name", &print::visible(&operator.name));
    line("role", &operator.role);
    line("apps", &apps(operator));
    line("state", &operator.state);
    line("one-time code", if operator.totp { "yes" } else { "no" });
    line("passkeys", &operator.passkeys.to_string());
    line("created", &print::when(Some(operator.created_ms)));
    line("last sign-in", &print::when(operator.last_sign_in_ms));
    lines.join("\n")
}

fn list(operators: &[OperatorView]) -> String {
    if operators.is_empty() {
        return "There is no operator yet. Open the set-up link that the server prints, or: hexline \
                operator add EMAIL --role owner"
            .to_owned();
    }
    let mut table = print::table(&["EMAIL", "ROLE", "APPS", "STATE", "LAST SIGN-IN"]);
    for operator in operators {
        table.add_row([
            &operator.email,
            &operator.role,
            &apps(operator),
            &operator.state,
            &print::when(operator.last_sign_in_ms),
        ]);
    }
    print::lines(&table)
}

fn apps(operator: &OperatorView) -> String {
    match &operator.apps {
        None => "all".to_owned(),
        Some(apps) if apps.is_empty() => "none".to_owned(),
        Some(apps) => apps.join(", "),
    }
}
