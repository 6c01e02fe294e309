use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use aws_lc_rs::{constant_time, hmac};

use super::der::{self, PublicInfo};
use super::jwk::{self, Family, Jwk, Purpose};
use super::{KeyValidationError, edwards, pem, roca};
use crate::{Algorithm, base64url};

/// A key that checks signatures of one algorithm. Parsed and validated; cheap to clone.
///
/// ```
/// use hexline_token::{Algorithm, KeyValidationError, VerifyingKey};
/// let key = VerifyingKey::hmac(Algorithm::Hs256, b"a secret of at least 32 bytes ...")?;
/// assert_eq!(key.algorithm(), Algorithm::Hs256);
/// assert_eq!(format!("{key:?}"), "VerifyingKey(HS256)");
/// assert!(VerifyingKey::hmac(Algorithm::Hs256, b"hunter2").is_err());
/// # Ok::<(), KeyValidationError>(())
/// ```
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    material: Arc<Material>,
}

enum Material {
    Hmac(Arc<hmac::Key>),
    P256 {
        key: ParsedPublicKey,
        point: [u8; 65],
    },
    Ed25519 {
        key: ParsedPublicKey,
        point: [u8; 32],
    },
    Rsa {
        key: ParsedPublicKey,
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
}

impl VerifyingKey {
    /// A secret. Its bytes are those of the text as shown to people, never decoded first.
    pub fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyValidationError> {
        let key = hmac_key(algorithm, secret)?;
        Ok(Self::from_hmac(algorithm, Arc::new(key)))
    }

    /// A JWK: a public key, or an `oct` key whose `k` is base64url-decoded (RFC 7518 §6.4).
    ///
    /// The algorithm is its `alg`, else ES256, EdDSA, RS256 or HS256 by its type. A JWK with
    /// private members is refused: whoever registers it has shown it to too many already.
    pub fn from_jwk(text: &str) -> Result<Self, KeyValidationError> {
        Self::from_parsed(&Jwk::parse(text)?)
    }

    /// A public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`). Without an algorithm it is made for
    /// ES256, EdDSA or RS256 by its type.
    pub fn from_pem(
        algorithm: impl Into<Option<Algorithm>>,
        text: &str,
    ) -> Result<Self, KeyValidationError> {
        let (label, bytes) = pem::read(text)?;
        let algorithm = algorithm.into();
        let chosen = |family: Family| {
            let algorithm = algorithm.unwrap_or(family.default_algorithm());
            family.check(algorithm).map(|()| algorithm)
        };
        let info = match label {
            "PUBLIC KEY" => der::public_info(&bytes)?,
            "RSA PUBLIC KEY" => PublicInfo::Rsa(der::rsa_public(&bytes)?),
            label if label.ends_with("PRIVATE KEY") => {
                return Err(KeyValidationError::PrivateMember);
            }
            _ => {
                return Err(KeyValidationError::malformed(
                    "another PEM block",
                    "a PUBLIC KEY block",
                ));
            }
        };
        match info {
            PublicInfo::Rsa(rsa) => Self::rsa(chosen(Family::Rsa)?, rsa.modulus, rsa.exponent),
            PublicInfo::P256(point) => {
                chosen(Family::P256)?;
                Self::p256(point)
            }
            PublicInfo::Ed25519(point) => {
                chosen(Family::Ed25519)?;
                Self::ed25519(point)
            }
        }
    }

    pub(super) fn from_parsed(jwk: &Jwk<'_>) -> Result<Self, KeyValidationError> {
        let (family, algorithm) = jwk.validate(Purpose::Verifying)?;
        if jwk.is_private() {
            return Err(KeyValidationError::PrivateMember);
        }
        match family {
            Family::Secret => {
                let key = jwk_hmac_key(algorithm, &jwk::bytes(jwk.k.as_ref(), "k")?)?;
                Ok(Self::from_hmac(algorithm, Arc::new(key)))
            }
            Family::P256 => {
                let (x, y) = (
                    jwk::exactly::<32>(jwk.x.as_ref(), "x")?,
                    jwk::exactly::<32>(jwk.y.as_ref(), "y")?,
                );
                Self::p256(&uncompressed(&x, &y))
            }
            Family::Ed25519 => Self::ed25519(&*jwk::exactly::<32>(jwk.x.as_ref(), "x")?),
            Family::Rsa => Self::rsa(
                algorithm,
                &jwk::natural(jwk.n.as_ref(), "n")?,
                &jwk::natural(jwk.e.as_ref(), "e")?,
            ),
        }
    }

    pub(super) fn from_hmac(algorithm: Algorithm, key: Arc<hmac::Key>) -> Self {
        Self {
            algorithm,
            material: Arc::new(Material::Hmac(key)),
        }
    }

    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyValidationError> {
        let off_curve = KeyValidationError::Point { curve: "P-256" };
        let point: [u8; 65] = point.try_into().map_err(|_| off_curve.clone())?;
        if point[0] != 4 {
            return Err(off_curve);
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| off_curve)?;
        Ok(Self {
            algorithm: Algorithm::Es256,
            material: Arc::new(Material::P256 { key, point }),
        })
    }

