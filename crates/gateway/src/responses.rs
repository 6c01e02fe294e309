use bytes::Bytes;

use super::connection::Connection;

/// Where the responses to the calls of one frame go.
#[derive(Debug, Default)]
pub(super) enum Responses {
    /// Out, as they come.
    #[default]
    Single,
    /// Out together, once the last is there. Whatever else is for the connection waits for that.
    Batch(Vec<Bytes>),
}

impl Responses {
    /// The calls begin.
    pub(super) fn begin(&self, connection: &Connection) {
        if let Self::Batch(_) = self {
            connection.outbox.hold();
        }
    }

    pub(super) fn add(&mut self, connection: &Connection, response: Bytes) {
        match self {
            Self::Single => connection.answer(response),
            Self::Batch(responses) => responses.push(response),
        }
    }

    /// Keeps a response that goes out with others; gives back one that is to be queued now.
    pub(super) fn keep(&mut self, response: Bytes) -> Option<Bytes> {
        match self {
            Self::Single => Some(response),
            Self::Batch(responses) => {
                responses.push(response);
                None
            }
        }
    }

    /// Adds what a batch was waiting for, if there is anything.
    pub(super) fn add_all(&mut self, response: Option<Bytes>) {
        if let Self::Batch(responses) = self {
            responses.extend(response);
        }
    }

    pub(super) fn are_batch(&self) -> bool {
        matches!(self, Self::Batch(_))
    }

    /// All calls were carried out.
    pub(super) fn finish(self, connection: &Connection) {
        if let Self::Batch(responses) = self {
            if let Some(response) = hexline_protocol::batch(&responses) {
                connection.answer(response);
            }
            connection.outbox.release();
        }
    }
}
