use std::fmt;
use std::sync::Arc;

use hexline_model::{AppId, Clock, Entropy, KeyId, Timestamp};

use super::app::{App, AppChanges, AppName, AppSettings, TokenLife, UnknownApp};
use super::error::AppError;
use crate::keys::{Change, KeyRegistry, RegistryWriter, check_signs};
use crate::revocations::{Revocation, Scope, SweepHorizon, Target};

/// The rules of apps.
pub struct AppService {
    writer: Arc<RegistryWriter>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl AppService {
    /// Works on the apps of a registry.
    pub fn new(
        writer: Arc<RegistryWriter>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            writer,
            clock,
            entropy,
        }
    }

    /// Makes an app.
    pub async fn create(&self, name: AppName, settings: AppSettings) -> Result<App, AppError> {
        settings.check()?;
        let app = App {
            id: AppId::generate(&*self.entropy),
            name,
            created: self.clock.now(),
            disabled: None,
            longest_life: TokenLife::of(&settings),
            settings,
            signing_key: None,
        };
        self.writer
            .change(|| {
                if self.registry().find_app_by_name(&app.name).is_some() {
                    return Err(AppError::Exists {
                        name: app.name.clone(),
                    });
                }
                Ok((Some(Change::AddApp(app.clone())), app.clone()))
            })
            .await
    }

    /// Changes an app, all of it at once or nothing, and nothing but what is named. Tokens are
    /// judged by it from now on; what is open already stays open, however much tighter the
    /// settings are, until its token ends or is revoked.
    ///
    /// Settings that are looser than any before also revoke what was issued so long ago that all
    /// of it was dead by then: revocations of that time may be forgotten, and must not come
    /// undone.
    pub async fn update(&self, id: AppId, changes: impl Into<AppChanges>) -> Result<App, AppError> {
        let changes = changes.into();
        let now = self.clock.now();
        self.writer
            .change(|| {
                let old = self.registry().known_app(id)?;
                let settings = changes.applied_to(&old.settings);
                settings.check()?;
                if let Some(key) = changes.signing_key {
                    check_signs(&self.registry().known_key(key)?, &old, now)?;
                }
                let new = App {
                    signing_key: changes.signing_key.or(old.signing_key),
                    ..old.clone().with_settings(settings)
                };
                let change = (new != old).then(|| Change::UpdateApp {
                    mark: mark_of_loosening(&old, &new, now),
                    app: new.clone(),
                });
                Ok((change, new))
            })
            .await
    }

    /// Refuses every token of an app until [`enable`](Self::enable). Twice is once.
    pub async fn disable(&self, id: AppId) -> Result<App, AppError> {
        let now = self.clock.now();
        self.edit(id, |app| App {
            disabled: app.disabled.or(Some(now)),
            ..app
        })
        .await
    }

    /// Takes an app into use again.
    pub async fn enable(&self, id: AppId) -> Result<App, AppError> {
        self.edit(id, |app| App {
            disabled: None,
            ..app
        })
        .await
    }

    /// Lets this key sign what the server mints for its app: an active HMAC key.
    pub async fn set_signing_key(&self, id: KeyId) -> Result<App, AppError> {
        let now = self.clock.now();
        self.writer
            .change(|| {
                let key = self.registry().known_key(id)?;
                let old = self.registry().known_app(key.app)?;
                check_signs(&key, &old, now)?;
                let app = App {
                    signing_key: Some(id),
                    ..old
                };
                let change = Change::UpdateApp {
                    app: app.clone(),
                    mark: None,
                };
                Ok((Some(change), app))
            })
            .await
    }

    /// The app with this id or name.
    pub fn find(&self, name_or_id: &str) -> Result<App, UnknownApp> {
        self.registry().find_app(name_or_id)
    }

    /// Every app, by name.
    pub fn list(&self) -> Vec<App> {
        self.registry().apps()
    }

    async fn edit(&self, id: AppId, edit: impl Fn(App) -> App) -> Result<App, AppError> {
        self.writer
            .change(|| {
                let old = self.registry().known_app(id)?;
                let new = edit(old.clone());
                let change = (new != old).then(|| Change::UpdateApp {
                    app: new.clone(),
                    mark: None,
                });
                Ok((change, new))
            })
            .await
    }

    /// Gives an app another name. Its id, keys and tokens stay; the old name is free.
    pub async fn rename(&self, id: AppId, name: AppName) -> Result<App, AppError> {
        self.writer
            .change(|| {
                let old = self.registry().known_app(id)?;
                if old.name == name {
                    return Ok((None, old));
                }
                if self.registry().find_app_by_name(&name).is_some() {
                    return Err(AppError::Exists { name: name.clone() });
                }
                let new = App {
                    name: name.clone(),
                    ..old
                };
                let change = Change::UpdateApp {
                    app: new.clone(),
                    mark: None,
                };
                Ok((Some(change), new))
            })
            .await
    }

    /// Deletes an app with everything that it owns, for ever: its keys name nothing from now on,
    /// what they opened is closed, its name is free.
    pub async fn delete(&self, id: AppId) -> Result<App, AppError> {
        let at = self.clock.now();
        self.writer
            .change(|| {
                let app = self.registry().known_app(id)?;
                Ok((Some(Change::DeleteApp { app: id, at }), app))
            })
            .await
    }

    fn registry(&self) -> &KeyRegistry {
        self.writer.registry()
    }
}

impl fmt::Debug for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppService")
    }
}

/// What has to be revoked with a change to settings that are looser than any before: everything
/// issued up to where sweeping may have come. All of it is dead by the old settings, and some of
/// it may have been revoked.
fn mark_of_loosening(old: &App, new: &App, now: Timestamp) -> Option<Revocation> {
    if new.longest_life <= old.longest_life {
        return None;
    }
    let horizon = SweepHorizon::at(now, old.longest_life, KeyRegistry::leeway());
    Some(Revocation {
        app: old.id,
        target: Target::IssuedBefore(Scope::App),
        at: horizon.issued_before?,
    })
}
