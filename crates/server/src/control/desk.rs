use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hexline_gateway::{Connections, Hub, Target};
use hexline_model::{Clock, Device, Entropy, Identity, KeyId, NodeId, Secret, Subject, Timestamp};
use hexline_protocol::ErrorCode;
use hexline_services::RegistryServices;
use hexline_services::apps::{App, AppLimits, AppName, AppService, AppSettings};
use hexline_services::audit::AuditService;
use hexline_services::keys::{
    CreatedKey, KeyHandle, KeyRecord, KeyRegistry, KeyService, NewKey, RevokedKey,
};
use hexline_services::operators::OperatorService;
use hexline_services::revocations::{HeldOut, RevocationService, Scope};
use hexline_services::vault::{MasterKey, VaultService};
use hexline_token::{
    Access, Audiences, Claims, Grants, KeyEntry, KeyStatus, Registry, RevokedBy, Rules, Service,
    VerifyingKey, explain,
};

use super::command::{
    AppChanges, Command, Failure, FailureKind, ImportedKey, KeyOptions, Outcome, TokenScope, Who,
};
use super::note::Note;
use super::view::{
    Answer, AppView, DisconnectedView, HoldView, KeyView, LiftedView, NewKeyView, RevokedKeyView,
    RevokedView, RotatedView, StatusView,
};
use crate::datadir::{HeldKeyFile, MasterKeyError};

/// Where commands are carried out, in the server and without one.
pub struct Desk {
    apps: Arc<AppService>,
    keys: Arc<KeyService>,
    revocations: Arc<RevocationService>,
    vault: Arc<VaultService>,
    operators: Arc<OperatorService>,
    master_key: HeldKeyFile,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    /// The public URL, for links.
    url: String,
    served: Option<(String, SocketAddr, NodeId)>,
    audit: Option<Arc<AuditService>>,
    /// Who is connected, if it serves.
    hub: Option<Arc<Hub>>,
    connections: Option<Arc<Connections>>,
}

