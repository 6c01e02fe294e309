use std::sync::Arc;

use hexline_model::Service;

use super::{ChatGrant, Grants, MediaKind, PlatformArea, SignalGrant, VideoGrant};
use crate::{Reason, Rejection};

/// What a verified token may do: its own grants and its key's ceiling, both of which must agree.
///
/// Each question gives `Ok` or a refusal with [`Reason::GrantMissing`]. The questions about
/// channels concern open channels only; conversation and session channels go by membership.
///
/// ```
/// use hexline_token::{Grants, Permissions};
/// use std::sync::Arc;
/// let token = Grants::parse(r#"{"signal":true,"chat":true}"#)?;
/// let ceiling = Grants::parse(r#"{"signal":{"channels":["news.*"]}}"#)?;
/// let may = Permissions::new(token, Some(Arc::new(ceiling)));
/// assert!(may.may_join_channel("news.sport").is_ok());
/// assert!(may.may_join_channel("gossip").is_err());
/// assert!(may.may_chat().is_err());
/// # Ok::<(), hexline_token::GrantsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    token: Grants,
    ceiling: Option<Arc<Grants>>,
}

impl Permissions {
    /// A token's grants below a key's ceiling, if it has one.
    pub fn new(token: Grants, ceiling: Option<Arc<Grants>>) -> Self {
        Self { token, ceiling }
    }

    /// The token's own grants.
    pub fn token(&self) -> &Grants {
        &self.token
    }

    /// The key's ceiling.
    pub fn ceiling(&self) -> Option<&Grants> {
        self.ceiling.as_deref()
    }

    /// Whether anything of a service may be used.
    pub fn may_use(&self, service: Service) -> Result<(), Rejection> {
        self.both(service, "", |grants| grants.has(service))
    }

    /// Whether `signal` may be used at all.
    pub fn may_signal(&self) -> Result<(), Rejection> {
        self.may_use(Service::Signal)
    }

    /// Whether `chat` may be used at all.
    pub fn may_chat(&self) -> Result<(), Rejection> {
        self.may_use(Service::Chat)
    }

    /// Whether `push` may be used.
    pub fn may_push(&self) -> Result<(), Rejection> {
        self.may_use(Service::Push)
    }

    /// Whether `video` may be used at all.
    pub fn may_video(&self) -> Result<(), Rejection> {
        self.may_use(Service::Video)
    }

    /// Whether an open channel may be joined.
    pub fn may_join_channel(&self, name: &str) -> Result<(), Rejection> {
        self.signal(" for that channel", |grant| grant.allows_channel(name))
    }

    /// Whether something may be said on an open channel: it may be joined and spoken on.
    pub fn may_publish(&self, name: &str) -> Result<(), Rejection> {
        self.signal(" for publishing on that channel", |grant| {
            grant.publish && grant.allows_channel(name)
        })
    }

    /// Whether conversations may be created.
    pub fn may_create_conversation(&self) -> Result<(), Rejection> {
        self.chat(" for creating conversations", |grant| grant.create)
    }

    /// Whether a conversation may be used.
    pub fn may_use_conversation(&self, id: &str) -> Result<(), Rejection> {
        self.chat(" for that conversation", |grant| {
            grant.allows_conversation(id)
        })
    }

    /// Whether a video session may be joined.
    pub fn may_join_session(&self, id: &str) -> Result<(), Rejection> {
        self.video(" for that session", |grant| grant.allows_session(id))
    }

    /// Whether that kind of media may be published.
    pub fn may_publish_media(&self, kind: MediaKind) -> Result<(), Rejection> {
        self.video(" for publishing that kind of media", |grant| {
            grant.allows_publishing(kind)
        })
    }

    /// Whether a part of the platform API may be used.
    pub fn may_platform(&self, area: PlatformArea) -> Result<(), Rejection> {
        let what = format!(" for {}", area.name());
        self.both(Service::Platform, &what, |grants| {
            grants.platform().allows(area)
        })
    }

    /// Whether a WebSocket may be opened: for any of `signal`, `chat`, `video`.
    pub fn opens_socket(&self) -> Result<(), Rejection> {
        let services = [Service::Signal, Service::Chat, Service::Video];
        if services
            .into_iter()
            .any(|service| self.may_use(service).is_ok())
        {
            return Ok(());
        }
        Err(Rejection::new(
            Reason::GrantMissing,
            self.found(),
            "a grant for signal, chat or video",
        ))
    }

