use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hexline_model::{Secret, SystemEntropy};
use hexline_services::operators::{
    Credentials, IDLE, INVITATION_LIFE, NewSession, OperatorError, OperatorService, Origin,
    PasswordHash, RelyingParty, Role,
};

use crate::rig::Rig;

on_both!(
    a_session_ends_unused_or_in_any_case,
    a_stranger_does_not_lock_an_operator_out,
    what_was_failed_is_forgiven_with_time,
    a_password_stored_with_less_cost_is_stored_anew,
    an_invitation_is_good_for_a_week,
    the_first_password_must_be_a_good_one,
);

async fn a_session_ends_unused_or_in_any_case(rig: &mut Rig) {
    let (service, first) = set_up(rig).await;
    let open = async |session: &NewSession| {
        let found = service.authenticate(session.token.expose()).await;
        found.expect("reads").is_some()
    };
    rig.advance(IDLE.saturating_sub(Duration::from_secs(1)));
    assert!(open(&first).await);
    let second = sign_in(&service, EMAIL, PASSWORD, HOME).await;
    let second = second.expect("signs in");
    // The first one is used all the time, and ends all the same.
    for _ in 0..13 {
        assert!(open(&first).await);
        rig.advance(IDLE.saturating_sub(Duration::from_secs(1)));
    }
    assert!(!open(&second).await, "it was not used");
    rig.advance(Duration::from_mins(1));
    assert!(!open(&first).await, "it is a week old");
    service.sweep().await.expect("sweeps");
    let id = first.signed_in.operator.id;
    let left = rig.database.operator_stores().sessions.list(id).await;
    assert_eq!(left.expect("reads"), []);
}

