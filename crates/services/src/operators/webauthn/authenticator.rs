use ciborium::Value;

use super::CeremonyError;

/// What an authenticator says, in the bytes that it signs.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8],
    pub(super) user_present: bool,
    pub(super) user_verified: bool,
    pub(super) sign_count: u32,
    pub(super) attested: Option<Attested<'a>>,
}

/// The credential that an authenticator has made.
#[derive(Debug)]
pub(super) struct Attested<'a> {
    pub(super) id: &'a [u8],
    /// In COSE form.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads it; nothing may be left over.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, CeremonyError> {
        let mut rest = bytes;
        let rp_id_hash = take(&mut rest, 32)?;
        let flags = take(&mut rest, 1)?[0];
        let count = take(&mut rest, 4)?.try_into();
        let attested = if flags & ATTESTED == 0 {
            None
        } else {
            Some(Attested::take(&mut rest)?)
        };
        if flags & EXTENSIONS != 0 {
            take_item(&mut rest)?;
        }
        if !rest.is_empty() {
            return Err(CeremonyError::Malformed);
        }
        Ok(Self {
            rp_id_hash,
            user_present: flags & PRESENT != 0,
            user_verified: flags & VERIFIED != 0,
            sign_count: u32::from_be_bytes(count.expect("four bytes")),
            attested,
        })
    }
}

impl<'a> Attested<'a> {
    fn take(rest: &mut &'a [u8]) -> Result<Self, CeremonyError> {
        take(rest, AAGUID_BYTES)?;
        let length = take(rest, 2)?.try_into();
        let length = usize::from(u16::from_be_bytes(length.expect("two bytes")));
        if length == 0 || length > MAX_CREDENTIAL_ID {
            return Err(CeremonyError::Malformed);
        }
        let id = take(rest, length)?;
        let public_key = take_item(rest)?;
        Ok(Self { id, public_key })
    }
}

/// The authenticator data in an attestation object. The attestation itself is not looked at.
pub(super) fn of_attestation(bytes: &[u8]) -> Result<Vec<u8>, CeremonyError> {
    let mut rest = bytes;
    let object = take_value(&mut rest)?;
    let Value::Map(members) = object else {
        return Err(CeremonyError::Malformed);
    };
    let mut found = members
        .into_iter()
        .filter(|(name, _)| name.as_text() == Some("authData"));
    match (rest, found.next(), found.next()) {
        ([], Some((_, Value::Bytes(data))), None) => Ok(data),
        _ => Err(CeremonyError::Malformed),
    }
}

/// One CBOR item, decoded.
pub(super) fn take_value(rest: &mut &[u8]) -> Result<Value, CeremonyError> {
    ciborium::de::from_reader_with_recursion_limit(rest, MAX_DEPTH)
        .map_err(|_| CeremonyError::Malformed)
}

/// The bytes of one CBOR item.
fn take_item<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], CeremonyError> {
    let whole = *rest;
    take_value(rest)?;
    Ok(&whole[..whole.len() - rest.len()])
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], CeremonyError> {
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or(CeremonyError::Malformed)?;
    *rest = left;
    Ok(taken)
}

pub(super) const MAX_CREDENTIAL_ID: usize = 1023;
const AAGUID_BYTES: usize = 16;
const MAX_DEPTH: usize = 8;
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;
