use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Monotonic;

/// A timer of a clock: a future that is ready at a moment, and can be set again.
///
/// It is boxed once; setting it again allocates nothing.
pub struct Sleep(Pin<Box<dyn Timer>>);

/// What a clock's [`Sleep`] is made of.
pub trait Timer: Future<Output = ()> + Send + Sync {
    /// Sets it to another moment, whether it was ready or not.
    fn reset(self: Pin<&mut Self>, at: Monotonic);
}

/// The moment came before what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it did not happen in time")]
pub struct Elapsed;

impl Sleep {
    /// A timer of a clock's own.
    pub fn new(timer: impl Timer + 'static) -> Self {
        Self(Box::pin(timer))
    }

    /// Sets it to another moment, whether it was ready or not.
    pub fn reset(&mut self, at: Monotonic) {
        self.0.as_mut().reset(at);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}
