use crate::code::ErrorCode;

/// Why a call cannot be made as it stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such method.
    #[error("there is no such method")]
    UnknownMethod,
    /// The parameters do not fit.
    #[error(transparent)]
    Params(#[from] FieldsError),
    /// A parameter that the method needs is absent or null.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl CallError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownMethod => ErrorCode::MethodNotFound,
            Self::Params(_) | Self::Missing(_) => ErrorCode::InvalidParams,
        }
    }
}

/// Why a value is no object that can be passed on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FieldsError(String);

impl FieldsError {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }
}
