//! Commands on apps and keys, carried out by a server elsewhere: over its platform API, with a
//! platform token, which is for one app.

use std::path::PathBuf;
use std::time::Duration;

use hexline_server::control::{
    Answer, AppChanges, AppView, Command, DisconnectedView, HoldView, ImportedKey, KeyOptions,
    KeyView, LiftedView, NewKeyView, RevokedKeyView, RevokedView, TokenScope, Who,
};
use hexline_server::crypto_provider;
use hexline_services::apps::AppSettings;
use http::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value, json};

use super::exit::{CliError, Exit, with_causes};
use super::{Context, DataArgs, address, ask, office};

/// Which records a command on apps and keys works on: a data directory, or a server elsewhere.
#[derive(clap::Args, Default)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A running server's base URL: the command goes over its platform API.
    #[arg(long, conflicts_with = "data")]
    url: Option<String>,
    /// With --url: a platform token; '-' reads it from stdin; `HEXLINE_PLATFORM_TOKEN` if it is
    /// not given.
    #[arg(long, env = "HEXLINE_PLATFORM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// With --url: certificates to trust beside the public ones, PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

impl PlaceArgs {
    /// Carries out a command where it belongs. `make` allows to make a data directory.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        command: Command,
        make: bool,
    ) -> Result<Answer, CliError> {
        match &self.url {
            None => office::carry_out(&context.records(&self.data)?, command, make).await,
            Some(url) => self.remote(url)?.carry_out(command).await,
        }
    }

    /// The base URL of the server that the command went to, or would go to.
    pub(crate) async fn api(&self, context: &Context) -> Result<String, CliError> {
        match &self.url {
            None => address::base_url(&context.records(&self.data)?).await,
            Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        }
    }

    /// Whether the command goes over the platform API of a server elsewhere.
    pub(crate) fn is_remote(&self) -> bool {
        self.url.is_some()
    }

    fn remote(&self, url: &str) -> Result<Remote, CliError> {
        let given = self.token.as_deref().filter(|token| !token.is_empty());
        let token = given.ok_or_else(|| {
            CliError::usage(
                "no token: set HEXLINE_PLATFORM_TOKEN, or give --token TOKEN ('-' is stdin); \
                 hexline token create --access platform makes one",
            )
        })?;
        if !["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(CliError::usage(
                "--url is no http:// or https:// URL, such as https://api.example.org",
            ));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        if let Some(path) = &self.ca {
            let pem = ask::file(path)?;
            let found = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
            let (added, _) = roots.add_parsable_certificates(found);
            if added == 0 {
                return Err(CliError::usage(format!(
                    "{} holds no certificate in PEM",
                    path.display()
                )));
            }
        }
        let tls = ClientConfig::builder_with_provider(crypto_provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| CliError::failed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // The token is for this server and no other.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| CliError::failed(with_causes(&error)))?;
        Ok(Remote {
            http,
            base: format!("{}/platform/v1", url.trim_end_matches('/')),
            token: ask::token(token)?,
        })
    }
}

