use hexline_model::{Address, AppId};
use hexline_protocol::ErrorCode;
use hexline_token::{Permissions, Reason};

/// Who makes a call: the app, the connection's address, and what its token and key allow.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The app that owns the token's key.
    pub app: AppId,
    /// The connection's own address.
    pub address: Address,
    /// The token's grants and the key's ceiling; a call must pass both.
    pub permissions: Permissions,
}

/// The code that clients see for a token's refusal; the one map between the two.
pub fn error_code(reason: Reason) -> ErrorCode {
    match reason {
        Reason::TokenMalformed => ErrorCode::TokenMalformed,
        Reason::KeyUnknown => ErrorCode::KeyUnknown,
        Reason::KeyRevoked => ErrorCode::KeyRevoked,
        Reason::KeyExpired => ErrorCode::KeyExpired,
        Reason::AlgorithmMismatch => ErrorCode::AlgorithmMismatch,
        Reason::SignatureInvalid => ErrorCode::SignatureInvalid,
        Reason::AudienceMismatch => ErrorCode::AudienceMismatch,
        Reason::TokenExpired => ErrorCode::TokenExpired,
        Reason::TokenNotYetValid => ErrorCode::TokenNotYetValid,
        Reason::TokenTooLong => ErrorCode::TokenTooLong,
        Reason::ClaimInvalid => ErrorCode::ClaimInvalid,
        Reason::TokenRevoked => ErrorCode::TokenRevoked,
        Reason::GrantMissing => ErrorCode::GrantMissing,
    }
}
