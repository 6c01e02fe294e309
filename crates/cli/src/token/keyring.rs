//! What a token is checked against: nothing, one key at hand, or the records of a data directory.

use std::path::PathBuf;

use hexline_model::Timestamp;
use hexline_server::control::{self, Answer, CallError, Command};
use hexline_server::datadir::DataDir;
use hexline_server::records;
use hexline_token::{
    Access, Algorithm, Audiences, Explanation, KeySet, KeyValidationError, Rules, Service,
    SingleKey, UnverifiedToken, VerifyingKey, explain, explain_offline,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::SecretArgs;
use crate::exit::CliError;
use crate::{Context, DataArgs, ask};

/// Where the key comes from.
#[derive(clap::Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    secret: SecretArgs,
    /// A public key (PEM or JWK) or a JWKS document.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_secret", "secret_file"])]
    public_key: Option<PathBuf>,
    /// The algorithm that the key was made for, where it leaves a choice.
    #[arg(long)]
    alg: Option<Algorithm>,
    /// A base URL that the audience may name; repeatable. Any unless set, or those of --data.
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// Know the keys and revocations of this data directory.
    #[arg(
        long,
        alias = "data-dir",
        value_name = "DIR",
        conflicts_with_all = ["key_id", "key_secret", "secret_file", "public_key", "alg"]
    )]
    data: Option<PathBuf>,
}

/// What is asked about a token.
pub(super) struct Question<'a> {
    pub(super) token: &'a str,
    pub(super) access: Option<Access>,
    pub(super) grant: Option<Service>,
    pub(super) now: Timestamp,
}

impl KeyArgs {
    /// Whether there is anything to check a signature with.
    pub(super) fn knows_keys(&self) -> bool {
        self.data.is_some() || self.public_key.is_some() || self.secret.is_known()
    }

    /// Whether stdin is taken.
    pub(super) fn reads_stdin(&self) -> bool {
        let files = [&self.public_key, &self.secret.secret_file];
        files.into_iter().flatten().any(|path| ask::is_stdin(path))
    }

    /// Runs every check that can be run.
    pub(super) async fn explain(
        &self,
        question: &Question<'_>,
        context: &Context,
    ) -> Result<Box<RawValue>, CliError> {
        if let Some(dir) = &self.data {
            return self.explain_by_data(dir, question, context).await;
        }
        let Question {
            token,
            access,
            grant,
            now,
        } = *question;
        let explanation = match self.single_key(token)? {
            Some(key) => explain(token, access, &key, grant, now),
            None => explain_offline(token, access, &Rules::new(self.audiences()), grant, now),
        };
        Ok(json(&explanation))
    }

    fn single_key(&self, token: &str) -> Result<Option<SingleKey>, CliError> {
        // Without an id, the key is taken to be the one that the token names.
        let issuer = || UnverifiedToken::parse(token).map(|t| t.issuer().to_owned());
        let id = self
            .secret
            .id()
            .or_else(|| issuer().ok())
            .unwrap_or_default();
        let rules = Rules::new(self.audiences());
        if let Some(path) = &self.public_key {
            let text = ask::file(path)?;
            return public_key(&text, self.alg, id, rules)
                .map(Some)
                .map_err(|e| CliError::usage(format!("{}: {e}", path.display())));
        }
        let Some(secret) = self.secret.secret()? else {
            if self.secret.given() {
                return Err(CliError::usage(
                    "a key id without a secret: give --secret-file FILE",
                ));
            }
            return Ok(None);
        };
        let key = VerifyingKey::hmac(self.alg.unwrap_or_default(), secret.as_bytes())
            .map_err(|e| CliError::usage(e.to_string()))?;
        Ok(Some(SingleKey::new(id, key, rules)))
    }

    fn audiences(&self) -> Audiences {
        if self.urls.is_empty() {
            Audiences::any_base()
        } else {
            Audiences::new(&self.urls)
        }
    }

    async fn explain_by_data(
        &self,
        dir: &std::path::Path,
        question: &Question<'_>,
        context: &Context,
    ) -> Result<Box<RawValue>, CliError> {
        let mut config = context.records(&DataArgs {
            data: Some(dir.to_owned()),
        })?;
        config.extra_urls.extend(self.urls.iter().cloned());
        DataDir::existing(&config.data_dir)?;
        // A running server knows best, its own audiences included.
        let command = Command::TokenExplain {
            token: question.token.to_owned(),
            access: question.access.map(|access| access.name().to_owned()),
            grant: question.grant.map(|grant| grant.to_string()),
            at_ms: Some(question.now.as_millis()),
            urls: self.urls.clone(),
        };
        match control::call(&config.control_path(), &command).await {
            Ok(Ok(Answer::Explanation(explanation))) => return Ok(explanation),
            Ok(Err(failure)) => return Err(failure.into()),
            Ok(Ok(other)) => return Err(crate::office::unexpected(&other)),
            Err(CallError::NoServer) => {}
            Err(error) => return Err(error.into()),
        }
        // Whoever works on the records now is not disturbed: this only reads.
        DataDir::with_records(&config)?;
        let registry = records::read(&config, config.listen.port()).await?;
        let Question {
            token,
            access,
            grant,
            now,
        } = *question;
        let explanation = explain(token, access, &*registry, grant, now);
        Ok(json(&explanation))
    }
}

fn public_key(
    text: &str,
    alg: Option<Algorithm>,
    id: String,
    rules: Rules,
) -> Result<SingleKey, KeyValidationError> {
    if !text.trim_start().starts_with('{') {
        return Ok(SingleKey::new(
            id,
            VerifyingKey::from_pem(alg, text)?,
            rules,
        ));
    }
    let is_set = serde_json::from_str::<Value>(text).is_ok_and(|v| v.get("keys").is_some());
    if is_set {
        return Ok(SingleKey::of_set(id, KeySet::parse(text)?, rules));
    }
    Ok(SingleKey::new(id, VerifyingKey::from_jwk(text)?, rules))
}

fn json(explanation: &Explanation) -> Box<RawValue> {
    serde_json::value::to_raw_value(explanation).expect("an explanation is JSON")
}
