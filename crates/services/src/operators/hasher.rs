//! Hashing of passwords: off the threads that serve, in memory that is made once.
//!
//! argon2id takes 19 MiB for a password. Memory that is taken and given back for each one stays
//! with the thread that took it, so each [`Queue`] has a fixed number of working memories, which
//! are made when they are first needed and used again.
//!
//! There are two queues, so that sign-ins from elsewhere do not hold up those from familiar
//! addresses. A [`Place`] in one is taken before anything is counted or read: when a queue is
//! full, a sign-in is refused without further work.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use hexline_model::{Entropy, Secret};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::error::OperatorError;
use super::password::{MAX_BYTES, Password, PasswordHash};

/// Hashes passwords and compares with hashes.
pub(super) struct Hasher {
    cost: Params,
    familiar: Queue,
    other: Queue,
    /// The hash that the password of an unknown account is compared with.
    dummy: OnceCell<PasswordHash>,
}

/// Which queue a password waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Of those who are signed in, hold a link, or come from a familiar address.
    Familiar,
    /// Of everybody else.
    Other,
}

/// A place in a queue, until the password has been hashed.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    _permit: SemaphorePermit<'a>,
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

struct Queue {
    /// Those who hash or wait.
    places: Semaphore,
    /// Those who hash: as many as there are memories.
    turns: Arc<Semaphore>,
    memories: Arc<Memories>,
}

/// Working memories that nobody uses now; missing ones are made when they are needed.
#[derive(Default)]
struct Memories(Mutex<Vec<Box<[Block]>>>);

impl Hasher {
    /// `at_once` is how many passwords from unfamiliar addresses are hashed at once; from familiar
    /// ones it is one.
    pub(super) fn new(cost: Params, at_once: usize) -> Self {
        Self {
            cost,
            familiar: Queue::new(1),
            other: Queue::new(at_once),
            dummy: OnceCell::new(),
        }
    }

    /// Takes a place in a queue; refuses if it is full.
    pub(super) fn place(&self, lane: Lane) -> Result<Place<'_>, OperatorError> {
        let queue = match lane {
            Lane::Familiar => &self.familiar,
            Lane::Other => &self.other,
        };
        let permit = queue.places.try_acquire();
        Ok(Place {
            queue,
            _permit: permit.map_err(|_| OperatorError::Busy)?,
        })
    }

    /// Hashes a password that is to be stored.
    pub(super) async fn hash(
        &self,
        place: Place<'_>,
        password: Password,
        entropy: &dyn Entropy,
    ) -> Result<PasswordHash, OperatorError> {
        let (cost, salt) = (self.cost.clone(), salt(entropy));
        let work = move |memory: &mut [Block]| hash(cost, password.text(), &salt, memory);
        place.queue.run(self.cost.block_count(), work).await
    }

    /// Compares with a stored hash, or, for an unknown account, with one of no password: that
    /// takes as long.
    pub(super) async fn verify(
        &self,
        place: Place<'_>,
        password: Secret<String>,
        stored: Option<PasswordHash>,
        entropy: &dyn Entropy,
    ) -> Result<Verdict, OperatorError> {
        let is_known = stored.is_some();
        let stored = match stored {
            Some(stored) => stored,
            None => self.dummy(&place, entropy).await?,
        };
        if password.expose().len() > MAX_BYTES {
            return Ok(Verdict::Wrong);
        }
        let (cost, salt) = (self.cost.clone(), salt(entropy));
        let work = move |memory: &mut [Block]| {
            let Some(found) = cost_if_it_fits(&password, &stored, memory).filter(|_| is_known)
            else {
                return Verdict::Wrong;
            };
            if found.m_cost() >= cost.m_cost() && found.t_cost() >= cost.t_cost() {
                Verdict::Right
            } else {
                Verdict::Outdated(hash(cost, &password, &salt, memory))
            }
        };
        place.queue.run(self.cost.block_count(), work).await
    }

    /// Makes what the first sign-in would otherwise wait for.
    pub(super) async fn warm_up(&self, entropy: &dyn Entropy) -> Result<(), OperatorError> {
        let place = self.place(Lane::Other)?;
        self.dummy(&place, entropy).await.map(|_| ())
    }

    async fn dummy(
        &self,
        place: &Place<'_>,
        entropy: &dyn Entropy,
    ) -> Result<PasswordHash, OperatorError> {
        let make = async || {
            let (cost, salt) = (self.cost.clone(), salt(entropy));
            let none = Secret::new("no password".to_owned());
            let work = move |memory: &mut [Block]| hash(cost, &none, &salt, memory);
            place.queue.run(self.cost.block_count(), work).await
        };
        self.dummy.get_or_try_init(make).await.cloned()
    }
}

impl Queue {
    fn new(at_once: usize) -> Self {
        Self {
            places: Semaphore::new(at_once + WAITING),
            turns: Arc::new(Semaphore::new(at_once)),
            memories: Arc::default(),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        blocks: usize,
        work: impl FnOnce(&mut [Block]) -> T + Send + 'static,
    ) -> Result<T, OperatorError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("it is never closed");
        let memories = Arc::clone(&self.memories);
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even if the caller has gone.
            let _turn = turn;
            let mut memory = memories.take(blocks);
            let done = work(&mut memory);
            memories.give_back(memory);
            done
        });
        done.await.map_err(|_| OperatorError::Busy)
    }
}

