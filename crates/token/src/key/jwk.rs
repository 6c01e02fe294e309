use std::borrow::Cow;

use zeroize::Zeroizing;

use super::KeyValidationError;
use crate::Algorithm;
use crate::base64url;
use crate::error::quote;
use crate::json::{Flaw, Kind, Reader};

/// The members of a JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2) that matter here, as written.
///
/// Everything else in it is skipped: certificates and URLs are never read.
#[derive(Default)]
pub(super) struct Jwk<'a> {
    kind: Option<Cow<'a, str>>,
    curve: Option<Cow<'a, str>>,
    algorithm: Option<Cow<'a, str>>,
    key_use: Option<Cow<'a, str>>,
    operations: Option<Vec<String>>,
    pub(super) kid: Option<Cow<'a, str>>,
    pub(super) k: Option<Cow<'a, str>>,
    pub(super) x: Option<Cow<'a, str>>,
    pub(super) y: Option<Cow<'a, str>>,
    pub(super) n: Option<Cow<'a, str>>,
    pub(super) e: Option<Cow<'a, str>>,
    pub(super) d: Option<Cow<'a, str>>,
    pub(super) p: Option<Cow<'a, str>>,
    pub(super) q: Option<Cow<'a, str>>,
    pub(super) dp: Option<Cow<'a, str>>,
    pub(super) dq: Option<Cow<'a, str>>,
    pub(super) qi: Option<Cow<'a, str>>,
    more_primes: bool,
}

/// What a key is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Signing,
    Verifying,
}

/// The sort of a key, told by `kty` and `crv`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    Secret,
    P256,
    Ed25519,
    Rsa,
}

impl<'a> Jwk<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, KeyValidationError> {
        let mut reader = Reader::new(text);
        let jwk = Self::read(&mut reader).and_then(|jwk| reader.end().map(|()| jwk));
        jwk.map_err(flawed)
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut jwk = Self::default();
        reader.object(|reader, name| {
            let member = match name {
                "kty" => &mut jwk.kind,
                "crv" => &mut jwk.curve,
                "alg" => &mut jwk.algorithm,
                "use" => &mut jwk.key_use,
                "kid" => &mut jwk.kid,
                "k" => &mut jwk.k,
                "x" => &mut jwk.x,
                "y" => &mut jwk.y,
                "n" => &mut jwk.n,
                "e" => &mut jwk.e,
                "d" => &mut jwk.d,
                "p" => &mut jwk.p,
                "q" => &mut jwk.q,
                "dp" => &mut jwk.dp,
                "dq" => &mut jwk.dq,
                "qi" => &mut jwk.qi,
                "key_ops" => {
                    let mut operations = Vec::new();
                    reader.array(|reader| {
                        operations.push(reader.string()?.into_owned());
                        Ok(())
                    })?;
                    jwk.operations = Some(operations);
                    return Ok(());
                }
                "oth" => {
                    jwk.more_primes = true;
                    return reader.skip();
                }
                _ => return reader.skip(),
            };
            *member = Some(reader.string()?);
            Ok(())
        })?;
        Ok(jwk)
    }

    /// The type and the one algorithm of this key, all its own statements considered.
    pub(super) fn validate(
        &self,
        purpose: Purpose,
    ) -> Result<(Family, Algorithm), KeyValidationError> {
        let family = self.family()?;
        self.check_use(purpose)?;
        let algorithm = match self.algorithm.as_deref() {
            None => family.default_algorithm(),
            Some(name) => Algorithm::parse(name).map_err(|_| KeyValidationError::Unsupported {
                found: format!("a key for the algorithm {}", quote(name)),
            })?,
        };
        family.check(algorithm)?;
        Ok((family, algorithm))
    }

    /// Whether any member is there that only the owner may know.
    pub(super) fn is_private(&self) -> bool {
        self.more_primes
            || [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi]
                .iter()
                .any(|member| member.is_some())
    }

    /// Whether it has a member that only a symmetric key has.
    pub(super) fn is_secret(&self) -> bool {
        self.kind.as_deref() == Some("oct") || self.k.is_some()
    }

    pub(super) fn has_more_primes(&self) -> bool {
        self.more_primes
    }

    fn family(&self) -> Result<Family, KeyValidationError> {
        let unsupported = |what: &str, name: &str| KeyValidationError::Unsupported {
            found: format!("a key of {what} {}", quote(name)),
        };
        match self.kind.as_deref() {
            Some("oct") => Ok(Family::Secret),
            Some("RSA") => Ok(Family::Rsa),
            Some(kind @ ("EC" | "OKP")) => match (kind, self.curve.as_deref()) {
                ("EC", Some("P-256")) => Ok(Family::P256),
                ("OKP", Some("Ed25519")) => Ok(Family::Ed25519),
                (_, Some(curve)) => Err(unsupported("curve", curve)),
                (_, None) => Err(KeyValidationError::malformed(
                    "no crv",
                    "the name of a curve",
                )),
            },
            Some(kind) => Err(unsupported("type", kind)),
            None => Err(KeyValidationError::malformed(
                "no kty",
                "the type of the key",
            )),
        }
    }

    fn check_use(&self, purpose: Purpose) -> Result<(), KeyValidationError> {
        let wrong = |found: String| {
            Err(KeyValidationError::WrongUse {
                found,
                expected: purpose.name(),
            })
        };
        if let Some(key_use) = self.key_use.as_deref()
            && key_use != "sig"
        {
            return wrong(quote(key_use));
        }
        let Some(operations) = &self.operations else {
            return Ok(());
        };
        if !operations
            .iter()
            .any(|operation| operation == purpose.operation())
        {
            return wrong(quote(&operations.join(" ")));
        }
        let mut seen = Vec::new();
        for operation in operations {
            // RFC 7517 §4.3: no value twice, no unrelated operations together.
            if !matches!(operation.as_str(), "sign" | "verify") || seen.contains(&operation) {
                return wrong(quote(&operations.join(" ")));
            }
            seen.push(operation);
        }
        Ok(())
    }
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Verifying => "verifying",
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Self::Signing => "sign",
            Self::Verifying => "verify",
        }
    }
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::P256 => "P-256",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        }
    }

    pub(super) fn default_algorithm(self) -> Algorithm {
        match self {
            Self::Secret => Algorithm::Hs256,
            Self::P256 => Algorithm::Es256,
            Self::Ed25519 => Algorithm::EdDsa,
            Self::Rsa => Algorithm::Rs256,
        }
    }

    pub(super) fn check(self, algorithm: Algorithm) -> Result<(), KeyValidationError> {
        let own = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Self::Secret,
            Algorithm::Es256 => Self::P256,
            Algorithm::EdDsa => Self::Ed25519,
            Algorithm::Rs256 | Algorithm::Ps256 => Self::Rsa,
        };
        if self == own {
            Ok(())
        } else {
            Err(KeyValidationError::AlgorithmMismatch {
                kind: self.name(),
                algorithm,
            })
        }
    }
}

