use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hexline_model::{AppId, Identity, Secret};
use hexline_protocol::ErrorCode;
use hexline_services::actor::Actor;
use hexline_services::audit::Entry;
use hexline_services::auth::{self, NewSettings, Preset, SignIn};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Signed;
use crate::app::App;
use crate::console::state::ConsoleState;
use crate::kit::error::Refusal;
use crate::kit::json::{Body, Ids};

pub(crate) fn routes() -> OpenApiRouter<ConsoleState> {
    OpenApiRouter::new()
        .routes(routes!(show, replace))
        .routes(routes!(sign_out))
}

/// How the users of an app sign in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "anonymous": {"enabled": true, "ttl_s": 3600, "grants": {"signal": true}, "per_minute": 600},
    "oidc": [{
        "id": "acme", "issuer": "https://id.example", "client_id": "web",
        "other_client_ids": ["phone"], "scopes": ["openid"],
        "identity_template": "acme-{sub}", "grants": {"signal": true}, "ttl_s": 3600
    }],
    "external": {
        "url": "https://app.example/whoami", "cookies": ["session"], "prefix": "app-",
        "grants": {"signal": true}, "ttl_s": 3600
    },
    "refresh": {"enabled": true, "ttl_s": 2_592_000},
    "redirect_uris": ["https://app.example/signed-in", "com.example.app:/signed-in"]
}))]
pub(crate) struct SignInSettings {
    /// Users without a name.
    #[serde(default)]
    anonymous: AnonymousSettings,
    /// Providers.
    #[serde(default)]
    oidc: Vec<ProviderSettings>,
    /// The app's existing sign-in.
    #[serde(default)]
    external: Option<ExternalSettings>,
    /// Refresh tokens.
    #[serde(default)]
    refresh: RefreshSettings,
    /// Where a browser may be sent back to, compared as they are written.
    #[serde(default)]
    redirect_uris: Vec<String>,
}

/// Users without a name.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnonymousSettings {
    /// Whether they are let in.
    enabled: bool,
    /// How long a token and the user live.
    ttl_s: u64,
    /// What they may use.
    #[schema(value_type = Object)]
    grants: Value,
    /// How many may come in a minute, in the whole app.
    per_minute: u32,
}

/// Refresh tokens.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshSettings {
    /// Whether there are any.
    enabled: bool,
    /// How long one is good for if it is not used.
    ttl_s: u64,
}

/// The app's existing sign-in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalSettings {
    /// Whether it is switched on.
    #[serde(default = "yes")]
    enabled: bool,
    /// What is asked.
    url: String,
    /// Which of the user's cookies are passed on; a bearer always is.
    #[serde(default)]
    cookies: Vec<String>,
    /// What identities begin with, before the name that the answer gives.
    #[serde(default)]
    prefix: String,
    /// The most that an answer may grant; unset, everything.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    grants: Option<Value>,
    /// How long tokens live at the longest.
    #[serde(default = "an_hour")]
    ttl_s: u64,
    /// Whether it may name users of the other strategies.
    #[serde(default)]
    shares_identities: bool,
}

/// What a provider is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProviderPreset {
    /// Any OpenID provider.
    #[default]
    Oidc,
    Google,
    Apple,
    Facebook,
    Github,
}

/// A provider that users sign in at.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderSettings {
    /// Its name in the API.
    #[schema(example = "google")]
    id: String,
    #[serde(default)]
    preset: ProviderPreset,
    /// Whether it is switched on.
    #[serde(default = "yes")]
    enabled: bool,
    /// The issuer; a preset knows its own.
    #[serde(default)]
    issuer: Option<String>,
    /// The app's id at the provider.
    client_id: String,
    /// Further ids of the same app, e.g. of its mobile programs.
    #[serde(default)]
    other_client_ids: Vec<String>,
    /// The client's secret, or with `key_id` Apple's private key in PEM. Never shown; absent, the
    /// one that is there stays; null removes it.
    #[serde(default, deserialize_with = "present", skip_serializing)]
    #[schema(value_type = Option<String>, write_only)]
    #[expect(clippy::option_option, reason = "null is not the same as nothing")]
    client_secret: Option<Option<String>>,
    /// Whether there is a secret. Passed over when it is sent.
    #[serde(default)]
    client_secret_set: bool,
    /// What is asked for; a preset knows what it needs.
    #[serde(default)]
    scopes: Vec<String>,
    /// How an identity follows from a claim; unset, `{id}-{sub}`.
    #[serde(default)]
    #[schema(example = "google-{sub}")]
    identity_template: Option<String>,
    /// Members of the token's profile, and the claims that they come from.
    #[serde(default)]
    profile: BTreeMap<String, String>,
    /// What such users may use; unset, everything.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    grants: Option<Value>,
    /// How long their tokens live.
    #[serde(default = "an_hour")]
    ttl_s: u64,
    /// Apple: the team's id.
    #[serde(default)]
    team_id: Option<String>,
    /// Apple: the id of the private key.
    #[serde(default)]
    key_id: Option<String>,
    /// Facebook and GitHub, in development: another place for all their doors.
    #[serde(default)]
    base_url: Option<String>,
}

