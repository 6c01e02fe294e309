//! From a request to who makes it: which token was handed over, whether it is good, and where it
//! came from.
//!
//! [`TokenAuthenticator::authenticate`] is the one way in by a token, for the WebSocket, the client
//! API and the platform API alike; a [`TokenRefusal`] is neutral, and each door says it in its own
//! form.
//!
//! A verified token costs no database look-up and no lock that a writer holds for long. A failed
//! one is counted against the network address; above the limit failing tokens get
//! `rate_limited` instead of their reason, and good ones still enter.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ConnectInfo;
use governor::Quota;
use hexline_gateway::{Metrics, Peer};
use hexline_model::{AppId, Clock, KeyId, Timestamp};
use hexline_services::Failure as _;
use hexline_services::keys::{Authorization, KeyHandle, KeyRegistry};
use hexline_token::{Access, Claims, Reason, Rejection, UnverifiedToken, Verified, verify};
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use ipnet::IpNet;

use super::token_refusal::{RefusalCause, TokenRefusal};
use crate::limiter::KeyedLimiter;

/// Lets requests in by their tokens.
pub struct TokenAuthenticator {
    registry: Arc<KeyRegistry>,
    key_sets: Arc<dyn KeySets>,
    failures: KeyedLimiter<IpAddr>,
    /// Loopback is not throttled: a developer's mistakes come from there.
    spare_loopback: bool,
    proxies: Proxies,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    observer: Option<Arc<dyn RefusalObserver>>,
}

/// Fetches the key sets behind registered URLs.
#[async_trait]
pub trait KeySets: Send + Sync {
    /// Fetches the set that a refused token would need, if it is time.
    async fn look_up(&self, token: &str, registry: &Arc<KeyRegistry>) -> Lookup;
}

/// What came of looking for the key of a token that was refused with `key_unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Its key is none that is fetched.
    NotFetched,
    /// What there is to know is known: check the token again.
    Current,
    /// Its key may be in a set that cannot be fetched at the moment.
    Unavailable {
        /// When to try again.
        retry_after_s: u32,
    },
}

/// Is told which tokens were refused.
pub trait RefusalObserver: Send + Sync {
    /// A token was refused. Its app is that of the key that it names, truly or not.
    fn refused(&self, token: &str, reason: &str, remote: IpAddr);
}

/// Where a token is shown: that fixes its access, and how it may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The upgrade to a WebSocket: `?jwt=`, a bearer or a sub-protocol.
    Socket,
    /// The client API: a bearer. A query gets into logs.
    Client,
    /// The platform API: a bearer.
    Platform,
}

/// A token that is good, and where it came from.
pub(crate) struct AuthenticatedToken {
    /// What it allows.
    pub(crate) authorization: Authorization,
    /// The key that verified it.
    pub(crate) entry: KeyHandle,
    /// All that it says.
    pub(crate) claims: Claims,
    pub(crate) peer: Peer,
}

/// The proxies whose word counts on where a request came from.
#[derive(Debug, Clone)]
pub struct Proxies(Arc<[IpNet]>);

impl TokenAuthenticator {
    /// Verifies by the keys of a registry, and counts `failures_per_minute` failures of an address.
    pub fn new(
        registry: Arc<KeyRegistry>,
        key_sets: Arc<dyn KeySets>,
        failures_per_minute: u32,
        spare_loopback: bool,
        proxies: Proxies,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let per_minute = NonZeroU32::new(failures_per_minute).unwrap_or(NonZeroU32::MIN);
        let failures = KeyedLimiter::new(Quota::per_minute(per_minute), Arc::clone(&clock));
        Self {
            registry,
            key_sets,
            failures,
            spare_loopback,
            proxies,
            clock,
            metrics,
            observer: None,
        }
    }

