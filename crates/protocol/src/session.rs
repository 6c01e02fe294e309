//! `session.*`: what the caller itself may know and do about its access. Source: docs/protocol.md
//! "Session".

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::rows::methods;

methods! {
    /// A call of this service, its parameters read.
    pub enum Call;

    /// Show who the caller is, what it may do and which limits hold
    "session.info" => Info(InfoParams) -> SessionInfo,
        grant: None, kind: typed, socket: no, http: GET "/session", errors: [];
}

/// `session.info`
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({}))]
pub struct InfoParams {}

/// Who the caller is, what it may do and which limits hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// What goes out as `from`: identity/device/route, with the word http for the route if the call
    /// came over HTTP.
    pub address: String,
    /// Who.
    pub identity: String,
    /// On which device of theirs.
    pub device: String,
    /// Which connection of that device; none over HTTP.
    #[schema(required = true)]
    pub route: Option<String>,
    /// When the token or its key ends, in milliseconds; none if never.
    #[schema(required = true)]
    pub expires_ms: Option<i64>,
    /// What the token grants.
    #[schema(value_type = Object)]
    pub grants: Value,
    /// What the key lets it grant, if it limits that.
    #[schema(value_type = Option<Object>, required = true)]
    pub ceiling: Option<Value>,
    /// The limits that concern the caller.
    pub limits: SessionLimits,
    /// What the server can do beyond the first release.
    pub features: Vec<String>,
    /// The server's node.
    pub node: String,
    /// The server's name and version.
    pub server: String,
}

/// The limits that concern a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionLimits {
    /// How many bytes a frame, or a body of `/client/v1/rpc`, has at most.
    pub frame_bytes: u64,
    /// How many calls may be made in a second, in the long run.
    pub calls_per_second: u32,
    /// How many calls may be made at once, and how many a batch holds at most.
    pub call_burst: u32,
    /// How many open channels a connection may be in.
    pub channels: u64,
}
