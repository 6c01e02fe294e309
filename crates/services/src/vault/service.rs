use hexline_model::{AppId, Secret};

use super::seal::{Purpose, SealError};
use super::store::{SealStoreError, VaultEntry};
use crate::keys::{KeyError, KeyService};
use crate::store::StoreError;

/// The vault: secrets that are no keys of apps, such as a provider's client secret. Sealed like
/// the keys, and re-sealed with them.
impl KeyService {
    /// Keeps a secret under a name, in the place of what stood there. With an app it is removed
    /// when the app is deleted.
    pub async fn put_secret(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
    ) -> Result<(), KeyError> {
        self.write_secret(name, app, secret, true).await
    }

    /// Keeps a secret under a name, unless one stands there: of several that begin it at once, on
    /// whichever nodes, one succeeds, and all have to [open](Self::open_secret) what is there now.
    pub async fn put_secret_once(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
    ) -> Result<(), KeyError> {
        self.write_secret(name, app, secret, false).await
    }

    async fn write_secret(
        &self,
        name: &str,
        app: Option<AppId>,
        secret: Secret<String>,
        replaces: bool,
    ) -> Result<(), KeyError> {
        check_name(name)?;
        let bytes = secret.expose().len();
        if bytes > MAX_SECRET {
            return Err(KeyError::Order {
                what: "secret",
                found: format!("{bytes} bytes long"),
                expected: "at most 16 KiB",
            });
        }
        for _ in 0..ATTEMPTS {
            let sealer = self.sealer();
            let entry = VaultEntry {
                name: name.to_owned(),
                app,
                sealed: sealer.seal(Purpose::Vault { name, app }, secret.expose()),
            };
            let put = self
                .stores
                .vault
                .put(&entry, sealer.fingerprint(), replaces);
            match put.await {
                Err(SealStoreError::MasterKey { .. }) => self.follow_the_master_key().await?,
                Err(SealStoreError::Store(StoreError::NotFound { .. })) => {
                    return Err(KeyError::AppUnknown {
                        name: app.map_or_else(String::new, |app| app.to_string()),
                    });
                }
                result => return Ok(result?),
            }
        }
        Err(KeyError::Contended)
    }

    /// The secret under a name.
    pub async fn open_secret(&self, name: &str) -> Result<Option<Secret<String>>, KeyError> {
        for last in [false, true] {
            let sealer = self.sealer();
            let Some(entry) = self.stores.vault.lookup(name).await? else {
                return Ok(None);
            };
            let app = entry.app;
            match sealer.open(Purpose::Vault { name, app }, &entry.sealed) {
                Ok(secret) => return Ok(Some(secret)),
                // It may have been re-sealed since this process looked last.
                Err(SealError::Unopened) if !last => self.follow_the_master_key().await?,
                Err(source) => return Err(KeyError::VaultSeal { source }),
            }
        }
        Ok(None)
    }

    /// Forgets the secret under a name; `false` if there was none.
    pub async fn remove_secret(&self, name: &str) -> Result<bool, KeyError> {
        Ok(self.stores.vault.remove(name).await?)
    }

    async fn follow_the_master_key(&self) -> Result<(), KeyError> {
        let mut known = self.known.lock().await;
        self.catch_up(&mut known).await
    }
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(KeyError::Order {
        what: "name of a secret",
        found: format!("{} bytes long or not plain", name.len()),
        expected: "1 to 300 printable ASCII characters without spaces",
    })
}

const MAX_NAME: usize = 300;
const MAX_SECRET: usize = 16 << 10;
const ATTEMPTS: usize = 8;