    /// Tells this observer which tokens were refused.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn RefusalObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Takes the one token of a request and verifies it; a failure is counted against the peer.
    pub(crate) async fn authenticate(
        &self,
        request: &Parts,
        door: Door,
    ) -> Result<AuthenticatedToken, TokenRefusal> {
        let socket = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(socket) = *socket.expect("every connection has one");
        let peer = self.peer(socket, &request.headers);
        let token = match door {
            Door::Socket => token_of(request.uri.query(), &request.headers),
            Door::Client | Door::Platform => bearer_of(&request.headers),
        };
        let token = token.map_err(|cause| self.failed(cause, peer))?;
        let verified = self.verify(&token, door.access(), peer).await;
        let verified = verified.map_err(|refusal| TokenRefusal {
            named: self.named(&token),
            ..refusal
        })?;
        let authorization = Authorization::of(&verified);
        let Verified { entry, claims } = verified;
        Ok(AuthenticatedToken {
            authorization,
            entry,
            claims,
            peer,
        })
    }

    async fn verify(
        &self,
        token: &str,
        access: Access,
        peer: Peer,
    ) -> Result<Verified<KeyHandle>, TokenRefusal> {
        match self.check(token, access, self.clock.now()).await? {
            Ok(verified) => {
                verified.entry.touch(self.clock.now());
                Ok(verified)
            }
            Err(rejection) => {
                if let Some(observer) = &self.observer {
                    let reason = rejection.code().text();
                    observer.refused(token, reason, peer.remote());
                }
                let left = |until: Timestamp| until.since(self.clock.now());
                let retry_after = rejection.until.map(left);
                let cause = RefusalCause::Rejected {
                    rejection,
                    retry_after,
                };
                Err(self.failed(cause, peer))
            }
        }
    }

    /// Verifies a token that is shown and not used: nothing is counted, and its key counts as
    /// unused. `None` if it is not good, or is another app's.
    pub(crate) async fn examine(
        &self,
        token: &str,
        app: AppId,
    ) -> Result<Option<(Access, Verified<KeyHandle>)>, TokenRefusal> {
        self.examine_at(token, app, self.clock.now()).await
    }

    /// The same for a token that is to be ended: one that is not good yet is looked at as it will
    /// be when it is.
    pub(crate) async fn examine_ahead(
        &self,
        token: &str,
        app: AppId,
    ) -> Result<Option<(Access, Verified<KeyHandle>)>, TokenRefusal> {
        let begins = UnverifiedToken::parse(token).ok();
        let begins = begins.and_then(|token| token.begins());
        let now = self.clock.now();
        let at = begins.map_or(now, |begins| begins.max(now));
        self.examine_at(token, app, at).await
    }