impl Memories {
    fn take(&self, blocks: usize) -> Box<[Block]> {
        let unused = self.lock().pop();
        unused.unwrap_or_else(|| vec![Block::new(); blocks].into_boxed_slice())
    }

    fn give_back(&self, memory: Box<[Block]>) {
        self.lock().push(memory);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[Block]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn salt(entropy: &dyn Entropy) -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    salt
}

fn hash(
    cost: Params,
    password: &Secret<String>,
    salt: &[u8],
    memory: &mut [Block],
) -> PasswordHash {
    let phc = phc::PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: (&cost).try_into().expect("a cost has a text"),
        salt: Some(phc::Salt::new(salt).expect("a salt of 16 bytes")),
        hash: None,
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut out, memory)
        .expect("the lengths are within argon2's bounds");
    let hash = Some(phc::Output::new(&out).expect("32 bytes"));
    PasswordHash::from_stored(phc::PasswordHash { hash, ..phc }.to_string())
}

/// What a stored hash cost, if it is of this password.
fn cost_if_it_fits(
    password: &Secret<String>,
    stored: &PasswordHash,
    memory: &mut [Block],
) -> Option<Params> {
    let phc = phc::PasswordHash::new(stored.as_str()).ok()?;
    let (salt, wanted) = (phc.salt?, phc.hash?);
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
    let version = phc.version.map_or(Ok(Version::V0x13), Version::try_from);
    let cost = Params::try_from(&phc).ok()?;
    let argon2 = Argon2::new(algorithm, version.ok()?, cost.clone());
    let mut found = vec![0; wanted.len()];
    let bytes = password.expose().as_bytes();
    let done = if cost.block_count() > memory.len() {
        // Stored by a release that asked for more.
        argon2.hash_password_into(bytes, &salt, &mut found)
    } else {
        argon2.hash_password_into_with_memory(bytes, &salt, &mut found, memory)
    };
    done.ok()?;
    constant_time::verify_slices_are_equal(&found, wanted.as_bytes()).ok()?;
    (algorithm == Algorithm::Argon2id).then_some(cost)
}

const SALT_BYTES: usize = 16;

/// How many may wait in a queue beside those who hash.
const WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use hexline_model::SystemEntropy;

    use super::*;

    // The one memory of the familiar queue is used for different passwords, one after the other.
    #[tokio::test]
    async fn what_was_hashed_before_in_the_same_memory_does_not_matter() {
        let hasher = hasher(1);
        let text = |text: &str| Secret::new(text.to_owned());
        let one = hashed(&hasher, "correct horse battery").await;
        let two = hashed(&hasher, "another good password").await;
        for (password, stored, fits) in [
            ("correct horse battery", &one, true),
            ("another good password", &one, false),
            ("another good password", &two, true),
            ("correct horse battery", &two, false),
        ] {
            let place = hasher.place(Lane::Familiar).expect("room");
            let verdict =
                hasher.verify(place, text(password), Some(stored.clone()), &SystemEntropy);
            let verdict = verdict.await.expect("decided");
            assert_eq!(matches!(verdict, Verdict::Right), fits, "{password}");
        }
        assert_eq!(hasher.familiar.memories.lock().len(), 1);
    }

    #[tokio::test]
    async fn many_at_once_have_no_more_memory_than_turns() {
        let hasher = Arc::new(hasher(2));
        let tries = (0..20).map(|_| {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move {
                let place = hasher.place(Lane::Other).expect("room");
                let guess = Secret::new("a guess".to_owned());
                hasher.verify(place, guess, None, &SystemEntropy).await
            })
        });
        for verdict in tries.collect::<Vec<_>>() {
            let verdict = verdict.await.expect("ends").expect("decided");
            assert!(matches!(verdict, Verdict::Wrong));
        }
        assert!(hasher.other.memories.lock().len() <= 2);
    }

    #[test]
    fn a_full_queue_refuses_and_the_other_has_room() {
        let hasher = hasher(2);
        let all: Vec<_> = std::iter::from_fn(|| hasher.place(Lane::Other).ok()).collect();
        assert_eq!(all.len(), 2 + WAITING);
        assert!(hasher.place(Lane::Familiar).is_ok());
        drop(all);
        assert!(hasher.place(Lane::Other).is_ok());
    }

    async fn hashed(hasher: &Hasher, password: &str) -> PasswordHash {
        let password = Password::parse(Secret::new(password.to_owned())).expect("long enough");
        let place = hasher.place(Lane::Familiar).expect("room");
        let hash = hasher.hash(place, password, &SystemEntropy).await;
        hash.expect("hashed")
    }

    fn hasher(at_once: usize) -> Hasher {
        Hasher::new(Params::new(64, 1, 1, None).expect("a cost"), at_once)
    }
}
