use hexline_model::{AppId, KeyId, Timestamp};

use super::app::{App, AppChanges, AppName, AppSettings, TokenLife};
use crate::keys::{Change, KeyError, KeyRegistry, KeyService, check_signs};
use crate::revocations::{Revocation, Scope, SweepHorizon, Target};

/// The rules of apps.
impl KeyService {
    /// Makes an app.
    pub async fn create_app(&self, name: AppName, settings: AppSettings) -> Result<App, KeyError> {
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
        self.change(|| {
            if self.registry.find_app_by_name(&app.name).is_some() {
                return Err(KeyError::AppExists {
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
    pub async fn update_app(
        &self,
        id: AppId,
        changes: impl Into<AppChanges>,
    ) -> Result<App, KeyError> {
        let changes = changes.into();
        let now = self.clock.now();
        self.change(|| {
            let old = self.app(id)?;
            let settings = changes.applied_to(&old.settings);
            settings.check()?;
            if let Some(key) = changes.signing_key {
                check_signs(&self.lookup(key)?, &old, now)?;
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

    /// Refuses every token of an app until [`enable_app`](Self::enable_app). Twice is once.
    pub async fn disable_app(&self, id: AppId) -> Result<App, KeyError> {
        let now = self.clock.now();
        self.update(id, |app| App {
            disabled: app.disabled.or(Some(now)),
            ..app
        })
        .await
    }

    /// Takes an app into use again.
    pub async fn enable_app(&self, id: AppId) -> Result<App, KeyError> {
        self.update(id, |app| App {
            disabled: None,
            ..app
        })
        .await
    }

    /// Lets this key sign what the server mints for its app: an active HMAC key.
    pub async fn set_signing_key(&self, id: KeyId) -> Result<App, KeyError> {
        let now = self.clock.now();
        self.change(|| {
            let key = self.lookup(id)?;
            let old = self.app(key.app)?;
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
    pub fn find_app(&self, name_or_id: &str) -> Result<App, KeyError> {
        let by_name = || {
            AppName::from_stored(name_or_id)
                .ok()
                .and_then(|name| self.registry.find_app_by_name(&name))
        };
        AppId::parse(name_or_id)
            .ok()
            .and_then(|id| self.registry.app(id))
            .or_else(by_name)
            .ok_or_else(|| KeyError::AppUnknown {
                name: name_or_id.to_owned(),
            })
    }

    /// Every app, by name.
    pub fn list_apps(&self) -> Vec<App> {
        self.registry.apps()
    }

    async fn update(&self, id: AppId, edit: impl Fn(App) -> App) -> Result<App, KeyError> {
        self.change(|| {
            let old = self.app(id)?;
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
    pub async fn rename_app(&self, id: AppId, name: AppName) -> Result<App, KeyError> {
        self.change(|| {
            let old = self.app(id)?;
            if old.name == name {
                return Ok((None, old));
            }
            if self.registry.find_app_by_name(&name).is_some() {
                return Err(KeyError::AppExists { name: name.clone() });
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
    pub async fn delete_app(&self, id: AppId) -> Result<App, KeyError> {
        let at = self.clock.now();
        self.change(|| {
            let app = self.app(id)?;
            Ok((Some(Change::DeleteApp { app: id, at }), app))
        })
        .await
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
