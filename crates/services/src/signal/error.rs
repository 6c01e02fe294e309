use hexline_model::{AddressError, ChannelError};
use hexline_protocol::ErrorCode;
use hexline_token::Rejection;

use crate::failure::Failure;

/// Why a signal call is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// `to` is no address.
    #[error("to {0}; expected identity, identity/device or identity/device/route")]
    Destination(#[from] AddressError),
    /// `id` is no channel name.
    #[error("id {0}; expected a channel name")]
    Channel(#[from] ChannelError),
    /// The token or its key does not allow it.
    #[error("found {}, expected {}", .0.found, .0.expected)]
    Grant(#[from] Rejection),
    /// The channel belongs to a conversation or session that the caller is no member of.
    #[error("the channel is for members, and the caller is none")]
    NotMember,
    /// The channel belongs to a conversation or session, or its name is kept; the caller is a server.
    #[error("the channel is a conversation's, a session's or reserved, expected an open one")]
    NotOpen,
    /// The name is kept for the server.
    #[error("channel names that start with '_' are reserved")]
    Reserved,
    /// The connection is in too many channels.
    #[error("the connection has joined {limit} channels, which is the limit")]
    TooManyChannels {
        /// The limit.
        limit: usize,
    },
}

impl Failure for SignalError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Destination(_) | Self::Channel(_) => ErrorCode::InvalidParams,
            Self::Grant(_) => ErrorCode::GrantMissing,
            Self::NotMember | Self::NotOpen | Self::Reserved => ErrorCode::Forbidden,
            Self::TooManyChannels { .. } => ErrorCode::TooLarge,
        }
    }
}
