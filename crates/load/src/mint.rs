use anyhow::Context as _;
use hexline_model::Secret;
use hexline_token::TokenBuilder;

/// Makes the tokens of the load, with the app's own key.
#[derive(Debug)]
pub(crate) struct Mint {
    key_id: String,
    key_secret: Secret<String>,
    audience: String,
}

impl Mint {
    /// `audience` is the base URL that the tokens are for.
    pub(crate) fn new(key_id: &str, key_secret: Secret<String>, audience: &str) -> Self {
        let audience = audience.trim_end_matches('/').to_owned();
        Self {
            key_id: key_id.to_owned(),
            key_secret,
            audience,
        }
    }

    /// A token for that identity, on the one device that all of them have.
    pub(crate) fn token(&self, identity: &str) -> anyhow::Result<Secret<String>> {
        TokenBuilder::create()
            .key(self.key_id.as_str(), self.key_secret.expose().as_str())
            .access("client")
            .api(&self.audience)
            .identity(identity)
            .device("web1")
            .grant("signal", true)
            .ttl(LIFETIME_SECONDS)
            .build()
            .map(Secret::new)
            .context("cannot make a token; see --key-id and --key-secret")
    }
}

/// Longer than any run.
const LIFETIME_SECONDS: u64 = 4 * 3600;
