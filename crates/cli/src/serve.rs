use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hexline_server::config::{Config, Layer, LogConfig, LogFormat};
use hexline_server::{Running, Server};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::exit::{CliError, Exit, with_causes};
use super::paint::Paint;
use super::{Context, DataArgs, print, program};

/// `hexline serve`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For development: a demo app with a key, POST /token, open metrics. Loopback only.
    #[arg(long)]
    dev: bool,
    /// Let --dev listen on an address that is not loopback.
    #[arg(long)]
    allow_public_dev: bool,
    /// The address to listen on, 127.0.0.1:8000 unless set; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The URL under which clients find the server.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// A postgres:// URL instead of SQLite. Holds a password: better in `HEXLINE_DATABASE`.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Start beside other servers on the PostgreSQL database, whose users are not reached.
    #[arg(long)]
    isolated: bool,
    /// Where the master key is, if not in the data directory.
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The certificate chain for TLS, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key for TLS, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let config = context.load(args.layer())?;
    start_log(&config.log)?;
    // Registered before the server listens, so that a signal is never the default's.
    let mut stops = Stops::new()?;
    let mut running = tokio::select! {
        started = Server::start(config.clone()) => {
            started.map_err(|error| not_started(error.as_ref(), &config))?
        }
        () = stops.next() => return Ok(Exit::Done),
    };
    announce(&running, &config, context.json)?;
    tokio::select! {
        error = running.failed() => return Err(CliError::failed(with_causes(error.as_ref()))),
        () = stops.next() => {}
    }
    let hurry = CancellationToken::new();
    let mut shutdown = std::pin::pin!(running.shutdown_unless_hurried(&hurry));
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(Exit::Done),
            () = stops.next() => {}
        }
        // Once the closes are no longer being spread, there is nothing to skip but the waiting.
        if hurry.is_cancelled() {
            tracing::warn!("told to stop again; connections are cut off");
            return Ok(Exit::Failed);
        }
        tracing::warn!("told to stop again; all connections are closed now");
        hurry.cancel();
    }
}

/// The one line that `--json` prints once the server answers. What does not exist yet is null.
#[derive(Serialize)]
struct ReadyLine<'a> {
    ready: bool,
    url: &'a str,
    app: Option<&'a str>,
    key_id: Option<String>,
    key_secret: Option<&'a str>,
    console_setup_url: Option<&'a str>,
    demo_url: Option<&'a str>,
}

struct Stops {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Args {
    fn layer(self) -> Layer {
        let on = |flag: bool| flag.then(|| "true".to_owned());
        let path = |path: Option<PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
        self.data
            .layer()
            .flag("--dev", "dev", on(self.dev))
            .flag(
                "--allow-public-dev",
                "allow_public_dev",
                on(self.allow_public_dev),
            )
            .flag("--listen", "listen", self.listen)
            .flag("--public-url", "public_url", self.public_url)
            .flag("--database", "database", self.database)
            .flag("--isolated", "isolated", on(self.isolated))
            .flag(
                "--master-key-file",
                "master_key_file",
                path(self.master_key_file),
            )
            .flag("--tls-cert", "tls.cert_file", path(self.tls_cert))
            .flag("--tls-key", "tls.key_file", path(self.tls_key))
            .flag("--log-level", "log.level", self.log_level)
            .flag("--log-format", "log.format", self.log_format)
    }
}

impl Stops {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|e| CliError::failed(format!("cannot listen to signals: {e}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn not_started(error: &(dyn Error + 'static), config: &Config) -> CliError {
    let mut message = with_causes(error);
    let (mut taken, mut cause) = (false, Some(error));
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        taken |= io.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        cause = error.source();
    }
    if taken {
        let ip = config.listen.ip();
        message = format!(
            "{message}: stop what has the port, or take another with --listen, such as --listen {}",
            SocketAddr::new(ip, 0)
        );
    }
    CliError::new(Exit::Unavailable, message)
}

fn start_log(log: &LogConfig) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&log.level).map_err(|e| {
        CliError::usage(format!(
            "log.level is {:?}, expected a level or filter: {e}",
            log.level
        ))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(Paint::stderr().is_on());
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| CliError::failed(format!("cannot log: {e}")))
}

fn announce(running: &Running, config: &Config, json: bool) -> Result<(), CliError> {
    let dev = running.dev();
    let setup = running.console_setup_url();
    if json {
        return print::json(&ReadyLine {
            ready: true,
            url: running.url(),
            app: dev.map(|dev| dev.app.as_str()),
            key_id: dev.map(|dev| dev.key_id.to_string()),
            key_secret: dev.map(|dev| dev.key_secret.expose().as_str()),
            console_setup_url: setup.as_ref().map(|url| url.expose().as_str()),
            demo_url: None,
        });
    }
    let url = running.url();
    let mut text = format!(
        "Hexline answers at {} ({})\n",
        Paint::stdout().strong(url),
        running.local_addr()
    );
    if let Some(dev) = dev {
        let (id, secret) = (dev.key_id.to_string(), dev.key_secret.expose());
        let certificate = config.tls.as_ref().map(|tls| tls.cert_file.as_path());
        text.push_str(&developing(url, certificate, &dev.app, &id, secret));
    } else if running.services().apps.list().is_empty() {
        text.push_str(&first_steps(&config.data_dir.display().to_string()));
    }
    if let Some(setup) = &setup {
        let link = Paint::stdout().strong(setup.expose());
        text.push_str("\nMake the first operator of the Console; the link is good once, ");
        text.push_str("until the server stops:\n  ");
        text.push_str(&link);
        text.push('\n');
    }
    print::text(&text)
}

fn first_steps(data: &str) -> String {
    let (hexline, data) = (program::name(), program::quoted(data));
    format!(
        "\nThere is no app yet. In another terminal:\n  \
         {hexline} app create my-app --data {data}\n  \
         {hexline} key create --app my-app --data {data}\n"
    )
}

fn developing(url: &str, certificate: Option<&Path>, app: &str, id: &str, secret: &str) -> String {
    let paint = Paint::stdout();
    let hexline = program::name();
    // A certificate for one's desk is nobody else's to vouch for.
    let trusting = |flag: &str| {
        certificate.map_or(String::new(), |file| {
            format!(" {flag} {}", program::quoted(&file.to_string_lossy()))
        })
    };
    let (cacert, ca) = (trusting("--cacert"), trusting("--ca"));
    let token = |identity: &str| {
        format!(
            "\"$({hexline} token create --api {url} --identity {identity} --device web1 \
             --grant signal)\""
        )
    };
    let (bob, alice) = (token("bob1"), token("alice1"));
    format!(
        "\n  App         {app}\n  Key id      {}\n  Key secret  {}\n\n\
         A token for anyone who asks, in dev mode only:\n  \
         curl{cacert} -X POST {url}/token -d 'identity=bob1' -d 'device=web1'\n\n\
         What to do next, in another terminal:\n  \
         export HEXLINE_KEY_ID={id} HEXLINE_KEY_SECRET={secret}\n  \
         {hexline} listen{ca} --token {bob}\n\n\
         And in a third, with the same export:\n  \
         {hexline} send{ca} --token {alice} --to bob1 '{{\"text\":\"hello\"}}'\n",
        paint.strong(id),
        paint.strong(secret),
    )
}
