use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hexline_api::{App, Tasks};
use hexline_model::Clock;
use tokio_util::sync::CancellationToken;

use crate::adapters::tls::Tls;
use crate::config::TlsConfig;
use crate::wiring::Parts;

/// What has to be done every now and then.
pub(crate) fn start(parts: &Arc<Parts>, tls: Option<Tls>) -> (CancellationToken, Tasks) {
    let (stop, tasks) = (CancellationToken::new(), Tasks::default());
    let every = |period: Duration, duty: Duty| {
        let (parts, stop) = (Arc::clone(parts), stop.clone());
        let clock = Arc::clone(&parts.api.app.clock);
        // Set here and not by the task, which may run later.
        let mut due = clock.sleep(if duty.is_due_at_start() {
            Duration::ZERO
        } else {
            period
        });
        tasks.spawn(async move {
            while stop.run_until_cancelled(due).await.is_some() {
                due = clock.sleep(period);
                duty.perform(&parts).await;
            }
        });
    };
    // Another process on a shared database, or a change whose end nobody here saw.
    every(Duration::from_millis(500), Duty::CatchUp);
    every(Duration::from_secs(1), Duty::KeepRegistration);
    every(Duration::from_secs(1), Duty::SettleLog);
    every(Duration::from_secs(30), Duty::FlushLastUsed);
    every(Duration::from_mins(1), Duty::RefreshKeySets);
    every(Duration::from_mins(1), Duty::ForgetFailures);
    every(Duration::from_mins(1), Duty::ForgetSpentChannels);
    every(Duration::from_mins(10), Duty::SweepRevocations);
    every(Duration::from_mins(10), Duty::SweepSessions);
    every(Duration::from_secs(5), Duty::FollowWebhooks);
    every(Duration::from_mins(1), Duty::SweepWebhooks);
    every(Duration::from_mins(10), Duty::SweepIdempotency);
    every(Duration::from_secs(30), Duty::FlushAudit);
    every(Duration::from_hours(1), Duty::SweepAudit);
    if let (Some(tls), Some(files)) = (tls, parts.config.tls.clone()) {
        let following = follow_certificate(tls, files, Arc::clone(&parts.api.app.clock));
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(following).await;
        });
    }
    (stop, tasks)
}

#[derive(Clone, Copy)]
enum Duty {
    CatchUp,
    KeepRegistration,
    SettleLog,
    FlushLastUsed,
    RefreshKeySets,
    ForgetFailures,
    ForgetSpentChannels,
    SweepRevocations,
    SweepSessions,
    FollowWebhooks,
    SweepWebhooks,
    SweepIdempotency,
    FlushAudit,
    SweepAudit,
}

impl Duty {
    /// Key sets are fetched before the first token needs one. What is old is swept even by a
    /// server that never runs for an hour.
    fn is_due_at_start(self) -> bool {
        matches!(self, Self::RefreshKeySets | Self::SweepAudit)
    }

    async fn perform(self, parts: &Parts) {
        let app = &parts.api.app;
        let done: anyhow::Result<()> = match self {
            Self::CatchUp => app.keys.refresh().await.map(|_| ()).map_err(Into::into),
            Self::KeepRegistration => {
                parts.registration.keep().await;
                Ok(())
            }
            Self::SettleLog => {
                app.log.settle();
                Ok(())
            }
            Self::FlushLastUsed => app
                .keys
                .flush_last_used()
                .await
                .map(|_| ())
                .map_err(Into::into),
            Self::SweepRevocations => {
                // First, for it goes by the revocations.
                if let Err(error) = app.auth.sweep(app.clock.now()).await {
                    tracing::warn!(%error, "what is over of sign-ins is not swept; it is tried again");
                    return;
                }
                app.revocations
                    .sweep(app.clock.now())
                    .await
                    .map(|_| ())
                    .map_err(Into::into)
            }
            Self::SweepIdempotency => app
                .idempotency
                .sweep()
                .await
                .map(|_| ())
                .map_err(Into::into),
            Self::SweepSessions => {
                if let Err(error) = app.operators.sweep().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::FlushAudit => app.audit.flush().await.map_err(Into::into),
            Self::SweepAudit => {
                let swept = app.audit.sweep(parts.config.audit_retention).await;
                swept.map(|_| ()).map_err(Into::into)
            }
            Self::FollowWebhooks => {
                let counter = &parts.metrics.webhook_events_dropped;
                counter.inc_by(app.webhooks.dropped().saturating_sub(counter.get()));
                if let Err(error) = app.webhooks.refresh().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::SweepWebhooks => {
                parts.hooks.forget_old_refusals();
                if let Err(error) = app.webhooks.sweep().await {
                    complain(app, &error);
                }
                Ok(())
            }
            Self::RefreshKeySets => {
                parts.key_sets.refresh(app.keys.registry()).await;
                Ok(())
            }
            Self::ForgetSpentChannels => {
                app.fanout.forget_spent();
                Ok(())
            }
            Self::ForgetFailures => {
                app.authenticator.forget_old_failures();
                parts.api.auth.throttle.forget();
                parts
                    .api
                    .client
                    .buckets
                    .forget_the_full(app.clock.monotonic());
                parts
                    .api
                    .platform
                    .rate_limits
                    .forget_the_full(app.clock.monotonic());
                Ok(())
            }
        };
        if let Err(error) = done {
            complain(app, &error);
        }
    }
}

/// A database that is away fails several duties a second.
fn complain(app: &App, error: &dyn std::fmt::Display) {
    if app.log.pass_once_a_minute("upkeep failed") {
        tracing::warn!(%error, "upkeep failed; it is tried again");
    }
}

/// Takes up a renewed certificate without a restart.
fn follow_certificate(
    tls: Tls,
    files: TlsConfig,
    clock: Arc<dyn Clock>,
) -> impl Future<Output = ()> {
    // As it is now and not when the task first runs, which may be later.
    let mut known = modified(&files);
    let mut due = clock.sleep(CERTIFICATE_PERIOD);
    async move {
        loop {
            due.await;
            due = clock.sleep(CERTIFICATE_PERIOD);
            let found = modified(&files);
            if found != known {
                known = found;
                match tls.reload(&files) {
                    Ok(()) => tracing::info!("took up the new certificate"),
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "kept the old certificate");
                    }
                }
            }
        }
    }
}

fn modified(files: &TlsConfig) -> [Option<SystemTime>; 2] {
    [&files.cert_file, &files.key_file].map(|file| {
        std::fs::metadata(file)
            .and_then(|data| data.modified())
            .ok()
    })
}

/// How often certificate files are looked at.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(30);
