use hexline_protocol::ErrorCode;

use super::app::{AppName, AppSettingsError, UnknownApp};
use crate::failure::Failure;
use crate::keys::{KeyError, RegistryError};

/// Why the app service did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// No app with this name or id.
    #[error(transparent)]
    Unknown(#[from] UnknownApp),
    /// The name is in use.
    #[error("there is an app {name} already")]
    Exists {
        /// The name.
        name: AppName,
    },
    /// Settings out of bounds.
    #[error(transparent)]
    Settings(#[from] AppSettingsError),
    /// The key that is to sign cannot.
    #[error(transparent)]
    SigningKey(#[from] KeyError),
    /// The change could not be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Failure for UnknownApp {
    fn code(&self) -> ErrorCode {
        ErrorCode::NotFound
    }
}

impl Failure for AppError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(error) => error.code(),
            Self::Exists { .. } => ErrorCode::Conflict,
            Self::Settings(_) => ErrorCode::InvalidParams,
            Self::SigningKey(error) => error.code(),
            Self::Registry(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::SigningKey(error) => error.is_for_caller(),
            Self::Registry(error) => error.is_for_caller(),
            Self::Unknown(_) | Self::Exists { .. } | Self::Settings(_) => true,
        }
    }
}