/// A server's platform API.
struct Remote {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Remote {
    async fn carry_out(&self, command: Command) -> Result<Answer, CliError> {
        match command {
            Command::AppShow { app } => {
                let settings = self.settings_of(&app).await?;
                app_view(&settings).map(Answer::App)
            }
            Command::AppSet { app, changes } => {
                self.settings_of(&app).await?;
                let body = settings_body(&changes);
                let changed = self.call(Method::PATCH, "settings", Some(body)).await?;
                app_view(&changed).map(Answer::App)
            }
            Command::TokensRevoke { app, tokens } => {
                self.settings_of(&app).await?;
                let body = revocation_body(tokens);
                let made = self.call(Method::POST, "revocations", Some(body)).await?;
                Ok(Answer::Revoked(RevokedView {
                    app,
                    at_ms: made["expires_ms"]
                        .as_i64()
                        .or_else(|| made["at_ms"].as_i64())
                        .unwrap_or_default(),
                }))
            }
            Command::Disconnect { app, who, hold_s } => self.disconnect(app, &who, hold_s).await,
            Command::HoldList { app } => self.list_holds(&app).await,
            Command::HoldLift { app, who } => self.lift_hold(app, &who).await,
            Command::KeyCreate {
                app,
                options,
                algorithm,
            } => {
                let app = self.name_of(app).await?;
                let mut body = options_body(options)?;
                if let Some(algorithm) = algorithm {
                    body.insert("algorithm".to_owned(), algorithm.to_string().into());
                }
                let made = self.call(Method::POST, "keys", Some(body.into())).await?;
                new_key(&made, &app, None)
            }
            Command::KeyList { app } => {
                let app = self.name_of(app).await?;
                let keys = self.pages("keys").await?;
                Ok(Answer::Keys(
                    keys.iter().map(|key| key_view(key, &app)).collect(),
                ))
            }
            Command::KeyShow { key } => {
                let app = self.name_of(None).await?;
                let key = self.call(Method::GET, &key_path(&key), None).await?;
                Ok(Answer::Key(key_view(&key, &app)))
            }
            Command::KeyRotate { key, overlap_ms } => {
                let app = self.name_of(None).await?;
                let path = key_path(&key);
                let body = json!({ "overlap_ms": overlap_ms });
                let made = self
                    .call(Method::POST, &format!("{path}/rotate"), Some(body))
                    .await?;
                let old = self.call(Method::GET, &path, None).await?;
                new_key(&made, &app, Some(&old))
            }
            Command::KeyLabel { key, label } => {
                let app = self.name_of(None).await?;
                let body = json!({ "label": label });
                let key = self
                    .call(Method::PATCH, &key_path(&key), Some(body))
                    .await?;
                Ok(Answer::Key(key_view(&key, &app)))
            }
            Command::KeyRevoke { key, keep_made } => {
                let app = self.name_of(None).await?;
                let path = format!("{}/revoke", key_path(&key));
                let body = keep_made.then(|| json!({ "keep_made": true }));
                let revoked = self.call(Method::POST, &path, body).await?;
                let made = revoked["made"].as_array().into_iter().flatten();
                Ok(Answer::RevokedKey(Box::new(RevokedKeyView {
                    key: key_view(&revoked["key"], &app),
                    made: made.map(|key| key_view(key, &app)).collect(),
                })))
            }
            Command::KeyImport {
                app,
                options,
                material,
            } => {
                let app = self.name_of(app).await?;
                let mut body = options_body(options)?;
                body.extend(import_body(material)?);
                let made = self
                    .call(Method::POST, "keys/import", Some(body.into()))
                    .await?;
                Ok(Answer::Key(key_view(&made["key"], &app)))
            }
            _ => Err(CliError::usage(
                "a platform token is for one app that exists: this command works on the server's \
                 own machine (without --url), or in the Console",
            )),
        }
    }

    async fn disconnect(&self, app: String, who: &Who, hold_s: u64) -> Result<Answer, CliError> {
        self.settings_of(&app).await?;
        let mut body = who_body(who);
        body["hold_s"] = hold_s.into();
        let path = "connections/disconnect";
        let done = self.call(Method::POST, path, Some(body)).await?;
        let closed = done["closed"].as_u64();
        Ok(Answer::Disconnected(DisconnectedView {
            app,
            closed: closed
                .and_then(|closed| usize::try_from(closed).ok())
                .unwrap_or_default(),
            held_until_ms: done["held_until_ms"].as_i64(),
        }))
    }

    async fn list_holds(&self, app: &str) -> Result<Answer, CliError> {
        self.settings_of(app).await?;
        let holds = self.pages("holds").await?.into_iter();
        let holds: Result<Vec<HoldView>, _> = holds.map(serde_json::from_value).collect();
        let unknown = |_| CliError::failed("the answer holds something else than holds");
        Ok(Answer::Holds(holds.map_err(unknown)?))
    }

