use std::fmt;
use std::sync::Arc;

use hexline_model::{Address, AppId, Device, Identity, Route, Subject};
use hexline_token::Permissions;

/// Who makes a call, and what its token and key allow.
///
/// A user's device calls from a live connection ([`Caller::connected`]) or over HTTP
/// ([`Caller::over_http`]); an app's own server calls for itself or for one of the app's users
/// ([`Caller::server`]). A clone is cheap: a call that takes its time owns one.
#[derive(Clone)]
pub struct Caller {
    /// The app that owns the token's key.
    pub app: AppId,
    /// The token's grants and the key's ceiling; a call must pass both.
    pub permissions: Arc<Permissions>,
    origin: Origin,
}

/// Where a call comes from. Each connection keeps one: it says everything once.
#[derive(Clone)]
enum Origin {
    Connection(Address),
    Http(Arc<HttpOrigin>),
    /// What others see as `from`.
    Server(Arc<str>),
}

struct HttpOrigin {
    subject: Subject,
    /// What others see as `from`.
    from: String,
}

impl Caller {
    /// A live connection of a user's device.
    pub fn connected(
        app: AppId,
        subject: &Subject,
        route: Route,
        permissions: Arc<Permissions>,
    ) -> Self {
        let origin = Origin::Connection(Address::new(subject, route));
        Self {
            app,
            permissions,
            origin,
        }
    }

    /// A user's device, with a request that stands alone.
    pub fn over_http(app: AppId, subject: Subject, permissions: Arc<Permissions>) -> Self {
        let from = format!("{subject}/http");
        let origin = Origin::Http(Arc::new(HttpOrigin { subject, from }));
        Self {
            app,
            permissions,
            origin,
        }
    }

    /// The app's own server, for itself.
    pub fn server(app: AppId, permissions: Arc<Permissions>) -> Self {
        Self {
            app,
            permissions,
            origin: Origin::Server("//server".into()),
        }
    }

    /// The same server, speaking for one of the app's users. A call from a device is left as it is.
    ///
    /// A part that is not given is empty, which no client's can be, so nobody can pass for the
    /// server.
    #[must_use]
    pub fn on_behalf_of(mut self, identity: &Identity, device: Option<&Device>) -> Self {
        if let Origin::Server(text) = &mut self.origin {
            let device = device.map(Device::as_str).unwrap_or_default();
            *text = format!("{identity}/{device}/server").into();
        }
        self
    }

    /// What others see as `from`: `alice/web1/<route>` from a connection, `alice/web1/http` over
    /// HTTP; `//server`, `alice//server` or `alice/web1/server` from an app's server.
    pub fn from(&self) -> &str {
        match &self.origin {
            Origin::Connection(address) => address.as_str(),
            Origin::Http(http) => &http.from,
            Origin::Server(text) => text,
        }
    }

    /// Whose device calls; `None` for an app's server, whoever it speaks for.
    pub fn identity(&self) -> Option<&str> {
        match &self.origin {
            Origin::Connection(address) => Some(address.identity()),
            Origin::Http(http) => Some(http.subject.identity.as_str()),
            Origin::Server(_) => None,
        }
    }

    /// Which of the identity's devices calls; `None` where there is no identity.
    pub fn device(&self) -> Option<&str> {
        match &self.origin {
            Origin::Connection(address) => Some(address.device()),
            Origin::Http(http) => Some(http.subject.device.as_str()),
            Origin::Server(_) => None,
        }
    }

    /// Whether this device calls.
    pub fn is(&self, subject: &Subject) -> bool {
        self.identity() == Some(subject.identity.as_str())
            && self.device() == Some(subject.device.as_str())
    }

    /// The address of the connection, if the call comes from one.
    pub fn address(&self) -> Option<&Address> {
        match &self.origin {
            Origin::Connection(address) => Some(address),
            Origin::Http(_) | Origin::Server(_) => None,
        }
    }

    /// The route of the connection, if the call comes from one.
    pub fn route(&self) -> Option<Route> {
        self.address().map(Address::route)
    }

    /// Whether it is the app's own server.
    pub fn is_server(&self) -> bool {
        matches!(self.origin, Origin::Server(_))
    }
}

// The subject and `from` name a person.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.origin {
            Origin::Connection(_) => "connection",
            Origin::Http(_) => "http",
            Origin::Server(_) => "server",
        };
        f.debug_struct("Caller")
            .field("app", &self.app)
            .field("origin", &origin)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hexline_model::{Destination, SeededEntropy};
    use hexline_token::Grants;

    use super::*;

    fn app() -> AppId {
        AppId::generate(&SeededEntropy::new(1))
    }

    fn everything() -> Arc<Permissions> {
        Arc::new(Permissions::new(Grants::all(), None))
    }

    fn alice() -> Subject {
        Subject::parse("alice/web1").expect("well formed")
    }

    #[test]
    fn each_caller_has_its_own_form_of_from() {
        let route = Route::generate(&SeededEntropy::new(2));
        let socket = Caller::connected(app(), &alice(), route, everything());
        assert_eq!(socket.from(), format!("alice/web1/{route}"));
        assert_eq!(socket.route(), Some(route));
        assert!(socket.is(&alice()));
        let http = Caller::over_http(app(), alice(), everything());
        assert_eq!(http.from(), "alice/web1/http");
        assert_eq!(http.route(), None);
        assert!(http.is(&alice()));
        for caller in [&socket, &http] {
            let parts = (caller.identity(), caller.device());
            assert_eq!(parts, (Some("alice"), Some("web1")));
        }
        let server = Caller::server(app(), everything());
        assert_eq!(server.from(), "//server");
        assert_eq!(server.route(), None);
        assert_eq!((server.identity(), server.device()), (None, None));
        assert!(server.is_server() && !http.is_server() && !socket.is_server());
    }

    #[test]
    fn a_server_has_an_address_that_no_client_can_have() {
        let alice = alice();
        let server = Caller::server(app(), everything());
        let for_alice = server.clone().on_behalf_of(&alice.identity, None);
        let for_device = server
            .clone()
            .on_behalf_of(&alice.identity, Some(&alice.device));
        for (caller, wanted) in [
            (server, "//server"),
            (for_alice, "alice//server"),
            (for_device, "alice/web1/server"),
        ] {
            assert_eq!(caller.from(), wanted);
            assert_eq!((caller.identity(), caller.device()), (None, None));
            assert!(!caller.is(&alice));
            // Of the one form that can be addressed, the route is none that a connection has.
            let to = Destination::parse(wanted);
            assert!(to.is_err() || Route::parse("server").is_none(), "{wanted}");
        }
    }

    #[test]
    fn only_a_server_speaks_on_behalf_of_others() {
        let bob = Identity::parse("bob").expect("well formed");
        let http = Caller::over_http(app(), alice(), everything()).on_behalf_of(&bob, None);
        assert_eq!(http.from(), "alice/web1/http");
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Caller>() <= 64);
    }
}
