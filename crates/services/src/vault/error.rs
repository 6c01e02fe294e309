use hexline_model::KeyId;
use hexline_protocol::ErrorCode;

use super::seal::{Fingerprint, SealError};
use super::store::SealStoreError;
use crate::apps::UnknownApp;
use crate::failure::Failure;
use crate::store::StoreError;

/// Why the vault did not do as it was asked.
///
/// Texts name what was found and what was expected, and never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The app that a secret was to belong to does not exist.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    /// The name of a secret, or the secret, is no good.
    #[error("{what} is {found}, expected {expected}")]
    Invalid {
        /// Which of the two.
        what: &'static str,
        /// What stood there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The database is sealed under another master key.
    #[error(transparent)]
    WrongMasterKey(#[from] WrongMasterKey),
    /// The new master key is the old one.
    #[error("the new master key is the one in force, {found}")]
    SameMasterKey {
        /// Its fingerprint.
        found: Fingerprint,
    },
    /// The secret of a key does not open.
    #[error("the secret of key {id} does not open")]
    KeySeal {
        /// Whose secret.
        id: KeyId,
        /// Why.
        source: SealError,
    },
    /// A secret of the vault does not open.
    #[error("a secret of the vault does not open")]
    Seal {
        /// Why.
        source: SealError,
    },
    /// Others changed the database again and again while this was tried.
    #[error("the database kept changing; nothing was done, try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database is sealed under another master key than this process has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the master key of the database: found one with fingerprint {found}, expected \
     {expected}; was the master key file replaced, or does it belong to another database?"
)]
pub struct WrongMasterKey {
    /// The fingerprint of the key that was handed over.
    pub found: Fingerprint,
    /// The fingerprint in the database.
    pub expected: Fingerprint,
}

impl From<SealStoreError> for VaultError {
    fn from(error: SealStoreError) -> Self {
        match error {
            // There the database's is what was found.
            SealStoreError::MasterKey { found, expected } => Self::WrongMasterKey(WrongMasterKey {
                found: expected,
                expected: found,
            }),
            SealStoreError::Key { key, source } => Self::KeySeal { id: key, source },
            SealStoreError::Vault(source) => Self::Seal { source },
            SealStoreError::Store(error) => Self::Store(error),
        }
    }
}

impl Failure for VaultError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownApp(error) => error.code(),
            Self::Invalid { .. } | Self::SameMasterKey { .. } => ErrorCode::InvalidParams,
            Self::Store(error) => error.code(),
            Self::WrongMasterKey(_)
            | Self::KeySeal { .. }
            | Self::Seal { .. }
            | Self::Contended => ErrorCode::Unavailable,
        }
    }

    fn is_for_caller(&self) -> bool {
        self.code() != ErrorCode::Unavailable || matches!(self, Self::Contended)
    }
}
