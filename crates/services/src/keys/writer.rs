use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::change::Change;
use super::error::{KeyError, RegistryError};
use super::registry::KeyRegistry;
use super::store::{Changes, Stores};
use crate::store::{ChangeError, Revision};
use crate::vault::{MasterKey, VaultService};

/// How changes of apps, keys and revocations are made: one at a time, each on the state that the
/// database has.
///
/// Changes go to the store first, then to the [`KeyRegistry`]. They take turns, in this process by a
/// lock and across processes by the store's revision: each is decided on the state that it changes,
/// or decided again.
///
/// A change that is dropped halfway leaves nothing half done: whatever the store committed is
/// taken in by the next change or [`refresh`](Self::refresh).
pub struct RegistryWriter {
    stores: Stores,
    registry: Arc<KeyRegistry>,
    vault: Arc<VaultService>,
    /// The revision that the registry shows. Whoever holds the lock may change things.
    known: Mutex<Revision>,
}

impl RegistryWriter {
    /// Loads everything into a new registry, for tokens that may name these audiences.
    pub async fn open(
        stores: Stores,
        vault: Arc<VaultService>,
        base_audiences: Vec<String>,
    ) -> Result<Self, RegistryError> {
        let writer = Self {
            stores,
            registry: Arc::new(KeyRegistry::new(base_audiences)),
            vault,
            known: Mutex::new(Revision::default()),
        };
        writer.catch_up(&mut *writer.turn().await).await?;
        Ok(writer)
    }

    /// What is changed.
    pub fn registry(&self) -> &Arc<KeyRegistry> {
        &self.registry
    }

    /// What the registry is written to.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// What seals the secrets of keys.
    pub(super) fn vault(&self) -> &Arc<VaultService> {
        &self.vault
    }

    /// Waits until no other change is made in this process.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, Revision> {
        self.known.lock().await
    }

    /// Takes in what others changed in the database and tells observers. Reads one row if
    /// nothing changed. True if something did.
    pub async fn refresh(&self) -> Result<bool, RegistryError> {
        let mut known = self.turn().await;
        if self.stores.journal.revision().await? == *known {
            return Ok(false);
        }
        self.catch_up(&mut known).await?;
        Ok(true)
    }

    /// Re-seals every secret under a new master key, in one transaction. How many there were.
    pub(super) async fn reseal(&self, new: &MasterKey) -> Result<u64, KeyError> {
        let mut known = self.turn().await;
        self.catch_up(&mut known).await?;
        let count = self.vault.reseal(new).await?;
        self.catch_up(&mut known).await?;
        Ok(count)
    }

    /// Decides a change and writes it; decides again if the database has moved on. `None` is a
    /// change that is none.
    pub(crate) async fn change<T, E: From<RegistryError>>(
        &self,
        decide: impl Fn() -> Result<(Option<Change>, T), E>,
    ) -> Result<T, E> {
        let mut known = self.turn().await;
        for _ in 0..ATTEMPTS {
            match decide() {
                Ok((Some(change), outcome)) => match change.write(&self.stores, *known).await {
                    Ok(revision) => {
                        self.take_in(&mut known, change.changes(revision));
                        return Ok(outcome);
                    }
                    Err(ChangeError::Stale { .. }) => self.catch_up(&mut known).await?,
                    Err(ChangeError::Store(error)) => return Err(RegistryError::from(error).into()),
                },
                // Doing nothing is right only if the database still says what memory says.
                settled => {
                    if !self.moved_on(&mut known).await? {
                        return settled.map(|(_, outcome)| outcome);
                    }
                }
            }
        }
        Err(RegistryError::Contended.into())
    }

    async fn moved_on(&self, known: &mut MutexGuard<'_, Revision>) -> Result<bool, RegistryError> {
        if self.stores.journal.revision().await? == **known {
            return Ok(false);
        }
        self.catch_up(known).await?;
        Ok(true)
    }

    /// Brings the registry up to the database.
    pub(crate) async fn catch_up(&self, known: &mut Revision) -> Result<(), RegistryError> {
        let changes = self.stores.journal.since(*known).await?;
        let in_force = changes.master_key.clone();
        self.vault.follow(in_force.as_ref());
        let sealer = self.vault.sealer();
        let revision = changes.revision;
        // Revocations count even if the seals are out of reach.
        self.registry.apply(changes, &sealer);
        self.vault.check(in_force.as_ref())?;
        *known = revision;
        Ok(())
    }

    /// Takes in a change of our own. If others came before it, the revision stays behind, so
    /// that theirs are asked for.
    pub(crate) fn take_in(&self, known: &mut Revision, changes: Changes) {
        if changes.revision == known.next() {
            *known = changes.revision;
        }
        self.registry.apply(changes, &self.vault.sealer());
    }
}

impl fmt::Debug for RegistryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryWriter({:?})", self.registry)
    }
}

// Each lost attempt is a change of somebody else, so this many come before one is given up.
pub(crate) const ATTEMPTS: usize = 64;
