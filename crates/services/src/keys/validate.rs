use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hexline_model::{AppId, Entropy, KeyId, Secret, Timestamp};
use hexline_token::{Algorithm, Grants, KeySet, KeyValidationError, VerifyingKey};
use zeroize::Zeroizing;

use super::error::KeyError;
use super::key::{KeyMaterial, KeyRecord, KeySource, KeyState, NewKey};
use crate::reach::{UrlRefused, UrlRule};
use crate::vault::{Purpose, Sealer};

/// Decides whether an order for a key is good, before anything is written.
#[derive(Debug)]
pub(super) struct KeyValidator {
    pub(super) jwks_urls: UrlRule,
}

/// An order that passed; all that it lacks is an app.
#[derive(Debug)]
pub(super) struct ValidKey {
    pub(super) id: KeyId,
    label: String,
    expires: Option<Timestamp>,
    ceiling: Option<Grants>,
    pub(super) made_by: Option<KeyId>,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Secret(Secret<String>),
    Public(KeyMaterial),
}

/// What people name a key.
pub(super) fn check_label(label: &str) -> Result<(), KeyError> {
    if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(KeyError::Order {
            what: "label",
            found: format!("{} bytes long or holds control characters", label.len()),
            expected: "at most 200 bytes without control characters",
        });
    }
    Ok(())
}

impl KeyValidator {
    pub(super) fn validate(
        &self,
        order: NewKey,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<ValidKey, KeyError> {
        check_label(&order.label)?;
        if let Some(expires) = order.expires.filter(|at| *at <= now) {
            return Err(KeyError::Order {
                what: "expires",
                found: expires.to_string(),
                expected: "a time to come",
            });
        }
        let (id, algorithm, material) = self.material(order.source, entropy)?;
        if let Material::Public(document) = &material
            && document
                .text()
                .is_some_and(|text| text.len() > MAX_DOCUMENT)
        {
            return Err(KeyError::Order {
                what: "document",
                found: "more than 64 KiB".to_owned(),
                expected: "at most 64 KiB",
            });
        }
        Ok(ValidKey {
            id: id.unwrap_or_else(|| KeyId::generate(entropy)),
            label: order.label,
            expires: order.expires,
            ceiling: order.ceiling,
            made_by: order.made_by,
            algorithm,
            material,
        })
    }

    fn material(
        &self,
        source: KeySource,
        entropy: &dyn Entropy,
    ) -> Result<(Option<KeyId>, Option<Algorithm>, Material), KeyError> {
        Ok(match source {
            KeySource::Generate(algorithm) => {
                require_symmetric(algorithm)?;
                let secret = new_secret(Some(algorithm), entropy);
                (None, Some(algorithm), Material::Secret(secret))
            }
            KeySource::Hmac {
                id,
                algorithm,
                secret,
            } => {
                require_symmetric(algorithm)?;
                VerifyingKey::hmac(algorithm, secret.expose().as_bytes())?;
                (Some(id), Some(algorithm), Material::Secret(secret))
            }
            KeySource::PublicPem { pem, algorithm } => {
                let key = VerifyingKey::from_pem(algorithm, &pem)?;
                let pem = one_block(pem)?;
                (
                    None,
                    Some(key.algorithm()),
                    Material::Public(KeyMaterial::PublicPem(pem)),
                )
            }
            KeySource::PublicJwk(jwk) => {
                let key = VerifyingKey::from_jwk(&jwk)?;
                if key.algorithm().is_symmetric() {
                    return Err(KeyError::KeySort {
                        found: "a JWK that is a secret".to_owned(),
                        expected: "a public key; import a secret by its id and text",
                    });
                }
                (
                    None,
                    Some(key.algorithm()),
                    Material::Public(KeyMaterial::PublicJwk(jwk)),
                )
            }
            KeySource::Jwks(document) => {
                KeySet::parse(&document)?;
                (None, None, Material::Public(KeyMaterial::Jwks(document)))
            }
            KeySource::JwksUrl(url) => {
                self.check_url(&url)?;
                (None, None, Material::Public(KeyMaterial::JwksUrl(url)))
            }
        })
    }

    fn check_url(&self, url: &str) -> Result<(), KeyError> {
        let refused = |found: &str| KeyError::Order {
            what: "jwks_url",
            found: found.to_owned(),
            expected: "an https URL without user name and fragment",
        };
        if url.len() > 2048 || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(refused("too long or holds white space"));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refused("no absolute URL"));
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
        if authority.is_empty() || authority.contains('@') || rest.contains(['#', '\\']) {
            return Err(refused(
                "a URL without a host, or with a user name or fragment",
            ));
        }
        if !["https", "http"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(refused("a URL of another scheme"));
        }
        self.jwks_urls.check(url).map_err(|refusal| match refusal {
            UrlRefused::Address => KeyError::Order {
                what: "jwks_url",
                found: "a URL whose host is this machine, a private or a reserved address"
                    .to_owned(),
                expected: "a public one; providers.allow_private opens the first two",
            },
            UrlRefused::PlainHttp => refused("a plain http URL"),
            UrlRefused::Scheme => refused("a URL of another scheme"),
            UrlRefused::Unreadable => refused("no absolute URL"),
        })
    }
}

impl ValidKey {
    /// The key as it will be stored.
    pub(super) fn record(&self, app: AppId, now: Timestamp, sealer: &Sealer) -> KeyRecord {
        let material = match &self.material {
            Material::Secret(secret) => {
                let purpose = Purpose::HmacSecret { app, key: self.id };
                KeyMaterial::Hmac(sealer.seal(purpose, secret.expose()))
            }
            Material::Public(material) => material.clone(),
        };
        KeyRecord {
            id: self.id,
            app,
            label: self.label.clone(),
            algorithm: self.algorithm,
            state: KeyState::Active,
            created: now,
            expires: self.expires,
            last_used: None,
            ceiling: self.ceiling.clone(),
            made_by: self.made_by,
            released: None,
            material,
        }
    }

    pub(super) fn secret(&self) -> Option<&Secret<String>> {
        match &self.material {
            Material::Secret(secret) => Some(secret),
            Material::Public(_) => None,
        }
    }
}

/// A secret with as many random bits as the algorithm's hash, 256 at least.
pub(super) fn new_secret(algorithm: Option<Algorithm>, entropy: &dyn Entropy) -> Secret<String> {
    let bytes = match algorithm {
        Some(Algorithm::Hs384) => 48,
        Some(Algorithm::Hs512) => 64,
        _ => 32,
    };
    let mut random = Zeroizing::new(vec![0; bytes]);
    entropy.fill(&mut random);
    Secret::new(URL_SAFE_NO_PAD.encode(&*random))
}

fn require_symmetric(algorithm: Algorithm) -> Result<(), KeyError> {
    if algorithm.is_symmetric() {
        Ok(())
    } else {
        Err(KeyError::not_symmetric(algorithm))
    }
}

/// A PEM file may hold more than its first block, which is all that was validated: a private key
/// that stands beside the public one must not be stored.
fn one_block(pem: String) -> Result<String, KeyError> {
    if pem.matches("-----BEGIN ").count() == 1 && !pem.contains('\0') {
        return Ok(pem);
    }
    Err(KeyValidationError::Malformed {
        found: "more than one PEM block".to_owned(),
        expected: "one PUBLIC KEY block".to_owned(),
    }
    .into())
}

const MAX_LABEL: usize = 200;
const MAX_DOCUMENT: usize = 64 * 1024;
