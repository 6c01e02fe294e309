use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use hexline_model::Secret;

use super::jwk::{self, Family, Jwk, Purpose};
use super::verifying::{hmac_key, jwk_hmac_key, uncompressed, validate_rsa};
use super::{KeyValidationError, VerifyingKey, der, pem};
use crate::Algorithm;

/// A key that signs tokens with one algorithm. Parsed and validated; cheap to clone.
///
/// ```
/// use hexline_token::{Algorithm, KeyValidationError, PrivateKey};
/// let key = PrivateKey::generate(Algorithm::EdDsa)?;
/// let public = key.verifying_key().to_jwk(None).expect("not a secret");
/// assert!(public.starts_with(r#"{"kty":"OKP","crv":"Ed25519""#));
/// # Ok::<(), KeyValidationError>(())
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    material: Arc<Material>,
    verifying: VerifyingKey,
}

enum Material {
    Hmac(Arc<hmac::Key>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// A secret. Its bytes are those of the text as shown to people, never decoded first.
    pub fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyValidationError> {
        Ok(Self::from_hmac(algorithm, hmac_key(algorithm, secret)?))
    }

    /// A new key pair (RSA: 2048 bits). Secrets are not made here: they are text that somebody
    /// has to keep.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyValidationError> {
        let failed = |_| KeyValidationError::Inconsistent;
        match algorithm {
            Algorithm::Es256 => Self::p256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?,
            ),
            Algorithm::EdDsa => Self::ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            Algorithm::Rs256 | Algorithm::Ps256 => Self::rsa(
                algorithm,
                RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?,
            ),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                Err(KeyValidationError::AlgorithmMismatch {
                    kind: "generated",
                    algorithm,
                })
            }
        }
    }

    /// A private key in PEM: PKCS#8 (`PRIVATE KEY`), `EC PRIVATE KEY` or `RSA PRIVATE KEY`, not
    /// encrypted. Without an algorithm it is made for ES256, EdDSA or RS256 by its type.
    pub fn from_pkcs8_pem(
        algorithm: impl Into<Option<Algorithm>>,
        text: &str,
    ) -> Result<Self, KeyValidationError> {
        let (label, bytes) = pem::read(text)?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(algorithm, &bytes),
            "EC PRIVATE KEY" => {
                chosen(Family::P256, algorithm.into())?;
                let key =
                    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes);
                Self::p256(key.map_err(|_| unreadable())?)
            }
            "RSA PRIVATE KEY" => {
                let algorithm = chosen(Family::Rsa, algorithm.into())?;
                Self::rsa(
                    algorithm,
                    RsaKeyPair::from_der(&bytes).map_err(|_| unreadable())?,
                )
            }
            _ => Err(KeyValidationError::malformed(
                "another PEM block",
                "a PRIVATE KEY block",
            )),
        }
    }

    /// A private key in PKCS#8 (RFC 5208), as in [`from_pkcs8_pem`](Self::from_pkcs8_pem).
    pub fn from_pkcs8_der(
        algorithm: impl Into<Option<Algorithm>>,
        bytes: &[u8],
    ) -> Result<Self, KeyValidationError> {
        let algorithm = algorithm.into();
        if let Ok(key) = Ed25519KeyPair::from_pkcs8(bytes) {
            chosen(Family::Ed25519, algorithm)?;
            return Self::ed25519(key);
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes) {
            chosen(Family::P256, algorithm)?;
            return Self::p256(key);
        }
        let key = RsaKeyPair::from_pkcs8(bytes).map_err(|_| unreadable())?;
        Self::rsa(chosen(Family::Rsa, algorithm)?, key)
    }

    /// A private JWK, or an `oct` one whose `k` is base64url-decoded. The algorithm is its `alg`,
    /// else ES256, EdDSA, RS256 or HS256 by its type.
    pub fn from_jwk(text: &str) -> Result<Self, KeyValidationError> {
        let jwk = Jwk::parse(text)?;
        let (family, algorithm) = jwk.validate(Purpose::Signing)?;
        let inconsistent = |_| KeyValidationError::Inconsistent;
        match family {
            Family::Secret => {
                let key = jwk_hmac_key(algorithm, &jwk::bytes(jwk.k.as_ref(), "k")?)?;
                Ok(Self::from_hmac(algorithm, key))
            }
            Family::P256 => {
                let d = jwk::exactly::<32>(jwk.d.as_ref(), "d")?;
                let x = jwk::exactly::<32>(jwk.x.as_ref(), "x")?;
                let y = jwk::exactly::<32>(jwk.y.as_ref(), "y")?;
                let point = uncompressed(&x, &y);
                VerifyingKey::p256(&point)?;
                let key = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &*d,
                    &point,
                );
                Self::p256(key.map_err(inconsistent)?)
            }
            Family::Ed25519 => {
                let d = jwk::exactly::<32>(jwk.d.as_ref(), "d")?;
                let x = jwk::exactly::<32>(jwk.x.as_ref(), "x")?;
                let key = Ed25519KeyPair::from_seed_and_public_key(&*d, &*x);
                Self::ed25519(key.map_err(inconsistent)?)
            }
            Family::Rsa => {
                if jwk.has_more_primes() {
                    return Err(KeyValidationError::Unsupported {
                        found: "an RSA key of more than two primes".to_owned(),
                    });
                }
                let modulus = jwk::natural(jwk.n.as_ref(), "n")?;
                let exponent = jwk::natural(jwk.e.as_ref(), "e")?;
                validate_rsa(&modulus, &exponent)?;
                let d = jwk::natural(jwk.d.as_ref(), "d")?;
                let p = jwk::natural(jwk.p.as_ref(), "p")?;
                let q = jwk::natural(jwk.q.as_ref(), "q")?;
                let dp = jwk::natural(jwk.dp.as_ref(), "dp")?;
                let dq = jwk::natural(jwk.dq.as_ref(), "dq")?;
                let qi = jwk::natural(jwk.qi.as_ref(), "qi")?;
                let key = RsaKeyPair::from_components(&KeyPairComponents {
                    public_key: RsaPublicKeyComponents {
                        n: modulus.as_slice(),
                        e: exponent.as_slice(),
                    },
                    d: d.as_slice(),
                    p: p.as_slice(),
                    q: q.as_slice(),
                    dP: dp.as_slice(),
                    dQ: dq.as_slice(),
                    qInv: qi.as_slice(),
                });
                Self::rsa(algorithm, key.map_err(inconsistent)?)
            }
        }
    }

    fn from_hmac(algorithm: Algorithm, key: hmac::Key) -> Self {
        let key = Arc::new(key);
        let verifying = VerifyingKey::from_hmac(algorithm, Arc::clone(&key));
        Self {
            algorithm,
            material: Arc::new(Material::Hmac(key)),
            verifying,
        }
    }

    fn p256(key: EcdsaKeyPair) -> Result<Self, KeyValidationError> {
        let verifying = VerifyingKey::p256(key.public_key().as_ref())?;
        let material = Arc::new(Material::P256(key));
        Ok(Self {
            algorithm: Algorithm::Es256,
            material,
            verifying,
        })
    }

    fn ed25519(key: Ed25519KeyPair) -> Result<Self, KeyValidationError> {
        let verifying = VerifyingKey::ed25519(key.public_key().as_ref())?;
        let material = Arc::new(Material::Ed25519(key));
        Ok(Self {
            algorithm: Algorithm::EdDsa,
            material,
            verifying,
        })
    }

    fn rsa(algorithm: Algorithm, key: RsaKeyPair) -> Result<Self, KeyValidationError> {
        let public = der::rsa_public(key.public_key().as_ref())?;
        let verifying = VerifyingKey::rsa(algorithm, public.modulus, public.exponent)?;
        Ok(Self {
            algorithm,
            material: Arc::new(Material::Rsa(key)),
            verifying,
        })
    }

    /// The one algorithm that this key was made for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that checks what this one signs.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying.clone()
    }

    /// The key as PKCS#8 in PEM, to keep it in a file; `None` for a secret.
    pub fn to_pkcs8_pem(&self) -> Option<Secret<String>> {
        let text = match &*self.material {
            Material::Hmac(_) => return None,
            Material::P256(key) => pem::write(LABEL, key.to_pkcs8v1().ok()?.as_ref()),
            Material::Ed25519(key) => pem::write(LABEL, key.to_pkcs8v1().ok()?.as_ref()),
            Material::Rsa(key) => pem::write(LABEL, key.as_der().ok()?.as_ref()),
        };
        Some(Secret::new(text))
    }

    /// Signs; `None` only if the machine's cryptography fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        Some(match &*self.material {
            Material::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Material::P256(key) => key.sign(&random, message).ok()?.as_ref().to_vec(),
            Material::Ed25519(key) => key.try_sign(message).ok()?.as_ref().to_vec(),
            Material::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut signature).ok()?;
                signature
            }
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm)
    }
}

fn chosen(family: Family, algorithm: Option<Algorithm>) -> Result<Algorithm, KeyValidationError> {
    let algorithm = algorithm.unwrap_or(family.default_algorithm());
    family.check(algorithm).map(|()| algorithm)
}

fn unreadable() -> KeyValidationError {
    KeyValidationError::malformed(
        "bytes that are no supported private key",
        "a key of P-256, Ed25519 or RSA (2048 to 8192 bits)",
    )
}

const LABEL: &str = "PRIVATE KEY";
