use hexline_model::{AppId, KeyId};

/// Something changed that a live connection may depend on.
///
/// Told after the store acknowledged and the registry was updated, so whoever hears it may ask
/// [`KeyRegistry::reauthorize`](super::KeyRegistry::reauthorize) at once. In the order of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyEvent {
    /// A key was made, rotated, revoked, or its JWKS lost a key.
    KeyChanged {
        /// The key's app.
        app: AppId,
        /// The key.
        key: KeyId,
    },
    /// Tokens of an app were revoked.
    TokensRevoked {
        /// The app.
        app: AppId,
    },
    /// An identity or device of an app is held out, or no longer.
    HoldChanged {
        /// The app.
        app: AppId,
    },
    /// An app was made, disabled, enabled, or its settings changed.
    AppChanged {
        /// The app.
        app: AppId,
    },
    /// An app was deleted with everything that it had; no other event of it follows.
    AppDeleted {
        /// The app.
        app: AppId,
    },
}
