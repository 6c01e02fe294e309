use super::{ChatGrant, Grants, MediaKind, Pattern, SignalGrant, VideoGrant};

impl Grants {
    /// Whether these grants allow nothing that `limit` does not; else the name of what is beyond
    /// it, such as `signal.channels`.
    ///
    /// ```
    /// use hexline_token::Grants;
    /// let limit = Grants::parse(r#"{"signal":{"channels":["news.*"]}}"#)?;
    /// let narrow = Grants::parse(r#"{"signal":{"channels":["news.sport"]}}"#)?;
    /// assert_eq!(narrow.within(&limit), Ok(()));
    /// let wide = Grants::parse(r#"{"signal":true}"#)?;
    /// assert_eq!(wide.within(&limit), Err("signal.channels"));
    /// # Ok::<(), hexline_token::GrantsError>(())
    /// ```
    pub fn within(&self, limit: &Self) -> Result<(), &'static str> {
        match (&self.signal, &limit.signal) {
            (None, _) => {}
            (Some(_), None) => return Err("signal"),
            (Some(own), Some(limit)) => signal(own, limit)?,
        }
        match (&self.chat, &limit.chat) {
            (None, _) => {}
            (Some(_), None) => return Err("chat"),
            (Some(own), Some(limit)) => chat(own, limit)?,
        }
        if self.push && !limit.push {
            return Err("push");
        }
        match (&self.video, &limit.video) {
            (None, _) => {}
            (Some(_), None) => return Err("video"),
            (Some(own), Some(limit)) => video(own, limit)?,
        }
        if self.platform.0 & !limit.platform.0 != 0 {
            return Err("platform");
        }
        Ok(())
    }
}

fn signal(own: &SignalGrant, limit: &SignalGrant) -> Result<(), &'static str> {
    let covered = |own: &Pattern, limit: &[Pattern]| limit.iter().any(|wide| covers(wide, own));
    listed(own.channels.as_deref(), limit.channels.as_deref(), covered).ok_or("signal.channels")?;
    (!own.publish || limit.publish)
        .then_some(())
        .ok_or("signal.publish")
}

fn chat(own: &ChatGrant, limit: &ChatGrant) -> Result<(), &'static str> {
    let named = |own: &String, limit: &[String]| limit.contains(own);
    listed(
        own.conversations.as_deref(),
        limit.conversations.as_deref(),
        named,
    )
    .ok_or("chat.conversations")?;
    (!own.create || limit.create)
        .then_some(())
        .ok_or("chat.create")
}

fn video(own: &VideoGrant, limit: &VideoGrant) -> Result<(), &'static str> {
    let named = |own: &String, limit: &[String]| limit.contains(own);
    listed(own.sessions.as_deref(), limit.sessions.as_deref(), named).ok_or("video.sessions")?;
    let kind = |own: &MediaKind, limit: &[MediaKind]| limit.contains(own);
    listed(own.publish.as_deref(), limit.publish.as_deref(), kind).ok_or("video.publish")
}

/// An absent list is everything.
fn listed<T>(
    own: Option<&[T]>,
    limit: Option<&[T]>,
    covered: impl Fn(&T, &[T]) -> bool,
) -> Option<()> {
    let within = match (own, limit) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(limit)) => own.iter().all(|entry| covered(entry, limit)),
    };
    within.then_some(())
}

fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match wide.0.strip_suffix('*') {
        Some(stem) => narrow
            .0
            .strip_suffix('*')
            .unwrap_or(&narrow.0)
            .starts_with(stem),
        None => wide == narrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(own: &str, limit: &str) -> Result<(), &'static str> {
        let read = |text| Grants::parse(text).expect("valid");
        read(own).within(&read(limit))
    }

    #[test]
    fn what_is_narrower_or_the_same_is_within() {
        for (own, limit) in [
            ("{}", "{}"),
            (r#"{"signal":true}"#, r#"{"signal":true,"chat":true}"#),
            (r#"{"signal":{"publish":false}}"#, r#"{"signal":true}"#),
            (
                r#"{"signal":{"channels":["a.b","a.b.*","c"]}}"#,
                r#"{"signal":{"channels":["a.*","c"]}}"#,
            ),
            (
                r#"{"signal":{"channels":["x"]}}"#,
                r#"{"signal":{"channels":["*"]}}"#,
            ),
            (
                r#"{"chat":{"conversations":["c1"],"create":false}}"#,
                r#"{"chat":{"conversations":["c1","c2"]}}"#,
            ),
            (
                r#"{"video":{"sessions":[],"publish":["audio"]}}"#,
                r#"{"video":{"sessions":["s"],"publish":["audio","video"]}}"#,
            ),
            (r#"{"platform":{"keys":true}}"#, r#"{"platform":true}"#),
        ] {
            assert_eq!(within(own, limit), Ok(()), "{own} in {limit}");
            assert_eq!(within(limit, limit), Ok(()));
        }
    }

    #[test]
    fn what_is_wider_is_named() {
        for (own, limit, beyond) in [
            (r#"{"signal":true}"#, "{}", "signal"),
            (r#"{"chat":true}"#, r#"{"signal":true}"#, "chat"),
            (r#"{"push":true}"#, "{}", "push"),
            (r#"{"video":true}"#, "{}", "video"),
            (
                r#"{"signal":true}"#,
                r#"{"signal":{"channels":["*"]}}"#,
                "signal.channels",
            ),
            (
                r#"{"signal":{"channels":["a*"]}}"#,
                r#"{"signal":{"channels":["a.*"]}}"#,
                "signal.channels",
            ),
            (
                r#"{"signal":{"channels":["a*"]}}"#,
                r#"{"signal":{"channels":["a"]}}"#,
                "signal.channels",
            ),
            (
                r#"{"signal":true}"#,
                r#"{"signal":{"publish":false}}"#,
                "signal.publish",
            ),
            (
                r#"{"chat":{"conversations":["c2"]}}"#,
                r#"{"chat":{"conversations":["c1"]}}"#,
                "chat.conversations",
            ),
            (
                r#"{"chat":true}"#,
                r#"{"chat":{"create":false}}"#,
                "chat.create",
            ),
            (
                r#"{"video":{"sessions":["s2"]}}"#,
                r#"{"video":{"sessions":["s1"]}}"#,
                "video.sessions",
            ),
            (
                r#"{"video":true}"#,
                r#"{"video":{"publish":["audio"]}}"#,
                "video.publish",
            ),
            (
                r#"{"platform":true}"#,
                r#"{"platform":{"keys":true}}"#,
                "platform",
            ),
        ] {
            assert_eq!(within(own, limit), Err(beyond), "{own} in {limit}");
        }
    }
}
