use std::fmt;

use hexline_model::{AppId, Timestamp, WebhookId};
use hexline_token::webhook::EventKind;

use super::error::WebhookError;
use crate::reach::{UrlRefused, UrlRule};

/// Where an app wants to be told of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub app: AppId,
    /// Where to.
    pub url: WebhookUrl,
    /// What it wants to know.
    pub events: EventSet,
    /// For people.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is switched off: nothing is queued, and what is queued waits.
    pub disabled: Option<Timestamp>,
    /// How many deliveries wait.
    pub pending: u64,
    /// How many events were dropped because too many waited.
    pub dropped: u64,
}

/// What a new webhook is to be.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where to.
    pub url: String,
    /// The names of the events.
    pub events: Vec<String>,
    /// For people.
    pub label: String,
}

/// What is to be different about a webhook; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct WebhookChanges {
    /// Where to.
    pub url: Option<String>,
    /// The names of the events.
    pub events: Option<Vec<String>>,
    /// For people.
    pub label: Option<String>,
    /// Whether it is on.
    pub enabled: Option<bool>,
}

/// An absolute http or https URL without user, password or fragment, of at most 2048 bytes of
/// visible ASCII.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

/// A set of kinds of event, never empty where it is a webhook's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventSet(u32);

impl WebhookUrl {
    /// Reads a URL that the rule allows, as far as that can be said without resolving names.
    pub fn parse(text: &str, rule: UrlRule) -> Result<Self, WebhookError> {
        let refuse = |message| Err(WebhookError::Url { message });
        if text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("expected at most 2048 characters of visible ASCII");
        }
        let rest = if let Some(rest) = text.strip_prefix("https://") {
            rest
        } else if let Some(rest) = text.strip_prefix("http://") {
            rest
        } else {
            return refuse("expected an absolute URL that begins with https://");
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.is_empty() || authority.starts_with(':') {
            return refuse("it names no host");
        }
        if authority.contains('@') {
            return refuse("it holds a user name, which goes nowhere");
        }
        if text.contains(['#', '\\', '"', '<', '>', '`', '{', '}', '|', '^']) {
            return refuse("it holds a fragment or a character that a URL has to escape");
        }
        match rule.check(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(UrlRefused::PlainHttp) => refuse("found http://, expected https://"),
            Err(UrlRefused::Address) => refuse(
                "its host is this machine, a private or a reserved address, which is not allowed; \
                 webhooks.allow_private opens the first two",
            ),
            Err(_) => refuse("it cannot be read, expected an absolute URL"),
        }
    }

    /// A URL as it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host and port, which hold no secret.
    pub fn host(&self) -> &str {
        let (_, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        rest.split(['/', '?']).next().unwrap_or_default()
    }
}

// Its path or query may hold a secret.
impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(..)")
    }
}

impl EventSet {
    /// Reads the names of events; at least one, none twice. `*` is all of them.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, WebhookError> {
        let mut set = Self::default();
        for name in names {
            let added = if name == "*" {
                Self::all()
            } else {
                Self::of(name.parse().map_err(|_| WebhookError::UnknownEvent {
                    found: name.chars().take(64).collect(),
                })?)
            };
            set.0 |= added.0;
        }
        if set.is_empty() {
            return Err(WebhookError::NoEvents);
        }
        Ok(set)
    }

    /// Those of stored names that this release knows.
    pub fn from_stored(names: &str) -> Self {
        let known = names.split(' ').filter_map(|name| name.parse().ok());
        known.fold(Self::default(), |set, kind| Self(set.0 | Self::of(kind).0))
    }

    /// Every event there is.
    pub fn all() -> Self {
        let all = EventKind::ALL.iter();
        all.fold(Self::default(), |set, kind| Self(set.0 | Self::of(*kind).0))
    }

    /// Whether the kind is in it. A test always is.
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        let all = EventKind::ALL.iter().copied();
        all.filter(move |kind| self.contains(*kind))
    }

    /// The names, separated by blanks.
    pub fn to_stored(self) -> String {
        let names: Vec<_> = self.iter().map(EventKind::text).collect();
        names.join(" ")
    }

    /// As a number with a bit per kind.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn of(kind: EventKind) -> Self {
        Self(1 << (kind as u32))
    }
}
