use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use hexline_model::{AppId, Secret};

use super::error::{VaultError, WrongMasterKey};
use super::seal::{Fingerprint, MasterKey, Purpose, SealError, Sealed, Sealer};
use super::store::{SealStore, SealStoreError, VaultEntry, VaultStore};
use crate::apps::UnknownApp;
use crate::store::StoreError;

/// The vault: it has the master key, and keeps secrets that are no keys of apps, such as a
/// provider's client secret, sealed like the keys and re-sealed with them.
pub struct VaultService {
    seals: Arc<dyn SealStore>,
    secrets: Arc<dyn VaultStore>,
    sealers: RwLock<Sealers>,
}

struct Sealers {
    current: Arc<Sealer>,
    /// Set while the store re-seals, so that a re-seal whose end nobody saw is understood.
    next: Option<Arc<Sealer>>,
}

impl VaultService {
    /// Opens the vault: checks that the master key is the database's. A new database takes it over.
    pub async fn open(
        seals: Arc<dyn SealStore>,
        secrets: Arc<dyn VaultStore>,
        sealer: Sealer,
    ) -> Result<Self, VaultError> {
        let expected = seals.claim(sealer.fingerprint()).await?;
        let vault = Self {
            seals,
            secrets,
            sealers: RwLock::new(Sealers {
                current: Arc::new(sealer),
                next: None,
            }),
        };
        vault.check(Some(&expected))?;
        Ok(vault)
    }

    /// Keeps a secret under a name, in the place of what stood there. With an app it is removed
    /// when the app is deleted.
    pub async fn put_secret(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
    ) -> Result<(), VaultError> {
        self.write_secret(name, app, secret, true).await
    }

    /// Keeps a secret under a name, unless one stands there: of several that begin it at once, on
    /// whichever nodes, one succeeds, and all have to [open](Self::open_secret) what is there now.
    pub async fn put_secret_once(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
    ) -> Result<(), VaultError> {
        self.write_secret(name, app, secret, false).await
    }

    async fn write_secret(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
        replaces: bool,
    ) -> Result<(), VaultError> {
        check_name(name)?;
        let bytes = secret.expose().len();
        if bytes > MAX_SECRET {
            return Err(VaultError::Invalid {
                what: "secret",
                found: format!("{bytes} bytes long"),
                expected: "at most 16 KiB",
            });
        }
        let mut sealer = self.sealer();
        for _ in 0..ATTEMPTS {
            let entry = VaultEntry {
                name: name.to_owned(),
                app,
                sealed: sealer.seal(Purpose::Vault { name, app }, secret.expose()),
            };
            let put = self.secrets.put(&entry, sealer.fingerprint(), replaces);
            match put.await {
                Err(SealStoreError::MasterKey { .. }) => sealer = self.sealer_in_force().await?,
                Err(SealStoreError::Store(StoreError::NotFound { .. })) => {
                    let name = app.map_or_else(String::new, |app| app.to_string());
                    return Err(UnknownApp { name }.into());
                }
                result => return Ok(result?),
            }
        }
        Err(VaultError::Contended)
    }

    /// The secret under a name.
    pub async fn open_secret(&self, name: &str) -> Result<Option<Secret<String>>, VaultError> {
        let mut sealer = self.sealer();
        for last in [false, true] {
            let Some(entry) = self.secrets.lookup(name).await? else {
                return Ok(None);
            };
            let app = entry.app;
            match sealer.open(Purpose::Vault { name, app }, &entry.sealed) {
                Ok(secret) => return Ok(Some(secret)),
                // It may have been re-sealed since this process looked last.
                Err(SealError::Unopened) if !last => sealer = self.sealer_in_force().await?,
                Err(source) => return Err(VaultError::Seal { source }),
            }
        }
        Ok(None)
    }

    /// Forgets the secret under a name; `false` if there was none.
    pub async fn remove_secret(&self, name: &str) -> Result<bool, VaultError> {
        Ok(self.secrets.remove(name).await?)
    }

    /// The name of the master key in force, as this process knows it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.sealer().fingerprint().clone()
    }

    /// What seals and opens.
    pub(crate) fn sealer(&self) -> Arc<Sealer> {
        self.read(|sealers| Arc::clone(&sealers.current))
    }

    /// Re-seals every secret of the store under a new master key. How many there were. What seals
    /// from then on is the new one as soon as this process [follows](Self::follow).
    pub(crate) async fn reseal(&self, new: &MasterKey) -> Result<u64, VaultError> {
        let old = self.sealer();
        let new = Arc::new(Sealer::new(new));
        if old.fingerprint() == new.fingerprint() {
            return Err(VaultError::SameMasterKey {
                found: new.fingerprint().clone(),
            });
        }
        self.write(|sealers| sealers.next = Some(Arc::clone(&new)));
        let reseal = |purpose: Purpose<'_>, sealed: &Sealed| {
            let secret = old.open(purpose, sealed)?;
            Ok(new.seal(purpose, secret.expose()))
        };
        let resealed = self
            .seals
            .reseal(old.fingerprint(), new.fingerprint(), &reseal);
        Ok(resealed.await?)
    }

    /// Goes over to the next master key if it is the one in force now.
    pub(crate) fn follow(&self, in_force: Option<&Fingerprint>) {
        self.write(|sealers| {
            let resealed = |next: &&mut Arc<Sealer>| in_force == Some(next.fingerprint());
            if let Some(next) = sealers.next.as_mut().filter(resealed) {
                sealers.current = Arc::clone(next);
                sealers.next = None;
            }
        });
    }

    /// Refuses a master key in force that this process does not have.
    pub(crate) fn check(&self, in_force: Option<&Fingerprint>) -> Result<(), WrongMasterKey> {
        let found = self.fingerprint();
        match in_force {
            Some(expected) if *expected != found => Err(WrongMasterKey {
                found,
                expected: expected.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// What seals under the master key that the database has now, if this process knows it.
    async fn sealer_in_force(&self) -> Result<Arc<Sealer>, VaultError> {
        let in_force = self.seals.master_key().await?;
        let next = self.read(|sealers| sealers.next.clone());
        if let Some(next) = next.filter(|next| in_force.as_ref() == Some(next.fingerprint())) {
            return Ok(next);
        }
        self.check(in_force.as_ref())?;
        Ok(self.sealer())
    }

    fn read<T>(&self, look: impl FnOnce(&Sealers) -> T) -> T {
        look(&self.sealers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, edit: impl FnOnce(&mut Sealers)) {
        edit(&mut self.sealers.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for VaultService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultService")
    }
}

fn check_name(name: &str) -> Result<(), VaultError> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(VaultError::Invalid {
        what: "name of a secret",
        found: format!("{} bytes long or not plain", name.len()),
        expected: "1 to 300 printable ASCII characters without spaces",
    })
}

const MAX_NAME: usize = 300;
const MAX_SECRET: usize = 16 << 10;
const ATTEMPTS: usize = 8;
