use std::time::Duration;

use clap::Subcommand;
use hexline_model::Timestamp;
use hexline_server::control::{Answer, AppChanges, AppView, Command, HoldView, TokenScope, Who};
use hexline_services::apps::AppLimits;

use super::exit::{CliError, Exit};
use super::remote::PlaceArgs;
use super::{Context, ask, office, print};

/// `hexline app`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an app.
    Create {
        /// Its name: 1 to 64 of a-z, 0-9 and '-'.
        name: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// List all apps.
    List {
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Show an app and its settings.
    Show {
        /// Name or id.
        app: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Change an app's settings.
    Set {
        /// Name or id.
        app: String,
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Give an app another name; its id, keys and tokens stay.
    Rename {
        /// Name or id.
        app: String,
        /// The new name: 1 to 64 of a-z, 0-9 and '-'.
        name: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Delete an app with its keys and everything else, for ever, and close what they opened.
    Delete {
        /// Name or id.
        app: String,
        /// The app's name once more, which is asked for otherwise.
        #[arg(long, value_name = "NAME", conflicts_with = "yes")]
        confirm: Option<String>,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Refuse all tokens of an app and close what they opened.
    Disable {
        /// Name or id.
        app: String,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Let a disabled app in again.
    Enable {
        /// Name or id.
        app: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Revoke tokens of an app and close what they opened.
    RevokeTokens {
        /// Name or id.
        app: String,
        #[command(flatten)]
        tokens: TokensArgs,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Close what an identity or a device has open, and keep it out for a while.
    Disconnect {
        /// Name or id.
        app: String,
        #[command(flatten)]
        who: WhoArgs,
        /// For so long it stays out, with whatever token: up to 24h. Unset, its token stays good.
        #[arg(long, value_name = "SPAN", value_parser = ask::span)]
        hold: Option<Duration>,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// List who is held out.
    Holds {
        /// Name or id.
        app: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Let an identity or a device in again that is held out.
    LiftHold {
        /// Name or id.
        app: String,
        #[command(flatten)]
        who: WhoArgs,
        #[command(flatten)]
        data: PlaceArgs,
    },
}

#[derive(clap::Args)]
struct WhoArgs {
    /// The identity.
    #[arg(long)]
    identity: String,
    /// Only this device of it.
    #[arg(long)]
    device: Option<String>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct SettingsArgs {
    /// The longest life of a token, e.g. 30d.
    #[arg(long, value_name = "SPAN", value_parser = ask::span)]
    longest_ttl: Option<Duration>,
    /// Whether tokens must have an `exp`.
    #[arg(long, value_name = "BOOL")]
    exp_required: Option<bool>,
    /// A further base URL that tokens may name in `aud`; replaces the list, repeatable.
    #[arg(long = "audience", value_name = "URL")]
    audiences: Vec<String>,
    /// Empty the list of further base URLs.
    #[arg(long, conflicts_with = "audiences")]
    no_audiences: bool,
    /// An origin that browsers may come from; replaces the list, repeatable.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Let browsers come from any origin.
    #[arg(long, conflicts_with = "origins")]
    any_origin: bool,
    /// The HMAC key that signs what the server mints for the app.
    #[arg(long, value_name = "KEY-ID")]
    signing_key: Option<String>,
    /// How many connections the app may have, below the server's limit; 0 is the server's.
    #[arg(long, value_name = "N")]
    limit_connections: Option<u32>,
    /// How many devices an identity may have connected; 0 is the server's limit.
    #[arg(long, value_name = "N")]
    limit_devices: Option<u32>,
    /// How many calls a connection may make in a second; 0 is the server's limit.
    #[arg(long, value_name = "N")]
    limit_messages: Option<u32>,
}

#[derive(clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["jti", "identity", "all"])))]
struct TokensArgs {
    /// The token with this `jti`.
    #[arg(long, conflicts_with_all = ["identity", "device", "all", "issued_before"])]
    jti: Option<String>,
    /// When that token expires, so that it need not be remembered longer.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, requires = "jti")]
    until: Option<Timestamp>,
    /// All tokens of this identity.
    #[arg(long, conflicts_with = "all")]
    identity: Option<String>,
    /// Only those of this device.
    #[arg(long, requires = "identity")]
    device: Option<String>,
    /// All tokens of the app.
    #[arg(long)]
    all: bool,
    /// Issued at or before this time, which is now unless set: Unix seconds or e.g. -1h.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, allow_hyphen_values = true)]
    issued_before: Option<Timestamp>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let make = matches!(args.action, Action::Create { .. });
    let mut deleted = false;
    let (command, data) = match args.action {
        Action::Create { name, data } => (Command::AppCreate { name }, data),
        Action::List { data } => (Command::AppList, data),
        Action::Show { app, data } => (Command::AppShow { app }, data),
        Action::Set {
            app,
            settings,
            data,
        } => (
            Command::AppSet {
                app,
                changes: settings.changes(),
            },
            data,
        ),
        Action::Rename { app, name, data } => (Command::AppRename { app, name }, data),
        Action::Delete {
            app,
            confirm,
            yes,
            data,
        } => {
            deleted = true;
            let confirm = match confirm {
                None if !yes => Some(ask::confirmation(&format!(
                    "This deletes app {app} with its keys and all that it has, for ever.\n\
                     Type the app's name to go on: "
                ))?),
                given => given,
            };
            (Command::AppDelete { app, confirm }, data)
        }
        Action::Disable { app, yes, data } => {
            if !yes {
                agree_to_disable(context, &data, &app).await?;
            }
            (Command::AppDisable { app }, data)
        }
        Action::Enable { app, data } => (Command::AppEnable { app }, data),
        Action::RevokeTokens { app, tokens, data } => (
            Command::TokensRevoke {
                app,
                tokens: tokens.scope()?,
            },
            data,
        ),
        Action::Disconnect {
            app,
            who,
            hold,
            data,
        } => (
            Command::Disconnect {
                app,
                who: who.into(),
                hold_s: hold.unwrap_or_default().as_secs(),
            },
            data,
        ),
        Action::Holds { app, data } => (Command::HoldList { app }, data),
        Action::LiftHold { app, who, data } => (
            Command::HoldLift {
                app,
                who: who.into(),
            },
            data,
        ),
    };
    let answer = data.carry_out(context, command, make).await?;
    match (answer, context.json) {
        (Answer::App(app), true) => print::json(&app)?,
        (Answer::App(app), false) if deleted => {
            print::text(&format!("Deleted app {} ({}).", app.name, app.id))?;
        }
        (Answer::App(app), false) => {
            print::text(&describe(&app))?;
            if make {
                eprintln!("\nNext: hexline key create --app {}", app.name);
            }
        }
        (Answer::Apps(apps), true) => print::json(&apps)?,
        (Answer::Apps(apps), false) => print::text(&list(&apps))?,
        (Answer::Revoked(revoked), true) => print::json(&revoked)?,
        (Answer::Revoked(revoked), false) => print::text(&format!(
            "Revoked for app {}, as of {}.",
            revoked.app,
            print::when(Some(revoked.at_ms))
        ))?,
        (other, json) => show_holds(other, json)?,
    }
    Ok(Exit::Done)
}

fn show_holds(answer: Answer, json: bool) -> Result<(), CliError> {
    match (answer, json) {
        (Answer::Disconnected(done), true) => print::json(&done)?,
        (Answer::Disconnected(done), false) => {
            let held = done.held_until_ms.map_or_else(String::new, |until| {
                format!(" Held out until {}.", print::when(Some(until)))
            });
            print::text(&format!("Closed connections: {}.{held}", done.closed))?;
        }
        (Answer::Holds(holds), true) => print::json(&holds)?,
        (Answer::Holds(holds), false) => print::text(&list_holds(&holds))?,
        (Answer::HoldLifted(done), true) => print::json(&done)?,
        (Answer::HoldLifted(done), false) => print::text(if done.lifted {
            "Lifted."
        } else {
            "There was no hold."
        })?,
        (other, _) => return Err(office::unexpected(&other)),
    }
    Ok(())
}

impl From<WhoArgs> for Who {
    fn from(args: WhoArgs) -> Self {
        Self {
            identity: args.identity,
            device: args.device,
        }
    }
}

impl SettingsArgs {
    fn changes(self) -> AppChanges {
        let limits = AppLimits {
            connections: self.limit_connections,
            devices_per_identity: self.limit_devices,
            messages_per_second: self.limit_messages,
        };
        let list = |items: Vec<String>, empty: bool| (empty || !items.is_empty()).then_some(items);
        AppChanges {
            longest_ttl_ms: self
                .longest_ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            exp_required: self.exp_required,
            audiences: list(self.audiences, self.no_audiences),
            origins: list(self.origins, self.any_origin),
            limits: (limits != AppLimits::default()).then_some(limits),
            signing_key: self.signing_key,
        }
    }
}

impl TokensArgs {
    fn scope(self) -> Result<TokenScope, CliError> {
        let issued_before_ms = self.issued_before.map(Timestamp::as_millis);
        if let Some(jti) = self.jti {
            return Ok(TokenScope::Jti {
                jti,
                until_ms: self.until.map(Timestamp::as_millis),
            });
        }
        if let Some(identity) = self.identity {
            return Ok(TokenScope::Identity {
                identity,
                device: self.device,
                issued_before_ms,
            });
        }
        if self.all {
            return Ok(TokenScope::All { issued_before_ms });
        }
        Err(CliError::usage(
            "which tokens? Give --jti, --identity or --all",
        ))
    }
}

/// Names what ends with an app that is disabled, and asks whether to go on.
async fn agree_to_disable(context: &Context, data: &PlaceArgs, app: &str) -> Result<(), CliError> {
    // Over the platform API no app can be disabled; it says so itself.
    if data.is_remote() {
        return Ok(());
    }
    let show = Command::AppShow {
        app: app.to_owned(),
    };
    let app = match data.carry_out(context, show, false).await? {
        Answer::App(app) => app,
        answer => return Err(office::unexpected(&answer)),
    };
    if app.disabled_ms.is_some() {
        return Ok(());
    }
    let name = &app.name;
    let connections = match app.connections {
        Some(1) => "it has 1 live connection on this server".to_owned(),
        Some(count) => format!("it has {count} live connections on this server"),
        None => "no server runs on this data directory that has live connections".to_owned(),
    };
    let question = format!(
        "App {name}: {connections}. Disabling it closes every connection and refuses every token, \
         until it is enabled again.\nDisable {name}?"
    );
    let unasked = format!(
        "app {name} was not disabled: {connections}. Give --yes to close every connection and \
         refuse every token"
    );
    if ask::agreement(&question, &unasked)? {
        return Ok(());
    }
    Err(CliError::failed(format!("app {name} was not disabled")))
}

fn describe(app: &AppView) -> String {
    let list = |items: &[String], none: &str| {
        if items.is_empty() {
            none.to_owned()
        } else {
            items.join(", ")
        }
    };
    let settings = &app.settings;
    let mut lines = vec![format!("App {}", app.name)];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<14} {value}"));
    line("id", &app.id);
    line("created", &print::when(Some(app.created_ms)));
    if app.disabled_ms.is_some() {
        line("disabled", &print::when(app.disabled_ms));
    }
    if let Some(connections) = app.connections {
        line("connections", &connections.to_string());
    }
    line("signing key", app.signing_key.as_deref().unwrap_or("none"));
    line(
        "longest ttl",
        &format!("{} s", settings.longest_ttl.as_secs()),
    );
    line(
        "exp required",
        if settings.exp_required { "yes" } else { "no" },
    );
    line("audiences", &list(&settings.audiences, "the server's own"));
    line("origins", &list(&settings.origins, "any"));
    let limits = &settings.limits;
    for (name, limit) in [
        ("connections", limits.connections),
        ("devices", limits.devices_per_identity),
        ("messages", limits.messages_per_second),
    ] {
        if let Some(limit) = limit {
            line(name, &format!("at most {limit}"));
        }
    }
    lines.join("\n")
}

fn list_holds(holds: &[HoldView]) -> String {
    if holds.is_empty() {
        return "Nobody is held out.".to_owned();
    }
    let mut table = print::table(&["IDENTITY", "DEVICE", "UNTIL"]);
    for hold in holds {
        let device = hold.device.as_deref().unwrap_or("all");
        let until = print::when(Some(hold.until_ms));
        table.add_row([&hold.identity, device, &until]);
    }
    print::lines(&table)
}

fn list(apps: &[AppView]) -> String {
    if apps.is_empty() {
        return "There is no app yet. Make one: hexline app create NAME".to_owned();
    }
    let mut table = print::table(&["NAME", "ID", "CREATED", "STATE"]);
    for app in apps {
        let state = if app.disabled_ms.is_some() {
            "disabled"
        } else {
            "active"
        };
        table.add_row([
            &app.name,
            &app.id,
            &print::when(Some(app.created_ms)),
            state,
        ]);
    }
    print::lines(&table)
}
