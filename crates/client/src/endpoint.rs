use hexline_token::UnverifiedToken;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::ConnectError;

/// Where the WebSocket is: scheme, host, port and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

impl Endpoint {
    /// The endpoint that a token's `aud` leads to, by the rule of the original clients: if `aud`
    /// contains `v1` after its start, `aud` + `/signal/pubsub`, otherwise `aud` +
    /// `/signal/v1/pubsub`; `http` becomes `ws`. If `aud` is an array, its first
    /// member counts.
    pub fn of_token(token: &str) -> Result<Self, ConnectError> {
        let token =
            UnverifiedToken::parse(token).map_err(|e| ConnectError::Token(e.to_string()))?;
        match token.audience() {
            Some(audience) => Self::of_audience(&audience),
            None => Err(ConnectError::Token("it has no audience".to_owned())),
        }
    }

    /// From a URL. `ws://` and `wss://` are the socket itself. `http://` and `https://` are an
    /// `aud`, or the server's base URL, to which `/client/v1` is added.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let lower = url.get(..5).unwrap_or(url).to_ascii_lowercase();
        if lower.starts_with("ws") {
            return Self::of_socket(url);
        }
        let url = url.trim_end_matches('/');
        // Behind the scheme and the host.
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        if path.split('/').any(|part| part == "client") {
            return Self::of_audience(url);
        }
        Self::of_audience(&format!("{url}/client/v1"))
    }

    /// Host and port, as in a `Host` header.
    pub fn authority(&self) -> String {
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Whether the connection is made over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host's name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, with the query if there is one; never with the token.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn of_audience(audience: &str) -> Result<Self, ConnectError> {
        let audience = audience.trim_end_matches('/');
        if !audience
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"))
        {
            return Err(ConnectError::Url(
                "it starts with neither http:// nor https://",
            ));
        }
        let old = audience.find("v1").is_some_and(|index| index > 0);
        let service = if old {
            "/signal/pubsub"
        } else {
            "/signal/v1/pubsub"
        };
        Self::of_socket(&format!("ws{}{service}", &audience[4..]))
    }

    fn of_socket(url: &str) -> Result<Self, ConnectError> {
        let uri: Uri = url
            .parse()
            .map_err(|_| ConnectError::Url("it is not a URL"))?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(ConnectError::Url("it starts with neither ws:// nor wss://")),
        };
        let authority = uri
            .authority()
            .ok_or(ConnectError::Url("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(ConnectError::Url("it holds a user name"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        if path
            .split_once('?')
            .is_some_and(|(_, query)| names_a_token(query))
        {
            return Err(ConnectError::Url("it holds a token; give the token apart"));
        }
        Ok(Self {
            secure,
            host: authority.host().to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            path: path.to_owned(),
        })
    }
}

fn names_a_token(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some("jwt"))
}

#[cfg(test)]
mod tests {
    use hexline_model::Timestamp;
    use hexline_token::TokenBuilder;

    use super::*;

    fn url(endpoint: &Endpoint) -> String {
        let scheme = if endpoint.is_secure() { "wss" } else { "ws" };
        format!("{scheme}://{}{}", endpoint.authority(), endpoint.path())
    }

    fn token(audience: &str) -> String {
        TokenBuilder::create()
            .key("b234fdb83571400f9b62e204d735126e", "x".repeat(43))
            .aud(audience)
            .identity("alice")
            .device("web1")
            .build_at(Timestamp::from_secs(1_490_479_599))
            .expect("a token")
    }

    #[test]
    fn the_audience_leads_to_the_socket_as_old_clients_would_find_it() {
        for (audience, socket) in [
            (
                "http://localhost:8000/client",
                "ws://localhost:8000/client/signal/v1/pubsub",
            ),
            (
                "http://localhost:8000/client/v1",
                "ws://localhost:8000/client/v1/signal/pubsub",
            ),
            (
                "http://localhost:8000/client/v1/",
                "ws://localhost:8000/client/v1/signal/pubsub",
            ),
            (
                "https://api.example.org/client",
                "wss://api.example.org/client/signal/v1/pubsub",
            ),
            (
                "https://dev1.example.org/client",
                "wss://dev1.example.org/client/signal/pubsub",
            ),
            (
                "http://[::1]:8000/a/client",
                "ws://[::1]:8000/a/client/signal/v1/pubsub",
            ),
        ] {
            let endpoint = Endpoint::of_token(&token(audience)).expect("an endpoint");
            assert_eq!(url(&endpoint), socket);
        }
    }

    #[test]
    fn a_base_url_an_audience_and_a_socket_url_are_all_understood() {
        for (given, socket) in [
            (
                "http://127.0.0.1:8000",
                "ws://127.0.0.1:8000/client/v1/signal/pubsub",
            ),
            (
                "http://127.0.0.1:8000/client",
                "ws://127.0.0.1:8000/client/signal/v1/pubsub",
            ),
            (
                "HTTPS://a.example/x/",
                "wss://a.example/x/client/v1/signal/pubsub",
            ),
            (
                "ws://127.0.0.1:8000/dev/echo?a=b",
                "ws://127.0.0.1:8000/dev/echo?a=b",
            ),
            ("http://client", "ws://client/client/v1/signal/pubsub"),
            ("wss://a.example", "wss://a.example/"),
        ] {
            assert_eq!(url(&Endpoint::parse(given).expect(given)), socket);
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for bad in [
            "",
            "x",
            "ftp://a.example",
            "ws://",
            "ws://u:p@a.example/",
            "ws://a/?jwt=t",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a", "a.b.c", &token("ftp://a.example"), &token("x")] {
            assert!(Endpoint::of_token(bad).is_err(), "{bad:?}");
        }
    }
}
