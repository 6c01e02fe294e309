//! A connection that goes on with another token of its device.

use hexline_services::Failure as _;
use hexline_services::keys::KeyEvent;
use hexline_token::Source;

use super::*;
use crate::exchange::ExchangeError;

impl Rig {
    async fn another_key(&self) -> KeyId {
        let order = NewKey::generate(Algorithm::Hs256);
        let made = self.services.keys.create_key(self.app, order).await;
        made.expect("made").record.id
    }

    /// What another token of the device `a/d` allows.
    fn fresh(&self, key: KeyId) -> Authorization {
        Authorization {
            key,
            token_id: Some("t2".into()),
            ..self.authorization("a/d", None)
        }
    }
}

fn source(key: KeyId) -> Box<[Source]> {
    Box::new([Source::new(key.to_string(), Some("t0"))])
}

fn permissions(grants: &str) -> Arc<Permissions> {
    let grants = Grants::parse(grants).expect("grants");
    Arc::new(Permissions::new(grants, None))
}

#[tokio::test]
async fn counts_by_key_and_by_source_move_along() {
    let rig = Rig::new(|_| ()).await;
    let (second, third) = (rig.another_key().await, rig.another_key().await);
    let counts = || [rig.key, second, third].map(|key| rig.hub.count_by_key(key));
    let mut session = rig.session("a/d", None);
    let other = rig.session("b/d", None);
    assert_eq!(counts(), [2, 0, 0]);
    let exchanged = Authorization {
        sources: source(third),
        ..rig.fresh(second)
    };
    session.exchange(exchanged).expect("exchanged");
    assert_eq!(counts(), [1, 1, 1]);
    let of_third = at_once(rig.connections.count_by_keys(rig.app, &[third]));
    assert_eq!(of_third.total(), 1);
    session.exchange(rig.fresh(third)).expect("exchanged");
    assert_eq!(counts(), [1, 0, 1]);
    drop(session);
    assert_eq!(counts(), [1, 0, 0]);
    drop(other);
    assert_eq!(counts(), [0, 0, 0]);
    assert_eq!(rig.hub.total(), 0);
}

#[tokio::test]
async fn the_old_key_and_token_have_no_hold_of_it_any_more_and_the_new_ones_have() {
    let rig = Rig::new(|_| ()).await;
    let (second, third) = (rig.another_key().await, rig.another_key().await);
    let mut session = rig.session("a/d", None);
    let exchanged = Authorization {
        sources: source(third),
        ..rig.fresh(second)
    };
    session.exchange(exchanged).expect("exchanged");
    rig.services
        .revocations
        .revoke_token(rig.app, "t1", None)
        .await
        .expect("revoked");
    rig.services
        .keys
        .revoke_key(rig.key)
        .await
        .expect("revoked");
    assert_eq!(closing(&session), None);
    rig.services.keys.revoke_key(third).await.expect("revoked");
    assert_eq!(closing(&session), Some(CloseCode::Revoked), "by its source");
}

#[tokio::test]
async fn a_revocation_of_the_new_key_or_token_closes_it() {
    let rig = Rig::new(|_| ()).await;
    let second = rig.another_key().await;
    let (mut by_key, mut by_token) = (rig.session("a/d", None), rig.session("a/d", None));
    by_key.exchange(rig.fresh(second)).expect("exchanged");
    by_token.exchange(rig.fresh(rig.key)).expect("exchanged");
    rig.services.keys.revoke_key(second).await.expect("revoked");
    assert_eq!(closing(&by_key), Some(CloseCode::Revoked));
    assert_eq!(closing(&by_token), None);
    let revoked = rig
        .services
        .revocations
        .revoke_token(rig.app, "t2", None)
        .await;
    revoked.expect("revoked");
    assert_eq!(closing(&by_token), Some(CloseCode::Revoked));
}

#[tokio::test]
async fn a_key_that_was_revoked_since_its_token_was_verified_closes_it() {
    let rig = Rig::new(|_| ()).await;
    let second = rig.another_key().await;
    let mut session = rig.session("a/d", None);
    let verified = rig.fresh(second);
    rig.services.keys.revoke_key(second).await.expect("revoked");
    session.exchange(verified).expect("exchanged");
    assert_eq!(closing(&session), Some(CloseCode::Revoked));
}

