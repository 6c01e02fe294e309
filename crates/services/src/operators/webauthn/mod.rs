//! Passkeys: what `WebAuthn` (Level 3) wants of a relying party, and no more.
//!
//! `client_data.rs` reads what the browser says it signed for, `authenticator.rs` what the
//! authenticator signed, `cose.rs` the key that it signs with. Pure functions: no clock, no store.
//!
//! Invariants: nothing of what arrives is believed before the signature is checked over the very
//! bytes that arrived; sizes and depths are bounded before anything is decoded; the user has been
//! verified by the authenticator, so that a passkey stands for both factors. Attestation is asked
//! for as `none` and not looked at.

mod authenticator;
mod client_data;
mod cose;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use authenticator::AuthenticatorData;
use client_data::{Ceremony, ClientData};
use cose::PublicKey;

/// The server, as browsers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// A host name.
    id: String,
    /// Where its pages are.
    origins: Vec<String>,
}

/// What a browser made of `navigator.credentials.create`, base64url.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `clientDataJSON`
    pub client_data: String,
    /// `attestationObject`
    pub attestation: String,
}

/// What a browser made of `navigator.credentials.get`, base64url.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// `rawId`
    pub id: String,
    /// `clientDataJSON`
    pub client_data: String,
    /// `authenticatorData`
    pub authenticator_data: String,
    /// `signature`
    pub signature: String,
}

/// A credential that was just made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) id: Vec<u8>,
    /// In COSE form, checked.
    pub(super) public_key: Vec<u8>,
    pub(super) sign_count: u32,
}

/// Why a ceremony did not pass. For the log and for tests; a stranger is told nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CeremonyError {
    #[error("it cannot be read")]
    Malformed,
    #[error("it is for another purpose")]
    Purpose,
    #[error("it answers no challenge of ours")]
    Challenge,
    #[error("it comes from a page of another site")]
    Origin,
    #[error("it is for another server")]
    RelyingParty,
    #[error("the user was not present or not verified")]
    User,
    #[error("its algorithm or key is of no kind that was offered")]
    Key,
    #[error("the signature does not fit")]
    Signature,
}

impl RelyingParty {
    /// The server at this URL, whose pages may also be at these others. `None` if it is known by
    /// an address only: passkeys belong to names.
    pub fn of(url: &str, others: &[String]) -> Option<Self> {
        let (_, id) = origin_of(url)?;
        let is_name = id.parse::<std::net::IpAddr>().is_err() && !id.starts_with('[');
        let origins = std::iter::once(url)
            .chain(others.iter().map(String::as_str))
            .filter_map(origin_of)
            .filter(|(_, host)| *host == id)
            .map(|(origin, _)| origin)
            .collect();
        is_name.then_some(Self { id, origins })
    }

    /// The host name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Checks a new credential. `is_ours` says whether a challenge is.
    pub(super) fn register(
        &self,
        registration: &Registration,
        is_ours: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Credential, CeremonyError> {
        let client_data = decode(&registration.client_data, MAX_CLIENT_DATA)?;
        self.check_client(&client_data, Ceremony::Create, is_ours)?;
        let attestation = decode(&registration.attestation, MAX_ATTESTATION)?;
        let data = authenticator::of_attestation(&attestation)?;
        let data = AuthenticatorData::parse(&data)?;
        self.check_authenticator(&data)?;
        let attested = data.attested.ok_or(CeremonyError::Malformed)?;
        PublicKey::parse(attested.public_key)?;
        Ok(Credential {
            id: attested.id.to_vec(),
            public_key: attested.public_key.to_vec(),
            sign_count: data.sign_count,
        })
    }

    /// Checks an assertion by the credential with this key; its sign count.
    pub(super) fn authenticate(
        &self,
        assertion: &Assertion,
        public_key: &[u8],
        is_ours: impl FnOnce(&[u8]) -> bool,
    ) -> Result<u32, CeremonyError> {
        let client_data = decode(&assertion.client_data, MAX_CLIENT_DATA)?;
        self.check_client(&client_data, Ceremony::Get, is_ours)?;
        let mut signed = decode(&assertion.authenticator_data, MAX_AUTHENTICATOR_DATA)?;
        let signature = decode(&assertion.signature, MAX_SIGNATURE)?;
        let sign_count = {
            let data = AuthenticatorData::parse(&signed)?;
            self.check_authenticator(&data)?;
            data.sign_count
        };
        let hash = digest::digest(&digest::SHA256, &client_data);
        signed.extend_from_slice(hash.as_ref());
        PublicKey::parse(public_key)?.verify(&signed, &signature)?;
        Ok(sign_count)
    }

    fn check_client(
        &self,
        bytes: &[u8],
        ceremony: Ceremony,
        is_ours: impl FnOnce(&[u8]) -> bool,
    ) -> Result<(), CeremonyError> {
        let data = ClientData::parse(bytes)?;
        if data.ceremony != ceremony.text() {
            return Err(CeremonyError::Purpose);
        }
        if data.cross_origin || !self.origins.contains(&data.origin) {
            return Err(CeremonyError::Origin);
        }
        let challenge = decode(&data.challenge, MAX_CHALLENGE)?;
        if is_ours(&challenge) {
            Ok(())
        } else {
            Err(CeremonyError::Challenge)
        }
    }

    fn check_authenticator(&self, data: &AuthenticatorData<'_>) -> Result<(), CeremonyError> {
        let hash = digest::digest(&digest::SHA256, self.id.as_bytes());
        if data.rp_id_hash != hash.as_ref() {
            return Err(CeremonyError::RelyingParty);
        }
        if data.user_present && data.user_verified {
            Ok(())
        } else {
            Err(CeremonyError::User)
        }
    }
}

impl Assertion {
    /// The credential that it claims to be by.
    pub(super) fn credential(&self) -> Option<Vec<u8>> {
        decode(&self.id, authenticator::MAX_CREDENTIAL_ID).ok()
    }
}

/// The origin and host of a URL, as browsers write them.
fn origin_of(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.to_lowercase();
    let scheme = scheme.to_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    Some((format!("{scheme}://{authority}"), host.to_owned()))
}

/// Base64url, with padding or without, of at most so many bytes.
fn decode(text: &str, most: usize) -> Result<Vec<u8>, CeremonyError> {
    if text.len() > most.div_ceil(3) * 4 {
        return Err(CeremonyError::Malformed);
    }
    BASE64_URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
        .filter(|bytes| bytes.len() <= most)
        .ok_or(CeremonyError::Malformed)
}

const MAX_CLIENT_DATA: usize = 4096;
const MAX_ATTESTATION: usize = 16 << 10;
const MAX_AUTHENTICATOR_DATA: usize = 4096;
const MAX_SIGNATURE: usize = 1024;
const MAX_CHALLENGE: usize = 64;
