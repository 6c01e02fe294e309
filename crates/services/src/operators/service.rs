use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use hexline_model::{AppId, Clock, ConsoleSessionId, Entropy, OperatorId, Secret, Timestamp};

use super::error::OperatorError;
use super::familiar::FAMILIAR;
use super::hasher::{Hasher, Lane, Verdict};
use super::onetime::TokenHash;
use super::operator::{Email, Operator, PersonName, Role};
use super::passkey::Challenges;
use super::password::{self, Password, PasswordHash};
use super::session::{ConsoleSession, IDLE, LONGEST, Origin, SEEN_EVERY, SignedIn};
use super::setup::SetupLink;
use super::store::{Invitation, OperatorStores, SecretVault};
use super::throttle::{self, Subject};
use super::webauthn::RelyingParty;
use tokio::sync::OnceCell;

/// Who may sign in to the Console, and how.
pub struct OperatorService {
    pub(super) stores: OperatorStores,
    pub(super) hasher: Hasher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) vault: Arc<dyn SecretVault>,
    pub(super) party: Option<RelyingParty>,
    pub(super) challenges: Challenges,
    /// What network addresses are hashed with, once it was needed.
    pub(super) address_key: OnceCell<hmac::Key>,
    setup: SetupLink,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct NewSession {
    /// Who is signed in.
    pub signed_in: SignedIn,
    /// What opens the session: for the cookie alone.
    pub token: Secret<String>,
}

/// What somebody signs in with.
#[derive(Debug)]
pub struct Credentials {
    /// The account, as it was typed.
    pub email: String,
    /// The password.
    pub password: Secret<String>,
    /// A one-time code or a recovery code.
    pub code: Option<Secret<String>>,
}

/// What to change of an operator; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct OperatorChanges {
    /// What the person is called.
    pub name: Option<PersonName>,
    /// What the person may do.
    pub role: Option<Role>,
    /// The apps that the person sees; `Some(None)` is all.
    pub apps: Option<Option<Vec<AppId>>>,
    /// Whether the person may not sign in.
    pub disabled: Option<bool>,
}

impl OperatorChanges {
    /// The operator as it is after them.
    pub fn apply(&self, old: Operator, at: Timestamp) -> Operator {
        let role = self.role.unwrap_or(old.role);
        Operator {
            name: self.name.clone().unwrap_or(old.name),
            role,
            apps: apps_of(role, self.apps.clone().unwrap_or(old.apps)),
            disabled: match self.disabled {
                Some(true) => old.disabled.or(Some(at)),
                Some(false) => None,
                None => old.disabled,
            },
            ..old
        }
    }
}

