use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hexline_model::{AppId, Secret};
use hexline_protocol::ErrorCode;
use hexline_services::operators::{LONGEST, Operator, OperatorError, Origin, SignedIn};
use http::header::{CONTENT_TYPE, COOKIE as COOKIE_HEADER, HOST, ORIGIN, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::app::App;
use crate::kit::error::Refusal;

/// The operator who makes the request. A handler that takes it is for those who are signed in.
pub(crate) struct Signed {
    pub(crate) operator: Operator,
    pub(crate) session: hexline_services::operators::ConsoleSession,
    /// Where the request came from.
    pub(crate) origin: Origin,
}

/// Where a request came from, signed in or not.
pub(crate) struct Visitor(pub(crate) Origin);

/// The origins that the Console's pages have.
#[derive(Clone)]
pub(crate) struct Site(Arc<[String]>);

impl Signed {
    /// Whether the app is one of this operator's.
    pub(crate) fn sees(&self, app: AppId) -> bool {
        self.operator.sees(app)
    }

    /// The app must be one of this operator's; another does not exist.
    pub(crate) fn may_read(&self, app: AppId) -> Result<(), Refusal> {
        if self.sees(app) {
            Ok(())
        } else {
            Err(Refusal::new(ErrorCode::NotFound, "there is no such app"))
        }
    }

    /// The operator must be allowed to change the app.
    pub(crate) fn may_write(&self, app: AppId) -> Result<(), Refusal> {
        self.may_read(app)?;
        allow(
            self.operator.writes(app),
            "an admin of this app or an owner",
        )
    }

    /// The operator must be allowed to make apps.
    pub(crate) fn may_make_apps(&self) -> Result<(), Refusal> {
        allow(
            self.operator.makes_apps(),
            "an admin of all apps or an owner",
        )
    }

    /// The operator must be an owner.
    pub(crate) fn may_administer(&self) -> Result<(), Refusal> {
        allow(self.operator.administers(), "an owner")
    }

    /// The password or a passkey must have been given in this session a short time ago.
    pub(crate) fn confirmed(&self, app: &App) -> Result<(), Refusal> {
        Ok(app.operators.require_confirmation(&self.session)?)
    }

    /// The session as the service knows it.
    pub(crate) fn signed_in(&self) -> SignedIn {
        SignedIn {
            operator: self.operator.clone(),
            session: self.session.clone(),
        }
    }
}

fn allow(is_allowed: bool, who: &str) -> Result<(), Refusal> {
    if is_allowed {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::Forbidden,
        format!("your role does not allow this: it takes {who}"),
    ))
}

impl<S> FromRequestParts<S> for Signed
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let app = Arc::<App>::from_ref(state);
        let Visitor(origin) = Visitor::from_request_parts(parts, state).await?;
        let signed_in = match Cookie::of(&app.url).token(&parts.headers) {
            Some(token) => app.operators.authenticate(token.expose()).await?,
            None => None,
        };
        let SignedIn { operator, session } = signed_in.ok_or(OperatorError::SignedOut)?;
        Ok(Self {
            operator,
            session,
            origin,
        })
    }
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let app = Arc::<App>::from_ref(state);
        let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(socket) = *socket.expect("every connection has one");
        let peer = app.authenticator.peer(socket, &parts.headers);
        let agent = parts.headers.get(USER_AGENT);
        let agent = agent.and_then(|v| v.to_str().ok()).unwrap_or_default();
        Ok(Self(Origin::new(peer.ip(), agent)))
    }
}