impl Desk {
    /// A desk over these services; `master_key` is the file that they are sealed with.
    pub fn new(
        services: RegistryServices,
        operators: Arc<OperatorService>,
        master_key: HeldKeyFile,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            apps: services.apps,
            keys: services.keys,
            revocations: services.revocations,
            vault: services.vault,
            operators,
            url: String::new(),
            master_key,
            entropy,
            clock,
            served: None,
            audit: None,
            hub: None,
            connections: None,
        }
    }

    /// The desk of a server that listens there, for whoever asks where it is.
    #[must_use]
    pub fn serving(mut self, url: &str, listen: SocketAddr, node: NodeId) -> Self {
        self.served = Some((url.to_owned(), listen, node));
        self.at(url)
    }

    /// The desk of a server that is found at this URL.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn registry(&self) -> &KeyRegistry {
        self.keys.registry()
    }

    pub(super) fn app_service(&self) -> &AppService {
        &self.apps
    }

    pub(super) fn operator_service(&self) -> &OperatorService {
        &self.operators
    }

    /// Lets it write down there what it changes.
    #[must_use]
    pub fn audited(mut self, audit: Arc<AuditService>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Lets it tell how many connections an app has, and close them.
    #[must_use]
    pub(crate) fn connected(mut self, hub: Arc<Hub>, connections: Arc<Connections>) -> Self {
        self.hub = Some(hub);
        self.connections = Some(connections);
        self
    }

    /// Carries out a command. What the answer tells is on disk, and what it changed is in the
    /// audit log.
    pub async fn execute(&self, command: Command) -> Outcome {
        let note = Note::of(&command, self.registry());
        let outcome = self.carry_out(command).await;
        if let (Some(audit), Some(note), Ok(answer)) = (&self.audit, note, &outcome) {
            audit.record(note.entry(answer, self.registry())).await;
        }
        outcome
    }

    async fn carry_out(&self, command: Command) -> Outcome {
        match command {
            Command::Status => Ok(Answer::Status(StatusView {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                apps: self.apps.list().len(),
                url: self.served.as_ref().map(|(url, ..)| url.clone()),
                listen: self.served.as_ref().map(|(_, listen, _)| *listen),
                node: self.served.as_ref().map(|(.., node)| *node),
            })),
            Command::AppCreate { name } => {
                let name = AppName::parse(&name)
                    .map_err(|e| Failure::invalid(format!("{e}, found {name:?}")))?;
                Ok(self.app_view(self.apps.create(name, AppSettings::default()).await?))
            }
            Command::AppList => Ok(Answer::Apps(
                self.apps
                    .list()
                    .into_iter()
                    .map(|app| self.view_app(app))
                    .collect(),
            )),
            Command::AppShow { app } => Ok(self.app_view(self.apps.find(&app)?)),
            Command::AppSet { app, changes } => self.set_app(&app, changes).await,
            Command::AppRename { app, name } => {
                let name = AppName::parse(&name)
                    .map_err(|e| Failure::invalid(format!("{e}, found {name:?}")))?;
                let app = self.apps.find(&app)?;
                Ok(self.app_view(self.apps.rename(app.id, name).await?))
            }
            Command::AppDelete { app, confirm } => {
                let app = self.apps.find(&app)?;
                if let Some(confirm) = confirm.filter(|name| name != app.name.as_str()) {
                    let name = &app.name;
                    return Err(Failure::invalid(format!(
                        "nothing was deleted: found the name {confirm:?}, expected {name}"
                    )));
                }
                Ok(self.app_view(self.apps.delete(app.id).await?))
            }
            Command::AppDisable { app } => {
                Ok(self.app_view(self.apps.disable(self.apps.find(&app)?.id).await?))
            }
            Command::AppEnable { app } => {
                Ok(self.app_view(self.apps.enable(self.apps.find(&app)?.id).await?))
            }
            Command::TokensRevoke { app, tokens } => self.revoke_tokens(&app, tokens).await,
            Command::Disconnect { app, who, hold_s } => self.disconnect(&app, &who, hold_s).await,
            Command::HoldList { app } => self.list_holds(&app).await,
            Command::HoldLift { app, who } => self.lift_hold(&app, &who).await,
            Command::KeyCreate {
                app,
                options,
                algorithm,
            } => {
                let order = NewKey::generate(algorithm.unwrap_or_default());
                let created = self.add_key(app.as_deref(), order, options).await?;
                Ok(self.created(created, None))
            }
            Command::KeyList { app } => self.list_keys(app.as_deref()).await,
            Command::KeyShow { key } => Ok(Answer::Key(
                self.view(&self.keys.lookup_key(key_id(&key)?).await?),
            )),
            Command::KeyRotate { key, overlap_ms } => {
                let old = key_id(&key)?;
                let created = self
                    .keys
                    .rotate_key(old, overlap_ms.map(Duration::from_millis))
                    .await?;
                let replaces = self.keys.lookup_key(old).await?;
                Ok(self.created(created, Some(&replaces)))
            }
            Command::KeyLabel { key, label } => Ok(Answer::Key(
                self.view(&self.keys.set_label(key_id(&key)?, label).await?),
            )),
            Command::KeyRevoke { key, keep_made } => self.revoke_key(&key, keep_made).await,
            Command::KeyRelease { key } => {
                Ok(self.revoked(&self.keys.release_key(key_id(&key)?).await?))
            }
            Command::KeyImport {
                app,
                options,
                material,
            } => {
                let created = self
                    .add_key(app.as_deref(), order(material)?, options)
                    .await?;
                // Whoever imports a secret has it already.
                Ok(Answer::Key(self.view(&created.record)))
            }
            Command::Operator(command) => self.operators(command).await,
            Command::MasterKeyRotate => self.rotate_master_key().await,
            Command::TokenExplain {
                token,
                access,
                grant,
                at_ms,
                urls,
            } => self.explain(&token, access.as_deref(), grant.as_deref(), at_ms, &urls),
        }
    }

    fn app_view(&self, app: App) -> Answer {
        Answer::App(self.view_app(app))
    }

    fn view_app(&self, app: App) -> AppView {
        let connections = self.hub.as_ref().map(|hub| hub.count(app.id));
        AppView {
            connections,
            ..app.into()
        }
    }

    async fn set_app(&self, app: &str, changes: AppChanges) -> Outcome {
        let app = self.apps.find(app)?;
        let changes = hexline_services::apps::AppChanges {
            longest_ttl: changes.longest_ttl_ms.map(Duration::from_millis),
            exp_required: changes.exp_required,
            audiences: changes.audiences,
            origins: changes.origins,
            limits: changes
                .limits
                .map(|wanted| merged(app.settings.limits, wanted)),
            signing_key: changes.signing_key.as_deref().map(key_id).transpose()?,
        };
        Ok(self.app_view(self.apps.update(app.id, changes).await?))
    }

    async fn revoke_tokens(&self, app: &str, tokens: TokenScope) -> Outcome {
        let app = self.apps.find(app)?;
        let moment = |ms: Option<i64>| ms.map_or_else(|| self.clock.now(), Timestamp::from_millis);
        let revocation = match tokens {
            TokenScope::Jti { jti, until_ms } => {
                let expires = until_ms.map(Timestamp::from_millis);
                self.revocations.revoke_token(app.id, &jti, expires).await?
            }
            TokenScope::Identity {
                identity,
                device,
                issued_before_ms,
            } => {
                let scope = scope(&identity, device.as_deref())?;
                self.revocations
                    .revoke_issued_before(app.id, scope, moment(issued_before_ms))
                    .await?
            }
            TokenScope::All { issued_before_ms } => {
                let at = moment(issued_before_ms);
                self.revocations
                    .revoke_issued_before(app.id, Scope::App, at)
                    .await?
            }
        };
        let view = RevokedView {
            app: app.name.to_string(),
            at_ms: revocation.at.as_millis(),
        };
        Ok(Answer::Revoked(view))
    }

    async fn disconnect(&self, app: &str, who: &Who, hold_s: u64) -> Outcome {
        let app = self.apps.find(app)?;
        let (who, hold) = (held_out(who)?, Duration::from_secs(hold_s));
        RevocationService::check_hold(hold)?;
        let target = match &who {
            HeldOut::Identity(identity) => Target::Identity(identity.clone()),
            HeldOut::Device(subject) => Target::Device(subject.clone()),
        };
        let closed = match &self.connections {
            Some(connections) => connections.disconnect(app.id, &target).await.total(),
            None => 0,
        };
        let held = if hold.is_zero() {
            None
        } else {
            Some(self.revocations.hold(app.id, who, hold).await?)
        };
        Ok(Answer::Disconnected(DisconnectedView {
            app: app.name.to_string(),
            closed,
            held_until_ms: held.map(|hold| hold.until.as_millis()),
        }))
    }

    async fn list_holds(&self, app: &str) -> Outcome {
        let app = self.apps.find(app)?;
        let (mut holds, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .revocations
                .list_holds(app.id, after.as_ref(), PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(Answer::Holds(holds));
            };
            after = Some(last.into());
            holds.extend(page.into_iter().map(HoldView::from));
        }
    }

    async fn lift_hold(&self, app: &str, who: &Who) -> Outcome {
        let app = self.apps.find(app)?;
        let lifted = self.revocations.lift_hold(app.id, held_out(who)?).await?;
        Ok(Answer::HoldLifted(LiftedView {
            app: app.name.to_string(),
            lifted,
        }))
    }

    async fn add_key(
        &self,
        app: Option<&str>,
        order: NewKey,
        options: KeyOptions,
    ) -> Result<CreatedKey, Failure> {
        let app = self.app_or_only(app)?;
        let mut order = order.label(options.label);
        if let Some(ms) = options.expires_ms {
            order = order.expires(Timestamp::from_millis(ms));
        }
        if let Some(ceiling) = options.ceiling {
            let ceiling = Grants::parse_ceiling(&ceiling)
                .map_err(|e| Failure::invalid(format!("the ceiling: {e}")))?;
            order = order.ceiling(ceiling);
        }
        Ok(self.keys.create_key(app.id, order).await?)
    }

    async fn revoke_key(&self, key: &str, keep_made: bool) -> Outcome {
        let id = key_id(key)?;
        let revoked = if keep_made {
            self.keys.revoke_key_alone(id).await?
        } else {
            self.keys.revoke_key(id).await?
        };
        Ok(self.revoked(&revoked))
    }

    fn revoked(&self, revoked: &RevokedKey) -> Answer {
        Answer::RevokedKey(Box::new(RevokedKeyView {
            key: self.view(&revoked.record),
            made: revoked.made.iter().map(|key| self.view(key)).collect(),
        }))
    }

    async fn list_keys(&self, app: Option<&str>) -> Outcome {
        let apps = match app {
            Some(app) => vec![self.apps.find(app)?],
            None => self.apps.list(),
        };
        let mut keys = Vec::new();
        for app in apps {
            keys.extend(
                self.keys
                    .list_keys(app.id)
                    .await?
                    .iter()
                    .map(|key| self.view(key)),
            );
        }
        Ok(Answer::Keys(keys))
    }

    // The next key is on disk before the database is sealed with it; see `KeyTurn`.
    async fn rotate_master_key(&self) -> Outcome {
        let turn = self.master_key.turn().await?;
        self.keys.refresh().await?;
        let in_force = self.vault.fingerprint();
        turn.settle(Some(&in_force), &*self.entropy)?;
        let next = MasterKey::generate(&*self.entropy);
        turn.begin_rotation(&next)?;
        let secrets = self.keys.rotate_master_key(&next).await?;
        turn.finish_rotation(&next)?;
        let file = self.master_key.path().display().to_string();
        Ok(Answer::MasterKeyRotated(RotatedView { file, secrets }))
    }

    fn explain(
        &self,
        token: &str,
        access: Option<&str>,
        grant: Option<&str>,
        at_ms: Option<i64>,
        urls: &[String],
    ) -> Outcome {
        let access = access.map(|text| {
            Access::parse(text)
                .ok_or_else(|| Failure::invalid("access is neither client nor platform"))
        });
        let grant = grant.map(|text| {
            Service::parse(text).ok_or_else(|| Failure::invalid("the grant is not known"))
        });
        let now = at_ms.map_or_else(|| self.clock.now(), Timestamp::from_millis);
        let registry = &**self.keys.registry();
        let (access, grant) = (access.transpose()?, grant.transpose()?);
        let explanation = if urls.is_empty() {
            explain(token, access, registry, grant, now)
        } else {
            explain(token, access, &Widened { registry, urls }, grant, now)
        };
        let value = serde_json::value::to_raw_value(&explanation).expect("an explanation is JSON");
        Ok(Answer::Explanation(value))
    }

    fn app_or_only(&self, app: Option<&str>) -> Result<App, Failure> {
        if let Some(app) = app {
            return Ok(self.apps.find(app)?);
        }
        let mut apps = self.apps.list();
        match (apps.pop(), apps.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(Failure::new(
                FailureKind::NotFound,
                "there is no app yet; make one: hexline app create NAME",
            )),
            (Some(_), others) => Err(Failure::invalid(format!(
                "there are {} apps, expected the name of one: --app NAME",
                others + 1
            ))),
        }
    }

    fn created(&self, created: CreatedKey, replaces: Option<&KeyRecord>) -> Answer {
        let key = self.view(&created.record);
        match created.secret {
            Some(secret) => Answer::NewKey(Box::new(NewKeyView {
                key,
                secret: secret.expose().clone(),
                replaces: replaces.map(|old| self.view(old)),
            })),
            None => Answer::Key(key),
        }
    }

    fn view(&self, key: &KeyRecord) -> KeyView {
        let app = self.keys.registry().app(key.app);
        let name = app
            .as_ref()
            .map_or_else(|| key.app.to_string(), |app| app.name.to_string());
        let signs = app.is_some_and(|app| app.signing_key == Some(key.id));
        KeyView::new(key, name, signs, self.clock.now())
    }
}

