use std::collections::BTreeMap;
use std::time::Duration;

use hexline_token::Grants;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::redirect;
use super::template::{IdentityTemplate, MAX_TEMPLATE};
use crate::reach::{UrlRefused, UrlRule};

/// How the users of one app sign in. Secrets are not in it: they are in the vault. Unknown members are
/// ignored: a newer node may have written them, and the store keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct SignIn {
    /// Users without a name.
    pub anonymous: Anonymous,
    /// Providers: OpenID Connect, and the two that speak OAuth 2 alone.
    pub oidc: Vec<Provider>,
    /// The app's existing sign-in.
    pub external: Option<External>,
    /// Refresh tokens.
    pub refresh: Refresh,
    /// Where a browser may be sent back to after a sign-in that went through this server. Compared
    /// as they are written.
    pub redirect_uris: Vec<String>,
}

/// Users without a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Anonymous {
    /// Whether they are let in.
    pub enabled: bool,
    /// How long a token and the user live, in seconds.
    pub ttl_s: u64,
    /// What they may use.
    pub grants: Value,
    /// How many may come in a minute, in the whole app.
    pub per_minute: u32,
}

/// What a provider is; it decides where its doors are and how its answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Any OpenID provider.
    #[default]
    Oidc,
    /// Google.
    Google,
    /// Apple.
    Apple,
    /// Facebook: OAuth 2 and its Graph API.
    Facebook,
    /// GitHub: OAuth 2 and its REST API.
    Github,
}

/// A provider that users sign in at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name in the API, e.g. `google`.
    pub id: String,
    /// What it is.
    #[serde(default)]
    pub preset: Preset,
    /// Whether it is switched on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The issuer; a preset knows its own.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The app's id at the provider.
    pub client_id: String,
    /// Further ids of the same app at the provider, e.g. of its mobile programs.
    #[serde(default)]
    pub other_client_ids: Vec<String>,
    /// What is asked for; a preset knows what it needs.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How an identity follows from a claim, e.g. `google-{sub}`; unset, `{id}-{sub}`.
    #[serde(default)]
    pub identity_template: Option<String>,
    /// Members of the token's profile, and the claims that they come from.
    #[serde(default)]
    pub profile: BTreeMap<String, String>,
    /// What such users may use.
    #[serde(default = "everything")]
    pub grants: Value,
    /// How long their tokens live, in seconds.
    #[serde(default = "an_hour")]
    pub ttl_s: u64,
    /// Apple: the team's id.
    #[serde(default)]
    pub team_id: Option<String>,
    /// Apple: the id of the private key.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Facebook and GitHub: another place for all their doors. For development.
    #[serde(default)]
    pub base_url: Option<String>,
}

/// The app's existing sign-in, which is asked who a user is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct External {
    /// Whether it is switched on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What is asked.
    pub url: String,
    /// Which of the user's cookies are passed on; a bearer always is.
    #[serde(default)]
    pub cookies: Vec<String>,
    /// What identities begin with here, before the name that the answer gives.
    #[serde(default)]
    pub prefix: String,
    /// The most that an answer may grant, and what is granted when it says nothing.
    #[serde(default = "everything")]
    pub grants: Value,
    /// How long tokens live unless the answer says less, in seconds.
    #[serde(default = "an_hour")]
    pub ttl_s: u64,
    /// Whether it may name users of the other strategies.
    #[serde(default)]
    pub shares_identities: bool,
}

/// Refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refresh {
    /// Whether there are any.
    pub enabled: bool,
    /// How long one is good for if it is not used, in seconds.
    pub ttl_s: u64,
}

/// What of settings is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: found {found}, expected {expected}")]
pub struct SettingsError {
    /// Where, e.g. `oidc[0].issuer`.
    pub place: String,
    /// What stood there; never a secret.
    pub found: String,
    /// What may stand there.
    pub expected: &'static str,
}

