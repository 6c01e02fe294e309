//! Opening the records: database, master key and key service together, in the one right order.
//!
//! Used by the server at its start and by commands that work without one. Whoever calls holds the
//! lock of the data directory, unless it only reads.

use std::sync::Arc;

use hexline_model::{Clock, Entropy, SystemClock};
use hexline_services::keys::{KeyError, KeyOptions, KeyService, Sealer, StoreError};
use hexline_store::{Database, DatabaseConfig, DatabaseError};

use crate::config::Config;
use crate::datadir::{MasterKeyError, MasterKeyFile};

/// What a server or a command works with.
pub struct Records {
    /// The database, its schema up to date.
    pub database: Database,
    /// Apps, keys and revocations, all loaded.
    pub keys: Arc<KeyService>,
    /// Where the master key is.
    pub master_key: MasterKeyFile,
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
}

/// Opens the records that a configuration names. `port` is the one that the server listens on,
/// for the audiences that follow from it.
pub async fn open(
    config: &Config,
    port: u16,
    entropy: Arc<dyn Entropy>,
) -> Result<Records, OpenError> {
    open_at(config, port, Arc::new(SystemClock::new()), entropy).await
}

/// The same with a clock of one's own.
pub async fn open_at(
    config: &Config,
    port: u16,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Records, OpenError> {
    let place = DatabaseConfig::parse(config.database.as_deref(), &config.data_dir)?;
    let database = Database::open(&place, Arc::clone(&clock)).await?;
    let stores = database.stores();
    // The database says which key it is sealed with, so that a missing file is never replaced by
    // a new key that opens nothing.
    let sealed_with = stores.seals.master_key().await?;
    let master_key = MasterKeyFile::at(&config.master_key_path());
    let sealer = Sealer::new(&master_key.settle(sealed_with.as_ref(), &*entropy)?);
    let options = KeyOptions {
        base_audiences: config.audience_bases(port),
        allow_insecure_loopback: config.dev,
    };
    let keys = KeyService::open(stores, sealer, clock, entropy, options).await?;
    Ok(Records {
        database,
        keys: Arc::new(keys),
        master_key,
    })
}
