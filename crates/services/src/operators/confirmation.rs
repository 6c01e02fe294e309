use hexline_model::Secret;

use super::error::OperatorError;
use super::hasher::{Lane, Verdict};
use super::service::OperatorService;
use super::session::{ConsoleSession, SignedIn};
use super::throttle::{self, Subject};
use super::webauthn::Assertion;

/// What shows that the person at the browser is the operator, and not somebody who found the
/// session.
#[derive(Debug)]
pub enum Proof {
    /// The password.
    Password(Secret<String>),
    /// A passkey's answer to a challenge.
    Passkey {
        /// The challenge's id.
        challenge: String,
        /// The answer.
        assertion: Assertion,
    },
}

impl OperatorService {
    /// Refuses a session in which neither password nor passkey were given lately.
    pub fn require_confirmation(&self, session: &ConsoleSession) -> Result<(), OperatorError> {
        if session.is_confirmed(self.clock.now()) {
            Ok(())
        } else {
            Err(OperatorError::ConfirmationRequired)
        }
    }

    /// Confirms a session for a while.
    pub async fn confirm(&self, signed_in: &SignedIn, proof: Proof) -> Result<(), OperatorError> {
        match proof {
            Proof::Password(password) => self.check_password(signed_in, password).await?,
            Proof::Passkey {
                challenge,
                assertion,
            } => {
                let of = Some(signed_in.operator.id);
                let checked = self.check_passkey(&challenge, &assertion, of).await;
                checked.map_err(|error| match error {
                    OperatorError::SignInFailed => OperatorError::PasskeyWrong,
                    error => error,
                })?;
            }
        }
        let sessions = &self.stores.sessions;
        let confirmed = sessions.confirm(signed_in.session.id, self.clock.now());
        Ok(confirmed.await?)
    }

    async fn check_password(
        &self,
        signed_in: &SignedIn,
        password: Secret<String>,
    ) -> Result<(), OperatorError> {
        let id = signed_in.operator.id;
        let attempts = &*self.stores.attempts;
        let place = self.hasher.place(Lane::Familiar)?;
        let subject = Subject::Confirmation(id);
        let charge = throttle::charge(attempts, subject, self.clock.now()).await?;
        let stored = self.stores.operators.password(id).await?;
        let verdict = self.hasher.verify(place, password, stored, &*self.entropy);
        if matches!(verdict.await?, Verdict::Wrong) {
            return Err(OperatorError::PasswordWrong);
        }
        charge.refund(attempts).await
    }
}
