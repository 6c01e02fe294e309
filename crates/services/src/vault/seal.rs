//! Secrets at rest: AES-256-GCM under one master key.
//!
//! HS256 needs the secret itself, so it can't be hashed; it is sealed instead. A sealed secret
//! opens only under the master key that sealed it and only as what it was sealed for: purpose,
//! app and key id are authenticated with it, so that moving it to another row makes it useless.
//!
//! Layout: version byte, 12 bytes of nonce (random, drawn by the cipher itself), ciphertext, 16
//! bytes of tag. To add a purpose, add a variant to [`Purpose`]; to change the layout, a version.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hexline_model::{AppId, Entropy, KeyId, Secret};
use zeroize::{Zeroize, Zeroizing};

/// The 256-bit key under which all secrets of a database are sealed.
///
/// As text it is one line; reading and writing the file is the server's business.
#[derive(Debug, Clone)]
pub struct MasterKey(Secret<[u8; 32]>);

/// Why a text is no master key. Says nothing about what the text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a master key: expected one line, `hexline-master-key-1:` and 43 characters of base64url, \
     found {found} bytes of something else"
)]
pub struct MasterKeyError {
    /// Bytes of the text.
    pub found: usize,
}

/// Names a master key without telling it; stored beside what the key sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

/// Seals and opens secrets under one master key.
pub struct Sealer {
    cipher: RandomizedNonceKey,
    fingerprint: Fingerprint,
}

/// A sealed secret, as it stands in the database.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// What a secret is for; it opens as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose<'a> {
    /// The secret of an HMAC key.
    HmacSecret {
        /// The key's app.
        app: AppId,
        /// The key.
        key: KeyId,
    },
    /// A secret of the vault.
    Vault {
        /// The name under which it is kept.
        name: &'a str,
        /// The app with which it goes.
        app: Option<AppId>,
    },
}

/// Why a sealed secret does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A layout of a later release, or no layout at all.
    #[error("the sealed secret has layout {found}, expected {VERSION}")]
    Version {
        /// The version byte, 0 if there is none.
        found: u8,
    },
    /// Sealed under another master key, for another purpose, or changed since.
    #[error("the sealed secret does not open: other master key, other purpose, or damaged")]
    Unopened,
}

impl MasterKey {
    /// A new master key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let key = Self(Secret::new(bytes));
        bytes.zeroize();
        key
    }

    /// Reads what [`Self::to_text`] wrote; surrounding white space is ignored.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let refused = MasterKeyError { found: text.len() };
        let body = text.trim().strip_prefix(PREFIX).ok_or(refused)?;
        let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| refused)?);
        let mut bytes: [u8; 32] = decoded.as_slice().try_into().map_err(|_| refused)?;
        let key = Self(Secret::new(bytes));
        bytes.zeroize();
        Ok(key)
    }

    /// The key as one line of text, for its file.
    pub fn to_text(&self) -> Secret<String> {
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.expose()));
        let mut text = String::with_capacity(PREFIX.len() + body.len());
        text.push_str(PREFIX);
        text.push_str(&body);
        Secret::new(text)
    }

    /// Its name; two keys share one with negligible probability.
    pub fn fingerprint(&self) -> Fingerprint {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let tag = hmac::sign(&key, b"hexline/master-key/fingerprint/1");
        Fingerprint(URL_SAFE_NO_PAD.encode(&tag.as_ref()[..12]))
    }
}

impl Fingerprint {
    /// A fingerprint as it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Sealer {
    /// Seals under this master key.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            cipher: RandomizedNonceKey::new(&AES_256_GCM, master.0.expose())
                .expect("AES-256 takes a key of 32 bytes"),
            fingerprint: master.fingerprint(),
        }
    }

    /// The name of its master key.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Seals a secret for one purpose.
    pub fn seal(&self, purpose: Purpose<'_>, secret: &str) -> Sealed {
        // The ciphertext replaces the plain text in place, so no copy of it stays behind.
        let mut body = Vec::with_capacity(secret.len() + AES_256_GCM.tag_len());
        body.extend_from_slice(secret.as_bytes());
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(purpose.bytes()), &mut body)
            .expect("a secret is far below the cipher's limit");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Sealed(sealed)
    }

    /// Opens what was sealed for this purpose under this master key.
    pub fn open(&self, purpose: Purpose<'_>, sealed: &Sealed) -> Result<Secret<String>, SealError> {
        let (version, rest) = sealed
            .0
            .split_first()
            .ok_or(SealError::Version { found: 0 })?;
        if *version != VERSION {
            return Err(SealError::Version { found: *version });
        }
        let (nonce, body) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::Unopened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unopened)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self
            .cipher
            .open_in_place(nonce, Aad::from(purpose.bytes()), &mut body)
            .map_err(|_| SealError::Unopened)?;
        let text = std::str::from_utf8(plain).map_err(|_| SealError::Unopened)?;
        Ok(Secret::new(text.to_owned()))
    }
}

