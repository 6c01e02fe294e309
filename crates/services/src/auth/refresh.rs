use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{ApiKey, AppId, Device, Identity, Secret, Subject, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::AuthError;
use super::service::{AuthService, Outcome, SignedIn, ceiling, hash};
use super::settings::SignIn;
use super::social::hex;
use super::store::Family;
use crate::keys::ApiKeyRecord;
use crate::vault::VaultError;

/// What the access tokens of a line are like.
#[derive(Serialize, Deserialize)]
struct Body {
    grants: Option<Value>,
    profile: Option<Value>,
    ttl_s: Option<u64>,
}

impl AuthService {
    /// Takes a refresh token and gives an access token and the next refresh token.
    ///
    /// A token that was used before ends its whole line: it was copied, and who of the two is the
    /// thief cannot be known. Only the token right before the current one, for half a minute after
    /// the change, gets the same successor once more, since its answer may have been lost on the
    /// way. So of several that show one token at once, all get the same.
    pub async fn refresh(
        &self,
        caller: &ApiKeyRecord,
        device: &Device,
        token: &Secret<String>,
    ) -> Result<SignedIn, AuthError> {
        let settings = self.settings(caller.app).await?;
        // Who loses a turn to another request finds its own token right before the current one.
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let (family, secret) = self.family(caller, token).await?;
            let standing = family.revoked.is_none()
                && family.expires > now
                && settings.refresh.enabled
                && !self.is_revoked(&family);
            if !standing || family.device != *device {
                return Err(no_good());
            }
            let (shown, next) = (
                hash(secret.expose()),
                self.successor(&family, &secret).await?,
            );
            let fits = |stored: &str| {
                constant_time::verify_slices_are_equal(stored.as_bytes(), shown.as_bytes()).is_ok()
            };
            let lost = family.previous.as_deref().is_some_and(fits)
                && now.since(family.rotated) < LOST
                && family.current == hash(next.expose());
            if !fits(&family.current) && !lost {
                self.store.revoke_family(&family.id, now).await?;
                let message = "the refresh token was used before: nobody signed in by this line \
                               of tokens any more, expected a new sign-in";
                return Err(AuthError::refused("refresh_reused", message));
            }
            // Before the turn is taken: what cannot be made does not cost the token.
            let ceiling = ceiling(&settings, &family.strategy)?;
            let mut signed_in = self.mint(caller, outcome(&family)?, Some(ceiling))?;
            if lost {
                signed_in.refresh = Some((whole(&family.id, &next), family.expires));
                return Ok(signed_in);
            }
            let current = family.current.clone();
            let family = Family {
                current: hash(next.expose()),
                previous: Some(shown),
                rotated: now,
                expires: now.plus(Duration::from_secs(settings.refresh.ttl_s)),
                ..family
            };
            if self.store.rotate_family(&family, &current).await? {
                signed_in.refresh = Some((whole(&family.id, &next), family.expires));
                return Ok(signed_in);
            }
        }
        Err(VaultError::Contended.into())
    }

    /// Ends the line of a refresh token. What is no token any more is none already.
    pub async fn revoke(
        &self,
        caller: &ApiKeyRecord,
        token: &Secret<String>,
    ) -> Result<(), AuthError> {
        match self.family(caller, token).await {
            Ok((family, _)) => Ok(self
                .store
                .revoke_family(&family.id, self.clock.now())
                .await?),
            Err(AuthError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends every line of an app, or of one of its users; how many there were.
    pub async fn revoke_lines(
        &self,
        app: AppId,
        identity: Option<&Identity>,
    ) -> Result<u64, AuthError> {
        let (now, mut ended, mut after) = (self.clock.now(), 0, String::new());
        loop {
            let page = self
                .store
                .list_families(Some(app), identity, &after, PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(ended);
            };
            after.clone_from(&last.id);
            for family in page {
                self.store.revoke_family(&family.id, now).await?;
                ended += 1;
            }
        }
    }

    /// Writes down which lines ended with their user, app or API key: before the revocations that
    /// say so are forgotten.
    pub(super) async fn end_revoked_families(&self, now: Timestamp) -> Result<(), AuthError> {
        let mut after = String::new();
        loop {
            let page = self.store.list_families(None, None, &after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(&last.id);
            for family in page.iter().filter(|family| self.is_revoked(family)) {
                self.store.revoke_family(&family.id, now).await?;
            }
        }
    }

    /// A new line and its first token.
    pub(super) fn new_family(
        &self,
        caller: &ApiKeyRecord,
        settings: &SignIn,
        outcome: &Outcome,
    ) -> (Family, Secret<String>) {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let (id, secret, now) = (hex(&id), self.random(), self.clock.now());
        let body = Body {
            grants: outcome.grants.clone(),
            profile: outcome.profile.clone(),
            ttl_s: outcome.ttl.map(|ttl| ttl.as_secs()),
        };
        let token = whole(&id, &secret);
        let family = Family {
            id,
            app: caller.app,
            api_key: caller.id,
            strategy: outcome.strategy.clone(),
            identity: outcome.identity.clone(),
            device: outcome.device.clone(),
            body: serde_json::to_string(&body).expect("plain data"),
            created: now,
            expires: now.plus(Duration::from_secs(settings.refresh.ttl_s)),
            current: hash(secret.expose()),
            previous: None,
            rotated: now,
            revoked: None,
        };
        (family, token)
    }

    /// The line of a token of this app, and the token's secret part, which is yet to be compared.
    async fn family(
        &self,
        caller: &ApiKeyRecord,
        token: &Secret<String>,
    ) -> Result<(Family, Secret<String>), AuthError> {
        let parts = token
            .expose()
            .strip_prefix(PREFIX)
            .filter(|rest| rest.len() == 32 + 43 && rest.bytes().all(|b| b.is_ascii_graphic()));
        let (id, secret) = parts.ok_or_else(no_good)?.split_at(32);
        let family = self.store.lookup_family(id).await?;
        let family = family.filter(|family| family.app == caller.app);
        Ok((family.ok_or_else(no_good)?, Secret::new(secret.to_owned())))
    }

    /// The token that follows on one of a line: an HMAC of it under the line's seed, which is an
    /// HMAC of the line's id.
    async fn successor(
        &self,
        family: &Family,
        shown: &Secret<String>,
    ) -> Result<Secret<String>, AuthError> {
        let key = self.seed_key.get_or_try_init(|| self.open_seed_key());
        let seed = hmac::sign(key.await?, family.id.as_bytes());
        let seed = hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref());
        let next = hmac::sign(&seed, shown.expose().as_bytes());
        Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(next)))
    }

    /// The one key of all nodes and starts, made by the first that needs it.
    async fn open_seed_key(&self) -> Result<hmac::Key, AuthError> {
        loop {
            if let Some(key) = self.vault.open_secret(SEED).await? {
                return Ok(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
            }
            self.vault
                .put_secret_once(SEED, None, self.random())
                .await?;
        }
    }

    fn is_revoked(&self, family: &Family) -> bool {
        let subject = Subject {
            identity: family.identity.clone(),
            device: family.device.clone(),
        };
        let registry = self.keys.registry();
        !self.api_key_stands(family.api_key, family.app)
            || registry.is_revoked(family.app, &subject, family.created)
    }

    fn api_key_stands(&self, id: ApiKey, app: AppId) -> bool {
        let found = self.keys.find_api_key(id);
        found.is_ok_and(|record| record.app == app)
    }
}

/// What the next access token of a line is like.
fn outcome(family: &Family) -> Result<Outcome, AuthError> {
    let body: Body = serde_json::from_str(&family.body).map_err(|_| no_good())?;
    Ok(Outcome {
        strategy: family.strategy.clone(),
        identity: family.identity.clone(),
        device: family.device.clone(),
        grants: body.grants,
        ttl: body.ttl_s.map(Duration::from_secs),
        profile: body.profile,
    })
}

fn whole(id: &str, secret: &Secret<String>) -> Secret<String> {
    Secret::new(format!("{PREFIX}{id}{}", secret.expose()))
}

fn no_good() -> AuthError {
    let message = "the refresh token is none of this app and device, has ended or was revoked, \
                   expected one that holds";
    AuthError::refused("refresh_token", message)
}

/// Marks a refresh token as one, for those who look for secrets in the wrong place.
const PREFIX: &str = "hxr_";
/// How long the answer to a refresh may be lost on the way.
pub(super) const LOST: Duration = Duration::from_secs(30);
/// The secret, in the vault, that the seeds of all lines follow from.
const SEED: &str = "refresh/seed";
const ATTEMPTS: usize = 4;
const PAGE: u32 = 200;
