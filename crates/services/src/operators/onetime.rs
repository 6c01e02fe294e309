use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{Entropy, Secret};

/// The SHA-256 of 256 random bits that somebody else holds: a session's cookie, a set-up link, an
/// invitation. It is all that is kept of them.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A new token, as text for its holder, and its hash.
    pub(super) fn generate(entropy: &dyn Entropy) -> (Secret<String>, Self) {
        let mut bytes = Secret::new([0; 32]);
        entropy.fill(bytes.expose_mut());
        let text = BASE64_URL_SAFE_NO_PAD.encode(bytes.expose());
        let hash = Self::of(&text);
        (Secret::new(text), hash)
    }

    /// The hash of what somebody presents.
    pub fn of(text: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let bytes = hash.as_ref().try_into();
        Self(bytes.expect("SHA-256 has 32 bytes"))
    }

    /// Compares without telling by time where they differ.
    pub(super) fn fits(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// As it was stored.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// To store it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}
