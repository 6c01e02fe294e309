use hexline_model::{Identity, IdentityError, SystemClock, Timestamp};

use crate::compact::MAX_BYTES;
use crate::json::{Json, JsonError, write_escaped, write_string};
use crate::{Access, Algorithm, KeyValidationError, PrivateKey, Source, base64url, claims};

/// Builds access tokens.
///
/// The guide's sample, line for line:
///
/// ```
/// use hexline_token::TokenBuilder;
/// use serde_json::json;
/// # let key_id = "b234fdb83571400f9b62e204d735126e";
/// # let key_secret = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";
///
/// let token = TokenBuilder::create()
///     .key(key_id, key_secret)
///     .access("client")
///     .grants(json!({"chat": true, "signal": true, "video": true}))
///     .identity("alice")
///     .device("web1")
///     .ttl(60 * 60)
///     .build()?;
/// # assert_eq!(token.split('.').count(), 3);
/// # Ok::<(), hexline_token::BuildError>(())
/// ```
///
/// Every language's builder gives the same bytes for the same input: docs/tokens.md, "Byte
/// identity", and `vectors/tokens.json`.
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct TokenBuilder {
    signer: Option<(String, Result<PrivateKey, KeyValidationError>)>,
    kid: Option<String>,
    access: String,
    api: String,
    audience: Option<String>,
    identity: Option<String>,
    device: Option<String>,
    grants: Grants,
    profile: Option<Json>,
    ttl: Option<u64>,
    expires: Option<i64>,
    not_before: Option<i64>,
    token_id: Option<String>,
}

/// Why a token cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither `key` nor `signing_key` was called.
    #[error("found no key, expected a call of key or signing_key")]
    NoKey,
    /// The key's id is empty.
    #[error("found an empty key id, expected the id of a key")]
    NoKeyId,
    /// The key is not fit for signing.
    #[error(transparent)]
    Key(#[from] KeyValidationError),
    /// `access` is neither of the two.
    #[error("found another access, expected client or platform")]
    UnknownAccess,
    /// A client token names a user and a device.
    #[error("found no {part}, expected one in a client token")]
    Missing {
        /// `identity` or `device`.
        part: &'static str,
    },
    /// An identity or device that no server takes.
    #[error(
        "found {} {part} that {source}, expected non-empty text without '/'",
        article(part)
    )]
    Subject {
        /// `identity` or `device`.
        part: &'static str,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// A `jti` by which the token could not be revoked.
    #[error("found a jti of {bytes} bytes, expected {}", claims::JTI_RULE)]
    TokenId {
        /// Its size.
        bytes: usize,
    },
    /// `grants` was given something else than an object.
    #[error("found grants that are no object, expected services and what is granted of them")]
    GrantsNotAnObject,
    /// Grants or profile are no JSON that a token can carry.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// No server would take a token of this size.
    #[error("found a token of {bytes} bytes, expected at most 8192")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The machine's cryptography failed.
    #[error("found no signature, expected the key to make one")]
    Signing,
}

#[derive(Debug, Clone)]
enum Grants {
    Members(Vec<(String, Json)>),
    NotAnObject,
}

impl TokenBuilder {
    /// A builder with the defaults: `client` access to `http://localhost:8000`, no grants, valid
    /// for an hour.
    pub fn create() -> Self {
        Self {
            signer: None,
            kid: None,
            access: Access::Client.name().to_owned(),
            api: DEFAULT_API.to_owned(),
            audience: None,
            identity: None,
            device: None,
            grants: Grants::Members(Vec::new()),
            profile: None,
            ttl: None,
            expires: None,
            not_before: None,
            token_id: None,
        }
    }

    /// Signs with HS256. The HMAC's key is the secret's text as it was shown, not decoded.
    pub fn key(self, id: impl Into<String>, secret: impl AsRef<[u8]>) -> Self {
        let key = PrivateKey::hmac(Algorithm::Hs256, secret.as_ref());
        Self {
            signer: Some((id.into(), key)),
            ..self
        }
    }

