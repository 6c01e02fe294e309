//! The command line: what a person or a script at a terminal asks for.
//!
//! Commands that change apps and keys go through `office.rs`, which asks a running server by its
//! control socket and otherwise opens the data directory itself; `token` needs neither.
//!
//! Invariants: stdout carries the answer and nothing else, so that it can be piped; everything
//! for people's eyes only goes to stderr. With `--json` an answer is one JSON value on one line.
//! A secret is printed once, after it is on disk. Colours only on a terminal. Exit codes are
//! those of `exit.rs` and documented in docs/operating.md.
//!
//! To add a command: a file with its arguments (clap's derive) and a `run`, a variant of
//! `Command`, and an example in docs/operating.md.

mod address;
mod app;
mod ask;
mod doctor;
mod exit;
mod key;
mod master_key;
mod message;
mod office;
mod operator;
mod paint;
mod print;
mod program;
mod remote;
mod serve;
mod talk;
mod token;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hexline_server::config::{Config, ConfigError, Layer, Layers};

use exit::{CliError, Exit};

/// Signalling, presence, calls, chat and push behind one token.
#[derive(Parser)]
#[command(
    name = "hexline",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Answer in JSON: one value on one line.
    #[arg(long, global = true)]
    json: bool,
    /// The configuration file; `HEXLINE_CONFIG`, or else `hexline.toml` in the working directory if
    /// it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Make and manage apps; revoke their tokens.
    App(app::Args),
    /// Make and manage the keys of apps.
    Key(key::Args),
    /// Make and manage the people who sign in to the Console.
    Operator(operator::Args),
    /// Make, inspect and verify tokens, without a server.
    Token(token::Args),
    /// Connect with a token and show what arrives.
    Listen(talk::ListenArgs),
    /// Connect with a token and send one message.
    Send(talk::SendArgs),
    /// Manage the key that seals the secrets in the database.
    MasterKey(master_key::Args),
    /// Check configuration, data directory, database, clock, TLS and reachability.
    Doctor(doctor::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What every command gets.
pub(crate) struct Context {
    pub(crate) json: bool,
    config: Option<PathBuf>,
}

/// Which records a command works on.
#[derive(clap::Args, Default)]
pub(crate) struct DataArgs {
    /// The data directory.
    #[arg(long, alias = "data-dir", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Runs the program's command line and gives its exit code.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let context = Context {
        json: cli.json,
        config: cli.config.or_else(|| {
            let file = std::env::var_os("HEXLINE_CONFIG");
            file.filter(|file| !file.is_empty()).map(PathBuf::from)
        }),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return CliError::failed(format!("cannot start: {error}")).report(context.json);
        }
    };
    let outcome = runtime.block_on(dispatch(cli.command, &context));
    // Work that nobody waits for any more, such as a blocked read of stdin, must not hold the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => error.report(context.json),
    }
}

// Help and version go to stdout; what cannot be understood goes to stderr.
fn misread(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && asks_for_json(std::env::args_os()) {
        return CliError::usage(complaint(error)).report(true);
    }
    // If the terminal is gone, there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Done.into()
    }
}

// Of arguments that clap refused there is nothing but the arguments.
fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    args.take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

// What is wrong, without how the command is used.
fn complaint(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .into_iter()
        .filter_map(|end| text.find(end))
        .min();
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(args, context).await,
        Command::App(args) => app::run(args, context).await,
        Command::Key(args) => key::run(args, context).await,
        Command::Operator(args) => operator::run(args, context).await,
        Command::Token(args) => token::run(args, context).await,
        Command::Listen(args) => talk::listen(args, context).await,
        Command::Send(args) => talk::send(args, context).await,
        Command::MasterKey(args) => master_key::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hexline", &mut script);
            print::text(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}

impl Context {
    /// The configuration with these flags over it.
    pub(crate) fn load(&self, flags: Layer) -> Result<Config, ConfigError> {
        Config::load(&self.layers()?.with(flags))
    }

    /// The configuration for a command that works on a data directory.
    pub(crate) fn records(&self, data: &DataArgs) -> Result<Config, ConfigError> {
        self.load(data.layer())
    }

    /// Where the configuration file is, and whether it was asked for.
    pub(crate) fn file(&self) -> (&Path, bool) {
        match &self.config {
            Some(path) => (path, true),
            None => (Path::new("hexline.toml"), false),
        }
    }

    fn layers(&self) -> Result<Layers, ConfigError> {
        let (path, asked_for) = self.file();
        Ok(Layers::default()
            .with(Layer::file(path, asked_for)?)
            .with(Layer::environment(std::env::vars_os())?))
    }
}

impl DataArgs {
    pub(crate) fn layer(&self) -> Layer {
        let dir = self
            .data
            .as_ref()
            .map(|dir| dir.to_string_lossy().into_owned());
        Layer::default().flag("--data", "data_dir", dir)
    }
}

const AFTER_HELP: &str = "\
First steps:
  hexline serve --dev             a server with an app, a key and POST /token
  hexline token create --help     make a token without a server
  hexline doctor                  what is wrong here, and what to do

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused, 4 not found, 5 conflict,
6 unavailable. Every option of the server: hexline.sample.toml.";