    async fn lift_hold(&self, app: String, who: &Who) -> Result<Answer, CliError> {
        self.settings_of(&app).await?;
        let body = Some(who_body(who));
        let done = self.call(Method::POST, "holds/lift", body).await?;
        let lifted = done["lifted"].as_bool().unwrap_or_default();
        Ok(Answer::HoldLifted(LiftedView { app, lifted }))
    }

    /// The settings of the token's app, which has to be the one that was named.
    async fn settings_of(&self, app: &str) -> Result<Value, CliError> {
        let settings = self.call(Method::GET, "settings", None).await?;
        if settings["name"] == app || settings["app"] == app {
            return Ok(settings);
        }
        Err(CliError::new(
            Exit::NotFound,
            format!(
                "the token is for app {}, not for {app:?}",
                settings["name"].as_str().unwrap_or("?")
            ),
        ))
    }

    /// The name of the token's app. A token that may not read settings does not tell it, which
    /// matters only if one was named.
    async fn name_of(&self, app: Option<String>) -> Result<String, CliError> {
        if let Some(app) = app {
            self.settings_of(&app).await?;
            return Ok(app);
        }
        match self.call(Method::GET, "settings", None).await {
            Ok(settings) => Ok(settings["name"].as_str().unwrap_or_default().to_owned()),
            Err(error) if error.exit == Exit::Refused => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// All pages of a list.
    async fn pages(&self, path: &str) -> Result<Vec<Value>, CliError> {
        let (mut all, mut query) = (Vec::new(), format!("{path}?limit=200"));
        loop {
            let mut page = self.call(Method::GET, &query, None).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            let Some(next) = page["next"].as_str() else {
                return Ok(all);
            };
            let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
            query = format!("{path}?limit=200&cursor={next}");
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CliError> {
        let url = format!("{}/{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let failed = |error: reqwest::Error| {
            CliError::new(Exit::Unavailable, with_causes(&error.without_url()))
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(failed)?;
        let answer = serde_json::from_str::<Value>(&text);
        if (200..300).contains(&status) {
            return answer.map_err(|_| {
                CliError::failed("the answer is no JSON: is this a Hexline server's base URL?")
            });
        }
        let refusal = answer.unwrap_or_default();
        let exit = match status {
            401 | 403 => Exit::Refused,
            404 => Exit::NotFound,
            409 => Exit::Conflict,
            400 | 413 | 415 | 422 => Exit::Usage,
            429 | 500.. => Exit::Unavailable,
            _ => Exit::Failed,
        };
        let message = match (refusal["code"].as_str(), refusal["message"].as_str()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => format!("the server answered {status}: is --url a Hexline server's base URL?"),
        };
        Err(CliError::new(exit, message))
    }
}

fn key_path(key: &str) -> String {
    let key: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
    format!("keys/{key}")
}

fn app_view(settings: &Value) -> Result<AppView, CliError> {
    let text = |member: &str| settings[member].as_str().unwrap_or_default().to_owned();
    let own = json!({
        "longest_ttl": settings["longest_ttl_s"],
        "exp_required": settings["exp_required"],
        "audiences": settings["audiences"],
        "origins": settings["origins"],
        "limits": settings["limits"],
    });
    let own: AppSettings = serde_json::from_value(own).map_err(|_| {
        CliError::failed("the server answers with settings that this version does not know")
    })?;
    Ok(AppView {
        id: text("app"),
        name: text("name"),
        created_ms: settings["created_ms"].as_i64().unwrap_or_default(),
        disabled_ms: settings["disabled_ms"].as_i64(),
        signing_key: settings["signing_key"].as_str().map(str::to_owned),
        connections: None,
        settings: own,
    })
}

fn settings_body(changes: &AppChanges) -> Value {
    let mut body = json!({
        "exp_required": changes.exp_required,
        "audiences": changes.audiences,
        "origins": changes.origins,
        "limits": changes.limits,
        "signing_key": changes.signing_key,
        "longest_ttl_s": changes.longest_ttl_ms.map(|ttl| ttl / 1000),
    });
    drop_nulls(&mut body);
    body
}

fn revocation_body(tokens: TokenScope) -> Value {
    let mut body = match tokens {
        TokenScope::Jti { jti, until_ms } => json!({ "jti": jti, "expires_ms": until_ms }),
        TokenScope::Identity {
            identity,
            device,
            issued_before_ms,
        } => json!({
            "identity": identity,
            "device": device,
            "issued_before_ms": issued_before_ms,
        }),
        TokenScope::All { issued_before_ms } => {
            json!({ "all": true, "issued_before_ms": issued_before_ms })
        }
    };
    drop_nulls(&mut body);
    body
}

fn who_body(who: &Who) -> Value {
    let mut body = json!({ "identity": who.identity, "device": who.device });
    drop_nulls(&mut body);
    body
}

fn drop_nulls(body: &mut Value) {
    if let Value::Object(members) = body {
        members.retain(|_, value| !value.is_null());
    }
}

fn options_body(options: KeyOptions) -> Result<Map<String, Value>, CliError> {
    let mut body = Map::new();
    if !options.label.is_empty() {
        body.insert("label".to_owned(), options.label.into());
    }
    if let Some(at) = options.expires_ms {
        body.insert("expires_ms".to_owned(), at.into());
    }
    if let Some(ceiling) = options.ceiling {
        let ceiling: Value = serde_json::from_str(&ceiling)
            .map_err(|error| CliError::usage(format!("the ceiling is no JSON: {error}")))?;
        body.insert("ceiling".to_owned(), ceiling);
    }
    Ok(body)
}

fn import_body(material: ImportedKey) -> Result<Map<String, Value>, CliError> {
    let parsed = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| CliError::usage(format!("the key is no JSON: {error}")))
    };
    let mut body = match material {
        ImportedKey::Hmac {
            id,
            secret,
            algorithm,
        } => json!({
            "kind": "hmac",
            "id": id,
            "secret": secret,
            "algorithm": algorithm.map(|algorithm| algorithm.to_string()),
        }),
        ImportedKey::Pem { pem, algorithm } => json!({
            "kind": "pem",
            "pem": pem,
            "algorithm": algorithm.map(|algorithm| algorithm.to_string()),
        }),
        ImportedKey::Jwk(text) => json!({ "kind": "jwk", "jwk": parsed(&text)? }),
        ImportedKey::Jwks(text) => json!({ "kind": "jwks", "jwks": parsed(&text)? }),
        ImportedKey::JwksUrl(_) => {
            return Err(CliError::usage(
                "the URL of a key set is entered on the server's own machine (without --url), or \
                 in the Console",
            ));
        }
    };
    drop_nulls(&mut body);
    let Value::Object(members) = body else {
        unreachable!("each of them is an object");
    };
    Ok(members)
}

fn new_key(made: &Value, app: &str, old: Option<&Value>) -> Result<Answer, CliError> {
    let secret = made["secret"].as_str();
    let secret = secret.ok_or_else(|| CliError::failed("the answer holds no secret"))?;
    Ok(Answer::NewKey(Box::new(NewKeyView {
        replaces: old.map(|old| key_view(old, app)),
        key: key_view(&made["key"], app),
        secret: secret.to_owned(),
    })))
}

fn key_view(key: &Value, app: &str) -> KeyView {
    let text = |member: &str| key[member].as_str().map(str::to_owned);
    let ceiling = &key["ceiling"];
    KeyView {
        id: text("id").unwrap_or_default(),
        app: app.to_owned(),
        label: text("label").unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        algorithm: text("algorithm"),
        state: text("state").unwrap_or_default(),
        until_ms: key["ends_ms"].as_i64(),
        revoked_ms: key["revoked_ms"].as_i64(),
        created_ms: key["created_ms"].as_i64().unwrap_or_default(),
        last_used_ms: key["last_used_ms"].as_i64(),
        ceiling: (!ceiling.is_null()).then(|| ceiling.clone()),
        made_by: text("made_by"),
        signs: key["signs"].as_bool().unwrap_or_default(),
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
