use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{OperatorId, Timestamp};
use serde_json::{Value, json};

use super::error::OperatorError;
use super::onetime::TokenHash;
use super::operator::{Operator, PersonName};
use super::service::{NewSession, OperatorService};
use super::session::Origin;
use super::throttle::{self, Subject};
use super::webauthn::{Assertion, Registration, RelyingParty};

/// A passkey of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The credential's id, as the authenticator made it.
    pub id: Vec<u8>,
    /// Whose it is.
    pub operator: OperatorId,
    /// A word for its owner.
    pub label: String,
    /// In COSE form.
    pub public_key: Vec<u8>,
    /// How often the authenticator has signed; 0 if it does not count.
    pub sign_count: u32,
    /// When it was registered.
    pub created: Timestamp,
    /// When somebody last signed in with it.
    pub last_used: Option<Timestamp>,
}

/// A question to an authenticator.
#[derive(Debug)]
pub struct Challenge {
    /// Comes back with the answer.
    pub id: String,
    /// What the page hands to the browser.
    pub options: Value,
}

/// Makes challenges and knows them again, without keeping any: the id of one is a seal over it.
pub(super) struct Challenges(hmac::Key);

impl Challenges {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The id of a challenge that is good until then, for this operator or for anybody.
    fn seal(&self, challenge: &[u8], whose: Option<OperatorId>, until: Timestamp) -> String {
        let until = until.as_millis().to_be_bytes();
        let tag = hmac::sign(&self.0, &sealed(challenge, whose, until));
        BASE64_URL_SAFE_NO_PAD.encode([&until, tag.as_ref()].concat())
    }

    /// Until when the challenge with this id is good, if it is one of ours.
    fn open(&self, id: &str, challenge: &[u8], whose: Option<OperatorId>) -> Option<Timestamp> {
        if id.len() > MAX_CHALLENGE_ID {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?;
        let (until, tag) = bytes.split_first_chunk::<8>()?;
        hmac::verify(&self.0, &sealed(challenge, whose, *until), tag).ok()?;
        Some(Timestamp::from_millis(i64::from_be_bytes(*until)))
    }
}

fn sealed(challenge: &[u8], whose: Option<OperatorId>, until: [u8; 8]) -> Vec<u8> {
    let whose = whose.map_or(String::new(), |id| id.to_string());
    [&until, challenge, whose.as_bytes()].concat()
}

impl OperatorService {
    /// Asks for a new passkey.
    pub async fn offer_passkey(&self, operator: &Operator) -> Result<Challenge, OperatorError> {
        let party = self.party()?;
        let known = self.stores.passkeys.list(operator.id).await?;
        if known.len() >= MAX_PASSKEYS {
            return Err(OperatorError::Conflict {
                message: "there are 20 passkeys already: remove one first",
            });
        }
        let (challenge, id) = self.challenge(Some(operator.id));
        let known = known
            .iter()
            .map(|passkey| json!({ "type": "public-key", "id": encode(&passkey.id) }));
        let algorithms = [-7, -8, -257];
        let algorithms = algorithms.map(|alg| json!({ "type": "public-key", "alg": alg }));
        Ok(Challenge {
            id,
            options: json!({
                "challenge": challenge,
                "rp": { "id": party.id(), "name": "Hexline" },
                "user": {
                    "id": encode(operator.id.to_string().as_bytes()),
                    "name": operator.email.as_str(),
                    "displayName": operator.name.as_str(),
                },
                "pubKeyCredParams": algorithms,
                "timeout": CHALLENGE_LIFE.as_millis(),
                "excludeCredentials": known.collect::<Vec<_>>(),
                "authenticatorSelection": {
                    "residentKey": "required",
                    "requireResidentKey": true,
                    "userVerification": "required",
                },
                "attestation": "none",
            }),
        })
    }

    /// Registers the passkey that the answer holds.
    pub async fn add_passkey(
        &self,
        operator: &Operator,
        challenge: &str,
        registration: &Registration,
        label: &str,
    ) -> Result<Passkey, OperatorError> {
        let now = self.clock.now();
        let label = PersonName::parse(label)?;
        let mut question = None;
        let made = self.party()?.register(registration, |found| {
            let until = self.challenges.open(challenge, found, Some(operator.id));
            question = until.map(|until| (TokenHash::of(&encode(found)), until));
            until.is_some_and(|until| now < until)
        });
        let made = made.map_err(|error| {
            tracing::info!(%error, "a passkey was not registered");
            OperatorError::Invalid {
                message: "the passkey cannot be taken: try again",
            }
        })?;
        let (hash, until) = question.expect("it was checked");
        if !self.stores.passkeys.use_challenge(&hash, until).await? {
            return Err(OperatorError::Invalid {
                message: "this answer was given before: try again",
            });
        }
        let passkey = Passkey {
            id: made.id,
            operator: operator.id,
            label: label.to_string(),
            public_key: made.public_key,
            sign_count: made.sign_count,
            created: now,
            last_used: None,
        };
        self.stores.passkeys.add(&passkey).await?;
        Ok(passkey)
    }

