use std::sync::{Mutex, PoisonError};

use hexline_model::{Entropy, Secret};

use super::onetime::TokenHash;

/// The link by which the first operator is made. It lives in the memory of one server, and only
/// its hash does.
#[derive(Debug, Default)]
pub(super) struct SetupLink(Mutex<Option<TokenHash>>);

impl SetupLink {
    /// A new link in the place of an older one.
    pub(super) fn open(&self, entropy: &dyn Entropy) -> Secret<String> {
        let (token, hash) = TokenHash::generate(entropy);
        *self.lock() = Some(hash);
        token
    }

    /// Whether this is the token of the link.
    pub(super) fn fits(&self, token: &str) -> bool {
        let presented = TokenHash::of(token);
        self.lock()
            .as_ref()
            .is_some_and(|hash| hash.fits(&presented))
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<TokenHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
