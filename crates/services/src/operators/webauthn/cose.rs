use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use ciborium::Value;

use super::CeremonyError;
use super::authenticator::take_value;

/// A credential's key, of one of the kinds that we offer.
#[derive(Debug)]
pub(super) enum PublicKey {
    /// P-256, an uncompressed point.
    Es256(Vec<u8>),
    Ed25519(Vec<u8>),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a COSE key (RFC 9052, RFC 9053): key type, algorithm and curve must all say the same.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let mut rest = bytes;
        let value = take_value(&mut rest)?;
        let members = match (value, rest) {
            (Value::Map(members), []) => Members(members),
            _ => return Err(CeremonyError::Malformed),
        };
        match (members.number(KTY)?, members.number(ALG)?) {
            (KTY_EC2, ES256) if members.number(CRV)? == P256 => {
                let (x, y) = (members.bytes(X)?, members.bytes(Y)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(CeremonyError::Key);
                }
                Ok(Self::Es256([&[4], x, y].concat()))
            }
            (KTY_OKP, EDDSA) if members.number(CRV)? == ED25519 => {
                let x = members.bytes(X)?;
                if x.len() != 32 {
                    return Err(CeremonyError::Key);
                }
                Ok(Self::Ed25519(x.to_vec()))
            }
            (KTY_RSA, RS256) => {
                let (n, e) = (members.bytes(RSA_N)?, members.bytes(RSA_E)?);
                if !(256..=1024).contains(&n.len()) || !(1..=8).contains(&e.len()) {
                    return Err(CeremonyError::Key);
                }
                Ok(Self::Rs256 {
                    n: n.to_vec(),
                    e: e.to_vec(),
                })
            }
            _ => Err(CeremonyError::Key),
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CeremonyError> {
        let verified = match self {
            Self::Es256(point) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
                .verify(message, signature),
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        verified.map_err(|_| CeremonyError::Signature)
    }
}

struct Members(Vec<(Value, Value)>);

impl Members {
    fn number(&self, label: i64) -> Result<i64, CeremonyError> {
        let value = self.one(label)?.as_integer();
        let value = value.ok_or(CeremonyError::Malformed)?;
        i64::try_from(value).map_err(|_| CeremonyError::Malformed)
    }

    fn bytes(&self, label: i64) -> Result<&[u8], CeremonyError> {
        let bytes = self.one(label)?.as_bytes();
        bytes.map(Vec::as_slice).ok_or(CeremonyError::Malformed)
    }

    fn one(&self, label: i64) -> Result<&Value, CeremonyError> {
        let mut found = self.0.iter().filter(|(name, _)| {
            let name = name.as_integer();
            name.is_some_and(|name| i64::try_from(name) == Ok(label))
        });
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value),
            _ => Err(CeremonyError::Malformed),
        }
    }
}

const KTY: i64 = 1;
const ALG: i64 = 3;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const RSA_N: i64 = -1;
const RSA_E: i64 = -2;
const KTY_OKP: i64 = 1;
const KTY_EC2: i64 = 2;
const KTY_RSA: i64 = 3;
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;
const P256: i64 = 1;
const ED25519: i64 = 6;