/// Whose refresh tokens end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignOutOrder {
    /// One user's; absent, everybody's.
    #[serde(default)]
    identity: Option<String>,
}

/// How many ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedOut {
    /// Lines of refresh tokens, one for each sign-in.
    ended: u64,
}

/// How the users of an app sign in
#[utoipa::path(
    get,
    path = "/console/api/apps/{app}/sign-in",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    responses((status = 200, description = "The settings, without secrets", body = SignInSettings))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
) -> Result<Json<SignInSettings>, Refusal> {
    signed.may_read(id)?;
    app.apps.find(&id.to_string())?;
    view(&app, id).await.map(Json)
}

/// Replace how the users of an app sign in
#[utoipa::path(
    put,
    path = "/console/api/apps/{app}/sign-in",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = SignInSettings,
    responses((status = 200, description = "The settings, without secrets", body = SignInSettings))
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(body): Body<SignInSettings>,
) -> Result<Json<SignInSettings>, Refusal> {
    signed.may_write(id)?;
    app.apps.find(&id.to_string())?;
    let new = body.read();
    // The names of what changed, and no secret.
    let detail = json!({
        "anonymous": new.settings.anonymous.enabled,
        "oidc": new.settings.oidc.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(),
        "external": new.settings.external.is_some(),
        "secrets": new.secrets.keys().collect::<Vec<_>>(),
    });
    app.auth.put_settings(id, new).await?;
    record(&app, &signed, "sign_in.update", id, detail).await;
    view(&app, id).await.map(Json)
}

/// Sign users out: end their refresh tokens
///
/// Access tokens live to their end unless they are revoked.
#[utoipa::path(
    post,
    path = "/console/api/apps/{app}/sign-in/sign-out",
    tag = "console",
    security(("consoleSession" = [])),
    params(("app" = String, Path, description = "The app's id")),
    request_body = SignOutOrder,
    responses((status = 200, description = "Ended", body = SignedOut))
)]
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    signed: Signed,
    Ids(id): Ids<AppId>,
    Body(order): Body<SignOutOrder>,
) -> Result<Json<SignedOut>, Refusal> {
    signed.may_write(id)?;
    app.apps.find(&id.to_string())?;
    let identity = order.identity.as_deref().map(Identity::parse).transpose();
    let identity = identity
        .map_err(|error| Refusal::new(ErrorCode::InvalidRequest, format!("identity {error}")))?;
    let ended = app.auth.revoke_lines(id, identity.as_ref()).await?;
    let detail = json!({"ended": ended, "everybody": identity.is_none()});
    record(&app, &signed, "sign_in.sign_out", id, detail).await;
    Ok(Json(SignedOut { ended }))
}

async fn record(app: &App, signed: &Signed, action: &str, id: AppId, detail: Value) {
    let actor = Actor::Operator {
        id: signed.operator.id,
        email: signed.operator.email.to_string(),
    };
    let entry = Entry::new(actor, action, Some(id), "").detail(detail);
    app.audit.record(entry.from(&signed.origin.peer)).await;
}

async fn view(app: &App, id: AppId) -> Result<SignInSettings, Refusal> {
    let settings = app.auth.settings(id).await?;
    let secrets = app.auth.secrets(id).await?;
    Ok(SignInSettings::of(settings, &secrets))
}

