use std::borrow::Cow;

use crate::Access;

/// The base URLs that a token may be meant for, normalised once.
///
/// A token's `aud` is one of ours if it is `{base}/client` or `{base}/client/v1` (`/platform`
/// likewise). Compared after normalising: scheme and host in lower case, no default port, no
/// trailing slash.
///
/// ```
/// use hexline_token::{Access, Audiences};
/// let ours = Audiences::new(["https://API.example.com:443/"]);
/// assert!(ours.accepts("https://api.example.com/client/v1", Access::Client));
/// assert!(ours.accepts("HTTPS://api.example.com/client/", Access::Client));
/// assert!(!ours.accepts("https://api.example.com/client/v1", Access::Platform));
/// assert!(!ours.accepts("http://api.example.com/client/v1", Access::Client));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audiences {
    bases: Vec<String>,
    any: bool,
}

impl Audiences {
    /// Exactly these bases.
    pub fn new<I>(bases: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut ours = Self::default();
        for base in bases {
            let base = normalise(base.as_ref().trim_end_matches('/')).into_owned();
            if !ours.bases.contains(&base) {
                ours.bases.push(base);
            }
        }
        ours
    }

    /// Whatever base: for looking at a token whose server is not known.
    pub fn any_base() -> Self {
        Self {
            bases: Vec::new(),
            any: true,
        }
    }

    /// Whether this is one of our audiences for that access.
    pub fn accepts(&self, audience: &str, access: Access) -> bool {
        self.access_of(audience) == Some(access)
    }

    /// Whether the server is not known, so that no audience can be said to be its own.
    pub(crate) fn is_any(&self) -> bool {
        self.any
    }

    /// What audiences that stand in one token come to at a door.
    pub(crate) fn judge<'a>(
        &self,
        audiences: impl IntoIterator<Item = &'a str>,
        access: Access,
    ) -> Named {
        if self.any {
            return judge_any(audiences, access);
        }
        let (mut this, mut other) = (false, false);
        for audience in audiences {
            match self.access_of(audience) {
                Some(named) if named == access => this = true,
                Some(_) => other = true,
                None => {}
            }
        }
        Named::of(this, other)
    }

    /// The bases as they are compared.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.bases.iter().map(String::as_str)
    }

    /// Which access an audience stands for, if it is one of ours.
    pub(crate) fn access_of(&self, audience: &str) -> Option<Access> {
        let normal = normalise(audience);
        let normal = normal.strip_suffix('/').unwrap_or(&normal);
        if self.any {
            return door(normal).map(|(_, access)| access);
        }
        self.bases.iter().find_map(|base| {
            let ("", access) = split(normal.strip_prefix(base.as_str())?)? else {
                return None;
            };
            Some(access)
        })
    }

    /// What would have been accepted, for a message.
    pub(crate) fn wanted(&self, access: Access) -> String {
        match self.bases.as_slice() {
            [] if self.any => format!("an audience that ends in /{access} or /{access}/v1"),
            [] => "an audience of this server, which has none".to_owned(),
            [base] => format!("{base}/{access}/v1"),
            [base, rest @ ..] => {
                let others: Vec<_> = rest.iter().take(NAMED).map(String::as_str).collect();
                let more = match rest.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    n => format!(" or {n} more"),
                };
                let others = others.join(" or ");
                format!("{base}/{access}/v1, or the same of {others}{more}")
            }
        }
    }
}

/// What the audiences of a token name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// This door of ours alone.
    This,
    /// Both doors.
    Both,
    /// Not this door.
    Other,
}

impl Named {
    fn of(this: bool, other: bool) -> Self {
        match (this, other) {
            (true, false) => Self::This,
            (true, true) => Self::Both,
            (false, _) => Self::Other,
        }
    }
}

/// Of a server that is not known: each base may be it, so only audiences of one base can name both
/// doors, and one base with this door alone is enough.
fn judge_any<'a>(audiences: impl IntoIterator<Item = &'a str>, access: Access) -> Named {
    let all: Vec<_> = audiences.into_iter().map(normalise).collect();
    let doors: Vec<_> = all
        .iter()
        .filter_map(|audience| door(audience.strip_suffix('/').unwrap_or(audience)))
        .collect();
    let mut named = Named::Other;
    for (base, _) in doors.iter().filter(|(_, door)| *door == access) {
        let both = doors
            .iter()
            .any(|(other, door)| other == base && *door != access);
        named = Named::of(true, both);
        if named == Named::This {
            break;
        }
    }
    named
}