    /// The passkeys of an operator, oldest first.
    pub async fn list_passkeys(&self, id: OperatorId) -> Result<Vec<Passkey>, OperatorError> {
        Ok(self.stores.passkeys.list(id).await?)
    }

    /// Removes a passkey of an operator.
    pub async fn remove_passkey(&self, id: OperatorId, passkey: &str) -> Result<(), OperatorError> {
        let missing = OperatorError::NotFound { what: "passkey" };
        let Ok(passkey) = BASE64_URL_SAFE_NO_PAD.decode(passkey) else {
            return Err(missing);
        };
        let removed = self.stores.passkeys.remove(id, &passkey).await?;
        removed.then_some(()).ok_or(missing)
    }

    /// Asks for a passkey, to sign in or to confirm a session with.
    pub fn ask_for_passkey(&self) -> Result<Challenge, OperatorError> {
        let party = self.party()?;
        let (challenge, id) = self.challenge(None);
        Ok(Challenge {
            id,
            options: json!({
                "challenge": challenge,
                "rpId": party.id(),
                "timeout": CHALLENGE_LIFE.as_millis(),
                "allowCredentials": [],
                "userVerification": "required",
            }),
        })
    }

    /// Signs in with a passkey alone: the authenticator has verified who holds it.
    pub async fn sign_in_with_passkey(
        &self,
        challenge: &str,
        assertion: &Assertion,
        origin: &Origin,
    ) -> Result<NewSession, OperatorError> {
        let now = self.clock.now();
        let attempts = &*self.stores.attempts;
        let charge = throttle::charge(attempts, Subject::Peer(&origin.peer), now).await?;
        let operator = self.check_passkey(challenge, assertion, None).await?;
        charge.refund(attempts).await?;
        self.begin_session(operator, None, origin).await
    }

    /// Whether an answer to a challenge is good, by a passkey of this operator if one is named;
    /// both are used up then. Whose passkey it is.
    pub(super) async fn check_passkey(
        &self,
        challenge: &str,
        assertion: &Assertion,
        of: Option<OperatorId>,
    ) -> Result<Operator, OperatorError> {
        let now = self.clock.now();
        let party = self.party()?;
        let passkeys = &self.stores.passkeys;
        let failed = OperatorError::SignInFailed;
        let Some(id) = assertion.credential() else {
            return Err(failed);
        };
        let found = passkeys.find(&id).await?;
        let is_wanted = |passkey: &Passkey| of.is_none_or(|of| passkey.operator == of);
        let Some(passkey) = found.filter(is_wanted) else {
            return Err(failed);
        };
        let mut question = None;
        let checked = party.authenticate(assertion, &passkey.public_key, |found| {
            let until = self.challenges.open(challenge, found, None);
            question = until.map(|until| (TokenHash::of(&encode(found)), until));
            until.is_some_and(|until| now < until)
        });
        let count = match checked {
            Ok(count) => count,
            Err(error) => {
                tracing::info!(%error, "a passkey was refused");
                return Err(failed);
            }
        };
        let (hash, until) = question.expect("it was checked");
        let operator = self.stores.operators.lookup(passkey.operator).await?;
        let Some(operator) = operator.filter(|operator| operator.disabled.is_none()) else {
            return Err(failed);
        };
        // A count that does not grow is that of a copy.
        if !passkeys.use_challenge(&hash, until).await? || !passkeys.used(&id, count, now).await? {
            return Err(failed);
        }
        Ok(operator)
    }

    fn challenge(&self, whose: Option<OperatorId>) -> (String, String) {
        let mut challenge = [0; 32];
        self.entropy.fill(&mut challenge);
        let until = self.clock.now().plus(CHALLENGE_LIFE);
        let id = self.challenges.seal(&challenge, whose, until);
        (encode(&challenge), id)
    }

    fn party(&self) -> Result<&RelyingParty, OperatorError> {
        self.party.as_ref().ok_or(OperatorError::Conflict {
            message: "passkeys need a public URL with a host name",
        })
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

const CHALLENGE_LIFE: Duration = Duration::from_mins(5);
const MAX_CHALLENGE_ID: usize = 128;
const MAX_PASSKEYS: usize = 20;
