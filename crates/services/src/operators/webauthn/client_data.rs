use serde::Deserialize;

use super::CeremonyError;

/// What the browser says the authenticator was asked, and by whom. Browsers may add members.
#[derive(Debug, Deserialize)]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    pub(super) ceremony: String,
    /// In base64url.
    pub(super) challenge: String,
    pub(super) origin: String,
    #[serde(rename = "crossOrigin", default)]
    pub(super) cross_origin: bool,
}

/// The two things that an authenticator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceremony {
    Create,
    Get,
}

impl ClientData {
    /// Reads it. Members that stand twice are refused.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CeremonyError> {
        serde_json::from_slice(bytes).map_err(|_| CeremonyError::Malformed)
    }
}

impl Ceremony {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}
