use std::fmt;

/// Why a call or a request was refused: the one table of reason texts, JSON-RPC numbers and HTTP
/// statuses. `docs/errors.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame is not JSON.
    ParseError,
    /// JSON, but no JSON-RPC 2.0 request; over HTTP, a request that cannot be read.
    InvalidRequest,
    /// No such method or route.
    MethodNotFound,
    /// The parameters do not fit the method.
    InvalidParams,
    /// A fault of ours.
    InternalError,
    /// The token cannot be read.
    TokenMalformed,
    /// The token's `iss` names no key.
    KeyUnknown,
    /// The token's key was revoked.
    KeyRevoked,
    /// The token's key has ended.
    KeyExpired,
    /// The token's `alg` is not the key's.
    AlgorithmMismatch,
    /// The signature does not fit.
    SignatureInvalid,
    /// The token is for somebody else.
    AudienceMismatch,
    /// The token's `exp` has passed.
    TokenExpired,
    /// The token's `nbf` or `iat` is ahead.
    TokenNotYetValid,
    /// The token lives longer than the app allows.
    TokenTooLong,
    /// A claim is missing or malformed.
    ClaimInvalid,
    /// The token was revoked.
    TokenRevoked,
    /// There is no session of an operator, or it has ended.
    SignedOut,
    /// E-mail, password, code or passkey do not fit.
    SignInFailed,
    /// The password fits; a one-time code is wanted beside it.
    TotpRequired,
    /// The password or a passkey has to be given once more.
    ConfirmationRequired,
    /// The token or its key does not grant this.
    GrantMissing,
    /// Not allowed to this caller.
    Forbidden,
    /// The web page's origin is not among the app's.
    OriginRefused,
    /// There is no such thing.
    NotFound,
    /// It exists already, or has changed meanwhile.
    Conflict,
    /// The app has named no key for minting tokens.
    NoSigningKey,
    /// Over a size limit.
    TooLarge,
    /// Too many calls.
    RateLimited,
    /// The app keeps as many bytes of a sort as it may.
    QuotaExceeded,
    /// Something that the server needs is out of reach; try again.
    Unavailable,
}

impl ErrorCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 31] = [
        Self::ParseError,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::InternalError,
        Self::TokenMalformed,
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::AlgorithmMismatch,
        Self::SignatureInvalid,
        Self::AudienceMismatch,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenTooLong,
        Self::ClaimInvalid,
        Self::TokenRevoked,
        Self::SignedOut,
        Self::SignInFailed,
        Self::TotpRequired,
        Self::ConfirmationRequired,
        Self::GrantMissing,
        Self::Forbidden,
        Self::OriginRefused,
        Self::NotFound,
        Self::Conflict,
        Self::NoSigningKey,
        Self::TooLarge,
        Self::RateLimited,
        Self::QuotaExceeded,
        Self::Unavailable,
    ];

    /// The reason text, JSON-RPC number and HTTP status.
    const fn row(self) -> (&'static str, i32, u16) {
        match self {
            Self::ParseError => ("parse_error", -32700, 400),
            Self::InvalidRequest => ("invalid_request", -32600, 400),
            Self::MethodNotFound => ("method_not_found", -32601, 404),
            Self::InvalidParams => ("invalid_params", -32602, 400),
            Self::InternalError => ("internal_error", -32603, 500),
            Self::TokenMalformed => ("token_malformed", -32001, 401),
            Self::KeyUnknown => ("key_unknown", -32001, 401),
            Self::KeyRevoked => ("key_revoked", -32001, 401),
            Self::KeyExpired => ("key_expired", -32001, 401),
            Self::AlgorithmMismatch => ("algorithm_mismatch", -32001, 401),
            Self::SignatureInvalid => ("signature_invalid", -32001, 401),
            Self::AudienceMismatch => ("audience_mismatch", -32001, 401),
            Self::TokenExpired => ("token_expired", -32001, 401),
            Self::TokenNotYetValid => ("token_not_yet_valid", -32001, 401),
            Self::TokenTooLong => ("token_too_long", -32001, 401),
            Self::ClaimInvalid => ("claim_invalid", -32001, 401),
            Self::TokenRevoked => ("token_revoked", -32001, 401),
            Self::SignedOut => ("signed_out", -32001, 401),
            Self::SignInFailed => ("sign_in_failed", -32001, 401),
            Self::TotpRequired => ("totp_required", -32001, 401),
            Self::ConfirmationRequired => ("confirmation_required", -32003, 403),
            Self::GrantMissing => ("grant_missing", -32003, 403),
            Self::Forbidden => ("forbidden", -32003, 403),
            Self::OriginRefused => ("origin_refused", -32003, 403),
            Self::NotFound => ("not_found", -32004, 404),
            Self::Conflict => ("conflict", -32009, 409),
            Self::NoSigningKey => ("no_signing_key", -32009, 409),
            Self::TooLarge => ("too_large", -32013, 413),
            Self::RateLimited => ("rate_limited", -32029, 429),
            Self::QuotaExceeded => ("quota_exceeded", -32029, 429),
            Self::Unavailable => ("unavailable", -32050, 503),
        }
    }

    /// The reason as clients see it, e.g. `token_expired`.
    pub const fn text(self) -> &'static str {
        self.row().0
    }

    /// The JSON-RPC error number.
    pub const fn number(self) -> i32 {
        self.row().1
    }

    /// The HTTP status.
    pub const fn http_status(self) -> u16 {
        self.row().2
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes_is_what_clients_were_told() {
        let table: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|c| format!("{} {} {}", c.text(), c.number(), c.http_status()))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
