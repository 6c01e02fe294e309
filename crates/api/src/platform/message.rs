use bytes::Bytes;
use hexline_model::ChannelName;
use hexline_protocol::{Fields, signal};
use serde_json::value::RawValue;

use super::names;
use crate::kit::error::Refusal;

/// What an app's server says, before it is known to whom.
pub(super) struct Message<'a> {
    fields: Fields<'a>,
    from: String,
}

impl<'a> Message<'a> {
    /// `from` is an identity or `identity/device` of the app, for which the server speaks; none
    /// is the server itself.
    pub(super) fn read(message: &'a RawValue, from: Option<&str>) -> Result<Self, Refusal> {
        let fields = Fields::parse(message)
            .map_err(|_| names::invalid("message is no JSON object with unique members"))?;
        for name in ["to", "id", "from"] {
            if fields.find(name).is_some() {
                let message = format!("message has a member {name}, which the server writes");
                return Err(names::invalid(message));
            }
        }
        let from = sender(from)?;
        Ok(Self { fields, from })
    }

    /// As a direct message.
    pub(super) fn to(&self, destination: &str) -> Bytes {
        signal::sent_by_server(destination, &self.fields, &self.from)
    }

    /// As a message in a channel.
    pub(super) fn on(&self, channel: &ChannelName) -> Bytes {
        signal::published_by_server(channel, &self.fields, &self.from)
    }
}

/// An address that no connection can have: three parts, the last of which is `server`. A part that
/// is not given is empty, which no client's can be, so nobody can pass for the server.
fn sender(from: Option<&str>) -> Result<String, Refusal> {
    let Some(from) = from else {
        return Ok("//server".to_owned());
    };
    let (identity, device) = match from.split_once('/') {
        Some((identity, device)) => (identity, Some(device)),
        None => (from, None),
    };
    names::identity(identity)?;
    if let Some(device) = device {
        names::device(device)?;
    }
    Ok(format!("{identity}/{}/server", device.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_an_address_that_no_client_can_have() {
        for (from, wanted) in [
            (None, "//server"),
            (Some("alice"), "alice//server"),
            (Some("alice/web1"), "alice/web1/server"),
        ] {
            assert_eq!(sender(from).expect("an address"), wanted);
            let parsed = hexline_model::Destination::parse(wanted);
            let reaches = parsed.is_ok_and(|to| {
                from.is_none_or(|from| !from.contains('/')) || {
                    matches!(to, hexline_model::Destination::Device(_))
                }
            });
            assert!(!reaches, "{wanted} is somebody's");
        }
        for bad in ["", "/", "a/", "/b", "a/b/c", " a"] {
            assert!(sender(Some(bad)).is_err(), "{bad:?}");
        }
    }
}