async fn a_stranger_does_not_lock_an_operator_out(rig: &mut Rig) {
    let (service, _) = set_up(rig).await;
    let mut refused = 0;
    for n in 0..30 {
        let peer = IpAddr::from([198, 51, 100, n]);
        match sign_in(&service, EMAIL, "a guess of theirs", peer).await {
            Err(OperatorError::SignInFailed) => {}
            Err(OperatorError::Throttled { wait }) => {
                assert!(wait <= Duration::from_secs(30), "{wait:?}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 10, "twenty guesses are free");
    let elsewhere = IpAddr::from([203, 0, 113, 1]);
    let away = sign_in(&service, EMAIL, PASSWORD, elsewhere).await;
    assert!(matches!(away, Err(OperatorError::Throttled { .. })));
    let home = sign_in(&service, EMAIL, PASSWORD, HOME).await;
    home.expect("has signed in from there before");
}

async fn what_was_failed_is_forgiven_with_time(rig: &mut Rig) {
    let (service, _) = set_up(rig).await;
    for _ in 0..10 {
        let failed = sign_in(&service, EMAIL, "not the password", HOME).await;
        assert!(matches!(failed, Err(OperatorError::SignInFailed)));
    }
    let waits = sign_in(&service, EMAIL, PASSWORD, HOME).await;
    let Err(OperatorError::Throttled { wait }) = waits else {
        panic!("{waits:?}")
    };
    rig.advance(wait.saturating_sub(Duration::from_millis(1)));
    let waits = sign_in(&service, EMAIL, PASSWORD, HOME).await;
    assert!(matches!(waits, Err(OperatorError::Throttled { .. })));
    rig.advance(Duration::from_millis(1));
    // One that is good does not count, so that a second one is let in as well.
    for _ in 0..2 {
        let signed_in = sign_in(&service, EMAIL, PASSWORD, HOME).await;
        signed_in.expect("has waited");
    }
}

async fn a_password_stored_with_less_cost_is_stored_anew(rig: &mut Rig) {
    let (service, session) = set_up(rig).await;
    let id = session.signed_in.operator.id;
    let operators = rig.database.operator_stores().operators;
    let current = operators.password(id).await.expect("reads");
    let current = current.expect("is set");
    assert!(
        current
            .as_str()
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    );
    // The same password with one pass over 64 KiB.
    let cheap = PasswordHash::from_stored(CHEAP.to_owned());
    operators
        .set_password(id, &cheap, None)
        .await
        .expect("sets");
    let failed = sign_in(&service, EMAIL, "not the password", HOME).await;
    assert!(matches!(failed, Err(OperatorError::SignInFailed)));
    let kept = operators.password(id).await.expect("reads");
    assert_eq!(kept, Some(cheap));
    let signed_in = sign_in(&service, EMAIL, PASSWORD, HOME).await;
    signed_in.expect("it is the password");
    let anew = operators.password(id).await.expect("reads");
    let anew = anew.expect("is set");
    assert!(anew.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_ne!(anew, current, "it has a salt of its own");
}

async fn an_invitation_is_good_for_a_week(rig: &mut Rig) {
    let (service, _) = set_up(rig).await;
    let email = hexline_services::operators::Email::parse("adam@example.org");
    let invited = service.invite(email.expect("an address"), Role::Admin, None);
    let (operator, token) = invited.await.expect("invites");
    let accept = async |token: &Secret<String>| {
        let password = Secret::new(PASSWORD.to_owned());
        let origin = Origin::new(HOME, "");
        service
            .accept_invitation(token, "Adam", password, &origin)
            .await
    };
    rig.advance(INVITATION_LIFE);
    let late = accept(&token).await;
    assert!(matches!(late, Err(OperatorError::LinkInvalid)));
    let token = service.invite_again(operator.id).await.expect("invites");
    rig.advance(INVITATION_LIFE.saturating_sub(Duration::from_secs(1)));
    accept(&token).await.expect("is in time");
}

async fn the_first_password_must_be_a_good_one(rig: &mut Rig) {
    let service = service(rig).await;
    let token = service.open_setup().await.expect("opens");
    let token = token.expect("there is no operator");
    let origin = Origin::new(HOME, "");
    let short = Secret::new("elf Zeichen".to_owned());
    let refused = service.set_up(&token, EMAIL, "O", short, &origin).await;
    assert!(matches!(
        refused,
        Err(OperatorError::PasswordTooShort { found: 11 })
    ));
    assert!(service.is_setup_open().await.expect("reads"));
    let twelve = Secret::new("zwölf Zeiche".to_owned());
    let made = service.set_up(&token, EMAIL, "O", twelve, &origin).await;
    made.expect("twelve are enough");
    assert!(!service.is_setup_open().await.expect("reads"));
}

async fn service(rig: &Rig) -> OperatorService {
    OperatorService::new(
        rig.database.operator_stores(),
        rig.service().await.vault,
        RelyingParty::of("http://localhost:8000", &[]),
        rig.clock.clone(),
        Arc::new(SystemEntropy),
    )
}

async fn set_up(rig: &Rig) -> (OperatorService, NewSession) {
    let service = service(rig).await;
    let token = service.open_setup().await.expect("opens");
    let token = token.expect("there is no operator");
    let password = Secret::new(PASSWORD.to_owned());
    let origin = Origin::new(HOME, "a browser");
    let made = service.set_up(&token, EMAIL, "Olga", password, &origin);
    let session = made.await.expect("sets up");
    (service, session)
}

async fn sign_in(
    service: &OperatorService,
    email: &str,
    password: &str,
    peer: IpAddr,
) -> Result<NewSession, OperatorError> {
    let credentials = Credentials {
        email: email.to_owned(),
        password: Secret::new(password.to_owned()),
        code: None,
    };
    service
        .sign_in(credentials, &Origin::new(peer, "a browser"))
        .await
}

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const EMAIL: &str = "olga@example.org";
const PASSWORD: &str = "correct horse battery staple";
const CHEAP: &str = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$aq42HBL+IPAitHspChw/8mx5JRX2jFDkTmlsBskwH/0";