impl SignInSettings {
    fn of(settings: SignIn, secrets: &BTreeMap<String, bool>) -> Self {
        let provider = |provider: auth::Provider| ProviderSettings {
            client_secret_set: secrets.get(&provider.id).copied().unwrap_or(false),
            client_secret: None,
            id: provider.id,
            preset: provider.preset.into(),
            enabled: provider.enabled,
            issuer: provider.issuer,
            client_id: provider.client_id,
            other_client_ids: provider.other_client_ids,
            scopes: provider.scopes,
            identity_template: provider.identity_template,
            profile: provider.profile,
            grants: Some(provider.grants),
            ttl_s: provider.ttl_s,
            team_id: provider.team_id,
            key_id: provider.key_id,
            base_url: provider.base_url,
        };
        let external = |external: auth::External| ExternalSettings {
            enabled: external.enabled,
            url: external.url,
            cookies: external.cookies,
            prefix: external.prefix,
            grants: Some(external.grants),
            ttl_s: external.ttl_s,
            shares_identities: external.shares_identities,
        };
        Self {
            anonymous: settings.anonymous.into(),
            oidc: settings.oidc.into_iter().map(provider).collect(),
            external: settings.external.map(external),
            refresh: settings.refresh.into(),
            redirect_uris: settings.redirect_uris,
        }
    }

    fn read(self) -> NewSettings {
        let mut secrets = BTreeMap::new();
        let provider = |provider: ProviderSettings| {
            if let Some(secret) = provider.client_secret {
                secrets.insert(provider.id.clone(), secret.map(Secret::new));
            }
            auth::Provider {
                id: provider.id,
                preset: provider.preset.into(),
                enabled: provider.enabled,
                issuer: provider.issuer,
                client_id: provider.client_id,
                other_client_ids: provider.other_client_ids,
                scopes: provider.scopes,
                identity_template: provider.identity_template,
                profile: provider.profile,
                grants: provider.grants.unwrap_or_else(auth::everything),
                ttl_s: provider.ttl_s,
                team_id: provider.team_id,
                key_id: provider.key_id,
                base_url: provider.base_url,
            }
        };
        let oidc = self.oidc.into_iter().map(provider).collect();
        let external = |external: ExternalSettings| auth::External {
            enabled: external.enabled,
            url: external.url,
            cookies: external.cookies,
            prefix: external.prefix,
            grants: external.grants.unwrap_or_else(auth::everything),
            ttl_s: external.ttl_s,
            shares_identities: external.shares_identities,
        };
        let settings = SignIn {
            anonymous: auth::Anonymous {
                enabled: self.anonymous.enabled,
                ttl_s: self.anonymous.ttl_s,
                grants: self.anonymous.grants,
                per_minute: self.anonymous.per_minute,
            },
            oidc,
            external: self.external.map(external),
            refresh: auth::Refresh {
                enabled: self.refresh.enabled,
                ttl_s: self.refresh.ttl_s,
            },
            redirect_uris: self.redirect_uris,
        };
        NewSettings { settings, secrets }
    }
}

impl From<auth::Anonymous> for AnonymousSettings {
    fn from(settings: auth::Anonymous) -> Self {
        Self {
            enabled: settings.enabled,
            ttl_s: settings.ttl_s,
            grants: settings.grants,
            per_minute: settings.per_minute,
        }
    }
}

impl Default for AnonymousSettings {
    fn default() -> Self {
        auth::Anonymous::default().into()
    }
}

impl From<auth::Refresh> for RefreshSettings {
    fn from(settings: auth::Refresh) -> Self {
        Self {
            enabled: settings.enabled,
            ttl_s: settings.ttl_s,
        }
    }
}

impl Default for RefreshSettings {
    fn default() -> Self {
        auth::Refresh::default().into()
    }
}

impl From<Preset> for ProviderPreset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Oidc => Self::Oidc,
            Preset::Google => Self::Google,
            Preset::Apple => Self::Apple,
            Preset::Facebook => Self::Facebook,
            Preset::Github => Self::Github,
        }
    }
}

impl From<ProviderPreset> for Preset {
    fn from(preset: ProviderPreset) -> Self {
        match preset {
            ProviderPreset::Oidc => Self::Oidc,
            ProviderPreset::Google => Self::Google,
            ProviderPreset::Apple => Self::Apple,
            ProviderPreset::Facebook => Self::Facebook,
            ProviderPreset::Github => Self::Github,
        }
    }
}

/// A member that is there, even if it is null.
#[expect(clippy::option_option, reason = "null is not the same as nothing")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

fn an_hour() -> u64 {
    3600
}
