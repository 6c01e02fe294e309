use std::sync::{PoisonError, RwLock};

use anyhow::Context as _;
use hexline_model::{Device, Identity, KeyId, Timestamp};
use hexline_services::apps::AppName;
use hexline_services::keys::{KeyError, KeyService};
use hexline_token::{PrivateKey, TokenBuilder};
use serde_json::json;

/// Mints what `POST /token` gives away: every service, for an hour.
pub struct DemoTokens {
    app: Source,
    url: String,
    /// A builder for the key that signed last, so that the key is opened once.
    template: RwLock<Option<(KeyId, TokenBuilder)>>,
}

/// Whose tokens they are.
enum Source {
    Named(AppName),
    /// The demo app, or if there is none the only app.
    Demo(AppName),
}

impl DemoTokens {
    /// `app` is the one whose signing key is used, `url` what the tokens name as audience.
    pub fn new(app: Option<&str>, url: &str) -> anyhow::Result<Self> {
        let name = |text| {
            AppName::parse(text)
                .with_context(|| format!("token_service.app is {text:?}, expected an app's name"))
        };
        let app = match app {
            Some(app) => Source::Named(name(app)?),
            None => Source::Demo(name(DEMO_APP)?),
        };
        Ok(Self {
            app,
            url: url.to_owned(),
            template: RwLock::default(),
        })
    }

    /// A token for a user's device.
    pub(crate) fn mint(
        &self,
        keys: &KeyService,
        identity: &Identity,
        device: &Device,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let builder = self.builder(keys, now)?;
        let token = builder
            .identity(identity.as_str())
            .device(device.as_str())
            .build_at(now);
        Ok(token.expect("identity, device and key are well formed"))
    }

    fn builder(&self, keys: &KeyService, now: Timestamp) -> Result<TokenBuilder, KeyError> {
        let (Source::Named(name) | Source::Demo(name)) = &self.app;
        let signer = keys.registry().signer(name, now);
        if let Some((key, template)) = self
            .template
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            && Some(*key) == signer
        {
            return Ok(template.clone());
        }
        let app = match (
            &self.app,
            keys.registry().find_app(name.as_str()),
            keys.registry().apps().as_slice(),
        ) {
            (_, Ok(app), _) => app.id,
            (Source::Demo(_), Err(_), [only]) => only.id,
            (_, Err(error), _) => return Err(error.into()),
        };
        let key = keys.signing_key(app)?;
        let signer = PrivateKey::hmac(key.algorithm, key.secret.expose().as_bytes())
            .expect("a stored secret was validated when it was made");
        let builder = TokenBuilder::create()
            .signing_key(key.id.to_string(), signer)
            .api(&self.url)
            .grants(json!({ "chat": true, "push": true, "signal": true, "video": true }))
            .ttl(DEMO_TTL_S);
        *self
            .template
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some((key.id, builder.clone()));
        Ok(builder)
    }
}

const DEMO_TTL_S: u64 = 3600;

/// The app that `--dev` makes, and that the demo token service uses unless told otherwise.
pub const DEMO_APP: &str = "demo";
