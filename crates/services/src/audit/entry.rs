use hexline_model::{AppId, AuditId, Timestamp};
use serde_json::Value;

use crate::actor::Actor;

/// What happened, before it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who did it.
    pub actor: Actor,
    /// What: `thing.verb`.
    pub action: String,
    /// To which app it was done, if to one.
    pub app: Option<AppId>,
    /// On what: an id or a name; empty if the app or the action says it all.
    pub target: String,
    /// From which network address; `None` if not by network.
    pub peer: Option<String>,
    /// More about it. Never a secret.
    pub detail: Option<Value>,
}

/// What was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Names the entry.
    pub id: AuditId,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub entry: Entry,
}

impl Entry {
    /// About how many bytes it takes where it is stored.
    pub fn bytes(&self) -> u64 {
        let detail = self
            .detail
            .as_ref()
            .map_or(0, |detail| detail.to_string().len());
        let text = self.target.len() + detail;
        OVERHEAD + u64::try_from(text).unwrap_or(u64::MAX)
    }
}

impl Entry {
    /// `actor` did `action` to `target` of an app. What a target has too much, or what would steer
    /// a terminal, is cut off.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an id, or a reference to something longer"
    )]
    pub fn new(
        actor: Actor,
        action: impl Into<String>,
        app: Option<AppId>,
        target: impl ToString,
    ) -> Self {
        Self {
            actor,
            action: action.into(),
            app,
            target: plain(&target.to_string(), MAX_TARGET),
            peer: None,
            detail: None,
        }
    }

    /// More about it. Never a secret.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        let fits = detail.to_string().len() <= MAX_DETAIL;
        self.detail = Some(if fits {
            detail
        } else {
            Value::from("too long")
        });
        self
    }

    /// From which network address.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an address, or a reference to its text"
    )]
    pub fn from(mut self, peer: impl ToString) -> Self {
        self.peer = Some(plain(&peer.to_string(), MAX_PEER));
        self
    }
}

fn plain(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// What an entry takes besides its target and detail.
const OVERHEAD: u64 = 200;
const MAX_TARGET: usize = 600;
const MAX_PEER: usize = 64;
const MAX_DETAIL: usize = 8 << 10;
