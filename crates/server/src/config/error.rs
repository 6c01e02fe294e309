use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where an option was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The built-in default.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key that is no option.
    #[error("{place}: unknown option '{key}'{}", meant(nearest.as_deref()))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value that the option does not take.
    #[error("{place}: {key} is {found}, expected {expected}")]
    Value {
        /// Where.
        place: Place,
        /// The option.
        key: &'static str,
        /// The value, or its type if it is a secret.
        found: String,
        /// What it takes.
        expected: String,
    },
    /// An option without the one that it needs.
    #[error("{place}: {key} is set and {missing} is not: set both or neither")]
    Half {
        /// Where the one is set.
        place: Place,
        /// The one that is set.
        key: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// Two options that say the same thing differently.
    #[error("{place}: {key} and {other} are both set: set one of them")]
    Both {
        /// Where the one is set.
        place: Place,
        /// The one.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// `dev` on a public address.
    #[error(
        "dev mode opens doors that the network must not reach: listen is {listen}, expected a \
         loopback address; to open it all the same, give --allow-public-dev as well"
    )]
    PublicDev {
        /// The address.
        listen: SocketAddr,
    },
    /// `POST /token` on a public address.
    #[error(
        "POST /token gives a token for any identity to anyone who asks: listen is {listen}, \
         expected a loopback address; to open it all the same, set \
         token_service.allow_public_token = true as well"
    )]
    PublicTokenService {
        /// The address.
        listen: SocketAddr,
    },
    /// PostgreSQL without a master key file.
    #[error(
        "with PostgreSQL the master key must have a place of its own: master_key_file is not set \
         (HEXLINE_MASTER_KEY_FILE), expected the path of a file that every node reads"
    )]
    MasterKeyFileWanted,
    /// The server would close before it pings.
    #[error(
        "limits.ping_after is {ping_after:?}, expected less than limits.idle_close, \
         which is {idle_close:?}"
    )]
    PingAfterIdle {
        /// Silence before a ping.
        ping_after: Duration,
        /// Silence before the close.
        idle_close: Duration,
    },
    /// An address may have more connections than sockets, and each connection is one.
    #[error(
        "limits.sockets_per_address is {sockets}, expected at least \
         limits.connections_per_address, which is {connections}"
    )]
    FewerSocketsThanConnections {
        /// Sockets of one address.
        sockets: usize,
        /// Connections of one address.
        connections: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(", did you mean '{name}'?"))
        .unwrap_or_default()
}