/// The registry as it would be with more bases that an audience may name.
struct Widened<'a> {
    registry: &'a KeyRegistry,
    urls: &'a [String],
}

struct WidenedKey {
    key: KeyHandle,
    rules: Rules,
}

impl Registry for Widened<'_> {
    type Entry = WidenedKey;

    fn key(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> KeyStatus<WidenedKey> {
        match self.registry.key(issuer, kid, now) {
            KeyStatus::Usable(key) => {
                let more = self.urls.iter().map(String::as_str);
                let bases = key.rules().audiences.bases().chain(more);
                let rules = Rules {
                    audiences: Arc::new(Audiences::new(bases)),
                    ..key.rules().clone()
                };
                KeyStatus::Usable(WidenedKey { key, rules })
            }
            KeyStatus::Unknown => KeyStatus::Unknown,
            KeyStatus::Revoked { at } => KeyStatus::Revoked { at },
            KeyStatus::Expired { at } => KeyStatus::Expired { at },
        }
    }

    fn source(&self, entry: &WidenedKey, issuer: &str, now: Timestamp) -> KeyStatus<()> {
        self.registry.source(&entry.key, issuer, now)
    }

    fn revocation(&self, entry: &WidenedKey, claims: &Claims, now: Timestamp) -> Option<RevokedBy> {
        self.registry.revocation(&entry.key, claims, now)
    }
}

