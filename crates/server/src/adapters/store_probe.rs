use async_trait::async_trait;
use hexline_api::{StoreHealth, StoreProbe};
use hexline_store::{Backend, Database};

/// The database, as a probe asks it.
pub(crate) struct DatabaseProbe(pub(crate) Database);

#[async_trait]
impl StoreProbe for DatabaseProbe {
    fn kind(&self) -> &'static str {
        self.0.backend().as_str()
    }

    fn is_shared(&self) -> bool {
        self.0.backend() == Backend::Postgres
    }

    async fn probe(&self) -> Result<(), String> {
        self.0.probe().await.map_err(|error| error.to_string())
    }

    async fn health(&self) -> Option<StoreHealth> {
        let health = self.0.health().await.ok()?;
        Some(StoreHealth {
            version: health.version,
            schema: health.schema,
            connections: health.connections,
            durable: health.commits_wait && health.fsync,
        })
    }
}
