//! A client for the terminal: show what arrives, send one message.

use std::path::PathBuf;

use hexline_client::{
    CallError, Client, Closed, ConnectError, ConnectOptions, Event, Events, Push,
};
use hexline_protocol::CloseCode;
use serde_json::{Map, Value, json};

use super::exit::{CliError, Exit};
use super::paint::Paint;
use super::{Context, ask, print};

/// `hexline listen`
#[derive(clap::Args)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Join this channel; repeatable.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// Join with presence: see who is there, comes and goes, and be seen.
    #[arg(long, requires = "channels")]
    presence: bool,
    /// Stop after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// `hexline send`
#[derive(clap::Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// To whom: identity, identity/device or identity/device/route.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "channel")]
    to: Option<String>,
    /// To everyone else in this channel; with --to, to one of its members.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The message, a JSON object such as '{"text":"hello"}'; '-' reads it from stdin.
    message: String,
}

#[derive(clap::Args)]
struct ConnectArgs {
    /// The token; '-' reads it from stdin.
    #[arg(long, env = "HEXLINE_TOKEN", hide_env_values = true)]
    token: String,
    /// The server's base URL, or the socket's ws:// URL; unset, where the token's `aud` leads.
    #[arg(long)]
    url: Option<String>,
    /// Certificates to trust beside the public ones, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(crate) async fn listen(args: ListenArgs, context: &Context) -> Result<Exit, CliError> {
    let (client, mut events) = args.connect.open().await?;
    for channel in &args.channels {
        client.join(channel, args.presence).await?;
    }
    let paint = Paint::stderr();
    eprintln!("{}", paint.faint("Connected. Ctrl-C ends it."));
    let mut left = args.count;
    while left != Some(0) {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            Some(Event::Push(push)) => {
                show(&push, context.json)?;
                left = left.map(|left| left - 1);
            }
            Some(Event::Closed(closed)) => return Err(ended(&closed)),
            Some(_) => {}
            None => break,
        }
    }
    client.close().await;
    Ok(Exit::Done)
}

pub(crate) async fn send(args: SendArgs, context: &Context) -> Result<Exit, CliError> {
    if args.message == ask::STDIN && args.connect.token == ask::STDIN {
        return Err(CliError::usage(
            "stdin can give the token or the message, not both: the token may be in HEXLINE_TOKEN",
        ));
    }
    let text = if args.message == ask::STDIN {
        ask::file(ask::STDIN.as_ref())?
    } else {
        args.message.clone()
    };
    let fields: Map<String, Value> = serde_json::from_str(&text).map_err(|e| {
        CliError::usage(format!(
            "the message must be a JSON object such as '{{\"text\":\"hello\"}}': {e}"
        ))
    })?;
    let (client, _events) = args.connect.open().await?;
    let delivered = match (&args.channel, &args.to) {
        (Some(channel), Some(to)) => {
            client.join(channel, false).await?;
            client.send_in_channel(channel, to, fields).await?
        }
        (Some(channel), None) => {
            client.join(channel, false).await?;
            client.publish(channel, fields).await?
        }
        (None, Some(to)) => client.send(to, fields).await?,
        (None, None) => return Err(CliError::usage("to whom? Give --to or --channel")),
    };
    client.close().await;
    if context.json {
        print::json(&json!({"delivered": delivered}))?;
    } else {
        print::text(&match delivered {
            0 => "Nobody is connected there: delivered to 0 connections.".to_owned(),
            1 => "Delivered to 1 connection.".to_owned(),
            n => format!("Delivered to {n} connections."),
        })?;
    }
    Ok(Exit::Done)
}

impl ConnectArgs {
    async fn open(&self) -> Result<(Client, Events), CliError> {
        let mut options = ConnectOptions::new(ask::token(&self.token)?);
        if let Some(url) = &self.url {
            options = options.url(url);
        }
        if let Some(path) = &self.ca {
            options = options.root_certificates_pem(ask::file(path)?.as_bytes())?;
        }
        Ok(Client::connect(options).await?)
    }
}

fn show(push: &Push, json: bool) -> Result<(), CliError> {
    if json {
        return print::json(&json!({"method": push.method, "params": push.params}));
    }
    let paint = Paint::stdout();
    let mut fields: Map<String, Value> = push.params_as().unwrap_or_default();
    let mut taken = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let from = taken("from");
    let channel = taken("id");
    let _to = taken("to");
    let mut line = paint.faint(&push.method);
    if !channel.is_empty() {
        line = format!("{line} {}", paint.warning(&printable(&channel)));
    }
    line = format!("{line} {}", paint.strong(&printable(&from)));
    if !fields.is_empty() {
        line = format!("{line} {}", printable(&Value::Object(fields).to_string()));
    }
    print::text(&line)
}

// What others sent must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn ended(closed: &Closed) -> CliError {
    let code = closed
        .code
        .map_or_else(|| "without a code".to_owned(), |c| format!("with {c}"));
    let reason = if closed.reason.is_empty() {
        "no reason given"
    } else {
        &closed.reason
    };
    let exit = match closed.code {
        Some(code) if code == CloseCode::TokenExpired.number() => Exit::Refused,
        _ if closed.may_reconnect() => Exit::Unavailable,
        _ => Exit::Refused,
    };
    CliError::new(
        exit,
        format!("the connection was closed {code}: {}", printable(reason)),
    )
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Token(_) | ConnectError::Url(_) | ConnectError::Certificate(_) => {
                Exit::Usage
            }
            ConnectError::Refused {
                status: 401 | 403, ..
            } => Exit::Refused,
            _ => Exit::Unavailable,
        };
        let message = match &error {
            ConnectError::Refused {
                code: Some(code),
                message,
                ..
            } => {
                // The message of a rejection begins with the code.
                let code = if message.starts_with(code.as_str()) {
                    String::new()
                } else {
                    format!("{code}: ")
                };
                format!("the server refused the connection: {code}{message}")
            }
            _ => error.to_string(),
        };
        Self::new(exit, message)
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let exit = match &error {
            CallError::Refused { .. } => Exit::Refused,
            CallError::Params(_) => Exit::Usage,
            _ => Exit::Unavailable,
        };
        let message = match error.reason() {
            Some(reason) => format!("{error} ({reason})"),
            None => error.to_string(),
        };
        Self::new(exit, message)
    }
}
