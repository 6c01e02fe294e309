//! What the server is told: defaults, a file, the environment and flags become one [`Config`].
//!
//! Later layers win, option by option: defaults < `hexline.toml` < `HEXLINE_…` < flags. Every
//! option stands once, in `options.rs`, with its default; the environment name follows from its
//! key (`limits.frame_bytes` is `HEXLINE_LIMITS_FRAME_BYTES`).
//!
//! Invariants: an unknown key or name is an error that says where it stands and what was probably
//! meant; a value out of range is an error that says what was found and what was expected; no
//! error and no `Debug` shows a secret. A `Config` that was loaded has passed [`Config::check`].
//!
//! To add an option: a field here, a row in `options.rs`, a line in `read`, an entry in
//! `hexline.sample.toml` (a test compares it) and, for a limit, a row in `docs/limits.md`.

mod error;
mod layer;
mod options;
mod read;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use hexline_gateway::LogPeer;
use hexline_model::Secret;
use hexline_services::reach::UrlRule;
use ipnet::IpNet;

pub use error::{ConfigError, Place};
pub use layer::{Layer, Layers};
pub use options::nearest;
pub use value::parse_span;

/// Everything that a server is told at its start.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own, on or off"
)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The URL under which clients find the server; `http://localhost:{actual port}` if unset.
    pub public_url: Option<String>,
    /// Further bases that a token's audience may name.
    pub extra_urls: Vec<String>,
    /// Database, master key, backups, control socket.
    pub data_dir: PathBuf,
    /// A `postgres://` URL; unset, SQLite in the data directory.
    pub database: Option<String>,
    /// Other servers may work on the PostgreSQL database; their users are not reached.
    pub isolated: bool,
    /// Where the master key is, if not in the data directory.
    pub master_key_file: Option<PathBuf>,
    /// Open what helps at a desk: demo app, `POST /token`, metrics, loopback audiences.
    pub dev: bool,
    /// `dev` may listen on an address that is not loopback.
    pub allow_public_dev: bool,
    /// The demo token service, `POST /token`.
    pub token_service: TokenServiceConfig,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// What a reader of `/metrics` must present.
    pub metrics_bearer: Option<Secret<String>>,
    /// Certificate files; unset, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// What is logged and how.
    pub log: LogConfig,
    /// Over how long a stopping server spreads the closes of its connections.
    pub spread: Duration,
    /// How long a stopping server waits for its connections after that.
    pub drain: Duration,
    /// How long an entry of the audit log is kept.
    pub audit_retention: Duration,
    /// Key sets, sign-in providers and apps' own sign-ins may be in private networks.
    pub allow_private_providers: bool,
    /// Telling apps what happens.
    pub webhooks: WebhooksConfig,
    /// What one client may use up.
    pub limits: Limits,
}

/// Telling apps what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhooksConfig {
    /// URLs may name this machine and private networks, and be plain http.
    pub allow_private: bool,
    /// How long a receiver may take to answer.
    pub answer_timeout: Duration,
    /// The pause after the first failed attempt; each further one is twice as long.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_longest: Duration,
    /// How long an event is tried before it is parked.
    pub give_up_after: Duration,
    /// How long what was delivered or parked is kept.
    pub keep: Duration,
    /// How many delivered or parked ones of a webhook are kept.
    pub keep_most: u32,
}

/// The demo token service, `POST /token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenServiceConfig {
    /// On without `dev` too.
    pub enabled: bool,
    /// The app whose signing key it uses; unset, the one called `demo`.
    pub app: Option<String>,
    /// It may run without `dev` on an address that is not loopback.
    pub allow_public_token: bool,
}

