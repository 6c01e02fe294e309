use std::fmt;
use std::sync::Arc;

use crate::identity::{Device, Identity, IdentityError, Subject};
use crate::{Entropy, id};

/// Which live connection of a device: 24 random lower-case hex digits, new for each connection.
///
/// Free of `/` and `.`, so that a reconnect is a new participant. Source: docs/protocol.md.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route([u8; 12]);

/// The full address of one live connection: `identity/device/route`.
///
/// Stamped by the server as `from` on everything that it relays. Cheap to clone.
#[derive(Clone)]
pub struct Address {
    text: Arc<str>,
    identity_end: u16,
    device_end: u16,
    route: Route,
}

/// Whom a message is for: one of the three address forms. Source: docs/protocol.md.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Every live connection of that identity.
    Identity(Identity),
    /// Every live connection of that device.
    Device(Subject),
    /// Exactly one connection. The route is text from outside and may name no connection.
    Connection(Subject, Arc<str>),
}

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// More than three parts.
    #[error("has more than three parts")]
    TooManyParts,
    /// One of the parts is malformed.
    #[error("{part} {source}")]
    Part {
        /// Which part: `identity`, `device` or `route`.
        part: &'static str,
        /// What is wrong with it.
        source: IdentityError,
    },
}

impl Route {
    /// A new route.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 12];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads 24 lower-case hex digits; `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        id::unhex(text).map(Self)
    }
}

impl Address {
    /// Puts an address together.
    pub fn new(subject: &Subject, route: Route) -> Self {
        let text = format!("{subject}/{route}");
        let identity_end = subject.identity.as_str().len();
        let device_end = identity_end + 1 + subject.device.as_str().len();
        Self {
            text: text.into(),
            identity_end: u16::try_from(identity_end).expect("an identity has at most 256 bytes"),
            device_end: u16::try_from(device_end).expect("a subject has at most 513 bytes"),
            route,
        }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The identity part.
    pub fn identity(&self) -> &str {
        &self.text[..usize::from(self.identity_end)]
    }

    /// The device part.
    pub fn device(&self) -> &str {
        &self.text[usize::from(self.identity_end) + 1..usize::from(self.device_end)]
    }

    /// `identity/device`.
    pub fn subject(&self) -> &str {
        &self.text[..usize::from(self.device_end)]
    }

    /// The route part.
    pub fn route(&self) -> Route {
        self.route
    }
}

impl Destination {
    /// Reads `identity`, `identity/device` or `identity/device/route`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.split('/');
        let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
        if parts.next().is_some() {
            return Err(AddressError::TooManyParts);
        }
        let identity = Identity::parse(first).map_err(part("identity"))?;
        let Some(device) = second else {
            return Ok(Self::Identity(identity));
        };
        let device = Device::parse(device).map_err(part("device"))?;
        let subject = Subject { identity, device };
        let Some(route) = third else {
            return Ok(Self::Device(subject));
        };
        Device::parse(route).map_err(part("route"))?;
        Ok(Self::Connection(subject, route.into()))
    }

    /// The identity that is addressed.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Identity(identity) => identity,
            Self::Device(subject) | Self::Connection(subject, _) => &subject.identity,
        }
    }

    /// Whether a connection is among those addressed.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Identity(identity) => identity.as_str() == address.identity(),
            Self::Device(subject) => {
                subject.identity.as_str() == address.identity()
                    && subject.device.as_str() == address.device()
            }
            Self::Connection(subject, route) => {
                subject.identity.as_str() == address.identity()
                    && subject.device.as_str() == address.device()
                    && Route::parse(route) == Some(address.route)
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id::hex(&self.0, f)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// An address names a person; only its route may reach a log.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(../../{})", self.route)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.route == other.route && self.text == other.text
    }
}

impl Eq for Address {}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity(_) => "Destination::Identity(..)",
            Self::Device(_) => "Destination::Device(..)",
            Self::Connection(..) => "Destination::Connection(..)",
        })
    }
}

fn part(part: &'static str) -> impl Fn(IdentityError) -> AddressError {
    move |source| AddressError::Part { part, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    fn address(subject: &str, seed: u64) -> Address {
        let subject = Subject::parse(subject).expect("well formed");
        Address::new(&subject, Route::generate(&SeededEntropy::new(seed)))
    }

    #[test]
    fn each_form_reaches_exactly_what_it_names() {
        let web = address("bob/web", 1);
        let web_again = address("bob/web", 2);
        let phone = address("bob/phone", 3);
        let other = address("bobby/web", 4);
        let reach = |to: &str| {
            let to = Destination::parse(to).expect("well formed");
            [&web, &web_again, &phone, &other].map(|a| to.matches(a))
        };
        assert_eq!(reach("bob"), [true, true, true, false]);
        assert_eq!(reach("bob/web"), [true, true, false, false]);
        assert_eq!(reach(web.as_str()), [true, false, false, false]);
        assert_eq!(reach("bob/web/elsewhere"), [false; 4]);
    }

    #[test]
    fn an_address_splits_into_what_it_was_made_of() {
        let a = address("bob/web", 1);
        assert_eq!(
            (a.identity(), a.device(), a.subject()),
            ("bob", "web", "bob/web")
        );
        assert_eq!(a.as_str(), format!("bob/web/{}", a.route()));
        assert_eq!(Route::parse(&a.route().to_string()), Some(a.route()));
    }

    #[test]
    fn malformed_destinations_are_refused() {
        for bad in ["", "/", "a/", "a//b", "a/b/", "a/b/c/d", "a\n"] {
            assert!(Destination::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_output_names_nobody() {
        let a = address("alice/web", 1);
        let to = Destination::parse("alice").expect("well formed");
        assert!(!format!("{a:?} {to:?}").contains("alice"));
    }
}
