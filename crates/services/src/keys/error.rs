use hexline_model::{ApiKey, AppId, KeyId};
use hexline_protocol::ErrorCode;
use hexline_token::{Algorithm, KeyValidationError};

use super::store::ChangeError;
use crate::apps::{AppName, AppSettingsError};
use crate::failure::Failure;
use crate::revocations::TokenIdError;
use crate::store::StoreError;
use crate::vault::{Fingerprint, SealError, SealStoreError};

/// Why the key service did not do as it was asked.
///
/// Texts name what was found and what was expected, and never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No app with this name or id.
    #[error("there is no app {name:?}")]
    AppUnknown {
        /// What was asked for.
        name: String,
    },
    /// The name is in use.
    #[error("there is an app {name} already")]
    AppExists {
        /// The name.
        name: AppName,
    },
    /// Settings out of bounds.
    #[error(transparent)]
    Settings(#[from] AppSettingsError),
    /// No such key.
    #[error("there is no key {id}")]
    KeyUnknown {
        /// What was asked for.
        id: KeyId,
    },
    /// The id to import is in use, in this app or another.
    #[error("there is a key {id} already")]
    KeyExists {
        /// The id.
        id: KeyId,
    },
    /// The material of a key does not pass.
    #[error(transparent)]
    Validation(#[from] KeyValidationError),
    /// A key of the other sort was wanted.
    #[error("found {found}, expected {expected}")]
    KeySort {
        /// What was handed over.
        found: String,
        /// What can be used.
        expected: &'static str,
    },
    /// A label, URL or time of an order is no good.
    #[error("{what} is {found}, expected {expected}")]
    Order {
        /// Which part: `label`, `expires`, `overlap`, `jwks_url`, …
        what: &'static str,
        /// What stood there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A `jti` that can't be.
    #[error(transparent)]
    TokenId(#[from] TokenIdError),
    /// Only a key that is in use can be rotated or made the signing key.
    #[error("key {id} is {found}, expected an active key")]
    NotActive {
        /// The key.
        id: KeyId,
        /// `retiring`, `revoked` or `expired`.
        found: &'static str,
    },
    /// Only a generated secret can be replaced by another.
    #[error(
        "key {id} is a public key ({kind}), expected an HMAC key; register the new public key \
         instead and revoke this one when nothing is signed with it any more"
    )]
    NotRotatable {
        /// The key.
        id: KeyId,
        /// What it is.
        kind: &'static str,
    },
    /// A public key has no secret.
    #[error("key {id} has no secret ({kind}), expected an HMAC key")]
    NoSecret {
        /// The key.
        id: KeyId,
        /// What it is.
        kind: &'static str,
    },
    /// Nothing signs for this app.
    #[error("app {app} has no usable HMAC key that signs for it")]
    NoSigningKey {
        /// The app.
        app: AppId,
    },
    /// The database is sealed under another master key.
    #[error(
        "this is not the master key of the database: found one with fingerprint {found}, expected \
         {expected}; was the master key file replaced, or does it belong to another database?"
    )]
    WrongMasterKey {
        /// The fingerprint of the key that was handed over.
        found: Fingerprint,
        /// The fingerprint in the database.
        expected: Fingerprint,
    },
    /// The new master key is the old one.
    #[error("the new master key is the one in force, {found}")]
    SameMasterKey {
        /// Its fingerprint.
        found: Fingerprint,
    },
    /// A secret of the database does not open.
    #[error("the secret of key {id} does not open")]
    Seal {
        /// Whose secret.
        id: KeyId,
        /// Why.
        source: SealError,
    },
    /// A secret of the vault does not open.
    #[error("a secret of the vault does not open")]
    VaultSeal {
        /// Why.
        source: SealError,
    },
    /// No such public id.
    #[error("there is no API key {id}")]
    ApiKeyUnknown {
        /// What was asked for.
        id: ApiKey,
    },
    /// The public id names nothing any more.
    #[error("the API key {id} was revoked")]
    ApiKeyRevoked {
        /// What was asked for.
        id: ApiKey,
    },
    /// Others changed the database again and again while this was tried.
    #[error("the database kept changing; nothing was done, try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ChangeError> for KeyError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Stale { .. } => Self::Contended,
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

impl From<SealStoreError> for KeyError {
    fn from(error: SealStoreError) -> Self {
        match error {
            // There the database's is what was found.
            SealStoreError::MasterKey { found, expected } => Self::WrongMasterKey {
                found: expected,
                expected: found,
            },
            SealStoreError::Key { key, source } => Self::Seal { id: key, source },
            SealStoreError::Vault(source) => Self::VaultSeal { source },
            SealStoreError::Store(error) => Self::Store(error),
        }
    }
}

impl Failure for KeyError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::AppUnknown { .. }
            | Self::KeyUnknown { .. }
            | Self::ApiKeyUnknown { .. }
            | Self::Store(StoreError::NotFound { .. }) => ErrorCode::NotFound,
            Self::AppExists { .. }
            | Self::KeyExists { .. }
            | Self::NotActive { .. }
            | Self::Store(StoreError::Conflict { .. }) => ErrorCode::Conflict,
            Self::Settings(_)
            | Self::Validation(_)
            | Self::KeySort { .. }
            | Self::Order { .. }
            | Self::TokenId(_)
            | Self::NotRotatable { .. }
            | Self::NoSecret { .. }
            | Self::SameMasterKey { .. } => ErrorCode::InvalidParams,
            Self::NoSigningKey { .. } => ErrorCode::NoSigningKey,
            Self::ApiKeyRevoked { .. } => ErrorCode::KeyRevoked,
            Self::WrongMasterKey { .. }
            | Self::Seal { .. }
            | Self::VaultSeal { .. }
            | Self::Contended
            | Self::Store(_) => ErrorCode::Unavailable,
        }
    }

    fn is_for_caller(&self) -> bool {
        self.code() != ErrorCode::Unavailable || matches!(self, Self::Contended)
    }
}

impl KeyError {
    pub(super) fn not_symmetric(algorithm: Algorithm) -> Self {
        Self::KeySort {
            found: format!("the algorithm {algorithm}"),
            expected: "HS256, HS384 or HS512, or a public key to import",
        }
    }
}
