//! Names that callers write, as values that cannot be wrong; the refusal says which is, and why.

use hexline_model::{ChannelName, Device, Identity, KeyId, Route, Subject};
use hexline_protocol::ErrorCode;

use crate::kit::error::Refusal;

pub(super) fn identity(text: &str) -> Result<Identity, Refusal> {
    Identity::parse(text).map_err(|error| invalid(format!("identity {error}")))
}

pub(super) fn device(text: &str) -> Result<Device, Refusal> {
    Device::parse(text).map_err(|error| invalid(format!("device {error}")))
}

pub(super) fn subject(identity_text: &str, device_text: &str) -> Result<Subject, Refusal> {
    Ok(Subject {
        identity: identity(identity_text)?,
        device: device(device_text)?,
    })
}

pub(super) fn route(text: &str) -> Result<Route, Refusal> {
    Route::parse(text).ok_or_else(|| invalid("route is none, expected 24 hex digits"))
}

pub(super) fn channel(text: &str) -> Result<ChannelName, Refusal> {
    ChannelName::parse(text).map_err(|error| invalid(format!("channel {error}")))
}

pub(super) fn key(text: &str) -> Result<KeyId, Refusal> {
    let unknown = |_| Refusal::new(ErrorCode::NotFound, "there is no such key");
    KeyId::parse(text).map_err(unknown)
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}