impl Sealed {
    /// Bytes as they were stored.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Purpose<'_> {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::HmacSecret { app, key } => format!("hexline/hmac-secret/{app}/{key}").into(),
            Self::Vault { name, app } => {
                let app = app.map_or_else(|| "-".to_owned(), |app| app.to_string());
                format!("hexline/vault/{app}/{name}").into()
            }
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.fingerprint)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

const PREFIX: &str = "hexline-master-key-1:";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    const SECRET: &str = "M1fTQcJ4vq0wyR0mS2dJrW5cXyLkq3qX8bC0aZtYq1k";

    fn master(seed: u64) -> MasterKey {
        MasterKey::generate(&SeededEntropy::new(seed))
    }

    fn purpose(seed: u64) -> Purpose<'static> {
        let entropy = SeededEntropy::new(seed);
        Purpose::HmacSecret {
            app: AppId::generate(&entropy),
            key: KeyId::generate(&entropy),
        }
    }

    #[test]
    fn a_secret_opens_only_under_its_key_and_as_what_it_was_sealed_for() {
        let sealer = Sealer::new(&master(1));
        let sealed = sealer.seal(purpose(7), SECRET);
        assert_eq!(
            sealer.open(purpose(7), &sealed).expect("opens").expose(),
            SECRET
        );
        assert_eq!(
            sealer.open(purpose(8), &sealed).err(),
            Some(SealError::Unopened)
        );
        let other = Sealer::new(&master(2));
        assert_eq!(
            other.open(purpose(7), &sealed).err(),
            Some(SealError::Unopened)
        );
    }

    #[test]
    fn a_secret_moved_to_another_key_of_the_same_app_does_not_open() {
        let sealer = Sealer::new(&master(1));
        let entropy = SeededEntropy::new(7);
        let app = AppId::generate(&entropy);
        let of = |key| Purpose::HmacSecret { app, key };
        let sealed = sealer.seal(of(KeyId::generate(&entropy)), SECRET);
        let moved = of(KeyId::generate(&entropy));
        assert_eq!(sealer.open(moved, &sealed).err(), Some(SealError::Unopened));
    }

    #[test]
    fn a_secret_of_the_vault_opens_only_under_its_name_and_app() {
        let sealer = Sealer::new(&master(1));
        let app = Some(AppId::generate(&SeededEntropy::new(7)));
        let of = |name, app| Purpose::Vault { name, app };
        let sealed = sealer.seal(of("totp/1", app), SECRET);
        assert!(sealer.open(of("totp/1", app), &sealed).is_ok());
        for other in [of("totp/2", app), of("totp/1", None), purpose(7)] {
            assert_eq!(sealer.open(other, &sealed).err(), Some(SealError::Unopened));
        }
    }

    #[test]
    fn a_changed_or_cut_seal_does_not_open() {
        let sealer = Sealer::new(&master(1));
        let whole = sealer.seal(purpose(7), SECRET).0;
        for i in 1..whole.len() {
            let mut changed = whole.clone();
            changed[i] ^= 1;
            assert_eq!(
                sealer.open(purpose(7), &Sealed(changed)).err(),
                Some(SealError::Unopened)
            );
            let cut = Sealed(whole[..i].to_vec());
            assert_eq!(
                sealer.open(purpose(7), &cut).err(),
                Some(SealError::Unopened)
            );
        }
        let mut later = whole.clone();
        later[0] = 9;
        let found = |bytes| sealer.open(purpose(7), &Sealed(bytes)).err();
        assert_eq!(found(later), Some(SealError::Version { found: 9 }));
        assert_eq!(found(Vec::new()), Some(SealError::Version { found: 0 }));
    }

    #[test]
    fn sealing_twice_gives_two_texts() {
        let sealer = Sealer::new(&master(1));
        assert_ne!(
            sealer.seal(purpose(7), SECRET),
            sealer.seal(purpose(7), SECRET)
        );
    }

    #[test]
    fn a_master_key_survives_its_text_form_and_nothing_else_passes_for_one() {
        let key = master(1);
        let text = key.to_text();
        assert_eq!(text.expose().len(), 21 + 43);
        let again = MasterKey::parse(&format!("{}\n", text.expose())).expect("reads");
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_ne!(master(2).fingerprint(), key.fingerprint());
        for bad in [
            "",
            "hexline-master-key-1:",
            &text.expose()[1..],
            &format!("{}A", text.expose()),
        ] {
            assert_eq!(
                MasterKey::parse(bad).err(),
                Some(MasterKeyError { found: bad.len() })
            );
        }
    }

    #[test]
    fn nothing_here_prints_a_secret() {
        let key = master(1);
        let sealer = Sealer::new(&key);
        let sealed = sealer.seal(purpose(7), SECRET);
        let opened = sealer.open(purpose(7), &sealed).expect("opens");
        let shown = format!("{key:?} {sealer:?} {sealed:?} {opened:?}");
        assert!(!shown.contains(&SECRET[..8]), "{shown}");
        assert!(!shown.contains(&key.to_text().expose()[21..29]), "{shown}");
    }
}
