use clap::Subcommand;
use hexline_server::control::{Answer, Command};

use super::exit::{CliError, Exit};
use super::{Context, DataArgs, office, print};

/// `hexline master-key`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a new master key and seal every secret with it, in one transaction.
    Rotate {
        #[command(flatten)]
        data: DataArgs,
    },
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let Action::Rotate { data } = args.action;
    let config = context.records(&data)?;
    match office::carry_out(&config, Command::MasterKeyRotate, false).await? {
        Answer::MasterKeyRotated(rotated) if context.json => print::json(&rotated)?,
        Answer::MasterKeyRotated(rotated) => print::text(&format!(
            "The new master key is in {}. Secrets sealed with it: {}.\n\
             Backups made before need the old one.",
            rotated.file, rotated.secrets
        ))?,
        other => return Err(office::unexpected(&other)),
    }
    Ok(Exit::Done)
}
