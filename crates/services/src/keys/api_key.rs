use hexline_model::{ApiKey, AppId, KeyId, Timestamp};

use super::change::Change;
use super::error::KeyError;
use super::service::{KeyService, check_signs};
use super::validate::check_label;

/// The public id by which an app without a server of its own names the HMAC key that signs its
/// users' tokens. No secret: it stands in pages and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// What the app's programs name.
    pub id: ApiKey,
    /// To which app it belongs.
    pub app: AppId,
    /// The HMAC key that signs; moves to the new key when that one is rotated.
    pub key: KeyId,
    /// For people; may be empty.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it names nothing.
    pub revoked: Option<Timestamp>,
}

/// The public ids of apps without a server of their own.
impl KeyService {
    /// Makes a public id for an HMAC key of an app, its signing key unless another is named.
    pub async fn create_api_key(
        &self,
        app: AppId,
        key: Option<KeyId>,
        label: impl Into<String>,
    ) -> Result<ApiKeyRecord, KeyError> {
        let label = label.into();
        check_label(&label)?;
        let created = self.clock.now();
        let id = ApiKey::generate(&*self.entropy);
        self.writer
            .change(|| {
                let app = self.registry.known_app(app)?;
                let none = || KeyError::NoSigningKey { app: app.id };
                let key = key.or(app.signing_key).ok_or_else(none)?;
                check_signs(&self.registry.known_key(key)?, &app, created)?;
                let record = ApiKeyRecord {
                    id,
                    app: app.id,
                    key,
                    label: label.clone(),
                    created,
                    revoked: None,
                };
                Ok((Some(Change::AddApiKey(record.clone())), record))
            })
            .await
    }

    /// Lets a public id name nothing any more, for ever. What it has signed stays good. Twice is
    /// once.
    pub async fn revoke_api_key(&self, id: ApiKey) -> Result<ApiKeyRecord, KeyError> {
        let at = self.clock.now();
        self.writer
            .change(|| {
                let old = self.api_key(id)?;
                if old.revoked.is_some() {
                    return Ok((None, old));
                }
                let new = ApiKeyRecord {
                    revoked: Some(at),
                    ..old
                };
                Ok((Some(Change::RevokeApiKey(new.clone())), new))
            })
            .await
    }

    /// Every public id of an app, revoked ones too, oldest first. Answers from memory.
    pub fn list_api_keys(&self, app: AppId) -> Result<Vec<ApiKeyRecord>, KeyError> {
        self.registry.known_app(app)?;
        let mut found = self.registry.api_keys_of(app);
        found.sort_by_key(|record| (record.created, record.id));
        Ok(found)
    }

    /// The public id that a program names, if it was not revoked. Answers from memory.
    pub fn find_api_key(&self, id: ApiKey) -> Result<ApiKeyRecord, KeyError> {
        let record = self.api_key(id)?;
        if record.revoked.is_some() {
            return Err(KeyError::ApiKeyRevoked { id });
        }
        Ok(record)
    }

    fn api_key(&self, id: ApiKey) -> Result<ApiKeyRecord, KeyError> {
        let found = self.registry.api_key(id);
        found.ok_or(KeyError::ApiKeyUnknown { id })
    }
}
