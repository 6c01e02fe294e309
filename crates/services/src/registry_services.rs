use std::sync::Arc;

use hexline_model::{Clock, Entropy};

use crate::apps::AppService;
use crate::keys::{KeyError, KeyOptions, KeyRegistry, KeyService, RegistryWriter, Stores};
use crate::revocations::RevocationService;
use crate::vault::{Sealer, VaultService};

/// The services that keep what tokens are checked against, over one registry and one vault.
#[derive(Debug, Clone)]
pub struct RegistryServices {
    /// Apps.
    pub apps: Arc<AppService>,
    /// Keys and public ids.
    pub keys: Arc<KeyService>,
    /// Revocations and holds.
    pub revocations: Arc<RevocationService>,
    /// Secrets.
    pub vault: Arc<VaultService>,
}

impl RegistryServices {
    /// Opens them: checks that the master key is the database's (a new database takes it over) and
    /// loads everything.
    pub async fn open(
        stores: Stores,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: KeyOptions,
    ) -> Result<Self, KeyError> {
        let (seals, secrets) = (Arc::clone(&stores.seals), Arc::clone(&stores.vault));
        let vault = Arc::new(VaultService::open(seals, secrets, sealer).await?);
        let audiences = options.base_audiences.clone();
        let writer = RegistryWriter::open(stores, Arc::clone(&vault), audiences).await?;
        let writer = Arc::new(writer);
        let (shared, time) = (|| Arc::clone(&writer), || Arc::clone(&clock));
        Ok(Self {
            apps: Arc::new(AppService::new(shared(), time(), Arc::clone(&entropy))),
            revocations: Arc::new(RevocationService::new(shared(), time())),
            keys: Arc::new(KeyService::new(
                shared(),
                time(),
                entropy,
                options.jwks_urls,
            )),
            vault,
        })
    }

    /// What tokens are checked against.
    pub fn registry(&self) -> &Arc<KeyRegistry> {
        self.keys.registry()
    }
}
