use bytes::Bytes;
use hexline_model::ChannelName;
use hexline_protocol::{Fields, signal};
use hexline_services::Caller;
use serde_json::value::RawValue;

use super::names;
use crate::kit::error::Refusal;

/// What an app's server says, before it is known to whom.
pub(super) struct Message<'a> {
    fields: Fields<'a>,
    /// The server, for itself or for whom it speaks.
    pub(super) caller: Caller,
}

impl<'a> Message<'a> {
    /// `from` is an identity or `identity/device` of the app, for which the server speaks; none
    /// is the server itself.
    pub(super) fn read(
        message: &'a RawValue,
        from: Option<&str>,
        server: Caller,
    ) -> Result<Self, Refusal> {
        let fields = Fields::parse(message)
            .map_err(|_| names::invalid("message is no JSON object with unique members"))?;
        for name in ["to", "id", "from"] {
            if fields.find(name).is_some() {
                let message = format!("message has a member {name}, which the server writes");
                return Err(names::invalid(message));
            }
        }
        let caller = speaking_for(server, from)?;
        Ok(Self { fields, caller })
    }

    /// As a direct message.
    pub(super) fn to(&self, destination: &str) -> Bytes {
        signal::sent_by_server(destination, &self.fields, self.caller.from())
    }

    /// As a message in a channel.
    pub(super) fn on(&self, channel: &ChannelName) -> Bytes {
        signal::published_by_server(channel, &self.fields, self.caller.from())
    }
}

fn speaking_for(server: Caller, from: Option<&str>) -> Result<Caller, Refusal> {
    let Some(from) = from else {
        return Ok(server);
    };
    let (identity, device) = match from.split_once('/') {
        Some((identity, device)) => (identity, Some(device)),
        None => (from, None),
    };
    let identity = names::identity(identity)?;
    let device = device.map(names::device).transpose()?;
    Ok(server.on_behalf_of(&identity, device.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hexline_model::{AppId, SeededEntropy};
    use hexline_token::{Grants, Permissions};

    use super::*;

    #[test]
    fn a_server_speaks_for_itself_or_for_somebody_whose_name_is_well_formed() {
        let permissions = Arc::new(Permissions::new(Grants::all(), None));
        let server = Caller::server(AppId::generate(&SeededEntropy::new(1)), permissions);
        for (from, wanted) in [
            (None, "//server"),
            (Some("alice"), "alice//server"),
            (Some("alice/web1"), "alice/web1/server"),
        ] {
            let caller = speaking_for(server.clone(), from).expect("a caller");
            assert_eq!(caller.from(), wanted);
        }
        for bad in ["", "/", "a/", "/b", "a/b/c", " a"] {
            assert!(speaking_for(server.clone(), Some(bad)).is_err(), "{bad:?}");
        }
    }
}