    pub(super) fn ed25519(point: &[u8]) -> Result<Self, KeyValidationError> {
        let off_curve = KeyValidationError::Point { curve: "Ed25519" };
        let point: [u8; 32] = point.try_into().map_err(|_| off_curve.clone())?;
        if !edwards::is_sound(&point) {
            return Err(off_curve);
        }
        let key = ParsedPublicKey::new(&ED25519, point).map_err(|_| off_curve)?;
        Ok(Self {
            algorithm: Algorithm::EdDsa,
            material: Arc::new(Material::Ed25519 { key, point }),
        })
    }

    pub(super) fn rsa(
        algorithm: Algorithm,
        modulus: &[u8],
        exponent: &[u8],
    ) -> Result<Self, KeyValidationError> {
        validate_rsa(modulus, exponent)?;
        let parameters = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        };
        let key = RsaPublicKeyComponents {
            n: modulus,
            e: exponent,
        }
        .to_parsed_public_key(parameters)
        .map_err(|_| KeyValidationError::Inconsistent)?;
        let (modulus, exponent) = (modulus.into(), exponent.into());
        Ok(Self {
            algorithm,
            material: Arc::new(Material::Rsa {
                key,
                modulus,
                exponent,
            }),
        })
    }

    /// The one algorithm that this key was made for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as a public JWK, with its `alg`, for registering or publishing it; `None` for a
    /// secret.
    pub fn to_jwk(&self, kid: Option<&str>) -> Option<String> {
        let encode = base64url::encode;
        let mut members = match &*self.material {
            Material::Hmac(_) => return None,
            Material::P256 { point, .. } => vec![
                ("kty", "EC".to_owned()),
                ("crv", "P-256".to_owned()),
                ("x", encode(&point[1..33])),
                ("y", encode(&point[33..])),
            ],
            Material::Ed25519 { point, .. } => vec![
                ("kty", "OKP".to_owned()),
                ("crv", "Ed25519".to_owned()),
                ("x", encode(point)),
            ],
            Material::Rsa {
                modulus, exponent, ..
            } => vec![
                ("kty", "RSA".to_owned()),
                ("n", encode(modulus)),
                ("e", encode(exponent)),
            ],
        };
        members.push(("alg", self.algorithm.name().to_owned()));
        members.push(("use", "sig".to_owned()));
        members.extend(kid.map(|kid| ("kid", kid.to_owned())));
        Some(members.into_iter().collect::<crate::Json>().to_string())
    }

    /// Whether the signature is this key's; in constant time as far as secrets are concerned.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &*self.material {
            Material::Hmac(key) => {
                let tag = hmac::sign(key, message);
                constant_time::verify_slices_are_equal(tag.as_ref(), signature).is_ok()
            }
            Material::P256 { key, .. } | Material::Ed25519 { key, .. } => {
                signature.len() == 64 && key.verify_sig(message, signature).is_ok()
            }
            Material::Rsa { key, modulus, .. } => {
                signature.len() == modulus.len() && key.verify_sig(message, signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm)
    }
}

/// Makes the key of an HMAC from a secret of at least 256 bits, whatever the hash is, so that a
/// secret of 43 characters, which is what this system makes, serves all three.
pub(super) fn hmac_key(
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<hmac::Key, KeyValidationError> {
    let digest = match algorithm {
        Algorithm::Hs256 => hmac::HMAC_SHA256,
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        _ => {
            return Err(KeyValidationError::AlgorithmMismatch {
                kind: "secret",
                algorithm,
            });
        }
    };
    long_enough(secret, MIN_HMAC_BYTES)?;
    Ok(hmac::Key::new(digest, secret))
}

/// Makes the key of an HMAC from a JWK, whose secret must be as long as the hash (RFC 7518 §3.2).
pub(super) fn jwk_hmac_key(
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<hmac::Key, KeyValidationError> {
    let key = hmac_key(algorithm, secret)?;
    long_enough(secret, key.algorithm().digest_algorithm().output_len())?;
    Ok(key)
}

fn long_enough(secret: &[u8], wanted: usize) -> Result<(), KeyValidationError> {
    if secret.len() < wanted {
        return Err(KeyValidationError::HmacTooShort {
            bits: secret.len() * 8,
            wanted: wanted * 8,
        });
    }
    Ok(())
}

/// Sizes and exponent; both numbers come without leading zeros.
pub(super) fn validate_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyValidationError> {
    let bits = bit_length(modulus);
    if !(2048..=8192).contains(&bits) {
        return Err(KeyValidationError::RsaSize { bits });
    }
    if modulus.last().is_none_or(|b| b & 1 == 0) {
        return Err(KeyValidationError::RsaModulus);
    }
    if roca::is_weak(modulus) {
        return Err(KeyValidationError::RsaWeak);
    }
    let value = (exponent.len() <= 8).then(|| {
        exponent
            .iter()
            .fold(0_u64, |value, b| value << 8 | u64::from(*b))
    });
    match value {
        Some(65_537..0x2_0000_0000) if exponent.last().is_some_and(|b| b & 1 == 1) => Ok(()),
        _ => Err(KeyValidationError::RsaExponent),
    }
}

pub(super) fn uncompressed(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    point[1..33].copy_from_slice(x);
    point[33..].copy_from_slice(y);
    point
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| {
        number.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
    })
}

const MIN_HMAC_BYTES: usize = 32;