impl SignIn {
    /// Checks everything that can be checked without asking anybody. `urls` says where providers
    /// may be, `dev` allows other places for Facebook's and GitHub's doors.
    pub fn check(&self, urls: UrlRule, dev: bool) -> Result<(), SettingsError> {
        let anonymous = &self.anonymous;
        check_ttl("anonymous.ttl_s", anonymous.ttl_s, LONGEST_TTL_S)?;
        check_grants("anonymous.grants", &anonymous.grants)?;
        if !(1..=MAX_PER_MINUTE).contains(&anonymous.per_minute) {
            let found = anonymous.per_minute.to_string();
            return Err(wrong("anonymous.per_minute", found, "1 to 100000"));
        }
        check_ttl("refresh.ttl_s", self.refresh.ttl_s, LONGEST_REFRESH_S)?;
        if self.oidc.len() > MAX_PROVIDERS {
            let found = format!("{} providers", self.oidc.len());
            return Err(wrong("oidc", found, "at most 20"));
        }
        for (n, provider) in self.oidc.iter().enumerate() {
            provider.check(&format!("oidc[{n}]"), urls, dev)?;
            if self.oidc[..n].iter().any(|other| other.id == provider.id) {
                let found = "an id that another one has";
                return Err(wrong(format!("oidc[{n}].id"), found, "an id of its own"));
            }
        }
        if self.redirect_uris.len() > MAX_REDIRECTS {
            let found = format!("{} of them", self.redirect_uris.len());
            return Err(wrong("redirect_uris", found, "at most 50"));
        }
        for (n, uri) in self.redirect_uris.iter().enumerate() {
            redirect::check(uri).map_err(|(found, expected)| SettingsError {
                place: format!("redirect_uris[{n}]"),
                found,
                expected,
            })?;
        }
        if let Some(external) = &self.external {
            external.check(urls)?;
        }
        self.check_apart()
    }

    /// No two strategies may make the same identity: no prefix is the beginning of another. The
    /// app's own sign-in may have none; then its answers are checked one by one.
    fn check_apart(&self) -> Result<(), SettingsError> {
        let mut prefixes = vec![("anonymous".to_owned(), ANONYMOUS_PREFIX.to_owned())];
        for (n, provider) in self.oidc.iter().enumerate() {
            let prefix = provider.template().prefix().to_owned();
            let clash = prefixes.iter().find(|(_, other)| {
                other.starts_with(&prefix) || prefix.starts_with(other.as_str())
            });
            if let Some((other, _)) = clash {
                return Err(wrong(
                    format!("oidc[{n}].identity_template"),
                    format!("a beginning that could also be that of an identity of {other}"),
                    "a beginning that tells the strategies apart, e.g. google-",
                ));
            }
            prefixes.push((provider.id.clone(), prefix));
        }
        Ok(())
    }

    /// The provider of this name, if it is switched on.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.oidc.iter().find(|p| p.enabled && p.id == id)
    }

    /// Whether an identity could be one of another strategy than the app's own sign-in.
    pub fn is_of_a_provider(&self, identity: &str) -> bool {
        identity.starts_with(ANONYMOUS_PREFIX)
            || self
                .oidc
                .iter()
                .any(|provider| identity.starts_with(provider.template().prefix()))
    }

    /// What `GET strategies` shows: what is switched on, and what a page needs for it.
    pub fn strategies(&self) -> Value {
        let mut strategies = Vec::new();
        if self.anonymous.enabled {
            strategies.push(json!({"id": ANONYMOUS}));
        }
        for provider in self.oidc.iter().filter(|provider| provider.enabled) {
            let mut params = json!({"client_id": provider.client_id});
            // Facebook's entry is as it always was.
            if provider.preset != Preset::Facebook {
                params["scope"] = provider.scope().into();
                if let Some(issuer) = provider.issuer() {
                    params["issuer"] = issuer.into();
                }
            }
            strategies.push(json!({"id": provider.id, "params": params}));
        }
        if self.external.as_ref().is_some_and(|e| e.enabled) {
            strategies.push(json!({"id": EXTERNAL}));
        }
        strategies.into()
    }
}

