use async_trait::async_trait;
use hexline_model::Secret;

use super::error::OperatorError;
use super::store::SecretVault;
use crate::vault::VaultService;

#[async_trait]
impl SecretVault for VaultService {
    async fn put(&self, name: &str, secret: Secret<String>) -> Result<(), OperatorError> {
        Ok(self.put_secret(name, None, secret).await?)
    }

    async fn put_once(&self, name: &str, secret: Secret<String>) -> Result<(), OperatorError> {
        Ok(self.put_secret_once(name, None, secret).await?)
    }

    async fn open(&self, name: &str) -> Result<Option<Secret<String>>, OperatorError> {
        Ok(self.open_secret(name).await?)
    }

    async fn remove(&self, name: &str) -> Result<(), OperatorError> {
        self.remove_secret(name).await?;
        Ok(())
    }
}