    fn signal(&self, what: &str, test: impl Fn(&SignalGrant) -> bool) -> Result<(), Rejection> {
        self.both(Service::Signal, what, |grants| {
            grants.signal().is_some_and(&test)
        })
    }

    fn chat(&self, what: &str, test: impl Fn(&ChatGrant) -> bool) -> Result<(), Rejection> {
        self.both(Service::Chat, what, |grants| {
            grants.chat().is_some_and(&test)
        })
    }

    fn video(&self, what: &str, test: impl Fn(&VideoGrant) -> bool) -> Result<(), Rejection> {
        self.both(Service::Video, what, |grants| {
            grants.video().is_some_and(&test)
        })
    }

    fn both(
        &self,
        service: Service,
        what: &str,
        test: impl Fn(&Grants) -> bool,
    ) -> Result<(), Rejection> {
        let refused = |found| {
            let expected = format!("the grant {service}{what}");
            Err(Rejection::new(Reason::GrantMissing, found, expected))
        };
        if !test(&self.token) {
            let more = if self.token.has(service) {
                ", narrowed"
            } else {
                ""
            };
            return refused(format!("{}{more}", self.token.names()));
        }
        if self.ceiling.as_ref().is_some_and(|ceiling| !test(ceiling)) {
            return refused("a key whose ceiling does not allow it".to_owned());
        }
        Ok(())
    }

    pub(crate) fn found(&self) -> String {
        let ceiling = self.ceiling.as_ref();
        match ceiling {
            None => self.token.names(),
            Some(ceiling) => {
                format!(
                    "{} below a ceiling of {}",
                    self.token.names(),
                    ceiling.names()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(token: &str, ceiling: Option<&str>) -> Permissions {
        let parse = |text| Grants::parse(text).expect("valid");
        Permissions::new(parse(token), ceiling.map(|text| Arc::new(parse(text))))
    }

    #[test]
    fn both_the_token_and_the_ceiling_must_allow_a_call() {
        let narrow = r#"{"signal":{"channels":["a*"]}}"#;
        let other = r#"{"signal":{"channels":["ab","b"],"publish":false}}"#;
        let may = permissions(narrow, Some(other));
        assert!(may.may_join_channel("ab").is_ok());
        assert!(may.may_join_channel("ac").is_err());
        assert!(may.may_join_channel("b").is_err());
        assert!(may.may_publish("ab").is_err());
        assert!(permissions(narrow, None).may_publish("ac").is_ok());
        assert!(permissions(narrow, Some("{}")).may_signal().is_err());
    }

    #[test]
    fn a_socket_opens_for_any_live_service() {
        for (token, opens) in [
            ("{}", false),
            (r#"{"push":true,"platform":true}"#, false),
            (r#"{"chat":{}}"#, true),
            (r#"{"video":true}"#, true),
        ] {
            assert_eq!(
                permissions(token, None).opens_socket().is_ok(),
                opens,
                "{token}"
            );
        }
        let apart = permissions(r#"{"chat":true}"#, Some(r#"{"signal":true}"#));
        assert!(apart.opens_socket().is_err());
    }

    #[test]
    fn each_limit_is_asked_for() {
        let may = permissions(
            r#"{"chat":{"conversations":["c1"],"create":false},"video":{"sessions":["s1"],"publish":["audio"]},"platform":{"tokens":true,"keys":false}}"#,
            None,
        );
        assert!(may.may_use_conversation("c1").is_ok() && may.may_use_conversation("c2").is_err());
        assert!(may.may_create_conversation().is_err());
        assert!(may.may_join_session("s1").is_ok() && may.may_join_session("s2").is_err());
        assert!(may.may_publish_media(MediaKind::Audio).is_ok());
        assert!(may.may_publish_media(MediaKind::Video).is_err());
        assert!(may.may_platform(PlatformArea::Tokens).is_ok());
        assert!(may.may_platform(PlatformArea::Keys).is_err());
        assert!(may.may_platform(PlatformArea::Users).is_err());
        let refusal = may.may_push().expect_err("not granted");
        assert_eq!(refusal.reason, Reason::GrantMissing);
    }
}
