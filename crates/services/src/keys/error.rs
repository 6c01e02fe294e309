use hexline_model::{ApiKey, AppId, KeyId};
use hexline_protocol::ErrorCode;
use hexline_token::{Algorithm, KeyValidationError};

use crate::apps::UnknownApp;
use crate::failure::Failure;
use crate::store::StoreError;
use crate::vault::{SealError, VaultError, WrongMasterKey};

/// Why the key service did not do as it was asked.
///
/// Texts name what was found and what was expected, and never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No such app.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
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
    /// A secret of the database does not open.
    #[error("the secret of key {id} does not open")]
    Seal {
        /// Whose secret.
        id: KeyId,
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
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The change could not be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the registry could not be brought up to the database, or a change of it not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database is sealed under another master key.
    #[error(transparent)]
    WrongMasterKey(#[from] WrongMasterKey),
    /// Others changed the database again and again while this was tried.
    #[error("the database kept changing; nothing was done, try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for KeyError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownApp(error) => error.code(),
            Self::KeyUnknown { .. } | Self::ApiKeyUnknown { .. } => ErrorCode::NotFound,
            Self::KeyExists { .. } | Self::NotActive { .. } => ErrorCode::Conflict,
            Self::Validation(_)
            | Self::KeySort { .. }
            | Self::Order { .. }
            | Self::NotRotatable { .. }
            | Self::NoSecret { .. } => ErrorCode::InvalidParams,
            Self::NoSigningKey { .. } => ErrorCode::NoSigningKey,
            Self::ApiKeyRevoked { .. } => ErrorCode::KeyRevoked,
            Self::Seal { .. } => ErrorCode::Unavailable,
            Self::Vault(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::Vault(error) => error.is_for_caller(),
            Self::Registry(error) => error.is_for_caller(),
            _ => self.code() != ErrorCode::Unavailable,
        }
    }
}

impl Failure for RegistryError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Store(error) => error.code(),
            Self::WrongMasterKey(_) | Self::Contended => ErrorCode::Unavailable,
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