/// Certificate files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain, PEM, leaf first.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level or a filter such as `info,hexline_gateway=debug`.
    pub level: String,
    /// Text or JSON lines.
    pub format: LogFormat,
    /// How much of a network address is logged.
    pub peer: LogPeer,
    /// A line for each HTTP request.
    pub access: bool,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What one client, address, key or app may use up. What happens at each limit: docs/limits.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame or message from a client.
    pub frame_bytes: usize,
    /// The deepest nesting of a frame's JSON.
    pub json_depth: usize,
    /// Channels that one connection may be in; `_c.` and session channels are not counted.
    pub channels_per_connection: usize,
    /// Members of one channel that have presence.
    pub presence_per_channel: usize,
    /// Calls per second that one connection may make on average.
    pub calls_per_second: u32,
    /// Calls that one connection may make at once.
    pub call_burst: u32,
    /// Calls that it may make beyond that, once, when it opens.
    pub opening_calls: u32,
    /// How long what an overfast connection has waiting may not become less before it is closed.
    pub rate_patience: Duration,
    /// Devices of one identity that may be connected at once.
    pub devices_per_identity: usize,
    /// Connections of one device of an identity.
    pub connections_per_device: usize,
    /// Failed tokens per minute and address, after which failing tokens get 429.
    pub failed_tokens_per_minute: u32,
    /// Calls per minute that an app's server may make of the platform API.
    pub platform_calls_per_minute: u32,
    /// Bytes of audit entries about one app, beyond which its server changes nothing more.
    pub audit_bytes_per_app: usize,
    /// Bytes of answers that one app keeps under idempotency keys.
    pub idempotency_bytes_per_app: usize,
    /// Connections of the whole server.
    pub connections: usize,
    /// Connections of one app.
    pub connections_per_app: usize,
    /// Connections opened with tokens of one key.
    pub connections_per_key: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Sockets from one address, whatever they are used for.
    pub sockets_per_address: usize,
    /// How long a client may let the server wait for a TLS handshake, a request head, the next bytes
    /// of a body, or the next request.
    pub header_patience: Duration,
    /// Bytes that may wait for one connection.
    pub outbox_bytes: usize,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// Silence after which the server pings.
    pub ping_after: Duration,
    /// Silence after which the server closes.
    pub idle_close: Duration,
    /// The kernel's send buffer of an accepted socket.
    pub send_buffer_bytes: usize,
    /// Webhooks of one app.
    pub webhooks_per_app: u32,
    /// Events that wait to be delivered to one webhook.
    pub webhook_queue: u64,
    /// Events that wait in memory to be written to the webhooks' queues.
    pub webhook_memory: usize,
    /// The largest HTTP request body.
    pub body_bytes: usize,
}

impl Config {
    /// The defaults, with nothing read from anywhere.
    pub fn defaults() -> Self {
        read::config(&Layers::default()).expect("the defaults are valid: a test reads them")
    }

    /// Puts the layers together and checks the result.
    pub fn load(layers: &Layers) -> Result<Self, ConfigError> {
        let config = read::config(layers)?;
        config.check()?;
        Ok(config)
    }

    /// The rules between options: what must be told twice, and what needs what.
    pub fn check(&self) -> Result<(), ConfigError> {
        let public = !self.listen.ip().is_loopback();
        if self.dev && public && !self.allow_public_dev {
            return Err(ConfigError::PublicDev {
                listen: self.listen,
            });
        }
        let service = &self.token_service;
        if service.enabled && !self.dev && public && !service.allow_public_token {
            return Err(ConfigError::PublicTokenService {
                listen: self.listen,
            });
        }
        if self.uses_postgres() && self.master_key_file.is_none() {
            return Err(ConfigError::MasterKeyFileWanted);
        }
        if self.limits.ping_after >= self.limits.idle_close {
            return Err(ConfigError::PingAfterIdle {
                ping_after: self.limits.ping_after,
                idle_close: self.limits.idle_close,
            });
        }
        if self.limits.sockets_per_address < self.limits.connections_per_address {
            return Err(ConfigError::FewerSocketsThanConnections {
                sockets: self.limits.sockets_per_address,
                connections: self.limits.connections_per_address,
            });
        }
        Ok(())
    }