/// An event closes the connections that depend on its key by then. Whether an exchange comes before
/// that, in the middle of it or after it, the revocation of the new key is not lost.
#[tokio::test]
async fn a_revocation_that_races_with_an_exchange_is_not_lost() {
    let rig = Rig::new(|_| ()).await;
    for _ in 0..40 {
        let key = rig.another_key().await;
        let mut session = rig.session("a/d", None);
        let fresh = rig.fresh(key);
        let exchanging = tokio::task::spawn_blocking(move || {
            session.exchange(fresh).expect("exchanged");
            session
        });
        rig.services.keys.revoke_key(key).await.expect("revoked");
        let session = exchanging.await.expect("no panic");
        assert_eq!(closing(&session), Some(CloseCode::Revoked));
    }
    // The same with threads that only meet in the hub.
    for _ in 0..200 {
        let key = rig.another_key().await;
        let mut session = rig.session("a/d", None);
        let fresh = rig.fresh(key);
        rig.services.keys.revoke_key(key).await.expect("revoked");
        let event = KeyEvent::KeyChanged { app: rig.app, key };
        std::thread::scope(|scope| {
            scope.spawn(|| rig.hub.on_key_event(&event));
            session.exchange(fresh).expect("exchanged");
        });
        assert_eq!(closing(&session), Some(CloseCode::Revoked));
    }
}

#[tokio::test]
async fn it_ends_with_the_new_token() {
    let rig = Rig::new(|_| ()).await;
    let of = |ttl: Option<u64>| Authorization {
        expires: ttl.map(|ttl| rig.clock.now().plus(Duration::from_secs(ttl))),
        ..rig.fresh(rig.key)
    };
    let mut session = rig.session("a/d", Some(Duration::from_secs(10)));
    let exchange = |session: &mut ClientSession, ttl| {
        session.exchange(of(ttl)).expect("exchanged");
        session.handle_control(rig.now());
    };
    exchange(&mut session, Some(40));
    // The token's 40 seconds and the leeway of 10.
    rig.pass(&mut session, Duration::from_millis(49_999));
    assert_eq!(closing(&session), None);
    // An end that is nearer comes nearer.
    exchange(&mut session, Some(5));
    rig.pass(&mut session, Duration::from_millis(14_999));
    assert_eq!(closing(&session), None);
    exchange(&mut session, None);
    rig.pass(&mut session, Duration::from_secs(20));
    assert_eq!(closing(&session), None, "it has no end any more");
    exchange(&mut session, Some(5));
    rig.pass(&mut session, Duration::from_secs(15));
    assert_eq!(closing(&session), Some(CloseCode::TokenExpired));
}

#[tokio::test]
async fn the_end_of_the_new_key_is_an_end_too() {
    let rig = Rig::new(|_| ()).await;
    let second = rig.another_key().await;
    let overlap = Some(Duration::from_secs(30));
    rig.services
        .keys
        .rotate_key(second, overlap)
        .await
        .expect("rotated");
    let mut session = rig.session("a/d", None);
    session.exchange(rig.fresh(second)).expect("exchanged");
    rig.pass(&mut session, Duration::from_secs(30));
    assert_eq!(closing(&session), Some(CloseCode::TokenExpired));
}