impl Provider {
    /// The issuer that its ID tokens name; `None` where there are none.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref().or(match self.preset {
            Preset::Google => Some("https://accounts.google.com"),
            Preset::Apple => Some("https://appleid.apple.com"),
            Preset::Oidc | Preset::Facebook | Preset::Github => None,
        })
    }

    /// How identities follow from its claims.
    pub fn template(&self) -> IdentityTemplate {
        let text = self.template_text();
        IdentityTemplate::parse(&text).expect("checked when the settings were")
    }

    /// The scopes, separated by spaces.
    pub fn scope(&self) -> String {
        if !self.scopes.is_empty() {
            return self.scopes.join(" ");
        }
        match self.preset {
            Preset::Oidc | Preset::Google => "openid email profile",
            Preset::Apple => "openid",
            Preset::Facebook => "public_profile",
            Preset::Github => "read:user",
        }
        .to_owned()
    }

    /// Whether this is an id of the app at the provider.
    pub fn is_client(&self, id: &str) -> bool {
        self.client_id == id || self.other_client_ids.iter().any(|other| other == id)
    }

    /// Whether it is the same client of the same provider, to whom its secret may be shown.
    pub(super) fn is_same_client(&self, other: &Self) -> bool {
        self.preset == other.preset
            && self.client_id == other.client_id
            && self.issuer() == other.issuer()
            && self.base_url == other.base_url
            && self.key_id.is_some() == other.key_id.is_some()
    }

    /// How long its users' tokens live.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    fn template_text(&self) -> String {
        let given = self.identity_template.clone();
        given.unwrap_or_else(|| format!("{}-{{sub}}", self.id))
    }

    fn check(&self, place: &str, urls: UrlRule, dev: bool) -> Result<(), SettingsError> {
        let at = |member: &str| format!("{place}.{member}");
        let fits = (1..=32).contains(&self.id.len())
            && self
                .id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits || [ANONYMOUS, EXTERNAL, "refresh", "revoke"].contains(&self.id.as_str()) {
            let expected = "1 to 32 of a-z, 0-9 and -, and no strategy's own name";
            return Err(wrong(at("id"), "another name", expected));
        }
        for (n, id) in std::iter::once(&self.client_id)
            .chain(&self.other_client_ids)
            .enumerate()
        {
            let fits = (1..=256).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
            if !fits || n > 20 {
                let expected = "1 to 256 printable characters, at most 21 ids";
                return Err(wrong(at("client_id"), "another text", expected));
            }
        }
        match (self.preset, self.issuer()) {
            (Preset::Facebook | Preset::Github, Some(_)) => {
                return Err(wrong(
                    at("issuer"),
                    "an issuer",
                    "none: it has no ID tokens",
                ));
            }
            (Preset::Facebook | Preset::Github, None) => {}
            (_, None) => return Err(wrong(at("issuer"), "none", "the provider's issuer")),
            (_, Some(issuer)) => check_url(issuer, urls)
                .map_err(|expected| wrong(at("issuer"), "another text", expected))?,
        }
        if let Some(base) = &self.base_url {
            if !dev || !matches!(self.preset, Preset::Facebook | Preset::Github) {
                let expected = "none: only facebook and github, and only with --dev";
                return Err(wrong(at("base_url"), "a URL", expected));
            }
            check_url(base, urls).map_err(|e| wrong(at("base_url"), "another text", e))?;
        }
        if self.preset == Preset::Apple && self.team_id.is_some() != self.key_id.is_some() {
            return Err(wrong(
                at("team_id"),
                "half of it",
                "team_id and key_id, or neither",
            ));
        }
        let plain = |text: &String| {
            (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if self.scopes.len() > 20 || !self.scopes.iter().all(plain) {
            let expected = "at most 20, each of printable characters";
            return Err(wrong(at("scopes"), "others", expected));
        }
        let ids = [&self.team_id, &self.key_id];
        if !ids.into_iter().flatten().all(plain) {
            return Err(wrong(at("team_id"), "another text", "an id of Apple's"));
        }
        let template = self.template_text();
        IdentityTemplate::parse(&template)
            .map_err(|expected| wrong(at("identity_template"), "another text", expected))?;
        let fits = |text: &String| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if self.profile.len() > 20 || !self.profile.iter().all(|(k, v)| fits(k) && fits(v)) {
            let expected = "at most 20 members, each with the name of a claim";
            return Err(wrong(at("profile"), "something else", expected));
        }
        check_ttl(&at("ttl_s"), self.ttl_s, LONGEST_TTL_S)?;
        check_grants(&at("grants"), &self.grants)
    }
}

impl External {
    /// How long tokens live at the longest.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    fn check(&self, urls: UrlRule) -> Result<(), SettingsError> {
        check_url(&self.url, urls)
            .map_err(|expected| wrong("external.url", "another text", expected))?;
        let fits = |name: &String| {
            (1..=100).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if self.cookies.len() > 10 || !self.cookies.iter().all(fits) {
            return Err(wrong(
                "external.cookies",
                "others",
                "at most 10 names of cookies",
            ));
        }
        let plain = self
            .prefix
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/');
        if self.prefix.len() > MAX_TEMPLATE || !plain {
            let expected = "at most 64 printable characters without /";
            return Err(wrong("external.prefix", "another text", expected));
        }
        check_ttl("external.ttl_s", self.ttl_s, LONGEST_TTL_S)?;
        check_grants("external.grants", &self.grants)
    }
}

impl Default for Anonymous {
    fn default() -> Self {
        Self {
            enabled: false,
            ttl_s: an_hour(),
            grants: json!({"signal": true}),
            per_minute: 600,
        }
    }
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_s: 30 * 24 * 3600,
        }
    }
}

