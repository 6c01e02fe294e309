use hexline_token::{Algorithm, PrivateKey, TokenBuilder};
use serde_json::{Value, json};

/// A key of the vectors: its name there, its id, what it signs with.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(&'static str),
    Pem(&'static str),
}

/// All of them. They are known to the world and must guard nothing.
pub(crate) const KEYS: [Key; 9] = [
    secret(
        "hs256",
        "b234fdb83571400f9b62e204d735126e",
        Algorithm::Hs256,
        SECRET,
    ),
    secret(
        "hs384",
        "0384fdb83571400f9b62e204d7351260",
        Algorithm::Hs384,
        SECRET,
    ),
    secret(
        "hs512",
        "0512fdb83571400f9b62e204d7351260",
        Algorithm::Hs512,
        SECRET,
    ),
    secret(
        "other",
        "ffffffffffffffffffffffffffffffff",
        Algorithm::Hs256,
        OTHER_SECRET,
    ),
    pem(
        "eddsa",
        "ed25519db83571400f9b62e204d73512",
        Algorithm::EdDsa,
        ED25519,
    ),
    pem(
        "es256",
        "0256fdb83571400f9b62e204d7351260",
        Algorithm::Es256,
        P256,
    ),
    pem(
        "rs256",
        "7256fdb83571400f9b62e204d7351260",
        Algorithm::Rs256,
        RSA,
    ),
    pem(
        "ps256",
        "5256fdb83571400f9b62e204d7351260",
        Algorithm::Ps256,
        RSA,
    ),
    secret(
        "binary",
        "b1b1fdb83571400f9b62e204d735126e",
        Algorithm::Hs256,
        "sécret of 32 bytes in UTF-8 .....",
    ),
];

impl Key {
    pub(crate) fn of(name: &str) -> &'static Self {
        KEYS.iter()
            .find(|key| key.name == name)
            .expect("a key of the list")
    }

    pub(crate) fn private(&self) -> PrivateKey {
        match self.material {
            Material::Secret(secret) => PrivateKey::hmac(self.algorithm, secret.as_bytes()),
            Material::Pem(pem) => PrivateKey::from_pkcs8_pem(self.algorithm, pem),
        }
        .expect("a sound key")
    }

    pub(crate) fn sign(&self, builder: TokenBuilder) -> TokenBuilder {
        match self.material {
            Material::Secret(secret) if self.algorithm == Algorithm::Hs256 => {
                builder.key(self.id, secret)
            }
            _ => builder.signing_key(self.id, self.private()),
        }
    }

    /// As in the document.
    pub(crate) fn json(&self) -> Value {
        match self.material {
            Material::Secret(secret) => {
                json!({"id": self.id, "algorithm": self.algorithm, "secret": secret})
            }
            Material::Pem(pem) => json!({
                "id": self.id,
                "algorithm": self.algorithm,
                "private_pem": pem,
                "public_jwk": self.jwk(None),
            }),
        }
    }

    pub(crate) fn jwk(&self, kid: Option<&str>) -> Value {
        let jwk = self
            .private()
            .verifying_key()
            .to_jwk(kid)
            .expect("not a secret");
        serde_json::from_str(&jwk).expect("a JWK is JSON")
    }
}

const fn secret(
    name: &'static str,
    id: &'static str,
    algorithm: Algorithm,
    text: &'static str,
) -> Key {
    Key {
        name,
        id,
        algorithm,
        material: Material::Secret(text),
    }
}

const fn pem(
    name: &'static str,
    id: &'static str,
    algorithm: Algorithm,
    text: &'static str,
) -> Key {
    Key {
        name,
        id,
        algorithm,
        material: Material::Pem(text),
    }
}

const SECRET: &str = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";
const OTHER_SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const ED25519: &str = include_str!("../../../../vectors/keys/ed25519.pem");
const P256: &str = include_str!("../../../../vectors/keys/p256.pem");
const RSA: &str = include_str!("../../../../vectors/keys/rsa.pem");
