use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Elapsed, Sleep};

pin_project! {
    /// A future that is waited for until a moment.
    ///
    /// It holds the future once: an `async fn` would hold it as an argument and once more while it
    /// waits, which every connection would pay for.
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    pub(super) fn new(future: F, sleep: Sleep) -> Self {
        Self { future, sleep }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, ManualClock, Timestamp};

    #[test]
    fn it_holds_what_it_waits_for_once() {
        let clock = ManualClock::new(Timestamp::default());
        let clock: &dyn Clock = &clock;
        let large = async {
            let bytes = [1_u8; 1000];
            std::future::pending::<()>().await;
            assert_eq!(bytes[0], 1);
        };
        let size = size_of_val(&large);
        let timeout = clock.timeout(std::time::Duration::ZERO, large);
        assert!(size_of_val(&timeout) < size + size_of::<Sleep>() + align_of::<Sleep>());
    }
}
