use std::sync::Arc;

use hexline_model::{AppId, Timestamp};
use tokio::sync::MutexGuard;

use super::api_key::ApiKeyRecord;
use super::error::KeyError;
use super::key::{KeyRecord, KeyState};
use super::service::KeyService;
use super::store::{ChangeError, Changes, Revision, Stores};
use crate::apps::App;
use crate::revocations::Revocation;
use crate::vault::{MasterKey, Purpose, Sealed, Sealer};

/// A change as it was decided, to be written if nothing else changed meanwhile.
pub(crate) enum Change {
    AddApp(App),
    UpdateApp {
        app: App,
        mark: Option<Revocation>,
    },
    AddKey(Box<NewcomerKey>),
    Rotate {
        old: Box<KeyRecord>,
        until: Timestamp,
        new: Box<NewcomerKey>,
        /// The public ids that move to the new key, as they are then.
        api_keys: Vec<ApiKeyRecord>,
    },
    /// Revoked by now.
    Revoke {
        keys: Vec<KeyRecord>,
        at: Timestamp,
    },
    /// Revoked and released by now, and what it made, revoked by now.
    Release {
        key: Box<KeyRecord>,
        made: Vec<KeyRecord>,
    },
    Label(Box<KeyRecord>),
    DeleteApp {
        app: AppId,
        at: Timestamp,
    },
    AddApiKey(ApiKeyRecord),
    /// Revoked since the time that it names.
    RevokeApiKey(ApiKeyRecord),
}

/// A key that joins an app, and whether it signs for it from now on.
pub(crate) struct NewcomerKey {
    pub(crate) key: KeyRecord,
    pub(crate) app: App,
    pub(crate) signs: bool,
}

/// How changes are made: one at a time, each on the state that the database has.
impl KeyService {
    /// Takes in what others changed in the database and tells observers. Reads one row if
    /// nothing changed. True if something did.
    pub async fn refresh(&self) -> Result<bool, KeyError> {
        let mut known = self.known.lock().await;
        if self.stores.journal.revision().await? == *known {
            return Ok(false);
        }
        self.catch_up(&mut known).await?;
        Ok(true)
    }

    /// Re-seals every secret under a new master key, in one transaction. How many there were.
    ///
    /// The caller keeps both keys on disk until this returns: afterwards the old one opens
    /// nothing, before, the new one.
    pub async fn rotate_master_key(&self, new: &MasterKey) -> Result<u64, KeyError> {
        let mut known = self.known.lock().await;
        self.catch_up(&mut known).await?;
        let old = self.sealer();
        let new = Arc::new(Sealer::new(new));
        if old.fingerprint() == new.fingerprint() {
            return Err(KeyError::SameMasterKey {
                found: new.fingerprint().clone(),
            });
        }
        self.sealers_mut(|sealers| sealers.next = Some(new.clone()));
        let reseal = |purpose: Purpose<'_>, sealed: &Sealed| {
            let secret = old.open(purpose, sealed)?;
            Ok(new.seal(purpose, secret.expose()))
        };
        let count = self
            .stores
            .seals
            .reseal(old.fingerprint(), new.fingerprint(), &reseal)
            .await?;
        self.catch_up(&mut known).await?;
        Ok(count)
    }

    /// Decides a change and writes it; decides again if the database has moved on. `None` is a
    /// change that is none.
    pub(crate) async fn change<T>(
        &self,
        decide: impl Fn() -> Result<(Option<Change>, T), KeyError>,
    ) -> Result<T, KeyError> {
        let mut known = self.known.lock().await;
        for _ in 0..ATTEMPTS {
            match decide() {
                Ok((Some(change), outcome)) => match change.write(&self.stores, *known).await {
                    Ok(revision) => {
                        self.take_in(&mut known, change.changes(revision));
                        return Ok(outcome);
                    }
                    Err(ChangeError::Stale { .. }) => self.catch_up(&mut known).await?,
                    Err(error) => return Err(error.into()),
                },
                // Doing nothing is right only if the database still says what memory says.
                settled => {
                    if !self.moved_on(&mut known).await? {
                        return settled.map(|(_, outcome)| outcome);
                    }
                }
            }
        }
        Err(KeyError::Contended)
    }

    async fn moved_on(&self, known: &mut MutexGuard<'_, Revision>) -> Result<bool, KeyError> {
        if self.stores.journal.revision().await? == **known {
            return Ok(false);
        }
        self.catch_up(known).await?;
        Ok(true)
    }

    /// Brings the registry up to the database.
    pub(crate) async fn catch_up(&self, known: &mut Revision) -> Result<(), KeyError> {
        let changes = self.stores.journal.since(*known).await?;
        let in_force = changes.master_key.clone();
        self.sealers_mut(|sealers| {
            let resealed = |next: &&mut Arc<Sealer>| in_force.as_ref() == Some(next.fingerprint());
            if let Some(next) = sealers.next.as_mut().filter(resealed) {
                sealers.current = next.clone();
                sealers.next = None;
            }
        });
        let sealer = self.sealer();
        let revision = changes.revision;
        // Revocations count even if the seals are out of reach.
        self.registry.apply(changes, &sealer);
        match in_force {
            Some(expected) if expected != *sealer.fingerprint() => Err(KeyError::WrongMasterKey {
                found: sealer.fingerprint().clone(),
                expected,
            }),
            _ => {
                *known = revision;
                Ok(())
            }
        }
    }

    /// Takes in a change of our own. If others came before it, the revision stays behind, so
    /// that theirs are asked for.
    pub(crate) fn take_in(&self, known: &mut Revision, changes: Changes) {
        if changes.revision == known.next() {
            *known = changes.revision;
        }
        self.registry.apply(changes, &self.sealer());
    }
}

