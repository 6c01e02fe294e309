use hexline_model::AppId;

use super::app::{App, AppName};
use super::change::Change;
use super::error::KeyError;
use super::service::KeyService;

/// An app's name and its end.
impl KeyService {
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
