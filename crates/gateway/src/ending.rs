use hexline_protocol::CloseCode;

use super::connection::Connection;
use super::handler::Now;
use super::log::LogLines;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The server closed it.
    ByServer(CloseCode),
    /// The client closed it, with a code or none.
    ByClient(Option<u16>),
    /// It broke off without a close frame.
    Lost,
}

enum Level {
    Debug,
    Info,
    Warn,
}

/// Logs the end of a connection: at debug, or higher if there may be questions about it.
pub(super) fn log(lines: &LogLines, connection: &Connection, ending: Ending, now: Now) {
    let (app, key) = (connection.app, connection.authorized().authorization.key);
    let mut level = ending.level();
    if !matches!(level, Level::Debug) && !lines.pass(Some(app), ending.reason()) {
        level = Level::Debug;
    }
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                app.id = %app,
                key.id = %key,
                route = %connection.address.route(),
                code = ending.code(),
                reason = ending.reason(),
                duration_ms = now.wall.as_millis() - connection.since.as_millis(),
                peer = lines.peer(connection.peer.remote()).map(display),
                "connection ended"
            )
        };
    }
    match level {
        Level::Debug => line!(debug),
        Level::Info => line!(info),
        Level::Warn => line!(warn),
    }
}

impl Ending {
    /// The close code, or what RFC 6455 §7.1.5 calls it where there was none.
    fn code(self) -> u16 {
        match self {
            Self::ByServer(code) => code.number(),
            Self::ByClient(code) => code.unwrap_or(1005),
            Self::Lost => 1006,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::ByServer(code) => code.reason(),
            Self::ByClient(_) => "closed by the client",
            Self::Lost => "lost",
        }
    }

    fn level(self) -> Level {
        match self {
            // Networks come and go, and so do servers that are told to stop.
            Self::Lost
            | Self::ByServer(CloseCode::Normal | CloseCode::GoingAway)
            | Self::ByClient(None | Some(1000 | 1001)) => Level::Debug,
            Self::ByServer(CloseCode::TooSlow | CloseCode::RateLimited) => Level::Warn,
            Self::ByServer(_) | Self::ByClient(Some(_)) => Level::Info,
        }
    }
}
