use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Tells everyone that the measurement is to end early. The first Ctrl-C sets it, the second ends
/// the process.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn on_ctrl_c() -> Self {
        let (set, seen) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("stopping; once more to quit at once");
                set.send_replace(true);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
            // Without signals, never.
            set.closed().await;
        });
        Self(seen)
    }

    #[cfg(test)]
    pub(crate) fn never() -> Self {
        let (set, seen) = watch::channel(false);
        tokio::spawn(async move { set.closed().await });
        Self(seen)
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is set.
    pub(crate) async fn wait(&self) {
        let mut seen = self.0.clone();
        if seen.wait_for(|set| *set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for that instant; less if it is set.
    pub(crate) async fn or_at(&self, instant: Instant) {
        tokio::select! {
            () = sleep_until(instant) => {}
            () = self.wait() => {}
        }
    }

    /// Waits so long; less if it is set.
    pub(crate) async fn or_after(&self, span: Duration) {
        self.or_at(Instant::now() + span).await;
    }
}
