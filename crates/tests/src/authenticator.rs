use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// An authenticator and its browser, in software: makes one passkey and signs with it.
pub struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    /// The page that it is asked by.
    pub origin: String,
    /// Whether it says that it has verified its user.
    pub verifies: bool,
    /// How often it has signed; `None` does not count.
    pub count: Option<u32>,
}

impl Authenticator {
    /// One that has made nothing yet, at pages of this origin.
    pub fn new(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let hash = digest::digest(&digest::SHA256, key.public_key().as_ref());
        Self {
            id: hash.as_ref()[..20].to_vec(),
            key,
            origin: origin.to_owned(),
            verifies: true,
            count: Some(0),
        }
    }

    /// `navigator.credentials.create(options)`
    pub fn create(&mut self, options: &Value) -> Value {
        let client = self.client_data("webauthn.create", options);
        let rp = options["rp"]["id"].as_str().expect("an rp id");
        let mut data = self.authenticator_data(rp, 0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&[0, u8::try_from(self.id.len()).expect("short")]);
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.cose_key());
        // {"fmt": "none", "attStmt": {}, "authData": bytes}
        let mut attestation = vec![0xa3, 0x63];
        attestation.extend_from_slice(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        attestation.push(u8::try_from(data.len()).expect("short"));
        attestation.extend_from_slice(&data);
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client.as_bytes()),
                "attestationObject": encode(&attestation),
                "transports": ["internal"],
            },
        })
    }

    /// `navigator.credentials.get(options)`
    pub fn get(&mut self, options: &Value) -> Value {
        let client = self.client_data("webauthn.get", options);
        let rp = options["rpId"].as_str().expect("an rp id");
        let data = self.authenticator_data(rp, 0);
        let hash = digest::digest(&digest::SHA256, client.as_bytes());
        let signed = [data.as_slice(), hash.as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed);
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client.as_bytes()),
                "authenticatorData": encode(&data),
                "signature": encode(signature.expect("it signs").as_ref()),
                "userHandle": null,
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let data = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": false,
            "other_keys_can_be_added_here": "do not compare clientDataJSON against a template",
        });
        data.to_string()
    }

    fn authenticator_data(&mut self, rp: &str, flags: u8) -> Vec<u8> {
        if let Some(count) = &mut self.count {
            *count += 1;
        }
        let present = if self.verifies { 0x05 } else { 0x01 };
        let hash = digest::digest(&digest::SHA256, rp.as_bytes());
        let mut data = hash.as_ref().to_vec();
        data.push(flags | present);
        data.extend_from_slice(&self.count.unwrap_or(0).to_be_bytes());
        data
    }

    /// {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32];
        key.extend_from_slice(&point[1..33]);
        key.extend_from_slice(&[0x22, 0x58, 32]);
        key.extend_from_slice(&point[33..]);
        key
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
