//! The little DER (X.690) that public keys need: sequences, integers, object ids, bit strings.

use super::KeyValidationError;

/// What a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) holds.
pub(super) enum PublicInfo<'a> {
    Rsa(RsaPublic<'a>),
    /// An uncompressed point of P-256, 65 bytes.
    P256(&'a [u8]),
    Ed25519(&'a [u8]),
}

/// Big-endian, without leading zeros.
pub(super) struct RsaPublic<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
}

pub(super) fn public_info(der: &[u8]) -> Result<PublicInfo<'_>, KeyValidationError> {
    let mut outer = Der(der);
    let mut info = outer.element(SEQUENCE)?;
    outer.end()?;
    let mut algorithm = info.element(SEQUENCE)?;
    let bits = info.element(BIT_STRING)?.0;
    info.end()?;
    let [0, key @ ..] = bits else {
        return Err(malformed());
    };
    match algorithm.element(OBJECT_ID)?.0 {
        RSA_ENCRYPTION => rsa_public(key).map(PublicInfo::Rsa),
        EC_PUBLIC_KEY => match algorithm.element(OBJECT_ID)?.0 {
            PRIME256V1 => Ok(PublicInfo::P256(key)),
            _ => Err(KeyValidationError::Unsupported {
                found: "another curve than P-256".to_owned(),
            }),
        },
        ED25519 => Ok(PublicInfo::Ed25519(key)),
        _ => Err(KeyValidationError::Unsupported {
            found: "another type of public key".to_owned(),
        }),
    }
}

/// Reads an `RSAPublicKey` (RFC 8017 §A.1.1).
pub(super) fn rsa_public(der: &[u8]) -> Result<RsaPublic<'_>, KeyValidationError> {
    let mut outer = Der(der);
    let mut numbers = outer.element(SEQUENCE)?;
    outer.end()?;
    let modulus = numbers.natural()?;
    let exponent = numbers.natural()?;
    numbers.end()?;
    Ok(RsaPublic { modulus, exponent })
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn element(&mut self, tag: u8) -> Result<Self, KeyValidationError> {
        let [found, first, rest @ ..] = self.0 else {
            return Err(malformed());
        };
        if *found != tag {
            return Err(malformed());
        }
        let (length, rest) = match (*first, rest) {
            (0..=0x7f, rest) => (usize::from(*first), rest),
            (0x81, [a @ 0x80..=0xff, rest @ ..]) => (usize::from(*a), rest),
            (0x82, [a @ 1..=0xff, b, rest @ ..]) => (usize::from(*a) << 8 | usize::from(*b), rest),
            _ => return Err(malformed()),
        };
        let (content, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = after;
        Ok(Self(content))
    }

    fn natural(&mut self) -> Result<&'a [u8], KeyValidationError> {
        match self.element(INTEGER)?.0 {
            [0, rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => Ok(rest),
            number @ [1..=0x7f, ..] => Ok(number),
            _ => Err(malformed()),
        }
    }

    fn end(&self) -> Result<(), KeyValidationError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed())
        }
    }
}

fn malformed() -> KeyValidationError {
    KeyValidationError::malformed(
        "bytes that are no public key in DER",
        "SubjectPublicKeyInfo",
    )
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
