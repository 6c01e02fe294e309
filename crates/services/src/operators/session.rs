use std::net::IpAddr;
use std::time::Duration;

use hexline_model::{ConsoleSessionId, OperatorId, Timestamp};

use super::onetime::TokenHash;
use super::operator::Operator;

/// What lets an operator's browser in for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSession {
    /// Names it; what opens it is the token whose hash this is not.
    pub id: ConsoleSessionId,
    /// Of the token in the cookie.
    pub hash: TokenHash,
    /// Whose it is.
    pub operator: OperatorId,
    /// When it began.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub seen: Timestamp,
    /// When password or passkey were last given in it.
    pub confirmed: Option<Timestamp>,
    /// From where it began.
    pub peer: String,
    /// What the browser calls itself.
    pub agent: String,
}

/// An operator who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub operator: Operator,
    /// By which session.
    pub session: ConsoleSession,
}

/// Whence a request came, for throttling and for the list of sessions.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The network address that it counts for.
    pub peer: String,
    /// The browser's name for itself.
    pub agent: String,
}

impl ConsoleSession {
    /// Until when it lasts if it is not used again.
    pub fn ends(&self) -> Timestamp {
        self.created.plus(LONGEST).min(self.seen.plus(IDLE))
    }

    /// Whether the password or a passkey was given a short time ago.
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed
            .is_some_and(|confirmed| now < confirmed.plus(CONFIRMED_FOR))
    }
}

impl Origin {
    /// The agent is cut to what a list can show.
    pub fn new(peer: IpAddr, agent: &str) -> Self {
        Self {
            peer: peer.to_string(),
            agent: agent
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect(),
        }
    }
}

/// How long a session lasts unused.
pub const IDLE: Duration = Duration::from_hours(12);

/// How long a session lasts.
pub const LONGEST: Duration = Duration::from_hours(7 * 24);

/// How long a password or passkey counts that was given: changes of credentials ask for one.
pub const CONFIRMED_FOR: Duration = Duration::from_mins(5);

/// How exactly it is noted when a session was used.
pub(super) const SEEN_EVERY: Duration = Duration::from_mins(1);
