use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hexline_model::{AppId, KeyId, Timestamp};
use serde::{Deserialize, Serialize};

/// The name that people give an app: 1 to 64 of `a`-`z`, `0`-`9` and `-`, unique in a server.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

/// Why a text is no app name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an app name is 1 to 64 of a-z, 0-9 and '-', and has not the form of an app id")]
pub struct AppNameError;

/// A tenant: owns keys, identities and channels. Nothing crosses apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Never changes.
    pub id: AppId,
    /// For people; unique.
    pub name: AppName,
    /// When it was made.
    pub created: Timestamp,
    /// Since when every token of it is refused; `None` while it is in use.
    pub disabled: Option<Timestamp>,
    /// What its tokens may be, and from where browsers may come.
    pub settings: AppSettings,
    /// The longest that its tokens may live by any settings that it ever had: a revocation has
    /// to outlive that, for settings can be loosened again.
    pub longest_life: TokenLife,
    /// The HMAC key that signs what the server mints for this app.
    pub signing_key: Option<KeyId>,
}

/// How long a token may live. The longer is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenLife {
    /// From `iat` to `exp`.
    AtMost(Duration),
    /// A token without `exp` lives for ever.
    Unlimited,
}

/// What to change of an app; `None` leaves a member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppChanges {
    /// See [`AppSettings::longest_ttl`].
    pub longest_ttl: Option<Duration>,
    /// See [`AppSettings::exp_required`].
    pub exp_required: Option<bool>,
    /// Replaces [`AppSettings::audiences`].
    pub audiences: Option<Vec<String>>,
    /// Replaces [`AppSettings::origins`].
    pub origins: Option<Vec<String>>,
    /// Replaces [`AppSettings::limits`].
    pub limits: Option<AppLimits>,
    /// The key that signs from now on: an active HMAC key of the app.
    pub signing_key: Option<KeyId>,
}

/// What an app decides for itself. Absent members have the values of [`AppSettings::default`], and
/// unknown ones are ignored: a newer node may have written them, and the store keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// The longest `exp` − `iat` of a token, in whole seconds; 30 days unless set.
    #[serde(with = "seconds")]
    pub longest_ttl: Duration,
    /// Whether a token must have an `exp`.
    pub exp_required: bool,
    /// Base URLs that this app's tokens may name in `aud`, beside the server's own.
    pub audiences: Vec<String>,
    /// Origins from which browsers may connect, as `scheme://host[:port]`; empty means any.
    pub origins: Vec<String>,
    /// Where the app is stricter with itself than the server is.
    #[serde(skip_serializing_if = "AppLimits::are_none")]
    pub limits: AppLimits,
}

/// Limits of one app below those of the server; `None` leaves the server's. They hold for
/// connections that are opened from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppLimits {
    /// Connections at once, on each node.
    pub connections: Option<u32>,
    /// Devices of one identity that are connected at once.
    pub devices_per_identity: Option<u32>,
    /// Calls of one connection in a second; twice as many at once.
    pub messages_per_second: Option<u32>,
}

/// What is wrong with an app's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppSettingsError {
    /// No token could be valid, or the sum with a time would overflow.
    #[error("longest_ttl is {found} s, expected 1 s to {MAX_TTL_SECS} s")]
    LongestTtl {
        /// Seconds found.
        found: u64,
    },
    /// A time of life counts in whole seconds, as `iat` and `exp` do.
    #[error("longest_ttl is {found:?}, expected whole seconds")]
    PartOfSecond {
        /// The span found.
        found: Duration,
    },
    /// Not an `http` or `https` URL.
    #[error("audience {found:?} is not an http or https URL without query and fragment")]
    Audience {
        /// What stood there.
        found: String,
    },
    /// Not an origin.
    #[error("origin {found:?} is not of the form scheme://host[:port]")]
    Origin {
        /// What stood there.
        found: String,
    },
    /// A limit of zero: to let nobody in, an app is disabled.
    #[error("limits.{limit} is 0, expected 1 or more")]
    Limit {
        /// Which one.
        limit: &'static str,
    },
    /// More entries than a list may have.
    #[error("{list} has {found} entries, at most {MAX_LIST} are allowed")]
    TooMany {
        /// `audiences` or `origins`.
        list: &'static str,
        /// Entries found.
        found: usize,
    },
}

