use std::collections::HashMap;
use std::fmt;

use hexline_model::{AppId, Identity, Subject, Timestamp};
use hexline_token::{RevocationScope, RevokedBy};

/// An identity or device that stays out until a time, with whatever token.
///
/// A revocation is for tokens that exist; a hold is for a user who can get new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Of which app.
    pub app: AppId,
    /// Who stays out.
    pub who: HeldOut,
    /// Until when. A hold that was lifted ended then.
    pub until: Timestamp,
}

/// Who stays out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum HeldOut {
    /// An identity, on every device.
    Identity(Identity),
    /// One device of an identity.
    Device(Subject),
}

/// Where a page of holds ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldCursor {
    /// Who was the last.
    pub who: HeldOut,
}

/// The holds of one app, laid out for the check that every token passes.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    identities: HashMap<Identity, Timestamp>,
    devices: HashMap<Subject, Timestamp>,
}

impl HeldOut {
    /// `identity` or `device`; with [`subject`](Self::subject) it says who.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Identity(_) => IDENTITY,
            Self::Device(_) => DEVICE,
        }
    }

    /// The identity or `identity/device`.
    pub fn subject(&self) -> String {
        match self {
            Self::Identity(identity) => identity.to_string(),
            Self::Device(subject) => subject.to_string(),
        }
    }

    /// The reverse of [`kind`](Self::kind) and [`subject`](Self::subject).
    pub fn from_parts(kind: &str, subject: &str) -> Option<Self> {
        match kind {
            IDENTITY => Identity::parse(subject).ok().map(Self::Identity),
            DEVICE => Subject::parse(subject).ok().map(Self::Device),
            _ => None,
        }
    }
}

impl Holds {
    /// Takes a hold in as the store has it now. True if that changed anything.
    pub(crate) fn set(&mut self, hold: &Hold) -> bool {
        let old = match &hold.who {
            HeldOut::Identity(identity) => self.identities.insert(identity.clone(), hold.until),
            HeldOut::Device(subject) => self.devices.insert(subject.clone(), hold.until),
        };
        old != Some(hold.until)
    }

    /// The hold that keeps this one out, the longer one if there are two.
    pub(crate) fn find(&self, subject: &Subject, now: Timestamp) -> Option<RevokedBy> {
        let held = |until: Option<&Timestamp>, scope| {
            let until = *until.filter(|until| **until > now)?;
            Some((until, RevokedBy::Held { scope, until }))
        };
        let identity = held(
            self.identities.get(&subject.identity),
            RevocationScope::Identity,
        );
        let device = held(self.devices.get(subject), RevocationScope::Device);
        let longer = identity
            .into_iter()
            .chain(device)
            .max_by_key(|(until, _)| *until);
        longer.map(|(_, held)| held)
    }

    /// Forgets those that ended before then.
    pub(crate) fn sweep(&mut self, before: Timestamp) {
        self.identities.retain(|_, until| *until >= before);
        self.devices.retain(|_, until| *until >= before);
    }

    /// Whether nobody is held, the usual case.
    pub(crate) fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.devices.is_empty()
    }
}

impl From<&Hold> for HoldCursor {
    fn from(last: &Hold) -> Self {
        Self {
            who: last.who.clone(),
        }
    }
}

// It names a person.
impl fmt::Debug for HeldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity(_) => "HeldOut::Identity(..)",
            Self::Device(_) => "HeldOut::Device(..)",
        })
    }
}

const IDENTITY: &str = "identity";
const DEVICE: &str = "device";
