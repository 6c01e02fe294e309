use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection's bytes come and go by, and how many of them wait.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Bytes that have arrived and were not read.
    fn unread(&self) -> usize;
}
