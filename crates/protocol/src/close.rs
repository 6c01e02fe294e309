use std::fmt;

/// Why the server closes a WebSocket: the one table of close codes.
///
/// 4000-4499 mean "come back", 4500-4999 "do not". Below stand those of RFC 6455.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the client closed.
    Normal,
    /// 1002: a frame broke RFC 6455.
    ProtocolError,
    /// 1003: a binary frame.
    Unsupported,
    /// 1007: a text frame that is not UTF-8.
    InvalidUtf8,
    /// 1009: a message over the size limit.
    TooBig,
    /// 4001: the token or its key has expired; come back with a new token.
    TokenExpired,
    /// 4008: the client reads too slowly.
    TooSlow,
    /// 4010: nothing was heard for too long.
    Idle,
    /// 4012: the server goes away; another, or the same, will take the connection.
    GoingAway,
    /// 4029: too many calls for too long.
    RateLimited,
    /// 4501: the token, its key, its device or identity was revoked.
    Revoked,
    /// 4503: the app was disabled, or an operator or the app's server ended the connection.
    Forbidden,
    /// 4509: another connection took this one's place. Reserved: nothing says it yet.
    Replaced,
}

impl CloseCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Normal,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::TokenExpired,
        Self::TooSlow,
        Self::Idle,
        Self::GoingAway,
        Self::RateLimited,
        Self::Revoked,
        Self::Forbidden,
        Self::Replaced,
    ];

    const fn row(self) -> (u16, &'static str) {
        match self {
            Self::Normal => (1000, "bye"),
            Self::ProtocolError => (1002, "protocol error"),
            Self::Unsupported => (1003, "binary frames are not supported"),
            Self::InvalidUtf8 => (1007, "text is not UTF-8"),
            Self::TooBig => (1009, "message too big"),
            Self::TokenExpired => (4001, "token expired"),
            Self::TooSlow => (4008, "too slow"),
            Self::Idle => (4010, "idle"),
            Self::GoingAway => (4012, "going away"),
            Self::RateLimited => (4029, "rate limited"),
            Self::Revoked => (4501, "revoked"),
            Self::Forbidden => (4503, "forbidden"),
            Self::Replaced => (4509, "replaced"),
        }
    }

    /// The number in the close frame.
    pub const fn number(self) -> u16 {
        self.row().0
    }

    /// The text in the close frame, and the label in metrics.
    pub const fn reason(self) -> &'static str {
        self.row().1
    }

    /// What a number from a close frame asks of a client: `false` for 4500-4999 only.
    pub const fn reconnect(number: u16) -> bool {
        !matches!(number, 4500..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_tells_whether_to_come_back() {
        let table: Vec<String> = CloseCode::ALL
            .iter()
            .map(|c| format!("{c}: reconnect {}", CloseCode::reconnect(c.number())))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