    async fn examine_at(
        &self,
        token: &str,
        app: AppId,
        at: Timestamp,
    ) -> Result<Option<(Access, Verified<KeyHandle>)>, TokenRefusal> {
        // Another app's is not looked at: what it takes to do so, a key set that cannot be fetched
        // say, would tell something of it.
        let issuer = UnverifiedToken::parse(token).ok();
        let issuer = issuer.and_then(|token| KeyId::parse(token.issuer()).ok());
        let key = issuer.and_then(|key| self.registry.key_record(key));
        if key.is_none_or(|key| key.app != app) {
            return Ok(None);
        }
        for access in [Access::Client, Access::Platform] {
            match self.check(token, access, at).await? {
                Ok(verified) => {
                    let is_of_app = verified.entry.app() == app;
                    return Ok(is_of_app.then_some((access, verified)));
                }
                Err(rejection) if rejection.reason == Reason::AudienceMismatch => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Looks whether a token is good, if need be with a key set that is fetched for it.
    async fn check(
        &self,
        token: &str,
        access: Access,
        at: Timestamp,
    ) -> Result<Result<Verified<KeyHandle>, Rejection>, TokenRefusal> {
        let check = || verify(token, access, self.registry.as_ref(), at);
        let mut outcome = check();
        if let Err(rejection) = &outcome
            && rejection.reason == Reason::KeyUnknown
        {
            match self.key_sets.look_up(token, &self.registry).await {
                Lookup::NotFetched => {}
                Lookup::Current => outcome = check(),
                // The token may well be good: that is no failure of whoever holds it.
                Lookup::Unavailable { retry_after_s } => {
                    let retry_after = Duration::from_secs(retry_after_s.into());
                    let cause = RefusalCause::KeySetUnavailable { retry_after };
                    self.metrics.rejected(cause.code());
                    return Err(cause.into());
                }
            }
        }
        Ok(outcome)
    }

    /// Counts a failure to hand over a good token; the answer may become `rate_limited`.
    fn failed(&self, cause: RefusalCause, peer: Peer) -> TokenRefusal {
        let spared = self.spare_loopback && peer.ip().is_loopback();
        let cause = if spared || self.failures.allows(&peer.ip()) {
            cause
        } else {
            RefusalCause::TooManyFailures
        };
        self.metrics.rejected(cause.code());
        cause.into()
    }

    /// Where a request came from: the last address in `X-Forwarded-For` that no trusted proxy vouches
    /// for as one of its own, if a trusted proxy sent it.
    ///
    /// A hop that cannot be read ends the search at the proxy that wrote it. What a client writes
    /// stands to the left of what the proxies add, so it cannot bring that about.
    pub(crate) fn peer(&self, socket: SocketAddr, headers: &HeaderMap) -> Peer {
        let mut ip = socket.ip();
        if self.proxies.trusts(ip) {
            let lines = headers.get_all("x-forwarded-for").iter().rev();
            for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
                let Some(hop) = hop_address(hop) else {
                    break;
                };
                ip = hop;
                if !self.proxies.trusts(ip) {
                    break;
                }
            }
        }
        Peer::of(ip)
    }

    /// Whether the other end of a connection is a trusted proxy.
    pub(crate) fn trusts(&self, socket: SocketAddr) -> bool {
        self.proxies.trusts(socket.ip())
    }

    /// The app and the key that a token names, truly or not, if there is such a key.
    fn named(&self, token: &str) -> Option<(AppId, KeyId)> {
        let token = UnverifiedToken::parse(token).ok()?;
        let key = KeyId::parse(token.issuer()).ok()?;
        let record = self.registry.key_record(key)?;
        Some((record.app, key))
    }

    /// Forgets addresses that have not failed for a while.
    pub fn forget_old_failures(&self) {
        self.failures.forget_the_full();
    }
}

impl Door {
    fn access(self) -> Access {
        match self {
            Self::Socket | Self::Client => Access::Client,
            Self::Platform => Access::Platform,
        }
    }
}

impl Proxies {
    /// The proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// Whether an address is one of theirs.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// The one token of an upgrade: `?jwt=`, `Authorization: Bearer`, or the sub-protocol `bearer.…`.
///
/// An `Authorization` of another scheme is a proxy's, if a token came by another way.
fn token_of(query: Option<&str>, headers: &HeaderMap) -> Result<String, RefusalCause> {
    let mut tokens: Vec<String> = Vec::new();
    if let Some(query) = query {
        let pairs = form_urlencoded::parse(query.as_bytes());
        tokens.extend(
            pairs
                .filter(|(name, _)| name == "jwt")
                .map(|(_, value)| value.into_owned()),
        );
    }
    tokens.extend(bearers(headers).map(str::to_owned));
    let protocols = offered_protocols(headers);
    tokens.extend(
        protocols
            .filter_map(|p| p.strip_prefix("bearer."))
            .map(str::to_owned),
    );
    let expected = "one in ?jwt=, Authorization: Bearer or a bearer. sub-protocol";
    the_one(tokens, expected, headers)
}

/// The one token of any other request: `Authorization: Bearer`. A query gets into logs.
pub(crate) fn bearer_of(headers: &HeaderMap) -> Result<String, RefusalCause> {
    let tokens = bearers(headers).map(str::to_owned).collect();
    the_one(tokens, "one in Authorization: Bearer", headers)
}

fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    })
}