impl Change {
    async fn write(&self, stores: &Stores, expected: Revision) -> Result<Revision, ChangeError> {
        match self {
            Self::AddApp(app) => stores.apps.add(app, expected).await,
            Self::UpdateApp { app, mark } => stores.apps.update(app, mark.as_ref(), expected).await,
            Self::AddKey(new) => stores.keys.add(&new.key, new.signs, expected).await,
            Self::Rotate {
                old, until, new, ..
            } => {
                stores
                    .keys
                    .rotate(old.id, *until, &new.key, new.signs, expected)
                    .await
            }
            Self::Revoke { keys, at } => {
                let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
                let state = KeyState::Revoked { at: *at };
                stores.keys.set_state(&ids, state, expected).await
            }
            Self::Release { key, made } => stores.keys.release(key, made, expected).await,
            Self::Label(key) => stores.keys.set_label(key.id, &key.label, expected).await,
            Self::DeleteApp { app, at } => stores.apps.remove(*app, *at, expected).await,
            Self::AddApiKey(record) => stores.api_keys.add(record, expected).await,
            Self::RevokeApiKey(record) => {
                let at = record.revoked.unwrap_or(record.created);
                stores.api_keys.revoke(record.id, at, expected).await
            }
        }
    }

    /// The rows that it wrote, as they are now.
    fn changes(self, revision: Revision) -> Changes {
        let mut changes = Changes::none(revision);
        match self {
            Self::AddApp(app) => changes.apps.push(app),
            Self::UpdateApp { app, mark } => {
                changes.revocations.extend(mark);
                changes.apps.push(app);
            }
            Self::AddKey(new) => (changes.apps, changes.keys) = new.rows(),
            Self::Rotate {
                old,
                until,
                new,
                api_keys,
            } => {
                (changes.apps, changes.keys) = new.rows();
                changes.keys.push(KeyRecord {
                    state: KeyState::Retiring { until },
                    ..*old
                });
                changes.api_keys = api_keys;
            }
            Self::Revoke { keys, .. } => changes.keys = keys,
            Self::Release { key, made } => {
                changes.keys = made;
                changes.keys.push(*key);
            }
            Self::Label(key) => changes.keys.push(*key),
            Self::DeleteApp { app, .. } => changes.deleted.push(app),
            Self::AddApiKey(record) | Self::RevokeApiKey(record) => changes.api_keys.push(record),
        }
        changes
    }
}

impl NewcomerKey {
    fn rows(self) -> (Vec<App>, Vec<KeyRecord>) {
        let signing_key = Some(self.key.id);
        let app = self.signs.then_some(App {
            signing_key,
            ..self.app
        });
        (app.into_iter().collect(), vec![self.key])
    }
}

// Each lost attempt is a change of somebody else, so this many come before one is given up.
pub(crate) const ATTEMPTS: usize = 64;
