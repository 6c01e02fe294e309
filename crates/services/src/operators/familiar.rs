use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::Secret;

use super::error::OperatorError;
use super::hasher::Lane;
use super::service::OperatorService;
use super::session::Origin;

/// A keyed hash of a network address from which an operator has signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressHash([u8; 32]);

impl OperatorService {
    /// The lane of those who come from there. Whose sign-in made an address familiar does not
    /// matter: else the answer would tell which accounts exist.
    pub(super) async fn lane_of(&self, origin: &Origin) -> Result<Lane, OperatorError> {
        let address = self.address_hash(origin).await?;
        let since = self.clock.now().minus(FAMILIAR);
        let is_familiar = self.stores.operators.knows(&address, since).await?;
        Ok(if is_familiar {
            Lane::Familiar
        } else {
            Lane::Other
        })
    }

    /// What is kept of an address.
    pub(super) async fn address_hash(&self, origin: &Origin) -> Result<AddressHash, OperatorError> {
        let key = self.address_key.get_or_try_init(|| self.open_address_key());
        let tag = hmac::sign(key.await?, origin.peer.as_bytes());
        let bytes = tag.as_ref().try_into();
        Ok(AddressHash(bytes.expect("SHA-256 has 32 bytes")))
    }

    /// The one key of all nodes and starts, made by the first that needs it.
    async fn open_address_key(&self) -> Result<hmac::Key, OperatorError> {
        loop {
            if let Some(key) = self.vault.open(ADDRESS_KEY).await? {
                return Ok(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
            }
            let mut key = Secret::new([0; 32]);
            self.entropy.fill(key.expose_mut());
            let text = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(key.expose()));
            self.vault.put_once(ADDRESS_KEY, text).await?;
        }
    }
}

impl AddressHash {
    /// To store it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it was stored.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressHash(..)")
    }
}

/// The name under which the vault keeps the key.
const ADDRESS_KEY: &str = "operators/addresses";

/// How long an address is familiar after a sign-in.
pub(super) const FAMILIAR: Duration = Duration::from_hours(90 * 24);