impl KeyEntry for WidenedKey {
    fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn ceiling(&self) -> Option<&Arc<Grants>> {
        self.key.ceiling()
    }
}

fn order(material: ImportedKey) -> Result<NewKey, Failure> {
    Ok(match material {
        ImportedKey::Hmac {
            id,
            secret,
            algorithm,
        } => NewKey::hmac(
            key_id(&id)?,
            algorithm.unwrap_or_default(),
            Secret::new(secret),
        ),
        ImportedKey::Pem { pem, algorithm } => NewKey::public_pem(pem, algorithm),
        ImportedKey::Jwk(jwk) => NewKey::public_jwk(jwk),
        ImportedKey::Jwks(document) => NewKey::jwks(document),
        ImportedKey::JwksUrl(url) => NewKey::jwks_url(url),
    })
}

/// The limits with those that are named changed; 0 takes one back.
fn merged(old: AppLimits, wanted: AppLimits) -> AppLimits {
    let one = |old: Option<u32>, wanted: Option<u32>| match wanted {
        None => old,
        Some(0) => None,
        Some(limit) => Some(limit),
    };
    AppLimits {
        connections: one(old.connections, wanted.connections),
        devices_per_identity: one(old.devices_per_identity, wanted.devices_per_identity),
        messages_per_second: one(old.messages_per_second, wanted.messages_per_second),
    }
}