/// Lets in only what pages of this server send.
///
/// A form or script of another site can neither set `X-Hexline-Console` nor send JSON without
/// asking first, and this API answers no such question. The cookie is `SameSite=Strict` besides,
/// and a browser that says where a request comes from is believed.
pub(crate) async fn same_site(State(site): State<Site>, request: Request, next: Next) -> Response {
    match site.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl Site {
    /// What the configuration says the server is called. What it is called besides, a request's
    /// own `Host` says.
    pub(crate) fn new<'a>(urls: impl IntoIterator<Item = &'a String>) -> Self {
        let origin_of = |url: &String| {
            let (scheme, rest) = url.split_once("://")?;
            let authority = rest.split('/').next()?;
            Some(format!("{scheme}://{authority}"))
        };
        Self(urls.into_iter().filter_map(origin_of).collect())
    }

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::new(ErrorCode::OriginRefused, message));
        let reads = method == Method::GET || method == Method::HEAD;
        let fetch_site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_own = match fetch_site {
            None | Some(b"same-origin") => true,
            // Typed into the address bar.
            Some(b"none") => reads,
            Some(_) => false,
        };
        let origin = headers.get(ORIGIN);
        if !is_own || origin.is_some_and(|origin| !self.is(origin, headers.get(HOST))) {
            return refuse("the request comes from a page of another site");
        }
        if reads {
            return Ok(());
        }
        if headers.get(CONSOLE_HEADER).is_none_or(|value| value != "1") {
            return refuse("the header X-Hexline-Console: 1 is missing");
        }
        let kind = headers.get(CONTENT_TYPE);
        let kind = kind.map(|kind| kind.to_str().unwrap_or("?"));
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if essence.is_some_and(|kind| !kind.eq_ignore_ascii_case("application/json")) {
            let message = "the body is not declared as JSON, expected Content-Type: \
                           application/json";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message)
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        Ok(())
    }

    /// Whether a page of this origin is one of this server's: by one of its URLs, or by the very
    /// name that the request was sent to.
    fn is(&self, origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let Some((_, authority)) = origin.split_once("://") else {
            return false;
        };
        host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
            || self.0.iter().any(|own| own.eq_ignore_ascii_case(origin))
    }
}

/// The cookie that holds an operator's session.
///
/// Where the server is reached by https and has its host name for itself, the name begins with
/// `__Host-`: browsers take such a cookie from this host alone, and from no other of its domain.
struct Cookie<'a> {
    name: &'static str,
    /// Without a slash at its end.
    prefix: &'a str,
    is_secure: bool,
}

impl<'a> Cookie<'a> {
    /// That of a server with this public URL.
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let prefix = rest.find('/').map_or("", |at| &rest[at..]);
        let prefix = prefix.trim_end_matches('/');
        let is_secure = scheme.eq_ignore_ascii_case("https");
        let name = if is_secure && prefix.is_empty() {
            HOST_COOKIE
        } else {
            COOKIE
        };
        Self {
            name,
            prefix,
            is_secure,
        }
    }

    /// The session's token, if a request has the cookie.
    fn token(&self, headers: &HeaderMap) -> Option<Secret<String>> {
        let lines = headers.get_all(COOKIE_HEADER).iter();
        let mut pairs = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, token) = pairs.find(|(name, _)| *name == self.name)?;
        Some(Secret::new(token.to_owned()))
    }

    fn set(&self, token: Option<&Secret<String>>) -> HeaderValue {
        let (value, age) = match token {
            Some(token) => (token.expose().as_str(), LONGEST.as_secs()),
            None => ("", 0),
        };
        let Self { name, prefix, .. } = self;
        // A browser takes a cookie of this name for the whole host only.
        let path = if *name == HOST_COOKIE {
            "/"
        } else {
            &format!("{prefix}/console")
        };
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie = format!(
            "{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
        );
        let cookie = HeaderValue::from_str(&cookie);
        let mut cookie = cookie.expect("a URL's path and base64url are ASCII");
        cookie.set_sensitive(true);
        cookie
    }
}

/// The `Set-Cookie` that hands a session to the browser, or, with none, takes it back.
pub(crate) fn cookie(app: &App, token: Option<&Secret<String>>) -> HeaderValue {
    Cookie::of(&app.url).set(token)
}

const COOKIE: &str = "hexline_console";
const HOST_COOKIE: &str = "__Host-hexline_console";
const CONSOLE_HEADER: &str = "x-hexline-console";