/// The bytes of a member that has to be there.
pub(super) fn bytes(
    member: Option<&Cow<'_, str>>,
    name: &'static str,
) -> Result<Zeroizing<Vec<u8>>, KeyValidationError> {
    let text = member
        .ok_or_else(|| KeyValidationError::malformed(format!("no {name}"), "a complete key"))?;
    base64url::decode(text).map(Zeroizing::new).ok_or_else(|| {
        KeyValidationError::malformed(
            format!("{name} in another spelling"),
            "canonical base64url without padding",
        )
    })
}

/// Bytes of exactly this many.
pub(super) fn exactly<const N: usize>(
    member: Option<&Cow<'_, str>>,
    name: &'static str,
) -> Result<Zeroizing<[u8; N]>, KeyValidationError> {
    let bytes = bytes(member, name)?;
    let exact: [u8; N] = bytes.as_slice().try_into().map_err(|_| {
        KeyValidationError::malformed(
            format!("{name} of {} bytes", bytes.len()),
            format!("exactly {N}"),
        )
    })?;
    Ok(Zeroizing::new(exact))
}

/// A number without its leading zeros.
pub(super) fn natural(
    member: Option<&Cow<'_, str>>,
    name: &'static str,
) -> Result<Zeroizing<Vec<u8>>, KeyValidationError> {
    let mut bytes = bytes(member, name)?;
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes.drain(..zeros);
    if bytes.is_empty() {
        return Err(KeyValidationError::malformed(
            format!("{name} of zero"),
            "a number above zero",
        ));
    }
    Ok(bytes)
}

pub(super) fn flawed(flaw: Flaw) -> KeyValidationError {
    let (found, expected) = match flaw {
        Flaw::Unexpected(Kind::Null) => ("null".to_owned(), "a JWK".to_owned()),
        Flaw::Unexpected(kind) => (kind.name().to_owned(), "a JWK".to_owned()),
        flaw => flaw.describe(),
    };
    KeyValidationError::Malformed { found, expected }
}