fn scope(identity: &str, device: Option<&str>) -> Result<Scope, Failure> {
    let identity =
        Identity::parse(identity).map_err(|e| Failure::invalid(format!("the identity {e}")))?;
    let Some(device) = device else {
        return Ok(Scope::Identity(identity));
    };
    let device = Device::parse(device).map_err(|e| Failure::invalid(format!("the device {e}")))?;
    Ok(Scope::Device(Subject { identity, device }))
}

fn held_out(who: &Who) -> Result<HeldOut, Failure> {
    Ok(match scope(&who.identity, who.device.as_deref())? {
        Scope::Device(subject) => HeldOut::Device(subject),
        Scope::Identity(identity) => HeldOut::Identity(identity),
        Scope::App => return Err(Failure::invalid("expected an identity")),
    })
}

fn key_id(text: &str) -> Result<KeyId, Failure> {
    KeyId::parse(text).map_err(|e| Failure::invalid(format!("the key id {text:?} {e}")))
}

const PAGE: u32 = 500;

/// The one way in which an error of a service becomes an answer for the command line.
impl<F: hexline_services::Failure> From<F> for Failure {
    fn from(failure: F) -> Self {
        let kind = match failure.code() {
            ErrorCode::NotFound => FailureKind::NotFound,
            ErrorCode::Conflict | ErrorCode::NoSigningKey => FailureKind::Conflict,
            ErrorCode::InvalidParams => FailureKind::Invalid,
            _ => FailureKind::Unavailable,
        };
        // An administrator may see the cause as well.
        let mut message = failure.to_string();
        let mut cause = failure.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(kind, message)
    }
}

impl From<MasterKeyError> for Failure {
    fn from(error: MasterKeyError) -> Self {
        Self::new(FailureKind::Unavailable, error.to_string())
    }
}
