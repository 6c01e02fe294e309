/// Why a key is refused when it is made or imported.
///
/// Messages name what was found and what was expected, never key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyValidationError {
    /// The secret is too short to be guessed at with difficulty.
    #[error("found an HMAC secret of {bits} bits, expected at least {wanted}")]
    HmacTooShort {
        /// Bits found.
        bits: usize,
        /// Bits that would do.
        wanted: usize,
    },
    /// The modulus is too small, or too large to be checked for every token.
    #[error("found an RSA modulus of {bits} bits, expected 2048 to 8192")]
    RsaSize {
        /// Bits found.
        bits: usize,
    },
    /// The modulus is even.
    #[error("found an even RSA modulus, expected an odd one")]
    RsaModulus,
    /// A modulus that can be factored (CVE-2017-15361).
    #[error("found an RSA modulus made by a generator that is known to be weak, expected another")]
    RsaWeak,
    /// A public exponent that is weak or slow.
    #[error(
        "found an RSA exponent outside the accepted range, expected an odd one from 65537 to 33 bits"
    )]
    RsaExponent,
    /// Coordinates that belong to no point, or to one whose signatures anyone can make.
    #[error("found a public key that is not a sound point, expected one on {curve}")]
    Point {
        /// The curve: `P-256` or `Ed25519`.
        curve: &'static str,
    },
    /// The parts of a private key contradict each other.
    #[error("found a private key whose parts do not belong together, expected a consistent one")]
    Inconsistent,
    /// A part is missing or is not what it has to be.
    #[error("found {found}, expected {expected}")]
    Malformed {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A type, curve or algorithm that no token is signed with here.
    #[error("found {found}, expected a key for HS256, HS384, HS512, ES256, EdDSA, RS256 or PS256")]
    Unsupported {
        /// What was found.
        found: String,
    },
    /// The algorithm asked for is not one of this type of key.
    #[error("found a key of the type {kind}, expected one for the algorithm {algorithm}")]
    AlgorithmMismatch {
        /// The type of key.
        kind: &'static str,
        /// The algorithm asked for.
        algorithm: crate::Algorithm,
    },
    /// `use` or `key_ops` say that the key is for something else.
    #[error("found a key that is made for {found}, expected one for {expected}")]
    WrongUse {
        /// What the key says it is for.
        found: String,
        /// `signing` or `verifying`.
        expected: &'static str,
    },
    /// A private key where the world may look.
    #[error("found a private key, expected a public one: replace that key, it may be known by now")]
    PrivateMember,
    /// Secrets and public keys in one set.
    #[error("found secrets and public keys in one set, expected one sort only")]
    MixedSet,
    /// A secret in a published set.
    #[error("found a secret in a published key set, expected public keys only")]
    SecretInSet,
    /// Two keys of a set share a name.
    #[error("found two keys with the same kid in one set, expected different ones")]
    DuplicateKid,
    /// No key of the set can verify a token.
    #[error("found no usable key in the set, expected at least one")]
    EmptySet,
    /// An encrypted file.
    #[error("found an encrypted private key, expected one in the clear (PKCS#8)")]
    Encrypted,
}

impl KeyValidationError {
    pub(crate) fn malformed(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed {
            found: found.into(),
            expected: expected.into(),
        }
    }
}
