//! Opening the records: database, master key and key service together, in the one right order.
//!
//! Used by the server at its start and by commands that work without one. [`open`] makes what is
//! missing, migrates and settles, so it takes the lock of the data directory; [`read`] does
//! nothing of this, and so may look while another process works.

use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Clock, Entropy, SystemClock};
use hexline_services::RegistryServices;
use hexline_services::keys::{KeyError, KeyOptions, KeyRegistry, RegistryError, Stores};
use hexline_services::operators::{OperatorService, RelyingParty, SecretVault};
use hexline_services::store::StoreError;
use hexline_services::vault::{Fingerprint, MasterKey, Sealer};
use hexline_store::{Database, DatabaseConfig, DatabaseError};

use crate::config::Config;
use crate::datadir::{DataLock, HeldKeyFile, MasterKeyError, MasterKeyFile};

/// What a server or a command works with.
pub struct Records {
    /// The database, its schema up to date.
    pub database: Database,
    /// Apps, keys, revocations and secrets, all loaded.
    pub services: RegistryServices,
    /// Who may sign in to the Console.
    pub operators: Arc<OperatorService>,
    /// Where the master key is.
    pub master_key: HeldKeyFile,
}

/// Why the records could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database is not to be had.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database does not say which master key it is sealed with.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no master key that fits.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// Keys and apps cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The same, for one look.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nothing was ever put into the database.
    #[error(
        "the database is empty: start the server or make an app (hexline app create NAME) first"
    )]
    Empty,
}

/// Opens the records that a configuration names. `port` is the one that the server listens on,
/// for the audiences that follow from it.
pub async fn open(
    config: &Config,
    port: u16,
    entropy: Arc<dyn Entropy>,
    lock: &DataLock,
) -> Result<Records, OpenError> {
    open_at(config, port, Arc::new(SystemClock::new()), entropy, lock).await
}

/// The same with a clock of one's own.
pub async fn open_at(
    config: &Config,
    port: u16,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    lock: &DataLock,
) -> Result<Records, OpenError> {
    let database = Database::open(&place(config)?, Arc::clone(&clock)).await?;
    let stores = database.stores();
    let master_key = MasterKeyFile::at(&config.master_key_path()).held(lock);
    let sealer = Sealer::new(&settle(&stores, &master_key, &*entropy).await?);
    let options = options(config, port);
    let services =
        RegistryServices::open(stores, sealer, clock.clone(), entropy.clone(), options).await?;
    let operators = OperatorService::new(
        database.operator_stores(),
        Arc::clone(&services.vault) as Arc<dyn SecretVault>,
        RelyingParty::of(&config.base_url(port), &config.audience_bases(port)),
        clock,
        entropy,
    );
    Ok(Records {
        database,
        services,
        operators: Arc::new(operators),
        master_key,
    })
}

/// Reads apps, keys and revocations as they are now. Makes, migrates and settles nothing, so it
/// needs no lock and harms nobody who works on the same records.
pub async fn read(config: &Config, port: u16) -> Result<Arc<KeyRegistry>, OpenError> {
    let clock = Arc::new(SystemClock::new());
    let database = Database::open_read_only(&place(config)?, clock).await?;
    let registry = read_from(&database.stores(), config, port).await;
    database.close().await;
    registry
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for, which goes by the machine's clock"
)]
async fn read_from(
    stores: &Stores,
    config: &Config,
    port: u16,
) -> Result<Arc<KeyRegistry>, OpenError> {
    let file = MasterKeyFile::at(&config.master_key_path());
    let mut attempts = 0..READ_ATTEMPTS;
    loop {
        let sealed_with = stores.seals.master_key().await?.ok_or(OpenError::Empty)?;
        let read = match file.find(&sealed_with) {
            Ok(found) => {
                let audiences = config.audience_bases(port);
                KeyRegistry::load(stores, &Sealer::new(&found.key), audiences)
                    .await
                    .map_err(OpenError::from)
            }
            Err(error) => Err(error.into()),
        };
        // The key may have been rotated between two of these steps.
        match read {
            Err(
                OpenError::MasterKey(_) | OpenError::Registry(RegistryError::WrongMasterKey(_)),
            ) if attempts.next().is_some() => {
                tokio::time::sleep(READ_RETRY).await;
            }
            decided => return decided,
        }
    }
}

// The database says which key it is sealed with, so that a missing file is never replaced by a
// new key that opens nothing.
async fn settle(
    stores: &Stores,
    file: &HeldKeyFile,
    entropy: &dyn Entropy,
) -> Result<MasterKey, OpenError> {
    let mut sealed_with = stores.seals.master_key().await?;
    while let Some(expected) = &sealed_with {
        match file.file().find(expected) {
            Ok(found) if !found.unsettled => return Ok(found.key),
            Ok(_) => break,
            // Another node may have rotated it since.
            Err(error) => {
                let now = stores.seals.master_key().await?;
                if now == sealed_with {
                    return Err(error.into());
                }
                sealed_with = now;
            }
        }
    }
    if sealed_with.is_none()
        && let Some(key) = file.file().read()?
    {
        return Ok(key);
    }
    let turn = file.turn().await?;
    let sealed_with: Option<Fingerprint> = stores.seals.master_key().await?;
    Ok(turn.settle(sealed_with.as_ref(), entropy)?)
}

/// Where the records of a configuration are.
pub(crate) fn place(config: &Config) -> Result<DatabaseConfig, DatabaseError> {
    DatabaseConfig::parse(config.database.as_deref(), &config.data_dir)
}

fn options(config: &Config, port: u16) -> KeyOptions {
    KeyOptions {
        base_audiences: config.audience_bases(port),
        jwks_urls: config.provider_rule(),
    }
}

const READ_ATTEMPTS: u32 = 5;
const READ_RETRY: Duration = Duration::from_millis(20);
