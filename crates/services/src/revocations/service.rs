use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{AppId, Clock, Timestamp};

use super::error::RevocationError;
use super::hold::{HeldOut, Hold, HoldCursor};
use super::revocation::{Revocation, Scope, SweepHorizon, Target, TokenId};
use super::store::{HoldStore, RevocationCursor, RevocationStore};
use crate::apps::UnknownApp;
use crate::keys::{ATTEMPTS, Changes, KeyRegistry, RegistryError, RegistryWriter};
use crate::store::{ChangeError, Revision, StoreError};

/// The rules of revocations and holds.
pub struct RevocationService {
    writer: Arc<RegistryWriter>,
    revocations: Arc<dyn RevocationStore>,
    holds: Arc<dyn HoldStore>,
    clock: Arc<dyn Clock>,
}

impl RevocationService {
    /// Works on the revocations and holds of a registry.
    pub fn new(writer: Arc<RegistryWriter>, clock: Arc<dyn Clock>) -> Self {
        let stores = writer.stores();
        Self {
            revocations: Arc::clone(&stores.revocations),
            holds: Arc::clone(&stores.holds),
            writer,
            clock,
        }
    }

    /// Revokes one token. With its `exp` the revocation can be swept as soon as that is over.
    pub async fn revoke_token(
        &self,
        app: AppId,
        jti: &str,
        expires: Option<Timestamp>,
    ) -> Result<Revocation, RevocationError> {
        let target = Target::Token {
            jti: TokenId::parse(jti)?,
            expires,
        };
        self.revoke(Revocation {
            app,
            target,
            at: self.clock.now(),
        })
        .await
    }

    /// Revokes every token of a scope whose `iat` is not after `at`, in whole seconds. `at` may
    /// not lie ahead: it could never be taken back, and would refuse every token until then.
    pub async fn revoke_issued_before(
        &self,
        app: AppId,
        scope: Scope,
        at: Timestamp,
    ) -> Result<Revocation, RevocationError> {
        let now = self.clock.now();
        if at > now.plus(KeyRegistry::leeway()) {
            return Err(RevocationError::Invalid {
                what: "issued_before",
                found: format!("{at}, which lies ahead"),
                expected: "a time that has come",
            });
        }
        self.revoke(Revocation {
            app,
            target: Target::IssuedBefore(scope),
            at,
        })
        .await
    }

    /// Up to `limit` revocations of an app that come after a cursor.
    pub async fn list(
        &self,
        app: AppId,
        after: Option<&RevocationCursor>,
        limit: u32,
    ) -> Result<Vec<Revocation>, RevocationError> {
        self.registry().known_app(app)?;
        Ok(self.revocations.list(app, after, limit).await?)
    }

    /// Removes the revocations that name no living token, and the holds that ended long ago. How many
    /// there were.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, RevocationError> {
        let mut swept = self.sweep_holds(now).await?;
        let mut known = self.writer.turn().await;
        for app in self.registry().apps() {
            swept += self.sweep_app(app.id, now, &mut known).await?;
        }
        Ok(swept)
    }

    async fn sweep_app(
        &self,
        id: AppId,
        now: Timestamp,
        known: &mut Revision,
    ) -> Result<u64, RevocationError> {
        for _ in 0..ATTEMPTS {
            let horizon = SweepHorizon::at(
                now,
                self.registry().known_app(id)?.longest_life,
                KeyRegistry::leeway(),
            );
            match self.revocations.sweep(id, horizon, *known).await {
                Ok(swept) => {
                    self.registry().sweep(id, horizon);
                    return Ok(swept);
                }
                Err(ChangeError::Stale { .. }) => self.writer.catch_up(known).await?,
                Err(ChangeError::Store(error)) => return Err(error.into()),
            }
        }
        Err(RegistryError::Contended.into())
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Revocation, RevocationError> {
        let mut known = self.writer.turn().await;
        // The app may have been made by another process a moment ago; the store knows.
        let revision = match self.revocations.add(&revocation).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(UnknownApp::from(revocation.app).into());
            }
            result => result?,
        };
        self.writer.take_in(
            &mut known,
            Changes {
                revocations: vec![revocation.clone()],
                ..Changes::none(revision)
            },
        );
        Ok(revocation)
    }
}

/// Holding users out.
impl RevocationService {
    /// The longest hold.
    pub const LONGEST_HOLD: Duration = Duration::from_hours(24);

    /// Keeps an identity or a device out for so long from now, on every node, and closes what it has
    /// open. Of two holds the later end counts, and is returned.
    pub async fn hold(
        &self,
        app: AppId,
        who: HeldOut,
        span: Duration,
    ) -> Result<Hold, RevocationError> {
        Self::check_hold(span)?;
        let mut known = self.writer.turn().await;
        let until = self.clock.now().plus(span);
        let hold = Hold { app, who, until };
        let (until, revision) = match self.holds.add(&hold).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(UnknownApp::from(app).into());
            }
            result => result?,
        };
        let hold = Hold { until, ..hold };
        let changes = Changes {
            holds: vec![hold.clone()],
            ..Changes::none(revision)
        };
        self.writer.take_in(&mut known, changes);
        Ok(hold)
    }

    /// Whether a hold may be so long. For who has something else to do first.
    pub fn check_hold(span: Duration) -> Result<(), RevocationError> {
        if span <= Self::LONGEST_HOLD {
            return Ok(());
        }
        Err(RevocationError::Invalid {
            what: "hold_s",
            found: format!("{} seconds", span.as_secs()),
            expected: "0 to 86400 seconds",
        })
    }

    /// Lets an identity or a device in again; `false` if it is not held.
    pub async fn lift_hold(&self, app: AppId, who: HeldOut) -> Result<bool, RevocationError> {
        self.registry().known_app(app)?;
        let mut known = self.writer.turn().await;
        let until = self.clock.now();
        let Some(revision) = self.holds.lift(app, &who, until).await? else {
            return Ok(false);
        };
        let changes = Changes {
            holds: vec![Hold { app, who, until }],
            ..Changes::none(revision)
        };
        self.writer.take_in(&mut known, changes);
        Ok(true)
    }

    /// Up to `limit` holds of an app that have not ended and come after a cursor.
    pub async fn list_holds(
        &self,
        app: AppId,
        after: Option<&HoldCursor>,
        limit: u32,
    ) -> Result<Vec<Hold>, RevocationError> {
        self.registry().known_app(app)?;
        let now = self.clock.now();
        Ok(self.holds.list(app, now, after, limit).await?)
    }

    /// Forgets holds of which every node must know by now that they have ended.
    pub(crate) async fn sweep_holds(&self, now: Timestamp) -> Result<u64, RevocationError> {
        let before = now.minus(Self::LONGEST_HOLD);
        let swept = self.holds.sweep(before).await?;
        self.registry().sweep_holds(before);
        Ok(swept)
    }

    fn registry(&self) -> &KeyRegistry {
        self.writer.registry()
    }
}

impl fmt::Debug for RevocationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevocationService")
    }
}
