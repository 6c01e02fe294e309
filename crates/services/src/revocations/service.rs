use std::time::Duration;

use hexline_model::{AppId, Timestamp};

use super::hold::{HeldOut, Hold, HoldCursor};
use super::revocation::{Revocation, Scope, SweepHorizon, Target, TokenId};
use super::store::RevocationCursor;
use crate::keys::{ATTEMPTS, ChangeError, Changes, KeyError, KeyRegistry, KeyService, Revision};
use crate::store::StoreError;

/// The rules of revocations.
impl KeyService {
    /// Revokes one token. With its `exp` the revocation can be swept as soon as that is over.
    pub async fn revoke_token(
        &self,
        app: AppId,
        jti: &str,
        expires: Option<Timestamp>,
    ) -> Result<Revocation, KeyError> {
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
    ) -> Result<Revocation, KeyError> {
        let now = self.clock.now();
        if at > now.plus(KeyRegistry::leeway()) {
            return Err(KeyError::Order {
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
    pub async fn list_revocations(
        &self,
        app: AppId,
        after: Option<&RevocationCursor>,
        limit: u32,
    ) -> Result<Vec<Revocation>, KeyError> {
        self.app(app)?;
        Ok(self.stores.revocations.list(app, after, limit).await?)
    }

    /// Removes the revocations that name no living token, and the holds that ended long ago. How many
    /// there were.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, KeyError> {
        let mut swept = self.sweep_holds(now).await?;
        let mut known = self.known.lock().await;
        for app in self.registry.apps() {
            swept += self.sweep_app(app.id, now, &mut known).await?;
        }
        Ok(swept)
    }

    async fn sweep_app(
        &self,
        id: AppId,
        now: Timestamp,
        known: &mut Revision,
    ) -> Result<u64, KeyError> {
        for _ in 0..ATTEMPTS {
            let horizon = SweepHorizon::at(now, self.app(id)?.longest_life, KeyRegistry::leeway());
            match self.stores.revocations.sweep(id, horizon, *known).await {
                Ok(swept) => {
                    self.registry.sweep(id, horizon);
                    return Ok(swept);
                }
                Err(ChangeError::Stale { .. }) => self.catch_up(known).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(KeyError::Contended)
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Revocation, KeyError> {
        let mut known = self.known.lock().await;
        // The app may have been made by another process a moment ago; the store knows.
        let revision = match self.stores.revocations.add(&revocation).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(KeyError::AppUnknown {
                    name: revocation.app.to_string(),
                });
            }
            result => result?,
        };
        self.take_in(
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
impl KeyService {
    /// The longest hold.
    pub const LONGEST_HOLD: Duration = Duration::from_hours(24);

    /// Keeps an identity or a device out for so long from now, on every node, and closes what it has
    /// open. Of two holds the later end counts, and is returned.
    pub async fn hold(&self, app: AppId, who: HeldOut, span: Duration) -> Result<Hold, KeyError> {
        Self::check_hold(span)?;
        let mut known = self.known.lock().await;
        let until = self.clock.now().plus(span);
        let hold = Hold { app, who, until };
        let (until, revision) = match self.stores.holds.add(&hold).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(KeyError::AppUnknown {
                    name: app.to_string(),
                });
            }
            result => result?,
        };
        let hold = Hold { until, ..hold };
        let changes = Changes {
            holds: vec![hold.clone()],
            ..Changes::none(revision)
        };
        self.take_in(&mut known, changes);
        Ok(hold)
    }

    /// Whether a hold may be so long. For who has something else to do first.
    pub fn check_hold(span: Duration) -> Result<(), KeyError> {
        if span <= Self::LONGEST_HOLD {
            return Ok(());
        }
        Err(KeyError::Order {
            what: "hold_s",
            found: format!("{} seconds", span.as_secs()),
            expected: "0 to 86400 seconds",
        })
    }

    /// Lets an identity or a device in again; `false` if it is not held.
    pub async fn lift_hold(&self, app: AppId, who: HeldOut) -> Result<bool, KeyError> {
        self.app(app)?;
        let mut known = self.known.lock().await;
        let until = self.clock.now();
        let Some(revision) = self.stores.holds.lift(app, &who, until).await? else {
            return Ok(false);
        };
        let changes = Changes {
            holds: vec![Hold { app, who, until }],
            ..Changes::none(revision)
        };
        self.take_in(&mut known, changes);
        Ok(true)
    }

    /// Up to `limit` holds of an app that have not ended and come after a cursor.
    pub async fn list_holds(
        &self,
        app: AppId,
        after: Option<&HoldCursor>,
        limit: u32,
    ) -> Result<Vec<Hold>, KeyError> {
        self.app(app)?;
        let now = self.clock.now();
        Ok(self.stores.holds.list(app, now, after, limit).await?)
    }

    /// Forgets holds of which every node must know by now that they have ended.
    pub(crate) async fn sweep_holds(&self, now: Timestamp) -> Result<u64, KeyError> {
        let before = now.minus(Self::LONGEST_HOLD);
        let swept = self.stores.holds.sweep(before).await?;
        self.registry.sweep_holds(before);
        Ok(swept)
    }
}
