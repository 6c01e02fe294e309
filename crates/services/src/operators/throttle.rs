use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{OperatorId, Timestamp};

use super::error::OperatorError;
use super::hasher::Lane;
use super::operator::Email;
use super::store::AttemptStore;

/// What attempts are counted against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A network address.
    Peer(&'a str),
    /// An account, whether it exists or not; familiar addresses have a counter of their own.
    Account(Lane, &'a Email),
    /// The one-time codes of an operator.
    Code(OperatorId),
    /// The password of an operator who is signed in and confirms something.
    Confirmation(OperatorId),
    /// The new passwords of an operator who is signed in: each is hashed.
    NewPassword(OperatorId),
}

/// A charge that is taken back if the attempt was a good one.
#[derive(Debug)]
pub(super) struct Charge {
    subject: String,
    period: Duration,
}

impl Subject<'_> {
    /// How many attempts are free, and how long one counts.
    fn allowance(self) -> (u32, Duration) {
        match self {
            Self::Account(..) => (20, Duration::from_secs(30)),
            Self::Peer(_) | Self::Code(_) | Self::Confirmation(_) | Self::NewPassword(_) => {
                (10, Duration::from_mins(1))
            }
        }
    }

    /// What people type is not kept as it is.
    fn text(self) -> String {
        match self {
            Self::Peer(peer) => format!("peer:{peer}"),
            Self::Account(lane, email) => {
                let hash = digest::digest(&digest::SHA256, email.as_str().as_bytes());
                let hash = BASE64_URL_SAFE_NO_PAD.encode(hash);
                match lane {
                    Lane::Familiar => format!("familiar:{hash}"),
                    Lane::Other => format!("account:{hash}"),
                }
            }
            Self::Code(id) => format!("code:{id}"),
            Self::Confirmation(id) => format!("confirmation:{id}"),
            Self::NewPassword(id) => format!("new_password:{id}"),
        }
    }
}

/// Counts an attempt before it is known to be good, so that many at once are many.
pub(super) async fn charge(
    store: &dyn AttemptStore,
    subject: Subject<'_>,
    now: Timestamp,
) -> Result<Charge, OperatorError> {
    let (free, period) = subject.allowance();
    let text = subject.text();
    let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
    let latest = now.plus(period * free);
    let wait_of = |forgiven: Timestamp| forgiven.plus(period).since(latest);
    if let Some(forgiven) = store.forgiven_at(&text).await? {
        let wait = wait_of(forgiven);
        if !wait.is_zero() {
            return Err(OperatorError::Throttled { wait });
        }
    }
    if store.charge(&text, period_ms, now, latest).await? {
        Ok(Charge {
            subject: text,
            period,
        })
    } else {
        let forgiven = store.forgiven_at(&text).await?.unwrap_or(now);
        let wait = wait_of(forgiven).max(Duration::from_secs(1));
        Err(OperatorError::Throttled { wait })
    }
}

impl Charge {
    /// The attempt was a good one.
    pub(super) async fn refund(self, store: &dyn AttemptStore) -> Result<(), OperatorError> {
        let period_ms = i64::try_from(self.period.as_millis()).unwrap_or(i64::MAX);
        Ok(store.refund(&self.subject, period_ms).await?)
    }
}