impl OperatorService {
    /// A service on these stores. `party` is the server as browsers know it; without it there are
    /// no passkeys.
    pub fn new(
        stores: OperatorStores,
        vault: Arc<dyn SecretVault>,
        party: Option<RelyingParty>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let mut key = Secret::new([0; 32]);
        entropy.fill(key.expose_mut());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            stores,
            hasher: Hasher::new(password::cost(), threads.clamp(1, MOST_AT_ONCE)),
            clock,
            entropy,
            vault,
            party,
            challenges: Challenges::new(key.expose()),
            address_key: OnceCell::new(),
            setup: SetupLink::default(),
        }
    }

    /// Opens the set-up link if there is no operator; its token, to be shown on the terminal and
    /// nowhere else. Whatever was open before is closed.
    pub async fn open_setup(&self) -> Result<Option<Secret<String>>, OperatorError> {
        if !self.stores.operators.is_empty().await? {
            self.setup.close();
            return Ok(None);
        }
        Ok(Some(self.setup.open(&*self.entropy)))
    }

    /// Whether the set-up link still makes an operator.
    pub async fn is_setup_open(&self) -> Result<bool, OperatorError> {
        Ok(self.setup.is_open() && self.stores.operators.is_empty().await?)
    }

    /// Refuses a set-up link that is of no use any more.
    pub async fn check_setup(&self, token: &Secret<String>) -> Result<(), OperatorError> {
        let is_good = self.setup.fits(token.expose()) && self.is_setup_open().await?;
        is_good.then_some(()).ok_or(OperatorError::LinkInvalid)
    }

    /// Makes the first operator, an owner, and signs it in. Of two that hold the link, one does.
    pub async fn set_up(
        &self,
        token: &Secret<String>,
        email: &str,
        name: &str,
        password: Secret<String>,
        origin: &Origin,
    ) -> Result<NewSession, OperatorError> {
        if !self.setup.fits(token.expose()) {
            return Err(OperatorError::LinkInvalid);
        }
        let operator = self.newcomer(Email::parse(email)?, PersonName::parse(name)?, Role::Owner);
        let operator = Operator {
            has_password: true,
            ..operator
        };
        let password = Password::parse(password)?;
        let hash = self.hash(password).await?;
        let added = self.stores.operators.add_first(&operator, &hash).await?;
        self.setup.close();
        if !added {
            return Err(OperatorError::LinkInvalid);
        }
        self.begin_session(operator, Some(&hash), origin).await
    }

    /// Signs in with e-mail, password and, if that is on, a one-time code.
    ///
    /// Whether the account exists is not told: an unknown one is looked up, hashed and counted in
    /// the same way. Failures count against the network address and against the account; for
    /// addresses that are familiar, and only for those, in a counter of their own.
    pub async fn sign_in(
        &self,
        credentials: Credentials,
        origin: &Origin,
    ) -> Result<NewSession, OperatorError> {
        let now = self.clock.now();
        let attempts = &*self.stores.attempts;
        let lane = self.lane_of(origin).await?;
        let place = self.hasher.place(lane)?;
        let peer = throttle::charge(attempts, Subject::Peer(&origin.peer), now).await?;
        // What is no address is no account's, and costs as much.
        let email = Email::parse(&credentials.email).ok();
        let account = match &email {
            Some(email) => {
                Some(throttle::charge(attempts, Subject::Account(lane, email), now).await?)
            }
            None => None,
        };
        let found = match &email {
            Some(email) => self.stores.operators.find_by_email(email).await?,
            None => None,
        };
        let id = match &found {
            Some(operator) => operator.id,
            None => OperatorId::generate(&*self.entropy),
        };
        let stored = self.stores.operators.password(id).await?;
        let (password, entropy) = (credentials.password, &*self.entropy);
        let verdict = self.hasher.verify(place, password, stored.clone(), entropy);
        let verdict = verdict.await?;
        let (Some(operator), false) = (found, matches!(verdict, Verdict::Wrong)) else {
            return Err(OperatorError::SignInFailed);
        };
        if operator.disabled.is_some() {
            return Err(OperatorError::SignInFailed);
        }
        let outcome = match (operator.totp, &credentials.code) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(OperatorError::TotpRequired),
            (Some(_), Some(code)) => self.check_code(&operator, code.expose(), now).await,
        };
        if matches!(outcome, Err(OperatorError::SignInFailed)) {
            return Err(OperatorError::SignInFailed);
        }
        peer.refund(attempts).await?;
        if let Some(account) = account {
            account.refund(attempts).await?;
        }
        outcome?;
        let password = match (verdict, stored) {
            (Verdict::Outdated(new), Some(old)) => {
                let operators = &self.stores.operators;
                operators.rehash_password(operator.id, &old, &new).await?;
                Some(new)
            }
            (_, stored) => stored,
        };
        self.begin_session(operator, password.as_ref(), origin)
            .await
    }

    /// Who is behind a session's token. Notes that it was used.
    pub async fn authenticate(&self, token: &str) -> Result<Option<SignedIn>, OperatorError> {
        let sessions = &self.stores.sessions;
        let Some((session, operator)) = sessions.find(&TokenHash::of(token)).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        if now >= session.ends() || operator.disabled.is_some() {
            return Ok(None);
        }
        if now.since(session.seen) >= SEEN_EVERY {
            sessions.touch(session.id, now).await?;
        }
        Ok(Some(SignedIn { operator, session }))
    }

    /// The sessions of an operator that have not ended, newest first.
    pub async fn list_sessions(
        &self,
        operator: OperatorId,
    ) -> Result<Vec<ConsoleSession>, OperatorError> {
        let now = self.clock.now();
        let mut sessions = self.stores.sessions.list(operator).await?;
        sessions.retain(|session| now < session.ends());
        Ok(sessions)
    }

    /// Ends a session of an operator.
    pub async fn end_session(
        &self,
        operator: OperatorId,
        session: ConsoleSessionId,
    ) -> Result<(), OperatorError> {
        if self.stores.sessions.end(operator, session).await? {
            Ok(())
        } else {
            Err(OperatorError::NotFound { what: "session" })
        }
    }

    /// The operator with this id.
    pub async fn lookup(&self, id: OperatorId) -> Result<Operator, OperatorError> {
        let found = self.stores.operators.lookup(id).await?;
        found.ok_or(OperatorError::Unknown)
    }

    /// The operator with this address, or this id.
    pub async fn find(&self, email_or_id: &str) -> Result<Operator, OperatorError> {
        if let Ok(id) = OperatorId::parse(email_or_id) {
            return self.lookup(id).await;
        }
        let email = Email::parse(email_or_id)?;
        let found = self.stores.operators.find_by_email(&email).await?;
        found.ok_or(OperatorError::Unknown)
    }

    /// Up to `limit` operators after an address, in order of their addresses.
    pub async fn list(
        &self,
        after: Option<&Email>,
        limit: u32,
    ) -> Result<Vec<Operator>, OperatorError> {
        Ok(self.stores.operators.list(after, limit).await?)
    }

    /// Makes an operator who has yet to set a password; the token of the link that lets it.
    pub async fn invite(
        &self,
        email: Email,
        role: Role,
        apps: Option<Vec<AppId>>,
    ) -> Result<(Operator, Secret<String>), OperatorError> {
        let (local, _) = email.as_str().rsplit_once('@').expect("it was parsed");
        let name: String = local.chars().take(NAME_FROM_EMAIL).collect();
        let operator = Operator {
            apps: apps_of(role, apps),
            ..self.newcomer(email, PersonName::parse(&name)?, role)
        };
        let (token, invitation) = self.invitation(operator.id);
        let operators = &self.stores.operators;
        operators.add(&operator, None, Some(&invitation)).await?;
        Ok((operator, token))
    }

    /// A new link in the place of an older one, for somebody who was invited or has lost the
    /// password. Until it is used, the old password stays good.
    pub async fn invite_again(&self, id: OperatorId) -> Result<Secret<String>, OperatorError> {
        let (token, invitation) = self.invitation(id);
        self.stores.operators.invite(&invitation).await?;
        Ok(token)
    }

    /// Whom an invitation is for, if it can still be used.
    pub async fn invited(&self, token: &Secret<String>) -> Result<Operator, OperatorError> {
        let hash = TokenHash::of(token.expose());
        let invitation = self.stores.operators.invitation(&hash).await?;
        let invitation = invitation
            .filter(|invitation| self.clock.now() < invitation.expires)
            .ok_or(OperatorError::LinkInvalid)?;
        let operator = self.lookup(invitation.operator).await?;
        if operator.disabled.is_some() {
            return Err(OperatorError::LinkInvalid);
        }
        Ok(operator)
    }

    /// Sets name and password by an invitation, and signs in. One-time codes are off and passkeys
    /// gone afterwards: who has lost the password may have lost those as well, and somebody else
    /// may have found them.
    pub async fn accept_invitation(
        &self,
        token: &Secret<String>,
        name: &str,
        password: Secret<String>,
        origin: &Origin,
    ) -> Result<NewSession, OperatorError> {
        let now = self.clock.now();
        let invited = self.invited(token).await?.id;
        let hash = TokenHash::of(token.expose());
        let operators = &self.stores.operators;
        let name = PersonName::parse(name)?;
        let password = Password::parse(password)?;
        let password = self.hash(password).await?;
        if !operators
            .accept(&hash, name.as_str(), &password, now)
            .await?
        {
            return Err(OperatorError::LinkInvalid);
        }
        let operator = self.lookup(invited).await?;
        self.forget_secret(operator.id).await?;
        self.begin_session(operator, Some(&password), origin).await
    }

    /// Changes an operator. Disabling one ends its sessions; the last owner who can sign in stays
    /// one.
    pub async fn update(
        &self,
        id: OperatorId,
        changes: OperatorChanges,
    ) -> Result<Operator, OperatorError> {
        let now = self.clock.now();
        Ok(self.stores.operators.update(id, &changes, now).await?)
    }

    /// Removes an operator with its sessions; the last owner who can sign in stays.
    pub async fn remove(&self, id: OperatorId) -> Result<(), OperatorError> {
        self.stores.operators.remove(id).await?;
        self.forget_secret(id).await
    }

    /// Sets another password, and ends the operator's sessions except this one.
    pub async fn change_password(
        &self,
        signed_in: &SignedIn,
        new: Secret<String>,
    ) -> Result<(), OperatorError> {
        let new = Password::parse(new)?;
        let id = signed_in.operator.id;
        // Never taken back, and before there is a place: one session in a loop would else fill the
        // queue of those at familiar addresses.
        let subject = Subject::NewPassword(id);
        throttle::charge(&*self.stores.attempts, subject, self.clock.now()).await?;
        let hash = self.hash(new).await?;
        let operators = &self.stores.operators;
        let keep = Some(signed_in.session.id);
        Ok(operators.set_password(id, &hash, keep).await?)
    }

    /// Forgets sessions that have ended, failures that are forgiven, and addresses that are
    /// familiar no longer.
    pub async fn sweep(&self) -> Result<(), OperatorError> {
        let now = self.clock.now();
        let sessions = &self.stores.sessions;
        sessions.sweep(now.minus(LONGEST), now.minus(IDLE)).await?;
        self.stores.attempts.sweep(now).await?;
        let operators = &self.stores.operators;
        operators.sweep_addresses(now.minus(FAMILIAR)).await?;
        self.stores.passkeys.sweep_challenges(now).await?;
        Ok(())
    }

    /// Makes ready what the first sign-in would otherwise wait for.
    pub async fn warm_up(&self) -> Result<(), OperatorError> {
        self.hasher.warm_up(&*self.entropy).await
    }

    /// Begins a session, unless the operator was disabled or got another password than this one
    /// while it was compared: what ends the sessions of the old one ends this too.
    pub(super) async fn begin_session(
        &self,
        operator: Operator,
        password: Option<&PasswordHash>,
        origin: &Origin,
    ) -> Result<NewSession, OperatorError> {
        let now = self.clock.now();
        let (token, hash) = TokenHash::generate(&*self.entropy);
        let session = ConsoleSession {
            id: ConsoleSessionId::generate(&*self.entropy),
            hash,
            operator: operator.id,
            created: now,
            seen: now,
            confirmed: Some(now),
            peer: origin.peer.clone(),
            agent: origin.agent.clone(),
        };
        if !self.stores.sessions.add(&session, password).await? {
            return Err(OperatorError::SignInFailed);
        }
        let operators = &self.stores.operators;
        let address = self.address_hash(origin).await?;
        operators.signed_in(operator.id, &address, now).await?;
        let operator = Operator {
            last_sign_in: Some(now),
            ..operator
        };
        Ok(NewSession {
            signed_in: SignedIn { operator, session },
            token,
        })
    }

    /// Hashes a password of somebody who is signed in or holds a link.
    async fn hash(&self, password: Password) -> Result<PasswordHash, OperatorError> {
        let place = self.hasher.place(Lane::Familiar)?;
        self.hasher.hash(place, password, &*self.entropy).await
    }

    fn newcomer(&self, email: Email, name: PersonName, role: Role) -> Operator {
        Operator {
            id: OperatorId::generate(&*self.entropy),
            email,
            name,
            role,
            apps: None,
            created: self.clock.now(),
            disabled: None,
            last_sign_in: None,
            totp: None,
            has_password: false,
            passkeys: 0,
        }
    }

    fn invitation(&self, operator: OperatorId) -> (Secret<String>, Invitation) {
        let (token, hash) = TokenHash::generate(&*self.entropy);
        let expires: Timestamp = self.clock.now().plus(INVITATION_LIFE);
        let invitation = Invitation {
            hash,
            operator,
            expires,
        };
        (token, invitation)
    }
}

/// An owner sees everything, whatever is said of apps.
fn apps_of(role: Role, apps: Option<Vec<AppId>>) -> Option<Vec<AppId>> {
    let mut apps = apps.filter(|_| role != Role::Owner)?;
    apps.sort_unstable();
    apps.dedup();
    Some(apps)
}

/// How many passwords from unfamiliar addresses are hashed at once, at most.
const MOST_AT_ONCE: usize = 3;

/// How long an invitation is good.
pub const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);

const NAME_FROM_EMAIL: usize = 100;
