use hexline_protocol::ErrorCode;
use hexline_token::webhook::EventKind;

use crate::failure::Failure;
use crate::keys::KeyError;
use crate::store::StoreError;

/// Why the webhook service did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// Not a URL to send to.
    #[error("the url is refused: {message}")]
    Url {
        /// Why.
        message: &'static str,
    },
    /// Not the name of an event.
    #[error("events: found {found:?}, expected * or one of {}", names())]
    UnknownEvent {
        /// What stands there, cut to 64 characters.
        found: String,
    },
    /// No event is wanted.
    #[error("events is empty, expected the names of events, or *")]
    NoEvents,
    /// Too long a label.
    #[error("the label has more than 200 bytes or holds control characters")]
    Label,
    /// The app has as many webhooks as it may.
    #[error("the app has {limit} webhooks, which is the limit")]
    TooMany {
        /// The limit.
        limit: u32,
    },
    /// No such webhook or delivery in this app.
    #[error("there is no such {what}")]
    NotFound {
        /// What is missing.
        what: &'static str,
    },
    /// The webhook's queue is full.
    #[error("too many deliveries of this webhook wait")]
    QueueFull,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The app's key.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Failure for WebhookError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Url { .. } | Self::UnknownEvent { .. } | Self::NoEvents | Self::Label => {
                ErrorCode::InvalidRequest
            }
            Self::TooMany { .. } => ErrorCode::Conflict,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::QueueFull => ErrorCode::RateLimited,
            Self::Store(StoreError::Unavailable(_)) => ErrorCode::Unavailable,
            Self::Store(_) => ErrorCode::InternalError,
            Self::Keys(error) => error.code(),
        }
    }

    fn is_for_caller(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Keys(error) => error.is_for_caller(),
            _ => true,
        }
    }
}

/// The names of all events.
fn names() -> String {
    let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.text()).collect();
    names.join(", ")
}
