use hexline_model::{OperatorId, Secret, Timestamp};

use super::error::OperatorError;
use super::onetime::TokenHash;
use super::operator::Operator;
use super::service::OperatorService;
use super::throttle::{self, Subject};
use super::totp::{TotpSecret, recovery_code, tidied};

/// What an authenticator app is to be told, before the operator has shown that it was.
#[derive(Debug)]
pub struct TotpOffer {
    /// In base32, to type.
    pub secret: Secret<String>,
    /// As a URI, for a picture.
    pub uri: Secret<String>,
}

impl OperatorService {
    /// Makes a secret for an authenticator app. Codes are asked for once [`Self::confirm_totp`]
    /// has seen one.
    pub async fn offer_totp(&self, operator: &Operator) -> Result<TotpOffer, OperatorError> {
        if operator.totp.is_some() {
            return Err(OperatorError::Conflict {
                message: "one-time codes are on: turn them off first",
            });
        }
        let secret = TotpSecret::generate(&*self.entropy);
        let name = vault_name(operator.id);
        self.vault.put(&name, secret.base32()).await?;
        Ok(TotpOffer {
            uri: secret.uri(&operator.email),
            secret: secret.base32(),
        })
    }

    /// Turns one-time codes on; the codes for when the authenticator app is lost, shown now and
    /// never again.
    pub async fn confirm_totp(
        &self,
        operator: &Operator,
        code: &str,
    ) -> Result<Vec<Secret<String>>, OperatorError> {
        let wrong = OperatorError::Invalid {
            message: "the code does not fit: is the clock of the device right?",
        };
        let now = self.clock.now();
        let attempts = &*self.stores.attempts;
        let charge = throttle::charge(attempts, Subject::Code(operator.id), now).await?;
        let secret = self.secret(operator.id).await?;
        let step = secret
            .and_then(|secret| secret.step_of(&tidied(code), now))
            .ok_or(wrong)?;
        charge.refund(attempts).await?;
        let codes: Vec<_> = (0..RECOVERY_CODES)
            .map(|_| recovery_code(&*self.entropy))
            .collect();
        let hashes: Vec<_> = codes.iter().map(|code| hash_of(code.expose())).collect();
        let operators = &self.stores.operators;
        if operators.set_totp(operator.id, now, step, &hashes).await? {
            Ok(codes)
        } else {
            Err(OperatorError::Conflict {
                message: "one-time codes are on already",
            })
        }
    }

    /// Turns one-time codes off.
    pub async fn remove_totp(&self, operator: &Operator) -> Result<(), OperatorError> {
        self.stores.operators.clear_totp(operator.id).await?;
        self.vault.remove(&vault_name(operator.id)).await
    }

    /// Whether a one-time code, or a recovery code, is good; it is used up then.
    pub(super) async fn check_code(
        &self,
        operator: &Operator,
        code: &str,
        now: Timestamp,
    ) -> Result<(), OperatorError> {
        let attempts = &*self.stores.attempts;
        let charge = throttle::charge(attempts, Subject::Code(operator.id), now).await?;
        let secret = self.secret(operator.id).await?;
        let step = secret.and_then(|secret| secret.step_of(&tidied(code), now));
        let operators = &self.stores.operators;
        let is_good = if let Some(step) = step {
            operators.use_totp_step(operator.id, step).await?
        } else {
            let hash = hash_of(code);
            operators.use_recovery_code(operator.id, &hash).await?
        };
        if !is_good {
            return Err(OperatorError::SignInFailed);
        }
        charge.refund(attempts).await
    }

    pub(super) async fn forget_secret(&self, id: OperatorId) -> Result<(), OperatorError> {
        self.vault.remove(&vault_name(id)).await
    }

    async fn secret(&self, id: OperatorId) -> Result<Option<TotpSecret>, OperatorError> {
        let kept = self.vault.open(&vault_name(id)).await?;
        Ok(kept.and_then(|text| TotpSecret::from_base32(text.expose())))
    }
}

fn vault_name(id: OperatorId) -> String {
    format!("totp/{id}")
}

fn hash_of(recovery_code: &str) -> TokenHash {
    TokenHash::of(&tidied(recovery_code))
}

const RECOVERY_CODES: usize = 10;
