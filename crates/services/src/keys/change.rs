use hexline_model::{AppId, Timestamp};

use super::api_key::ApiKeyRecord;
use super::key::{KeyRecord, KeyState};
use super::store::{Changes, Stores};
use crate::apps::App;
use crate::revocations::Revocation;
use crate::store::{ChangeError, Revision};

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

impl Change {
    pub(super) async fn write(
        &self,
        stores: &Stores,
        expected: Revision,
    ) -> Result<Revision, ChangeError> {
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
    pub(super) fn changes(self, revision: Revision) -> Changes {
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