/// The base of a URL that names a door, and which.
fn door(normal: &str) -> Option<(&str, Access)> {
    split(normal).filter(|(base, _)| base.contains("://"))
}

/// What stands before `/client` or `/platform`, with or without the version, at the end.
fn split(text: &str) -> Option<(&str, Access)> {
    let text = text.strip_suffix("/v1").unwrap_or(text);
    [("/client", Access::Client), ("/platform", Access::Platform)]
        .into_iter()
        .find_map(|(end, access)| Some((text.strip_suffix(end)?, access)))
}

/// Scheme and host in lower case, without the scheme's default port.
fn normalise(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Cow::Borrowed(url);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let default = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        ""
    };
    let host = authority.strip_suffix(default).unwrap_or(authority);
    let upper = |text: &str| text.bytes().any(|b| b.is_ascii_uppercase());
    if host.len() == authority.len() && !upper(scheme) && !upper(host) {
        return Cow::Borrowed(url);
    }
    Cow::Owned(format!(
        "{}://{}{path}",
        scheme.to_ascii_lowercase(),
        host.to_ascii_lowercase()
    ))
}

/// How many bases beside the first a message names.
const NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_names_some_of_the_bases() {
        let wanted = |bases: &[&str]| Audiences::new(bases).wanted(Access::Client);
        assert_eq!(wanted(&["http://a"]), "http://a/client/v1");
        assert_eq!(
            wanted(&["http://a", "http://b", "http://c"]),
            "http://a/client/v1, or the same of http://b or http://c"
        );
        assert_eq!(
            wanted(&[
                "http://a", "http://b", "http://c", "http://d", "http://e", "http://f"
            ]),
            "http://a/client/v1, or the same of http://b or http://c or http://d or 2 more"
        );
    }

    #[test]
    fn only_our_bases_are_accepted_in_any_equal_spelling() {
        let ours = Audiences::new([
            "http://localhost:8000",
            "https://x.example/chat/",
            "http://[::1]:80",
        ]);
        for (audience, access) in [
            ("http://localhost:8000/client", Some(Access::Client)),
            ("http://localhost:8000/client/", Some(Access::Client)),
            ("http://LOCALHOST:8000/client/v1/", Some(Access::Client)),
            ("http://localhost:8000/platform/v1", Some(Access::Platform)),
            ("http://localhost:8000/platform", Some(Access::Platform)),
            ("https://x.example:443/chat/client/v1", Some(Access::Client)),
            ("http://[::1]/client", Some(Access::Client)),
            ("http://localhost:8000", None),
            ("http://localhost:8000/client/v2", None),
            ("http://localhost:8000/Client", None),
            ("http://localhost:8000//client", None),
            ("http://localhost:8000/client//", None),
            ("http://localhost:8000/client/v1/v1", None),
            ("http://localhost:8000/client?x", None),
            ("http://localhost:80/client", None),
            ("https://localhost:8000/client", None),
            ("https://x.example/client/v1", None),
            ("https://x.example/CHAT/client/v1", None),
            ("https://x.example:80/chat/client/v1", None),
            ("http://localhost:8000.evil.example/client", None),
            ("localhost:8000/client", None),
            ("/client/v1", None),
            ("", None),
        ] {
            assert_eq!(ours.access_of(audience), access, "{audience}");
        }
    }

    #[test]
    fn of_any_base_only_one_and_the_same_can_name_both_doors() {
        let any = Audiences::any_base();
        let judge = |audiences: &[&str]| any.judge(audiences.iter().copied(), Access::Client);
        let (a, a_too) = (
            "https://a.example/client",
            "HTTPS://A.example:443/platform/v1",
        );
        let (b, b_too) = ("https://b.example/client/v1", "https://b.example/platform/");
        assert_eq!(judge(&[a]), Named::This);
        assert_eq!(judge(&["https://else.example", a]), Named::This);
        assert_eq!(judge(&[b_too, a]), Named::This);
        assert_eq!(judge(&[a, a_too]), Named::Both);
        assert_eq!(judge(&[a_too, a, b]), Named::This);
        assert_eq!(judge(&[a, a_too, b, b_too]), Named::Both);
        assert_eq!(judge(&[a_too]), Named::Other);
        assert_eq!(judge(&[]), Named::Other);
    }

    #[test]
    fn any_base_still_wants_a_url_with_a_door() {
        let any = Audiences::any_base();
        assert!(any.accepts("https://api.dev.bit6.com/client/v1", Access::Client));
        assert!(!any.accepts("https://api.dev.bit6.com/", Access::Client));
        assert!(!any.accepts("api/client", Access::Client));
    }
}
