use std::borrow::Cow;

use super::jwk::{Jwk, flawed};
use super::{KeyValidationError, VerifyingKey};
use crate::json::Reader;

/// The usable keys of a JWKS document (RFC 7517 §5).
///
/// Keys that are evidently not meant for us (other types, curves, algorithms or uses) are passed
/// over, as RFC 7517 wants; published sets often hold encryption keys too. Anything wrong with a
/// key that is meant for us, a private key, a secret or a `kid` twice refuses the whole set.
///
/// ```
/// use hexline_token::{Algorithm, KeySet, PrivateKey};
/// let key = PrivateKey::generate(Algorithm::Es256)?.verifying_key();
/// let document = format!(r#"{{"keys":[{}]}}"#, key.to_jwk(Some("2026")).expect("not a secret"));
/// let set = KeySet::parse(&document)?;
/// assert!(set.select(Some("2026")).is_some() && set.select(None).is_some());
/// assert!(set.select(Some("2025")).is_none());
/// # Ok::<(), hexline_token::KeyValidationError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<(Option<Box<str>>, VerifyingKey)>,
}

impl KeySet {
    /// Reads a published set: public keys only.
    pub fn parse(text: &str) -> Result<Self, KeyValidationError> {
        let set = Self::parse_any(text)?;
        if set
            .keys
            .iter()
            .any(|(_, key)| key.algorithm().is_symmetric())
        {
            return Err(KeyValidationError::SecretInSet);
        }
        Ok(set)
    }

    /// Reads a set that may be one of secrets, which only a local caller can have.
    pub(crate) fn parse_any(text: &str) -> Result<Self, KeyValidationError> {
        let mut found: Option<Vec<Jwk<'_>>> = None;
        let mut reader = Reader::new(text);
        reader
            .object(|reader, name| {
                if name != "keys" {
                    return reader.skip();
                }
                let mut keys = Vec::new();
                reader.array(|reader| {
                    keys.push(Jwk::read(reader)?);
                    Ok(())
                })?;
                found = Some(keys);
                Ok(())
            })
            .and_then(|()| reader.end())
            .map_err(flawed)?;
        Self::validate(&found.ok_or_else(|| KeyValidationError::malformed("no keys", "a JWKS"))?)
    }

    fn validate(found: &[Jwk<'_>]) -> Result<Self, KeyValidationError> {
        let mut keys: Vec<(Option<Box<str>>, VerifyingKey)> = Vec::new();
        let secrets = found.iter().filter(|jwk| jwk.is_secret()).count();
        if secrets != 0 && secrets != found.len() {
            return Err(KeyValidationError::MixedSet);
        }
        for jwk in found {
            if jwk.is_private() {
                return Err(KeyValidationError::PrivateMember);
            }
            let key = match VerifyingKey::from_parsed(jwk) {
                Ok(key) => key,
                Err(
                    KeyValidationError::Unsupported { .. } | KeyValidationError::WrongUse { .. },
                ) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let kid = jwk
                .kid
                .as_ref()
                .map(|kid| Cow::into_owned(kid.clone()).into_boxed_str());
            if kid.is_some() && keys.iter().any(|(other, _)| *other == kid) {
                return Err(KeyValidationError::DuplicateKid);
            }
            keys.push((kid, key));
        }
        if keys.is_empty() {
            return Err(KeyValidationError::EmptySet);
        }
        Ok(Self { keys })
    }

    /// The key of this name; without a name, the only key if there is only one.
    pub fn select(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        match (kid, self.keys.as_slice()) {
            (Some(kid), keys) => keys
                .iter()
                .find(|(name, _)| name.as_deref() == Some(kid))
                .map(|(_, key)| key),
            (None, [(_, key)]) => Some(key),
            (None, _) => None,
        }
    }

    /// The names and keys, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &VerifyingKey)> {
        self.keys.iter().map(|(kid, key)| (kid.as_deref(), key))
    }

    /// How many keys are usable; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}