fn the_one(
    tokens: Vec<String>,
    expected: &'static str,
    headers: &HeaderMap,
) -> Result<String, RefusalCause> {
    let mut tokens = tokens.into_iter();
    let Some(token) = tokens.next().filter(|token| !token.is_empty()) else {
        return Err(if headers.contains_key(AUTHORIZATION) {
            RefusalCause::NotBearer
        } else {
            RefusalCause::Missing { expected }
        });
    };
    if tokens.any(|other| other != token) {
        return Err(RefusalCause::Several);
    }
    Ok(token)
}

/// The WebSocket sub-protocols that a client offers.
pub(crate) fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
}

/// One hop of `X-Forwarded-For`: an address, or one with a port, as some proxies write it.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    if let Ok(ip) = hop.parse() {
        return Some(ip);
    }
    if let Ok(address) = hop.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let ip = hop.strip_prefix('[')?.strip_suffix(']')?;
    ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn token(query: Option<&str>, pairs: &[(&'static str, &str)]) -> Result<String, String> {
        token_of(query, &headers(pairs)).map_err(|cause| cause.code().text().to_owned())
    }

    #[test]
    fn a_token_may_be_handed_over_in_three_ways() {
        let ok = Ok("a.b.c".to_owned());
        assert_eq!(token(Some("jwt=a.b.c"), &[]), ok);
        assert_eq!(token(Some("x=1&jwt=a%2Eb.c"), &[]), ok);
        assert_eq!(token(None, &[("authorization", "Bearer a.b.c")]), ok);
        assert_eq!(token(None, &[("authorization", "bearer  a.b.c")]), ok);
        assert_eq!(
            token(
                None,
                &[("sec-websocket-protocol", "hexline.v1, bearer.a.b.c")]
            ),
            ok
        );
    }

    #[test]
    fn none_two_or_a_broken_one_is_malformed() {
        let malformed = Err("token_malformed".to_owned());
        assert_eq!(token(None, &[]), malformed);
        assert_eq!(token(Some("jwt="), &[]), malformed);
        assert_eq!(token(Some("jwt=a&jwt=b"), &[]), malformed);
        assert_eq!(
            token(Some("jwt=a"), &[("authorization", "Bearer b")]),
            malformed
        );
        assert_eq!(token(None, &[("authorization", "Basic b")]), malformed);
        assert_eq!(token(None, &[("authorization", "Bearer")]), malformed);
        assert_eq!(
            token(Some("jwt=a"), &[("authorization", "Bearer a")]),
            Ok("a".to_owned())
        );
    }

    #[test]
    fn another_scheme_is_passed_over_if_a_token_came_otherwise() {
        let basic = ("authorization", "Basic b");
        let ok = Ok("a".to_owned());
        assert_eq!(token(Some("jwt=a"), &[basic]), ok);
        assert_eq!(token(None, &[basic, ("authorization", "Bearer a")]), ok);
        assert_eq!(
            token(None, &[basic, ("sec-websocket-protocol", "bearer.a")]),
            ok
        );
    }

    #[test]
    fn a_bearer_is_in_the_header_alone() {
        let bearer = |pairs| bearer_of(&headers(pairs)).ok();
        assert_eq!(
            bearer(&[("authorization", "Bearer a")]).as_deref(),
            Some("a")
        );
        assert_eq!(bearer(&[("sec-websocket-protocol", "bearer.a")]), None);
        assert_eq!(bearer(&[("authorization", "Basic a")]), None);
    }

    #[test]
    fn a_hop_may_have_a_port() {
        let v4 = Some(IpAddr::from([1, 2, 3, 4]));
        let v6 = "2001:db8::1".parse::<IpAddr>().ok();
        for (hop, ip) in [
            (" 1.2.3.4 ", v4),
            ("1.2.3.4:5678", v4),
            ("2001:db8::1", v6),
            ("[2001:db8::1]", v6),
            ("[2001:db8::1]:443", v6),
            ("unknown", None),
            ("", None),
            ("[1.2.3.4]", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:99999", None),
        ] {
            assert_eq!(hop_address(hop.as_bytes()), ip, "{hop}");
        }
        assert_eq!(hop_address(b"\xff"), None);
    }
}