/// Whether a URL is one that may be asked, as far as that can be said without resolving names.
pub(super) fn check_url(url: &str, rule: UrlRule) -> Result<(), &'static str> {
    const EXPECTED: &str = "an https URL without user, query and fragment";
    let plain = url.len() <= MAX_URL && url.bytes().all(|b| b.is_ascii_graphic());
    if !plain || url.contains(['?', '#', '@', '\\']) {
        return Err(EXPECTED);
    }
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://")).unwrap_or("");
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') {
        return Err(EXPECTED);
    }
    rule.check(url).map_err(|refused| match refused {
        UrlRefused::Address => {
            "a host that is not this machine, a private or a reserved address; \
             providers.allow_private opens the first two"
        }
        _ => EXPECTED,
    })
}

fn check_grants(place: &str, grants: &Value) -> Result<(), SettingsError> {
    let read = Grants::parse_ceiling(&grants.to_string());
    let read = read.map_err(|error| wrong(place, error.to_string(), "grants"))?;
    if grants.get("platform").is_some() || !has_any(&read) {
        let found = "platform, or nothing";
        return Err(wrong(place, found, "some of signal, chat, push and video"));
    }
    Ok(())
}

fn has_any(grants: &Grants) -> bool {
    grants.signal().is_some()
        || grants.chat().is_some()
        || grants.push()
        || grants.video().is_some()
}

fn check_ttl(place: &str, found: u64, most: u64) -> Result<(), SettingsError> {
    if (MIN_TTL_S..=most).contains(&found) {
        return Ok(());
    }
    let expected = if most == LONGEST_TTL_S {
        "10 s to 30 days"
    } else {
        "10 s to 365 days"
    };
    Err(wrong(place, format!("{found} s"), expected))
}

fn wrong(
    place: impl Into<String>,
    found: impl Into<String>,
    expected: &'static str,
) -> SettingsError {
    SettingsError {
        place: place.into(),
        found: found.into(),
        expected,
    }
}

fn yes() -> bool {
    true
}

fn an_hour() -> u64 {
    3600
}

/// Every service: what is granted unless the settings say less.
pub fn everything() -> Value {
    json!({"chat": true, "push": true, "signal": true, "video": true})
}

/// The strategy for users without a name.
pub const ANONYMOUS: &str = "anonymous";
/// The strategy that asks the app's existing sign-in.
pub const EXTERNAL: &str = "external";
/// What the identities of users without a name begin with.
pub const ANONYMOUS_PREFIX: &str = "anon-";

const MAX_URL: usize = 1024;
const MAX_PROVIDERS: usize = 20;
const MAX_REDIRECTS: usize = 50;
const MAX_PER_MINUTE: u32 = 100_000;
const MIN_TTL_S: u64 = 10;
const LONGEST_TTL_S: u64 = 30 * 24 * 3600;
const LONGEST_REFRESH_S: u64 = 365 * 24 * 3600;