    /// What is allowed and probably not meant, for people.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        if self.listen.ip().is_loopback() {
            return concerns;
        }
        let listen = self.listen;
        let Some(url) = &self.public_url else {
            concerns.push(format!(
                "listen is {listen} and public_url is not set, so tokens name {}, which leads \
                 nowhere from elsewhere: set public_url",
                self.base_url(listen.port())
            ));
            if self.tls.is_none() {
                concerns.push(plain(listen));
            }
            return concerns;
        };
        let ends_tls_elsewhere = url.starts_with("https://");
        if self.tls.is_none() && !ends_tls_elsewhere {
            concerns.push(plain(listen));
        } else if self.tls.is_none() && self.trusted_proxies.is_empty() {
            concerns.push(format!(
                "listen is {listen} without TLS, and public_url is https: name the proxy that ends \
                 TLS in trusted_proxies, else all clients count as one address"
            ));
        }
        concerns
    }

    /// Whether the records are in PostgreSQL.
    pub fn uses_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// Whether `POST /token` answers.
    pub fn serves_tokens(&self) -> bool {
        self.dev || self.token_service.enabled
    }

    /// The public URL, once it is known on which port the server listens.
    pub fn base_url(&self, port: u16) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url
            .clone()
            .unwrap_or_else(|| format!("{scheme}://localhost:{port}"))
    }

    /// Every base that a token's audience may name: the public URL first, the extra ones, and in
    /// dev mode the names of this machine.
    pub fn audience_bases(&self, port: u16) -> Vec<String> {
        let mut bases = vec![self.base_url(port)];
        bases.extend(self.extra_urls.iter().cloned());
        if self.dev {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            for host in ["localhost", "127.0.0.1", "[::1]"] {
                bases.push(format!("{scheme}://{host}:{port}"));
            }
        }
        bases
    }

    /// Where key sets, sign-in providers and apps' own sign-ins may be.
    pub fn provider_rule(&self) -> UrlRule {
        UrlRule::providers(self.dev, self.allow_private_providers)
    }

    /// Where the master key is.
    pub fn master_key_path(&self) -> PathBuf {
        self.master_key_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("master.key"))
    }

    /// Where the SQLite database is, if it is used.
    pub fn sqlite_path(&self) -> PathBuf {
        self.data_dir.join("hexline.db")
    }

    /// Where the control socket is.
    pub fn control_path(&self) -> PathBuf {
        control_path(&self.data_dir)
    }
}

fn plain(listen: SocketAddr) -> String {
    format!(
        "listen is {listen} without TLS, so tokens cross the network in clear: set tls.cert_file and \
         tls.key_file, or end TLS at a proxy and set public_url (https) and trusted_proxies"
    )
}

/// Where the control socket of a data directory is.
pub fn control_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

impl Default for Config {
    fn default() -> Self {
        Self::defaults()
    }
}

impl Limits {
    /// Those of the gateway.
    pub(crate) fn gateway(&self) -> hexline_gateway::Limits {
        hexline_gateway::Limits {
            frame_bytes: self.frame_bytes,
            json_depth: self.json_depth,
            calls_per_second: self.calls_per_second,
            call_burst: self.call_burst,
            opening_calls: self.opening_calls,
            rate_patience: self.rate_patience,
            devices_per_identity: self.devices_per_identity,
            connections_per_device: self.connections_per_device,
            connections: self.connections,
            connections_per_app: self.connections_per_app,
            connections_per_key: self.connections_per_key,
            connections_per_address: self.connections_per_address,
            outbox_bytes: self.outbox_bytes,
            write_stall: self.write_stall,
            ping_after: self.ping_after,
            idle_close: self.idle_close,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Config::defaults().limits
    }
}

impl fmt::Debug for Config {
    /// A database URL may hold a password and so does not print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("extra_urls", &self.extra_urls)
            .field("data_dir", &self.data_dir)
            .field(
                "database",
                &self.database.as_ref().map_or("sqlite", |_| "postgres"),
            )
            .field("isolated", &self.isolated)
            .field("master_key_file", &self.master_key_file)
            .field("dev", &self.dev)
            .field("allow_public_dev", &self.allow_public_dev)
            .field("token_service", &self.token_service)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("metrics_bearer", &self.metrics_bearer)
            .field("tls", &self.tls)
            .field("log", &self.log)
            .field("spread", &self.spread)
            .field("drain", &self.drain)
            .field("audit_retention", &self.audit_retention)
            .field("allow_private_providers", &self.allow_private_providers)
            .field("webhooks", &self.webhooks)
            .field("limits", &self.limits)
            .finish()
    }
}
