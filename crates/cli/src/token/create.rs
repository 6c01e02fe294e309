use std::path::PathBuf;
use std::time::Duration;

use hexline_model::{SystemClock, Timestamp};
use hexline_server::config::nearest;
use hexline_token::{Access, Algorithm, Json, PrivateKey, Service, TokenBuilder};
use serde_json::json;

use super::SecretArgs;
use crate::exit::{CliError, Exit};
use crate::paint::Paint;
use crate::{Context, DataArgs, address, ask, print};

/// `hexline token create`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    key: SecretArgs,
    /// A private key that signs instead of a secret: PKCS#8 PEM or JWK; '-' is stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_secret", "secret_file"])]
    private_key: Option<PathBuf>,
    /// The algorithm, where the key leaves a choice: RS256 or PS256; HS256, HS384 or HS512.
    #[arg(long)]
    alg: Option<Algorithm>,
    /// The kind of token: client for a user, platform for an app's server.
    #[arg(long, value_name = "client|platform", default_value = "client", value_parser = access)]
    access: Access,
    /// The server's base URL; `aud` follows from it. Unless set, that of the server that runs on the
    /// data directory, else what the configuration says.
    #[arg(long, value_name = "URL", conflicts_with_all = ["env", "aud"])]
    api: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Short for `--api https://api.NAME.bit6.com`.
    #[arg(long, value_name = "NAME", conflicts_with = "aud")]
    env: Option<String>,
    /// The whole `aud`.
    #[arg(long, value_name = "URL")]
    aud: Option<String>,
    /// Who.
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// On which device.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// A grant, with `true` or JSON as its value: signal, or 'signal={"publish":false}';
    /// repeatable.
    #[arg(long = "grant", value_name = "NAME[=JSON]", value_parser = grant)]
    grant: Vec<(String, Json)>,
    /// All grants at once.
    #[arg(long, value_name = "JSON", value_parser = members)]
    grants: Option<Json>,
    /// What the user's profile says.
    #[arg(long, value_name = "JSON", value_parser = members)]
    profile: Option<Json>,
    /// How long it lives: seconds or e.g. 15m; an hour unless set.
    #[arg(long, value_name = "SPAN", value_parser = ask::span, conflicts_with = "exp")]
    ttl: Option<Duration>,
    /// When it ends: Unix seconds or e.g. +1h.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, allow_hyphen_values = true)]
    exp: Option<Timestamp>,
    /// Not before: Unix seconds or e.g. +1m.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, allow_hyphen_values = true)]
    nbf: Option<Timestamp>,
    /// When it is made, for tests: Unix seconds or e.g. -1h; now unless set.
    #[arg(long, value_name = "TIME", value_parser = ask::moment, allow_hyphen_values = true)]
    iat: Option<Timestamp>,
    /// The `kid` in the header, for a key that is registered as one of a JWKS.
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// An id of its own, by which it can be revoked.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    if let Some(api) = &args.api
        && !has_scheme(api)
    {
        return Err(CliError::usage(format!(
            "--api is '{api}', expected a URL with its scheme, such as http://{}",
            api.trim_start_matches('/')
        )));
    }
    let api = args.api(context).await?;
    let token = args.build(api.as_deref())?;
    for concern in args.concerns(SystemClock::new().now()) {
        eprintln!("{} {concern}", Paint::stderr().warning("warning:"));
    }
    if context.json {
        print::json(&json!({"token": token}))?;
    } else {
        print::text(&token)?;
    }
    Ok(Exit::Done)
}

impl Args {
    /// What makes the token useless, or not what was meant.
    fn concerns(&self, now: Timestamp) -> Vec<String> {
        let mut concerns = Vec::new();
        for name in self.granted().filter(|name| Service::parse(name).is_none()) {
            let near = nearest(name, SERVICES);
            let meant = near.map_or(String::new(), |near| format!(", did you mean '{near}'?"));
            concerns.push(format!("no service is called '{name}'{meant}"));
        }
        // A time of its own is for tests.
        if self.iat.is_none() {
            if self.ttl.is_some_and(|ttl| ttl.as_secs() == 0) {
                concerns.push("with --ttl 0 the token ends as it is made".to_owned());
            }
            if let Some(exp) = self.exp.filter(|exp| *exp <= now) {
                concerns.push(format!("the token has ended already: --exp is {exp}"));
            }
        }
        if self.access == Access::Platform {
            let named = [("--identity", &self.identity), ("--device", &self.device)];
            for (flag, _) in named.iter().filter(|(_, value)| value.is_some()) {
                concerns.push(format!(
                    "a platform token names no user: {flag} is left out"
                ));
            }
        }
        concerns
    }

