use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use hexline_model::Timestamp;
use hexline_server::control::{
    Answer, Command, ImportedKey, KeyOptions, KeyView, NewKeyView, RevokedKeyView,
};
use hexline_token::Algorithm;
use serde_json::Value;

use super::exit::{CliError, Exit};
use super::paint::Paint;
use super::remote::PlaceArgs;
use super::{Context, ask, office, print, program};

/// `hexline key`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an HMAC key; prints its id and its secret, once.
    Create {
        #[command(flatten)]
        options: OptionArgs,
        /// HS256, HS384 or HS512.
        #[arg(long, default_value = "HS256")]
        alg: Algorithm,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// List the keys of an app, or all.
    List {
        /// Name or id.
        #[arg(long)]
        app: Option<String>,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Show a key, without its secret.
    Show {
        /// The key id.
        key: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Make a new key in the place of an old one, which verifies for a while longer.
    Rotate {
        /// The key id.
        key: String,
        /// How long the old one still verifies.
        #[arg(long, value_name = "SPAN", value_parser = ask::span, default_value = "24h")]
        overlap: Duration,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Name a key anew, for people.
    Label {
        /// The key id.
        key: String,
        /// A word for people; may be empty.
        label: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Refuse all tokens of a key from now on and close what they opened; the keys that it made go
    /// with it.
    Revoke {
        /// The key id.
        key: String,
        /// Leave the keys that it made, by a platform token, as they are.
        #[arg(long)]
        keep_made: bool,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Revoke a key with the keys that it made and let another app register its id: if an app has
    /// taken an id that tokens of another one name.
    Release {
        /// The key id.
        key: String,
        #[command(flatten)]
        data: PlaceArgs,
    },
    /// Register a key that was made elsewhere: a public key, a JWKS, or an HMAC secret.
    Import {
        #[command(flatten)]
        options: OptionArgs,
        #[command(flatten)]
        source: SourceArgs,
        /// A file whose first line is the secret of --hmac; '-' is stdin.
        #[arg(long, value_name = "FILE", requires = "hmac")]
        secret_file: Option<PathBuf>,
        /// The algorithm, where the key leaves a choice: RS256 or PS256; HS256, HS384 or HS512.
        #[arg(long)]
        alg: Option<Algorithm>,
        #[command(flatten)]
        data: PlaceArgs,
    },
}

#[derive(clap::Args)]
struct OptionArgs {
    /// Name or id; may be left out if there is only one app.
    #[arg(long)]
    app: Option<String>,
    /// A word for people.
    #[arg(long, default_value = "")]
    label: String,
    /// When the key stops verifying: Unix seconds or e.g. +90d.
    #[arg(long, value_name = "TIME", value_parser = ask::moment)]
    expires: Option<Timestamp>,
    /// What its tokens may be granted at most, e.g. '{"signal":true}'.
    #[arg(long, value_name = "JSON", value_parser = ask::ceiling)]
    ceiling: Option<String>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// A public key, PEM or JWK.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// A JWKS document.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Where a JWKS document is fetched, https.
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// An HMAC secret of this key id; the secret comes from --secret-file.
    #[arg(long, value_name = "KEY-ID", requires = "secret_file")]
    hmac: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let (command, data) = match args.action {
        Action::Create { options, alg, data } => {
            let (app, options) = options.split();
            (
                Command::KeyCreate {
                    app,
                    options,
                    algorithm: Some(alg),
                },
                data,
            )
        }
        Action::List { app, data } => (Command::KeyList { app }, data),
        Action::Show { key, data } => (Command::KeyShow { key }, data),
        Action::Rotate { key, overlap, data } => {
            let overlap_ms = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
            (
                Command::KeyRotate {
                    key,
                    overlap_ms: Some(overlap_ms),
                },
                data,
            )
        }
        Action::Label { key, label, data } => (Command::KeyLabel { key, label }, data),
        Action::Revoke {
            key,
            keep_made,
            data,
        } => (Command::KeyRevoke { key, keep_made }, data),
        Action::Release { key, data } => (Command::KeyRelease { key }, data),
        Action::Import {
            options,
            source,
            secret_file,
            alg,
            data,
        } => {
            let (app, options) = options.split();
            let material = source.material(secret_file, alg)?;
            (
                Command::KeyImport {
                    app,
                    options,
                    material,
                },
                data,
            )
        }
    };
    let answer = data.carry_out(context, command, false).await?;
    match (answer, context.json) {
        (Answer::NewKey(new), true) => tell(&new, &print::to_json(&New::of(&new)))?,
        (Answer::NewKey(new), false) => {
            // Without one, the reader fills it in.
            let api = data.api(context).await.unwrap_or_else(|_| "URL".to_owned());
            announce(&new, &api)?;
        }
        (Answer::Key(key), true) => print::json(&key)?,
        (Answer::Key(key), false) => print::text(&describe(&key))?,
        (Answer::RevokedKey(revoked), true) => print::json(&revoked)?,
        (Answer::RevokedKey(revoked), false) => print::text(&describe_revoked(&revoked))?,
        (Answer::Keys(keys), true) => print::json(&keys)?,
        (Answer::Keys(keys), false) => print::text(&list(&keys))?,
        (other, _) => return Err(office::unexpected(&other)),
    }
    Ok(Exit::Done)
}

/// What `--json` prints for a new key: the two names that everything else goes by come first.
#[derive(serde::Serialize)]
struct New<'a> {
    key_id: &'a str,
    key_secret: &'a str,
    app: &'a str,
    key: &'a KeyView,
    replaces: &'a Option<KeyView>,
}

impl<'a> New<'a> {
    fn of(new: &'a NewKeyView) -> Self {
        Self {
            key_id: &new.key.id,
            key_secret: &new.secret,
            app: &new.key.app,
            key: &new.key,
            replaces: &new.replaces,
        }
    }
}

impl OptionArgs {
    fn split(self) -> (Option<String>, KeyOptions) {
        let options = KeyOptions {
            label: self.label,
            expires_ms: self.expires.map(Timestamp::as_millis),
            ceiling: self.ceiling,
        };
        (self.app, options)
    }
}

impl SourceArgs {
    fn material(
        self,
        secret_file: Option<PathBuf>,
        algorithm: Option<Algorithm>,
    ) -> Result<ImportedKey, CliError> {
        let only_with = |what: &str| match algorithm {
            Some(_) => Err(CliError::usage(format!("--alg does not go with {what}"))),
            None => Ok(()),
        };
        if let Some(path) = self.public {
            let text = ask::file(&path)?;
            if text.trim_start().starts_with('{') {
                only_with("a JWK, whose own `alg` counts")?;
                return Ok(ImportedKey::Jwk(text));
            }
            return Ok(ImportedKey::Pem {
                pem: text,
                algorithm,
            });
        }
        if let Some(path) = self.jwks {
            only_with("a JWKS, whose keys have their own")?;
            return Ok(ImportedKey::Jwks(ask::file(&path)?));
        }
        if let Some(url) = self.jwks_url {
            only_with("a JWKS, whose keys have their own")?;
            return Ok(ImportedKey::JwksUrl(url));
        }
        match (self.hmac, secret_file) {
            (Some(id), Some(path)) => Ok(ImportedKey::Hmac {
                id,
                secret: ask::secret(&path)?,
                algorithm,
            }),
            _ => Err(CliError::usage(
                "what to import? Give --public, --jwks, --jwks-url or --hmac",
            )),
        }
    }
}

fn announce(new: &NewKeyView, api: &str) -> Result<(), CliError> {
    let paint = Paint::stdout();
    let key = &new.key;
    let algorithm = key.algorithm.as_deref().unwrap_or("-");
    let mut lines = vec![
        format!("Key id:     {}", paint.strong(&key.id)),
        format!("Key secret: {}", paint.strong(&new.secret)),
        format!("App:        {} ({algorithm})", key.app),
    ];
    if let Some(old) = &new.replaces {
        let until = print::when(old.until_ms);
        lines.push(format!(
            "Replaces:   {}, which verifies until {until}",
            old.id
        ));
    }
    tell(new, &lines.join("\n"))?;
    eprintln!(
        "\nThe secret is shown this once. Where your app's server makes tokens:\n  \
         export HEXLINE_KEY_ID=… HEXLINE_KEY_SECRET=…\n  \
         {} token create --api {} --identity alice --device web1 --grant signal",
        program::name(),
        program::quoted(api)
    );
    Ok(())
}

// The secret is told this once: if it did not get through, somebody has to know.
fn tell(new: &NewKeyView, text: &str) -> Result<(), CliError> {
    print::once(text).map_err(|e| {
        let (id, hexline) = (&new.key.id, program::name());
        CliError::failed(format!(
            "key {id} was made, but its secret could not be written to stdout ({e}) and cannot be \
             shown again: {hexline} key rotate {id} --overlap 0s gives another, {hexline} key revoke \
             {id} takes it back"
        ))
    })
}

fn describe(key: &KeyView) -> String {
    let mut lines = vec![format!("Key {}", key.id)];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<10} {value}"));
    line("app", &key.app);
    line(
        "label",
        if key.label.is_empty() {
            "-"
        } else {
            &key.label
        },
    );
    line("kind", &key.kind);
    line(
        "algorithm",
        key.algorithm.as_deref().unwrap_or("as each JWK says"),
    );
    line("state", &key.state);
    if key.until_ms.is_some() {
        line("until", &print::when(key.until_ms));
    }
    if key.revoked_ms.is_some() {
        line("revoked", &print::when(key.revoked_ms));
    }
    line("created", &print::when(Some(key.created_ms)));
    line("last used", &print::when(key.last_used_ms));
    if let Some(maker) = &key.made_by {
        line("made by", maker);
    }
    line(
        "signs",
        if key.signs {
            "what the server mints"
        } else {
            "no"
        },
    );
    let ceiling = key
        .ceiling
        .as_ref()
        .map_or_else(|| "none".to_owned(), Value::to_string);
    line("ceiling", &ceiling);
    lines.join("\n")
}

fn describe_revoked(revoked: &RevokedKeyView) -> String {
    let mut text = describe(&revoked.key);
    if !revoked.made.is_empty() {
        text.push_str("\nRevoked with it, for it had made them:\n");
        text.push_str(&list(&revoked.made));
    }
    text
}

fn list(keys: &[KeyView]) -> String {
    if keys.is_empty() {
        return "There is no key yet. Make one: hexline key create".to_owned();
    }
    let mut table = print::table(&["ID", "APP", "KIND", "ALG", "STATE", "UNTIL", "LABEL"]);
    for key in keys {
        table.add_row([
            &key.id,
            &key.app,
            &key.kind,
            key.algorithm.as_deref().unwrap_or("-"),
            &key.state,
            &print::when(key.until_ms),
            &key.label,
        ]);
    }
    print::lines(&table)
}
