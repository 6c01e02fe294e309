use hexline_services::apps::AppLimits;
use hexline_token::Algorithm;
use serde::{Deserialize, Serialize};

use super::operators::OperatorCommand;
use super::view::Answer;

/// What an administrator asks for: of a running server by its control socket, or of the data
/// directory when no server runs.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Who is there.
    Status,
    /// Makes an app.
    AppCreate {
        /// Its name, unique.
        name: String,
    },
    /// All apps.
    AppList,
    /// One app.
    AppShow {
        /// Name or id.
        app: String,
    },
    /// Changes an app's settings.
    AppSet {
        /// Name or id.
        app: String,
        /// What to change.
        changes: AppChanges,
    },
    /// Gives an app another name.
    AppRename {
        /// Name or id.
        app: String,
        /// The new name.
        name: String,
    },
    /// Deletes an app with everything that it has.
    AppDelete {
        /// Name or id.
        app: String,
        /// The app's name once more; unset by whoever is sure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<String>,
    },
    /// Refuses all tokens of an app and closes what they opened.
    AppDisable {
        /// Name or id.
        app: String,
    },
    /// Takes back `AppDisable`.
    AppEnable {
        /// Name or id.
        app: String,
    },
    /// Revokes tokens of an app.
    TokensRevoke {
        /// Name or id.
        app: String,
        /// Which.
        tokens: TokenScope,
    },
    /// Closes what an identity, or a device of it, has open.
    Disconnect {
        /// Name or id.
        app: String,
        /// Who.
        who: Who,
        /// For so many seconds it stays out, with whatever token.
        hold_s: u64,
    },
    /// Who is held out.
    HoldList {
        /// Name or id.
        app: String,
    },
    /// Lets an identity, or a device of it, in again.
    HoldLift {
        /// Name or id.
        app: String,
        /// Who.
        who: Who,
    },
    /// Makes an HMAC key.
    KeyCreate {
        /// Name or id; unset, the only app.
        app: Option<String>,
        /// What it is, besides its kind.
        options: KeyOptions,
        /// HS256 if unset.
        algorithm: Option<Algorithm>,
    },
    /// The keys of an app, or all.
    KeyList {
        /// Name or id.
        app: Option<String>,
    },
    /// One key, without its secret.
    KeyShow {
        /// The key id.
        key: String,
    },
    /// Makes a new key in the place of an old one, which verifies for a while longer.
    KeyRotate {
        /// The key id.
        key: String,
        /// For how long.
        overlap_ms: Option<u64>,
    },
    /// Names a key anew.
    KeyLabel {
        /// The key id.
        key: String,
        /// A word for people; may be empty.
        label: String,
    },
    /// Refuses all tokens of a key from now on and closes what they opened.
    KeyRevoke {
        /// The key id.
        key: String,
        /// Whether the keys that it made stay.
        #[serde(default)]
        keep_made: bool,
    },
    /// Revokes a key and lets another app register its id.
    KeyRelease {
        /// The key id.
        key: String,
    },
    /// Registers a key that was made elsewhere.
    KeyImport {
        /// Name or id; unset, the only app.
        app: Option<String>,
        /// What it is, besides its kind.
        options: KeyOptions,
        /// The key.
        material: ImportedKey,
    },
    /// Makes and manages operators.
    Operator(OperatorCommand),
    /// Makes a new master key and seals every secret with it.
    MasterKeyRotate,
    /// Runs every check on a token.
    TokenExplain {
        /// The token.
        token: String,
        /// `client` or `platform`; unset, what the audience says.
        access: Option<String>,
        /// A grant that the token should give.
        grant: Option<String>,
        /// At what time; unset, now.
        at_ms: Option<i64>,
        /// Bases that its audience may name, beside the server's and the app's own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        urls: Vec<String>,
    },
}

/// What `app set` changes; absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppChanges {
    /// The longest `exp` − `iat`.
    pub longest_ttl_ms: Option<u64>,
    /// Whether tokens must have `exp`.
    pub exp_required: Option<bool>,
    /// Further audience bases; replaces the list.
    pub audiences: Option<Vec<String>>,
    /// Origins that a browser may come from; replaces the list, empty means any.
    pub origins: Option<Vec<String>>,
    /// Limits below those of the server: an absent one stays as it is, 0 takes it back.
    pub limits: Option<AppLimits>,
    /// The key that signs what the server mints.
    pub signing_key: Option<String>,
}

/// Which tokens to revoke.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenScope {
    /// The one with this `jti`.
    Jti {
        /// The `jti`.
        jti: String,
        /// When it expires at the latest; unset, the app's longest ttl from now.
        until_ms: Option<i64>,
    },
    /// All of an identity, or of one of its devices.
    Identity {
        /// The identity.
        identity: String,
        /// One device only.
        device: Option<String>,
        /// Issued at or before; unset, now.
        issued_before_ms: Option<i64>,
    },
    /// All of the app.
    All {
        /// Issued at or before; unset, now.
        issued_before_ms: Option<i64>,
    },
}

/// An identity, or one of its devices.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// The identity.
    pub identity: String,
    /// One device only.
    pub device: Option<String>,
}

/// What every kind of key may have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyOptions {
    /// A word for people.
    pub label: String,
    /// When it stops verifying.
    pub expires_ms: Option<i64>,
    /// What its tokens may be granted at most: JSON as it was written.
    pub ceiling: Option<String>,
}

/// A key that was made elsewhere.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImportedKey {
    /// An HMAC secret with the id that tokens name.
    Hmac {
        /// The key id.
        id: String,
        /// The secret's text.
        secret: String,
        /// HS256 if unset.
        algorithm: Option<Algorithm>,
    },
    /// A public key in PEM (SPKI).
    Pem {
        /// The text.
        pem: String,
        /// Needed where the kind of key does not decide it (RSA).
        algorithm: Option<Algorithm>,
    },
    /// A public key as a JWK.
    Jwk(String),
    /// A JWKS document.
    Jwks(String),
    /// Where a JWKS document is fetched.
    JwksUrl(String),
}

/// What came of a command.
pub type Outcome = Result<Answer, Failure>;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// The kind; decides the exit code.
    pub kind: FailureKind,
    /// For people: what was found, what was expected, what to do.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An argument is wrong.
    Invalid,
    /// No such app or key.
    NotFound,
    /// It is there already, or its state does not allow it.
    Conflict,
    /// Neither a server nor the data directory could be reached.
    Unavailable,
    /// Anything else.
    Internal,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// An argument is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, message)
    }
}