    /// Signs with another key, by its own algorithm.
    pub fn signing_key(self, id: impl Into<String>, key: PrivateKey) -> Self {
        Self {
            signer: Some((id.into(), Ok(key))),
            ..self
        }
    }

    /// Names the JWK in the header: for a key that is registered as one of a JWKS.
    pub fn kid(self, kid: impl Into<String>) -> Self {
        Self {
            kid: Some(kid.into()),
            ..self
        }
    }

    /// `client` (the default) or `platform`.
    pub fn access(self, access: impl AsRef<str>) -> Self {
        Self {
            access: access.as_ref().to_owned(),
            ..self
        }
    }

    /// The server's base URL: `aud` becomes `{api}/{access}/v1`.
    pub fn api(self, base_url: impl Into<String>) -> Self {
        Self {
            api: base_url.into(),
            ..self
        }
    }

    /// Short for `api("https://api.{name}.bit6.com")`.
    pub fn env(self, name: impl AsRef<str>) -> Self {
        self.api(format!("https://api.{}.bit6.com", name.as_ref()))
    }

    /// The whole `aud`, whatever `api`, `env` and `access` say.
    pub fn aud(self, audience: impl Into<String>) -> Self {
        Self {
            audience: Some(audience.into()),
            ..self
        }
    }

    /// Who.
    pub fn identity(self, identity: impl Into<String>) -> Self {
        Self {
            identity: Some(identity.into()),
            ..self
        }
    }

    /// On which device.
    pub fn device(self, device: impl Into<String>) -> Self {
        Self {
            device: Some(device.into()),
            ..self
        }
    }

    /// Grants one service, wholly (`true`) or narrowed. Services stay in the order in which they
    /// were first granted.
    pub fn grant(mut self, service: impl Into<String>, value: impl Into<Json>) -> Self {
        let (service, value) = (service.into(), value.into());
        if let Grants::Members(members) = &mut self.grants {
            match members.iter_mut().find(|(name, _)| *name == service) {
                Some((_, old)) => *old = value,
                None => members.push((service, value)),
            }
        }
        self
    }

    /// Replaces all grants. A [`serde_json::Value`] has no order of its own and is sorted by name;
    /// a [`Json`] keeps its order.
    pub fn grants(self, grants: impl Into<Json>) -> Self {
        let grants = match grants.into() {
            Json::Object(members) => Grants::Members(members),
            _ => Grants::NotAnObject,
        };
        Self { grants, ..self }
    }

    /// Something about the user, for whoever reads the token.
    pub fn profile(self, profile: impl Into<Json>) -> Self {
        Self {
            profile: Some(profile.into()),
            ..self
        }
    }

    /// How many seconds it is valid; an hour unless set.
    pub fn ttl(self, seconds: u64) -> Self {
        Self {
            ttl: Some(seconds),
            ..self
        }
    }

    /// Until when it is valid, in seconds since the epoch; wins over `ttl`.
    pub fn exp(self, unix: i64) -> Self {
        Self {
            expires: Some(unix),
            ..self
        }
    }

    /// From when on it is valid, in seconds since the epoch.
    pub fn nbf(self, unix: i64) -> Self {
        Self {
            not_before: Some(unix),
            ..self
        }
    }

    /// A name for this one token, by which it can be revoked: 1 to 1024 bytes without control
    /// characters.
    pub fn jti(self, id: impl Into<String>) -> Self {
        Self {
            token_id: Some(id.into()),
            ..self
        }
    }

    /// The token, issued now by the machine's clock.
    pub fn build(&self) -> Result<String, BuildError> {
        self.build_at(SystemClock::new().now())
    }

    /// The token, issued at that time, in whole seconds.
    pub fn build_at(&self, now: Timestamp) -> Result<String, BuildError> {
        self.build_exchanged_at(now, &[])
    }

