use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use hexline_model::{Entropy, Secret};
use tokio::sync::{OnceCell, Semaphore};

use super::error::OperatorError;

/// A password as it is stored: argon2id, its parameters and salt, in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// A password that may be set.
#[derive(Debug, Clone)]
pub struct Password(Secret<String>);

/// Hashes passwords: off the threads that serve, and few at a time, for each takes 19 MiB.
pub(super) struct Hasher {
    argon2: Argon2<'static>,
    /// Who hashes.
    turns: Arc<Semaphore>,
    /// Who hashes or waits.
    queue: Arc<Semaphore>,
    /// What a password is compared with that belongs to nobody.
    dummy: OnceCell<PasswordHash>,
}

/// What became of a comparison.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is not the password.
    Wrong,
    /// It is.
    Right,
    /// It is, and it is stored with less than today's cost: this goes in its place.
    Outdated(PasswordHash),
}

impl Password {
    /// Checks the rules: at least 12 characters, at most 1024 bytes. What they are is the
    /// person's affair.
    pub fn parse(text: Secret<String>) -> Result<Self, OperatorError> {
        let found = text.expose().chars().count();
        if found < MIN_CHARS {
            return Err(OperatorError::PasswordTooShort { found });
        }
        if text.expose().len() > MAX_BYTES {
            return Err(OperatorError::PasswordTooLong);
        }
        Ok(Self(text))
    }
}

impl Hasher {
    pub(super) fn new(cost: Params, at_once: usize) -> Self {
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, cost),
            turns: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + QUEUE)),
            dummy: OnceCell::new(),
        }
    }

    pub(super) async fn hash(
        &self,
        password: Password,
        entropy: &dyn Entropy,
    ) -> Result<PasswordHash, OperatorError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, &password.0, &salt)).await
    }

    /// Compares with a stored hash, or, for somebody who is not there, with one of nothing: that
    /// takes as long.
    pub(super) async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<PasswordHash>,
        entropy: &dyn Entropy,
    ) -> Result<Verdict, OperatorError> {
        let is_known = stored.is_some();
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let argon2 = self.argon2.clone();
        let stored = match stored {
            Some(stored) => stored,
            None => self.dummy(salt).await?,
        };
        if password.expose().len() > MAX_BYTES {
            return Ok(Verdict::Wrong);
        }
        self.run(move || {
            let Ok(parsed) = phc::PasswordHash::new(&stored.0) else {
                return Verdict::Wrong;
            };
            let fits = argon2
                .verify_password(password.expose().as_bytes(), &parsed)
                .is_ok();
            if !(fits && is_known) {
                return Verdict::Wrong;
            }
            let current = Params::try_from(&parsed).is_ok_and(|found| {
                let wanted = argon2.params();
                parsed.algorithm == Algorithm::Argon2id.ident()
                    && found.m_cost() >= wanted.m_cost()
                    && found.t_cost() >= wanted.t_cost()
            });
            if current {
                Verdict::Right
            } else {
                Verdict::Outdated(hash(&argon2, &password, &salt))
            }
        })
        .await
    }

    async fn dummy(&self, salt: [u8; SALT_BYTES]) -> Result<PasswordHash, OperatorError> {
        let make = async || {
            let argon2 = self.argon2.clone();
            let nobodys = Secret::new("nobody's".to_owned());
            self.run(move || hash(&argon2, &nobodys, &salt)).await
        };
        self.dummy.get_or_try_init(make).await.cloned()
    }

    /// Makes the hash of nothing, so that the first stranger does not wait for it.
    pub(super) async fn warm_up(&self, entropy: &dyn Entropy) -> Result<(), OperatorError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        self.dummy(salt).await.map(|_| ())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperatorError> {
        let _place = self.queue.try_acquire().map_err(|_| OperatorError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("it is never closed");
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even if nobody waits for it any more.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| OperatorError::Busy)
    }
}

fn hash(argon2: &Argon2<'_>, password: &Secret<String>, salt: &[u8]) -> PasswordHash {
    let hash = argon2.hash_password_with_salt(password.expose().as_bytes(), salt);
    PasswordHash(
        hash.expect("the lengths are within argon2's bounds")
            .to_string(),
    )
}

impl PasswordHash {
    /// As it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// To store it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What one guess costs: 19 MiB and two passes, as OWASP recommends for argon2id.
pub(super) fn cost() -> Params {
    Params::new(19 * 1024, 2, 1, None).expect("within argon2's bounds")
}

const MIN_CHARS: usize = 12;
const MAX_BYTES: usize = 1024;
const SALT_BYTES: usize = 16;

/// How many may wait for those who hash.
const QUEUE: usize = 32;