/// There is no app of this name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no app {name:?}")]
pub struct UnknownApp {
    /// What was asked for.
    pub name: String,
}

impl AppName {
    /// How many bytes a name has at most.
    pub const MAX_BYTES: usize = 64;

    /// Reads the name of a new app. Not an app id: where either may stand, it would hide another.
    pub fn parse(text: &str) -> Result<Self, AppNameError> {
        if AppId::parse(text).is_ok() {
            return Err(AppNameError);
        }
        Self::from_stored(text)
    }

    /// Reads the name of an app that exists.
    pub fn from_stored(text: &str) -> Result<Self, AppNameError> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(allowed) {
            return Err(AppNameError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl App {
    /// The app with other settings, and with their traces.
    #[must_use]
    pub fn with_settings(self, settings: AppSettings) -> Self {
        Self {
            longest_life: self.longest_life.max(TokenLife::of(&settings)),
            settings,
            ..self
        }
    }
}

impl TokenLife {
    /// The longest that these settings allow.
    pub fn of(settings: &AppSettings) -> Self {
        if settings.exp_required {
            Self::AtMost(settings.longest_ttl)
        } else {
            Self::Unlimited
        }
    }
}

impl AppChanges {
    /// The settings after these changes.
    pub(crate) fn applied_to(&self, old: &AppSettings) -> AppSettings {
        AppSettings {
            longest_ttl: self.longest_ttl.unwrap_or(old.longest_ttl),
            exp_required: self.exp_required.unwrap_or(old.exp_required),
            audiences: self.audiences.as_ref().unwrap_or(&old.audiences).clone(),
            origins: self.origins.as_ref().unwrap_or(&old.origins).clone(),
            limits: self.limits.unwrap_or(old.limits),
        }
    }
}

/// All settings at once.
impl From<AppId> for UnknownApp {
    fn from(id: AppId) -> Self {
        Self {
            name: id.to_string(),
        }
    }
}

impl From<AppSettings> for AppChanges {
    fn from(settings: AppSettings) -> Self {
        Self {
            longest_ttl: Some(settings.longest_ttl),
            exp_required: Some(settings.exp_required),
            audiences: Some(settings.audiences),
            origins: Some(settings.origins),
            limits: Some(settings.limits),
            signing_key: None,
        }
    }
}

impl AppLimits {
    /// The calls of one connection in a second, below what the server allows.
    pub fn calls_per_second(&self, most: u32) -> u32 {
        most.min(self.messages_per_second.unwrap_or(u32::MAX))
    }

    /// The calls of one connection at once, below what the server allows.
    pub fn call_burst(&self, most: u32) -> u32 {
        let per_second = self.messages_per_second.unwrap_or(u32::MAX);
        most.min(per_second.saturating_mul(2))
    }

    fn are_none(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<(), AppSettingsError> {
        let zero = [
            ("connections", self.connections),
            ("devices_per_identity", self.devices_per_identity),
            ("messages_per_second", self.messages_per_second),
        ]
        .into_iter()
        .find(|(_, value)| *value == Some(0));
        zero.map_or(Ok(()), |(limit, _)| Err(AppSettingsError::Limit { limit }))
    }
}

impl AppSettings {
    /// Whether every member is within its bounds.
    pub fn check(&self) -> Result<(), AppSettingsError> {
        let ttl = self.longest_ttl.as_secs();
        if !(1..=MAX_TTL_SECS).contains(&ttl) {
            return Err(AppSettingsError::LongestTtl { found: ttl });
        }
        if self.longest_ttl.subsec_nanos() != 0 {
            return Err(AppSettingsError::PartOfSecond {
                found: self.longest_ttl,
            });
        }
        self.limits.check()?;
        for (list, found) in [
            ("audiences", self.audiences.len()),
            ("origins", self.origins.len()),
        ] {
            if found > MAX_LIST {
                return Err(AppSettingsError::TooMany { list, found });
            }
        }
        if let Some(bad) = self.audiences.iter().find(|a| !is_base_url(a)) {
            return Err(AppSettingsError::Audience { found: bad.clone() });
        }
        if let Some(bad) = self.origins.iter().find(|o| !is_origin(o)) {
            return Err(AppSettingsError::Origin { found: bad.clone() });
        }
        Ok(())
    }
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            longest_ttl: Duration::from_hours(30 * 24),
            exp_required: true,
            audiences: Vec::new(),
            origins: Vec::new(),
            limits: AppLimits::default(),
        }
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        Self::parse(text)
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(span.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_secs)
    }
}

fn is_base_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or("");
    matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
        && !host.is_empty()
        && !host.contains('@')
        && is_plain(text)
        && !text.contains(['?', '#'])
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    !scheme.is_empty()
        && scheme
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
        && !host.is_empty()
        && !host.contains(['/', '?', '#', '@'])
        && is_plain(text)
}

fn is_plain(text: &str) -> bool {
    text.len() <= 2048 && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

const MAX_TTL_SECS: u64 = 10 * 366 * 24 * 3600;
const MAX_LIST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_name_is_a_short_slug() {
        for good in ["demo", "a", "my-app-2", &"x".repeat(64)] {
            assert_eq!(
                AppName::parse(good).map(|n| n.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "Demo", "a b", "a_b", "é", "a/b", "a\0", &"x".repeat(65)] {
            assert_eq!(AppName::parse(bad), Err(AppNameError), "{bad:?}");
        }
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(AppName::parse(id), Err(AppNameError), "hides another app");
        assert!(AppName::from_stored(id).is_ok());
    }

    #[test]
    fn absent_settings_have_their_defaults_and_unknown_ones_are_ignored() {
        let read = |json: &str| serde_json::from_str::<AppSettings>(json);
        assert_eq!(read("{}").expect("reads"), AppSettings::default());
        let some = read(r#"{"longest_ttl":60,"exp_required":false}"#).expect("reads");
        assert_eq!(
            (some.longest_ttl, some.exp_required),
            (Duration::from_mins(1), false)
        );
        let text = serde_json::to_string(&some).expect("writes");
        assert_eq!(read(&text).expect("reads"), some);
        let newer = read(r#"{"longest_ttl":60,"of_a_newer_node":1,"limits":{"rooms":2}}"#);
        assert_eq!(newer.expect("reads").longest_ttl, Duration::from_mins(1));
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        let with = |change: fn(&mut AppSettings)| {
            let mut settings = AppSettings::default();
            change(&mut settings);
            settings.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(
            with(|s| s.longest_ttl = Duration::ZERO),
            Err(AppSettingsError::LongestTtl { found: 0 })
        );
        assert!(with(|s| s.longest_ttl = Duration::MAX).is_err());
        let found = Duration::from_millis(1500);
        assert_eq!(
            with(|s| s.longest_ttl = Duration::from_millis(1500)),
            Err(AppSettingsError::PartOfSecond { found })
        );
        assert_eq!(
            with(|s| s.audiences = vec!["HTTPS://api.example.org/x/".into()]),
            Ok(())
        );
        for bad in [
            "api.example.org",
            "ftp://x",
            "https://",
            "https://u@x",
            "https://x/?a",
            "https://x y",
        ] {
            let settings = AppSettings {
                audiences: vec![bad.to_owned()],
                ..AppSettings::default()
            };
            assert_eq!(
                settings.check(),
                Err(AppSettingsError::Audience { found: bad.into() })
            );
        }
        assert_eq!(
            with(|s| s.origins = vec!["http://localhost:3000".into()]),
            Ok(())
        );
        assert!(with(|s| s.origins = vec!["http://localhost:3000/".into()]).is_err());
        assert!(with(|s| s.origins = vec!["*".into()]).is_err());
        assert!(with(|s| s.origins = vec!["http://x".into(); 65]).is_err());
    }
}