    fn granted(&self) -> impl Iterator<Item = &str> {
        let all = match &self.grants {
            Some(Json::Object(members)) => members.as_slice(),
            _ => &[],
        };
        all.iter().chain(&self.grant).map(|(name, _)| name.as_str())
    }

    /// The base URL, unless another flag names the audience.
    async fn api(&self, context: &Context) -> Result<Option<String>, CliError> {
        if self.api.is_some() || self.env.is_some() || self.aud.is_some() {
            return Ok(self.api.clone());
        }
        let config = context.records(&self.data)?;
        address::base_url(&config).await.map(Some)
    }

    fn build(&self, api: Option<&str>) -> Result<String, CliError> {
        let mut builder = self.signer(TokenBuilder::create())?.access(self.access);
        if let Some(api) = api {
            builder = builder.api(api);
        }
        if let Some(env) = &self.env {
            builder = builder.env(env);
        }
        if let Some(aud) = &self.aud {
            builder = builder.aud(aud);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity);
        }
        if let Some(device) = &self.device {
            builder = builder.device(device);
        }
        if let Some(grants) = &self.grants {
            builder = builder.grants(grants.clone());
        }
        for (name, value) in &self.grant {
            builder = builder.grant(name, value.clone());
        }
        if let Some(profile) = &self.profile {
            builder = builder.profile(profile.clone());
        }
        if let Some(ttl) = self.ttl {
            builder = builder.ttl(ttl.as_secs());
        }
        if let Some(exp) = self.exp {
            builder = builder.exp(exp.as_secs());
        }
        if let Some(nbf) = self.nbf {
            builder = builder.nbf(nbf.as_secs());
        }
        if let Some(kid) = &self.kid {
            builder = builder.kid(kid);
        }
        if let Some(jti) = &self.jti {
            builder = builder.jti(jti);
        }
        let built = match self.iat {
            Some(iat) => builder.build_at(iat),
            None => builder.build(),
        };
        built.map_err(|error| CliError::usage(error.to_string()))
    }

    fn signer(&self, builder: TokenBuilder) -> Result<TokenBuilder, CliError> {
        let id = self
            .key
            .id()
            .ok_or_else(|| CliError::usage("which key? Give --key-id, or set HEXLINE_KEY_ID"))?;
        if let Some(path) = &self.private_key {
            let text = ask::file(path)?;
            let key = if text.trim_start().starts_with('{') {
                PrivateKey::from_jwk(&text)
            } else {
                PrivateKey::from_pkcs8_pem(self.alg, &text)
            };
            let key = key.map_err(|e| CliError::usage(format!("{}: {e}", path.display())))?;
            return Ok(builder.signing_key(id, key));
        }
        let secret = self.key.secret()?.ok_or_else(|| {
            CliError::usage(
                "no secret: set HEXLINE_KEY_SECRET, or give --secret-file FILE ('-' is stdin)",
            )
        })?;
        match self.alg {
            None | Some(Algorithm::Hs256) => Ok(builder.key(id, secret)),
            Some(alg) => {
                let key = PrivateKey::hmac(alg, secret.as_bytes())
                    .map_err(|e| CliError::usage(e.to_string()))?;
                Ok(builder.signing_key(id, key))
            }
        }
    }
}

pub(super) fn access(text: &str) -> Result<Access, String> {
    Access::parse(text).ok_or_else(|| format!("expected client or platform, found '{text}'"))
}

fn has_scheme(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        let start = url.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && url.len() > scheme.len()
    })
}

fn grant(text: &str) -> Result<(String, Json), String> {
    match text.split_once('=') {
        None => Ok((text.to_owned(), Json::Bool(true))),
        Some((name, json)) => Ok((name.to_owned(), members(json)?)),
    }
}

// JSON with its members in their order, so that a token is what was typed.
fn members(text: &str) -> Result<Json, String> {
    Json::parse(text).map_err(|e| e.to_string())
}

const SERVICES: [&str; 5] = ["signal", "chat", "push", "video", "platform"];
