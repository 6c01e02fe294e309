//! `hexline token`: make, inspect and verify tokens, without a server.
//!
//! The key comes from flags, from a file or stdin, or from the environment (`HEXLINE_KEY_ID` and
//! `HEXLINE_KEY_SECRET`; the `BIT6_…` names of old count as well). With `--data DIR`, inspecting
//! and verifying know the keys and revocations of a data directory, beside a running server too.

mod create;
mod inspect;
mod keyring;
mod lines;

use std::path::PathBuf;

use clap::Subcommand;
use hexline_token::Reason;

use super::exit::{CliError, Exit};
use super::{Context, ask};

/// `hexline token`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and print it.
    Create(Box<create::Args>),
    /// Show a token and run every check on it.
    Inspect(inspect::InspectArgs),
    /// Say whether a token is valid, and if not, why.
    Verify(inspect::VerifyArgs),
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Create(args) => create::run(&args, context).await,
        Action::Inspect(args) => inspect::inspect(args, context).await,
        Action::Verify(args) if args.lines() => lines::run(context.json),
        Action::Verify(args) => inspect::verify(args, context).await,
    }
}

/// What to do about a token that was made for another server.
pub(crate) fn audience_hint(reason: &str, found: &str) -> &'static str {
    if reason == Reason::AudienceMismatch.code() && found.contains("http://localhost:") {
        "; token create names the server of the data directory or configuration that it finds, \
         unless --api URL names another"
    } else {
        ""
    }
}

/// A key id and its secret, from wherever they are.
#[derive(clap::Args)]
struct SecretArgs {
    /// The key id; `HEXLINE_KEY_ID` or `BIT6_KEY_ID` if it is not given.
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The key secret; `HEXLINE_KEY_SECRET` or `BIT6_KEY_SECRET` if it is not given. Others on this
    /// machine can see a command line: better in the environment or a file.
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    key_secret: Option<String>,
    /// A file whose first line is the secret; '-' is stdin.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretArgs {
    /// Whether a flag gives any part of a key.
    fn given(&self) -> bool {
        self.key_id.is_some() || self.key_secret.is_some() || self.secret_file.is_some()
    }

    /// Whether a secret is named; reads nothing.
    fn is_known(&self) -> bool {
        self.secret_file.is_some() || self.key_secret.is_some() || secret_variable().is_some()
    }

    fn id(&self) -> Option<String> {
        self.key_id
            .clone()
            .or_else(|| first_variable(["HEXLINE_KEY_ID", "BIT6_KEY_ID"]))
    }

    fn secret(&self) -> Result<Option<String>, CliError> {
        if let Some(path) = &self.secret_file {
            return ask::secret(path).map(Some);
        }
        let given = self.key_secret.clone();
        Ok(given.or_else(secret_variable))
    }
}

fn secret_variable() -> Option<String> {
    first_variable(["HEXLINE_KEY_SECRET", "BIT6_KEY_SECRET"])
}

fn first_variable(names: [&str; 2]) -> Option<String> {
    names
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}