#[tokio::test]
async fn the_new_grants_hold_from_the_next_call_on_and_it_stays_in_its_channels() {
    let rig = Rig::new(|_| ()).await;
    let mut session = rig.session("a/d", None);
    let mut other = rig.session("b/d", None);
    let join = r#"{"jsonrpc":"2.0","id":1,"method":"signal.join","params":{"id":"room"}}"#;
    let publish = r#"{"jsonrpc":"2.0","id":2,"method":"signal.publish","params":{"id":"room"}}"#;
    for session in [&mut session, &mut other] {
        session.handle_text(rig.now(), join);
        outgoing(session);
    }
    let narrow = Authorization {
        permissions: permissions(r#"{"signal":{"publish":false}}"#),
        ..rig.fresh(rig.key)
    };
    session.exchange(narrow).expect("exchanged");
    session.handle_text(rig.now(), publish);
    let (said, close) = outgoing(&session);
    assert!(said[0].contains("grant_missing"), "{said:?}");
    assert_eq!(close, None);
    other.handle_text(rig.now(), publish);
    assert_eq!(outgoing(&session).0.len(), 1, "it is still in its channel");
    let wide = Authorization {
        permissions: permissions(r#"{"signal":true}"#),
        ..rig.fresh(rig.key)
    };
    session.exchange(wide).expect("exchanged");
    session.handle_text(rig.now(), publish);
    assert!(outgoing(&session).0[0].contains(r#""delivered":1"#));
}

#[tokio::test]
async fn what_others_see_of_it_is_new_at_once() {
    let rig = Rig::new(|_| ()).await;
    let second = rig.another_key().await;
    let mut session = rig.session("a/d", None);
    let fresh = Authorization {
        permissions: permissions(r#"{"chat":true}"#),
        expires: Some(rig.clock.now().plus(Duration::from_mins(1))),
        ..rig.fresh(second)
    };
    session.exchange(fresh).expect("exchanged");
    let filter = Filter::default();
    let shown = at_once(rig.connections.list(rig.app, &filter, None, 10)).remove(0);
    assert_eq!(shown.key, second);
    assert!(shown.grants.signal().is_none() && shown.grants.chat().is_some());
    let end = rig.clock.now().plus(Duration::from_secs(70));
    assert_eq!(shown.expires, Some(end));
}

#[tokio::test]
async fn another_identity_device_or_app_is_refused_and_changes_nothing() {
    let rig = Rig::new(|_| ()).await;
    let second = rig.another_key().await;
    let ttl = Some(Duration::from_secs(10));
    let mut session = rig.session("a/d", ttl);
    let refused = |authorization| {
        let mut session = rig.session_of(rig.admit("a/d", ttl).expect("let in"));
        let result = session.exchange(authorization);
        assert_eq!(rig.hub.count_by_key(rig.key), 2);
        assert_eq!(rig.hub.count_by_key(second), 0);
        rig.pass(&mut session, Duration::ZERO);
        assert_eq!(closing(&session), None);
        result.expect_err("refused")
    };
    for subject in ["b/d", "a/e", "ad/d"] {
        let wrong = Authorization {
            key: second,
            ..rig.authorization(subject, None)
        };
        assert_eq!(refused(wrong), ExchangeError::AnotherDevice, "{subject}");
    }
    let of_another_app = Authorization {
        app: other(),
        ..rig.fresh(second)
    };
    assert_eq!(refused(of_another_app), ExchangeError::AnotherDevice);
    let of_a_server = Authorization {
        subject: None,
        ..rig.fresh(second)
    };
    assert_eq!(refused(of_a_server), ExchangeError::AnotherDevice);
    let opens_nothing = Authorization {
        permissions: permissions(r#"{"push":true}"#),
        ..rig.fresh(second)
    };
    let error = refused(opens_nothing);
    assert_eq!(error.code().text(), "grant_missing");
    assert_eq!(ExchangeError::AnotherDevice.code().text(), "forbidden");
    // The first one, which nobody has touched, ends as its token said.
    rig.pass(&mut session, Duration::from_millis(19_999));
    assert_eq!(closing(&session), None);
    rig.pass(&mut session, Duration::from_millis(1));
    assert_eq!(closing(&session), Some(CloseCode::TokenExpired));
}

#[tokio::test]
async fn a_full_key_is_refused_and_one_that_stays_is_not() {
    let rig = Rig::new(|limits| limits.connections_per_key = 1).await;
    let second = rig.another_key().await;
    let mut session = rig.session("a/d", None);
    let other = rig.admit_with(rig.fresh(second)).expect("let in");
    let full = session.exchange(rig.fresh(second));
    assert_eq!(full, Err(ExchangeError::Admission(AdmissionError::Key(1))));
    assert_eq!(rig.hub.count_by_key(rig.key), 1);
    session.exchange(rig.fresh(rig.key)).expect("the same key");
    drop(other);
    session.exchange(rig.fresh(second)).expect("there is room");
    assert_eq!(rig.hub.count_by_key(rig.key), 0);
}
