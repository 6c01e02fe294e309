//! A client for the terminal: show what arrives, send one message.

use std::convert::Infallible;
use std::path::PathBuf;

use hexline_client::{
    Backoff, CallError, Client, Closed, ConnectError, ConnectOptions, Event, Events, FailedAttempt,
    Push, Reconnecting,
};
use hexline_protocol::CloseCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::exit::{CliError, Exit};
use super::message::{Message, one_line};
use super::paint::Paint;
use super::token::audience_hint;
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
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// To everyone else in this channel; with --to, to one of its members.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The message, a JSON object such as '{"text":"hello"}'; '-' reads it from stdin.
    message: String,
}

#[derive(clap::Args)]
struct ConnectArgs {
    /// The token; '-' reads it from stdin; `HEXLINE_TOKEN` if it is not given.
    #[arg(long, env = "HEXLINE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's base URL, or the socket's ws:// URL; unset, where the token's `aud` leads.
    #[arg(long)]
    url: Option<String>,
    /// Certificates to trust beside the public ones, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(crate) async fn listen(args: ListenArgs, context: &Context) -> Result<Exit, CliError> {
    let (token, options) = args.connect.options()?;
    let fetch = move || std::future::ready(Ok::<_, Infallible>(token.clone()));
    let (connection, mut events) = Reconnecting::start(options, Backoff::default(), fetch);
    match events.recv().await {
        Some(Event::Opened) => {}
        Some(Event::Failed { error, .. }) => return Err(args.connect.explain_failed(error)),
        _ => return Err(CliError::failed("the connection ended before it began")),
    }
    for channel in &args.channels {
        let visible = connection.join(channel, args.presence).await?;
        if args.presence && !visible {
            eprintln!("The channel {channel} is full of members with presence: joined without.");
        }
    }
    let say = |text: &str| eprintln!("{}", Paint::stderr().faint(text));
    say("Connected. Ctrl-C ends it.");
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
            // Any other end is for the caller to judge.
            Some(Event::Closed(closed)) if is_going_away(&closed) => {
                say("The server is stopping. Connecting again.");
            }
            Some(Event::Closed(closed)) => return Err(ended(&closed)),
            Some(Event::Opened) => say("Connected again."),
            Some(Event::ChannelLost { error, .. }) => return Err(error.into()),
            Some(Event::Failed { error, retry_in }) if retry_in.is_none() => {
                return Err(args.connect.explain_failed(error));
            }
            Some(_) => {}
            None => break,
        }
    }
    connection.close().await;
    Ok(Exit::Done)
}

pub(crate) async fn send(args: SendArgs, context: &Context) -> Result<Exit, CliError> {
    if args.message == ask::STDIN && args.connect.reads_stdin() {
        return Err(CliError::usage(
            "stdin can give the token or the message, not both: the token may be in HEXLINE_TOKEN",
        ));
    }
    let text = if args.message == ask::STDIN {
        ask::file(ask::STDIN.as_ref())?
    } else {
        args.message.clone()
    };
    let message = Message::parse(&text).map_err(|e| {
        CliError::usage(format!(
            "the message must be a JSON object such as '{{\"text\":\"hello\"}}': {e}"
        ))
    })?;
    let (method, message) = match (&args.channel, &args.to) {
        (Some(channel), Some(to)) => ("signal.send", message.with("id", channel).with("to", to)),
        (Some(channel), None) => ("signal.publish", message.with("id", channel)),
        (None, Some(to)) => ("signal.send", message.with("to", to)),
        (None, None) => {
            return Err(CliError::usage(
                "to whom? Give --to ADDRESS, --channel NAME, or both",
            ));
        }
    };
    let (client, _events) = args.connect.open().await?;
    if let Some(channel) = &args.channel {
        client.join(channel, false).await?;
    }
    let delivered = delivered(&client.call(method, message.to_raw()).await?);
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
    fn reads_stdin(&self) -> bool {
        self.token.as_deref() == Some(ask::STDIN)
    }

    async fn open(&self) -> Result<(Client, Events), CliError> {
        let (token, options) = self.options()?;
        Client::connect(options.token(token))
            .await
            .map_err(|error| self.explain(error))
    }

    /// The token, and how to connect with it.
    fn options(&self) -> Result<(String, ConnectOptions), CliError> {
        let given = self.token.as_deref().filter(|token| !token.is_empty());
        let token = given.ok_or_else(|| {
            CliError::usage(
                "no token: set HEXLINE_TOKEN, or give --token TOKEN ('-' is stdin); hexline token \
                 create makes one",
            )
        })?;
        let token = ask::token(token)?;
        let mut options = ConnectOptions::new(token.clone());
        if let Some(url) = &self.url {
            options = options.url(url);
        }
        if let Some(path) = &self.ca {
            options = options.root_certificates_pem(ask::file(path)?.as_bytes())?;
        }
        Ok((token, options))
    }

    fn explain_failed(&self, failed: FailedAttempt) -> CliError {
        match failed {
            FailedAttempt::Connect(error) => self.explain(error),
            other => CliError::failed(other.to_string()),
        }
    }

    fn explain(&self, error: ConnectError) -> CliError {
        let untrusted = matches!(&error, ConnectError::Tls { source, .. }
            if source.to_string().contains("certificate"));
        let hint = match &error {
            ConnectError::Refused {
                code: Some(code),
                message,
                ..
            } => audience_hint(code, message.split(", ").next().unwrap_or_default()),
            _ => "",
        };
        let mut told = CliError::from(error);
        told.message.push_str(hint);
        if untrusted {
            told.message.push_str(match self.ca {
                None => ": if it is your own or a private authority's, give --ca FILE",
                Some(_) => {
                    ": the certificates of --ca do not stand for it; does it name the host, and \
                     has it not ended?"
                }
            });
        }
        told
    }
}

#[derive(Serialize)]
struct Line<'a> {
    method: &'a str,
    params: &'a RawValue,
}

// What came is shown as it came.
fn show(push: &Push, json: bool) -> Result<(), CliError> {
    if json {
        let line = print::to_json(&Line {
            method: &push.method,
            params: &RawValue::from_string(one_line(&push.params)).expect("JSON without breaks"),
        });
        return print::text(&if print::on_terminal() {
            print::visible(&line)
        } else {
            line
        });
    }
    let paint = Paint::stdout();
    let mut line = paint.faint(&print::visible(&push.method));
    let Ok(mut message) = push.params_as::<Message>() else {
        let params = print::visible(&one_line(&push.params));
        return print::text(&format!("{line} {params}"));
    };
    let from = message.take("from").unwrap_or_default();
    if let Some(channel) = message.take("id") {
        line = format!("{line} {}", paint.warning(&print::visible(&channel)));
    }
    let _to = message.take("to");
    line = format!("{line} {}", paint.strong(&print::visible(&from)));
    if !message.is_empty() {
        line = format!("{line} {}", print::visible(&message.to_string()));
    }
    print::text(&line)
}

/// Servers before acknowledgements carried counts answer `{}`: taken for none.
fn delivered(result: &RawValue) -> u64 {
    #[derive(Deserialize)]
    struct Delivered {
        #[serde(default)]
        delivered: u64,
    }
    serde_json::from_str::<Delivered>(result.get()).map_or(0, |d| d.delivered)
}

fn is_going_away(closed: &Closed) -> bool {
    closed.code == Some(CloseCode::GoingAway.number())
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
        format!(
            "the connection was closed {code}: {}",
            print::visible(reason)
        ),
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
