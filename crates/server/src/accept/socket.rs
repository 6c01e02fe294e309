use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hexline_model::Sleep;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::place::{Phase, Place};

/// An accepted socket that has a place.
///
/// It holds its place for as long as it lives, as a WebSocket too, and breaks off a write that makes
/// no progress: who asks and never reads the answers would hold a socket without end.
pub(crate) struct LimitedStream<I> {
    io: I,
    /// Set while a write makes no progress. Boxed, so that an idle socket has one pointer for it.
    alarm: Option<Box<Sleep>>,
    place: Arc<Place>,
}

impl<I> LimitedStream<I> {
    pub(super) fn new(io: I, place: Arc<Place>) -> Self {
        Self {
            io,
            alarm: None,
            place,
        }
    }

    /// A write ended or waits: the alarm is set for as long as it waits.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.alarm.take().is_some() {
                self.place.set_stalled(false);
            }
            return written;
        }
        let place = &self.place;
        let alarm = self.alarm.get_or_insert_with(|| {
            place.set_stalled(true);
            Box::new(place.limiter.clock().sleep(place.limiter.stall()))
        });
        Pin::new(alarm.as_mut())
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsFd> AsFd for LimitedStream<I> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for LimitedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if self.place.phase() == Phase::Idle && buffer.filled().len() > before {
            self.place.enter(Phase::Head);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for LimitedStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<I> Drop for LimitedStream<I> {
    fn drop(&mut self) {
        self.place.limiter.release(&self.place);
    }
}
