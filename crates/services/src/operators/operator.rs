use std::fmt;

use hexline_model::{AppId, OperatorId, Timestamp};
use serde::{Deserialize, Serialize};

/// A person who signs in to the Console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Never changes.
    pub id: OperatorId,
    /// What the person signs in with; unique.
    pub email: Email,
    /// For other people.
    pub name: PersonName,
    /// What the person may do.
    pub role: Role,
    /// The apps that the person sees; `None` is all there are and will be. An owner sees all.
    pub apps: Option<Vec<AppId>>,
    /// When the operator was made or invited.
    pub created: Timestamp,
    /// Since when the person may not sign in.
    pub disabled: Option<Timestamp>,
    /// When the person last signed in.
    pub last_sign_in: Option<Timestamp>,
    /// Since when a one-time code is asked for beside the password.
    pub totp: Option<Timestamp>,
    /// Whether the person has set a password: until then the invitation is open.
    pub has_password: bool,
    /// How many passkeys the person has.
    pub passkeys: u32,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Writes in the apps that it sees.
    Admin,
    /// Everything, operators too.
    Owner,
}

/// An e-mail address, in the one form in which it is compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// What a person is called: 1 to 100 characters on one line.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonName(String);

/// Why a text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address has the form name@host, at most 254 bytes and no white space")]
pub struct EmailError;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 100 characters on one line")]
pub struct PersonNameError;

impl Operator {
    /// Whether the app is one of this operator's.
    pub fn sees(&self, app: AppId) -> bool {
        self.role == Role::Owner || self.apps.as_ref().is_none_or(|apps| apps.contains(&app))
    }

    /// Whether the operator may change things in this app.
    pub fn writes(&self, app: AppId) -> bool {
        self.role >= Role::Admin && self.sees(app)
    }

    /// Whether the operator sees every app, those to come too.
    pub fn sees_all(&self) -> bool {
        self.role == Role::Owner || self.apps.is_none()
    }

    /// Whether the operator may make apps.
    pub fn makes_apps(&self) -> bool {
        self.role >= Role::Admin && self.sees_all()
    }

    /// Whether the operator may do everything: manage operators, see what concerns no app.
    pub fn administers(&self) -> bool {
        self.role == Role::Owner
    }

    /// Whether the person could sign in.
    pub fn is_active(&self) -> bool {
        self.disabled.is_none() && self.has_password
    }
}

impl Role {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Email {
    /// How many bytes an address has at most.
    pub const MAX_BYTES: usize = MAX_EMAIL_BYTES;

    /// Reads an address: without the space around it, in lower case throughout, for no provider
    /// tells people apart by that.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.len() > MAX_EMAIL_BYTES {
            return Err(EmailError);
        }
        let email = text.to_lowercase();
        let (local, host) = email.rsplit_once('@').ok_or(EmailError)?;
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c);
        let fits = !local.is_empty()
            && !local.contains('@')
            && !host.is_empty()
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !email.chars().any(is_odd)
            && email.len() <= MAX_EMAIL_BYTES;
        fits.then_some(Self(email)).ok_or(EmailError)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    /// People do not print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

impl PersonName {
    /// How many characters a name has at most.
    pub const MAX_CHARS: usize = MAX_NAME_CHARS;

    /// Reads a name, without the space around it.
    pub fn parse(text: &str) -> Result<Self, PersonNameError> {
        let text = text.trim();
        let characters = text.chars().count();
        let fits = (1..=MAX_NAME_CHARS).contains(&characters) && !text.contains(char::is_control);
        fits.then(|| Self(text.to_owned())).ok_or(PersonNameError)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PersonName {
    /// People do not print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(..)")
    }
}

const MAX_EMAIL_BYTES: usize = 254;
const MAX_NAME_CHARS: usize = 100;