    /// Makes the token that others are exchanged for: for a server's exchange alone, which writes
    /// down in `src` what the token stands on.
    pub fn build_exchanged_at(
        &self,
        now: Timestamp,
        sources: &[Source],
    ) -> Result<String, BuildError> {
        let (id, key) = self.signer.as_ref().ok_or(BuildError::NoKey)?;
        if id.is_empty() {
            return Err(BuildError::NoKeyId);
        }
        let key = key.as_ref().map_err(Clone::clone)?;
        let claims = self.claims(id, now, sources)?;
        Json::check(&claims)?; // a member twice or too deep: no server would take it
        let mut token = base64url::encode(self.header(key.algorithm()).as_bytes());
        token.push('.');
        base64url::encode_into(claims.as_bytes(), &mut token);
        let signature = key.sign(token.as_bytes()).ok_or(BuildError::Signing)?;
        token.push('.');
        base64url::encode_into(&signature, &mut token);
        if token.len() > MAX_BYTES {
            return Err(BuildError::TooLarge { bytes: token.len() });
        }
        Ok(token)
    }

    fn header(&self, algorithm: Algorithm) -> String {
        let mut header = format!(r#"{{"typ":"JWT","alg":"{algorithm}""#);
        if let Some(kid) = &self.kid {
            header.push_str(",\"kid\":");
            write_string(kid, &mut header);
        }
        header.push('}');
        header
    }

    /// The claims, in the one order: aud, sub, grants, iss, iat, nbf, exp, jti, profile.
    fn claims(&self, id: &str, now: Timestamp, sources: &[Source]) -> Result<String, BuildError> {
        let access = Access::parse(&self.access).ok_or(BuildError::UnknownAccess)?;
        let mut text = String::with_capacity(256);
        text.push_str("{\"aud\":\"");
        if let Some(audience) = &self.audience {
            write_escaped(audience, &mut text);
        } else {
            write_escaped(self.api.trim_end_matches('/'), &mut text);
            text.push('/');
            text.push_str(access.name());
            text.push_str("/v1");
        }
        text.push('"');
        if access == Access::Client {
            text.push_str(",\"sub\":\"");
            let identity = part(self.identity.as_deref(), "identity")?;
            let device = part(self.device.as_deref(), "device")?;
            write_escaped(identity, &mut text);
            text.push('/');
            write_escaped(device, &mut text);
            text.push('"');
        }
        text.push_str(",\"grants\":{");
        let Grants::Members(grants) = &self.grants else {
            return Err(BuildError::GrantsNotAnObject);
        };
        for (n, (service, value)) in grants.iter().enumerate() {
            if n > 0 {
                text.push(',');
            }
            write_string(service, &mut text);
            text.push(':');
            value.write(&mut text)?;
        }
        text.push_str("},\"iss\":");
        write_string(id, &mut text);
        let issued = now.as_secs();
        let ttl = i64::try_from(self.ttl.unwrap_or(DEFAULT_TTL)).unwrap_or(i64::MAX);
        let expires = self.expires.unwrap_or(issued.saturating_add(ttl));
        number("iat", Some(issued), &mut text);
        number("nbf", self.not_before, &mut text);
        number("exp", Some(expires), &mut text);
        if let Some(id) = &self.token_id {
            if !claims::jti_fits(id) {
                return Err(BuildError::TokenId { bytes: id.len() });
            }
            text.push_str(",\"jti\":");
            write_string(id, &mut text);
        }
        if let Some(profile) = &self.profile {
            text.push_str(",\"profile\":");
            profile.write(&mut text)?;
        }
        if let Some((first, more)) = sources.split_first() {
            text.push_str(",\"src\":[");
            first.write(&mut text);
            for source in more {
                text.push(',');
                source.write(&mut text);
            }
            text.push(']');
        }
        text.push('}');
        Ok(text)
    }
}

fn part<'a>(text: Option<&'a str>, part: &'static str) -> Result<&'a str, BuildError> {
    let text = text.ok_or(BuildError::Missing { part })?;
    // The rules of a device are those of an identity.
    Identity::parse(text).map_err(|source| BuildError::Subject { part, source })?;
    Ok(text)
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn number(name: &str, seconds: Option<i64>, text: &mut String) {
    use std::fmt::Write as _;
    if let Some(seconds) = seconds {
        let _ = write!(text, ",\"{name}\":{seconds}");
    }
}

const DEFAULT_API: &str = "http://localhost:8000";
const DEFAULT_TTL: u64 = 60 * 60;
