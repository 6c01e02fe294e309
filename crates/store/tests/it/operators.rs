use std::time::Duration;

use hexline_model::{AppId, ConsoleSessionId, OperatorId, SystemEntropy, Timestamp};
use hexline_services::operators::{
    AddressHash, ConsoleSession, Email, Invitation, Operator, OperatorChanges, OperatorStores,
    Passkey, PasswordHash, PersonName, Role, TokenHash,
};
use hexline_services::store::StoreError;

use crate::rig::{NOW, Rig};

on_both!(
    of_many_first_operators_one_is_made,
    an_operator_is_found_as_it_was_added,
    an_address_is_taken_once,
    operators_are_listed_by_address_page_by_page,
    the_last_active_owner_can_not_go,
    two_owners_who_demote_each_other_at_once_leave_one,
    an_invitation_is_used_once_and_not_too_late,
    a_password_ends_sessions_and_takes_the_invitation_back,
    a_session_is_found_by_its_hash_until_it_ends,
    what_belongs_to_an_operator_goes_with_it,
    a_session_begins_with_the_password_that_is_good_then,
    two_changes_of_an_operator_at_once_are_both_made,
    a_step_and_a_recovery_code_are_used_once,
    a_passkeys_count_only_grows,
    a_challenge_is_answered_once,
    attempts_are_counted_also_when_many_come_at_once,
    where_an_operator_signed_in_is_remembered,
);

async fn of_many_first_operators_one_is_made(rig: &mut Rig) {
    let other = rig.another().await;
    assert!(stores(rig).operators.is_empty().await.expect("reads"));
    let tries = (0..8).map(|n| {
        let stores = if n % 2 == 0 {
            stores(rig)
        } else {
            other.operator_stores()
        };
        tokio::spawn(async move {
            let owner = operator(&format!("o{n}@example.org"), Role::Owner);
            stores.operators.add_first(&owner, &hash("a")).await
        })
    });
    let mut made = 0;
    for attempt in tries.collect::<Vec<_>>() {
        made += usize::from(attempt.await.expect("ends").expect("is decided"));
    }
    assert_eq!(made, 1);
    let all = stores(rig).operators.list(None, 10).await.expect("reads");
    assert_eq!(all.len(), 1);
    other.close().await;
}

async fn an_operator_is_found_as_it_was_added(rig: &mut Rig) {
    let operators = stores(rig).operators;
    let adam = Operator {
        apps: Some(vec![AppId::generate(&SystemEntropy)]),
        disabled: Some(NOW),
        ..operator("adam@example.org", Role::Admin)
    };
    operators.add(&adam, None, None).await.expect("adds");
    let found = operators.lookup(adam.id).await.expect("reads");
    assert_eq!(found.as_ref(), Some(&adam));
    let found = operators.find_by_email(&adam.email).await.expect("reads");
    assert_eq!(found, Some(adam.clone()));
    assert_eq!(operators.password(adam.id).await.expect("reads"), None);
    let changed = Operator {
        name: PersonName::parse("Adam ü").expect("a name"),
        role: Role::Viewer,
        apps: None,
        disabled: None,
        ..adam.clone()
    };
    let changes = OperatorChanges {
        name: Some(changed.name.clone()),
        role: Some(Role::Viewer),
        apps: Some(None),
        disabled: Some(false),
    };
    let updated = operators.update(adam.id, &changes, NOW).await;
    assert_eq!(updated.expect("updates"), changed);
    let found = operators.lookup(adam.id).await.expect("reads");
    assert_eq!(found, Some(changed));
    let nobody = operator("nobody@example.org", Role::Viewer);
    let refused = operators.update(nobody.id, &changes, NOW).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotFound { what: "operator" })
    ));
}

async fn an_address_is_taken_once(rig: &mut Rig) {
    let operators = stores(rig).operators;
    let adam = operator("adam@example.org", Role::Admin);
    operators.add(&adam, None, None).await.expect("adds");
    let twin = operator("adam@example.org", Role::Viewer);
    let refused = operators
        .add(&twin, None, Some(&invitation(&twin, 1)))
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::Conflict { what: "operator" })
    ));
    let token = TokenHash::of("1");
    assert_eq!(operators.invitation(&token).await.expect("reads"), None);
}

async fn operators_are_listed_by_address_page_by_page(rig: &mut Rig) {
    let operators = stores(rig).operators;
    for name in ["b", "a-b", "aa", "a", "9", "ab"] {
        let one = operator(&format!("{name}@example.org"), Role::Viewer);
        operators.add(&one, None, None).await.expect("adds");
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = operators.list(after.as_ref(), 2).await.expect("reads");
        let Some(last) = page.last() else { break };
        after = Some(last.email.clone());
        seen.extend(page.into_iter().map(|one| one.email.to_string()));
    }
    let names = ["9", "a-b", "a", "aa", "ab", "b"];
    assert_eq!(seen, names.map(|name| format!("{name}@example.org")));
}

async fn the_last_active_owner_can_not_go(rig: &mut Rig) {
    let operators = stores(rig).operators;
    let olga = operator("olga@example.org", Role::Owner);
    assert!(operators.add_first(&olga, &hash("a")).await.expect("adds"));
    // Invited only.
    let otto = operator("otto@example.org", Role::Owner);
    operators
        .add(&otto, None, Some(&invitation(&otto, 1)))
        .await
        .expect("adds");
    let is_last = |refused: Result<Operator, StoreError>| {
        assert!(
            matches!(refused, Err(StoreError::Conflict { what: "owner" })),
            "{refused:?}"
        );
    };
    is_last(operators.remove(olga.id).await.map(|()| olga.clone()));
    is_last(operators.update(olga.id, &role(Role::Admin), NOW).await);
    is_last(operators.update(olga.id, &disabled(), NOW).await);
    operators.remove(otto.id).await.expect("is no active owner");
    let oona = operator("oona@example.org", Role::Owner);
    operators
        .add(&oona, Some(&hash("b")), None)
        .await
        .expect("adds");
    operators.remove(olga.id).await.expect("there is another");
}

async fn two_owners_who_demote_each_other_at_once_leave_one(rig: &mut Rig) {
    let other = rig.another().await;
    let stores = stores(rig);
    let [a, b] = ["a@example.org", "b@example.org"].map(|email| operator(email, Role::Owner));
    for one in [&a, &b] {
        let added = stores.operators.add(one, Some(&hash("a")), None).await;
        added.expect("adds");
    }
    let demote = |stores: OperatorStores, one: &Operator| {
        let id = one.id;
        let viewer = role(Role::Viewer);
        tokio::spawn(async move { stores.operators.update(id, &viewer, NOW).await })
    };
    let first = demote(stores.clone(), &a);
    let second = demote(other.operator_stores(), &b);
    let done = [first.await.expect("ends"), second.await.expect("ends")];
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    other.close().await;
}

async fn an_invitation_is_used_once_and_not_too_late(rig: &mut Rig) {
    let operators = stores(rig).operators;
    let adam = operator("adam@example.org", Role::Admin);
    operators
        .add(&adam, None, Some(&invitation(&adam, 1)))
        .await
        .expect("adds");
    operators.invite(&invitation(&adam, 2)).await.expect("adds");
    let accept = async |token: &str, now| {
        let hash = TokenHash::of(token);
        let accepted = operators.accept(&hash, "Adam", &self::hash("p"), now).await;
        accepted.expect("is decided")
    };
    assert!(!accept("1", NOW).await, "another has taken its place");
    assert!(!accept("2", LATER).await, "it has expired");
    let kept = operators.invitation(&TokenHash::of("2")).await;
    assert_eq!(kept.expect("reads"), Some(invitation(&adam, 2)));
    assert!(accept("2", NOW).await);
    assert!(!accept("2", NOW).await, "it was used");
    let found = operators.lookup(adam.id).await.expect("reads");
    let found = found.expect("is there");
    assert_eq!(found.name.as_str(), "Adam");
    assert!(found.has_password);
}

async fn a_password_ends_sessions_and_takes_the_invitation_back(rig: &mut Rig) {
    let stores = stores(rig);
    let olga = owner(&stores).await;
    let [here, there] = ["here", "there"].map(|token| session(&olga, token));
    for session in [&here, &there] {
        assert!(stores.sessions.add(session, None).await.expect("adds"));
    }
    let operators = &stores.operators;
    operators.invite(&invitation(&olga, 1)).await.expect("adds");
    let new = hash("new");
    operators
        .rehash_password(olga.id, &hash("wrong"), &new)
        .await
        .expect("does nothing");
    let kept = operators.password(olga.id).await.expect("reads");
    assert_eq!(kept, Some(hash("old")));
    operators
        .set_password(olga.id, &new, Some(here.id))
        .await
        .expect("sets");
    let kept = operators.password(olga.id).await.expect("reads");
    assert_eq!(kept, Some(new));
    assert_eq!(stores.sessions.list(olga.id).await.expect("reads"), [here]);
    let token = TokenHash::of("1");
    assert_eq!(operators.invitation(&token).await.expect("reads"), None);
}

async fn a_session_is_found_by_its_hash_until_it_ends(rig: &mut Rig) {
    let olga = owner(&stores(rig)).await;
    let here = session(&olga, "here");
    let added = stores(rig).sessions.add(&here, None).await;
    assert!(added.expect("adds"));
    rig.reopen().await;
    let sessions = stores(rig).sessions;
    let found = sessions.find(&here.hash).await.expect("reads");
    let (found, whose) = found.expect("survives a restart");
    assert_eq!((found, whose.id), (here.clone(), olga.id));
    let nothing = sessions.find(&TokenHash::of("there")).await;
    assert_eq!(nothing.expect("reads"), None);
    sessions.touch(here.id, LATER).await.expect("touches");
    sessions.touch(here.id, NOW).await.expect("changes nothing");
    let [seen] = &sessions.list(olga.id).await.expect("reads")[..] else {
        panic!("one session")
    };
    assert_eq!(seen.seen, LATER);
    sessions.confirm(here.id, LATER).await.expect("confirms");
    sessions
        .confirm(here.id, NOW)
        .await
        .expect("changes nothing");
    let (found, _) = sessions
        .find(&here.hash)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(found.confirmed, Some(LATER));
    let mallory = OperatorId::generate(&SystemEntropy);
    assert!(!sessions.end(mallory, here.id).await.expect("ends nothing"));
    assert!(sessions.end(olga.id, here.id).await.expect("ends"));
    assert!(!sessions.end(olga.id, here.id).await.expect("ends nothing"));
    assert!(sessions.add(&here, None).await.expect("adds"));
    let earlier = NOW.minus(Duration::from_secs(1));
    assert_eq!(sessions.sweep(earlier, earlier).await.expect("sweeps"), 0);
    assert_eq!(sessions.sweep(earlier, NOW).await.expect("sweeps"), 1);
}

async fn what_belongs_to_an_operator_goes_with_it(rig: &mut Rig) {
    let stores = stores(rig);
    owner(&stores).await;
    let adam = operator("adam@example.org", Role::Admin);
    let operators = &stores.operators;
    operators.add(&adam, None, None).await.expect("adds");
    let (here, key) = (session(&adam, "here"), passkey(&adam, 0));
    assert!(stores.sessions.add(&here, None).await.expect("adds"));
    stores.passkeys.add(&key).await.expect("adds");
    let found = operators.lookup(adam.id).await.expect("reads");
    assert_eq!(found.map(|adam| adam.passkeys), Some(1));
    let updated = operators.update(adam.id, &disabled(), NOW).await;
    updated.expect("updates");
    assert_eq!(stores.sessions.list(adam.id).await.expect("reads"), []);
    assert!(!stores.sessions.add(&here, None).await.expect("reads"));
    operators.remove(adam.id).await.expect("removes");
    assert_eq!(stores.passkeys.find(&key.id).await.expect("reads"), None);
    assert!(!stores.sessions.add(&here, None).await.expect("reads"));
}

async fn a_session_begins_with_the_password_that_is_good_then(rig: &mut Rig) {
    let other = rig.another().await;
    let stores = stores(rig);
    let olga = owner(&stores).await;
    let old = hash("old");
    let tries = (0..8).map(|n| {
        let (sessions, olga, old) = (stores.sessions.clone(), olga.clone(), old.clone());
        let session = session(&olga, &n.to_string());
        tokio::spawn(async move { sessions.add(&session, Some(&old)).await })
    });
    let tries: Vec<_> = tries.collect();
    let changed = other.operator_stores().operators;
    let changed = changed.set_password(olga.id, &hash("new"), None).await;
    changed.expect("sets");
    for attempt in tries {
        attempt.await.expect("ends").expect("is decided");
    }
    assert_eq!(stores.sessions.list(olga.id).await.expect("reads"), []);
    let late = session(&olga, "late");
    assert!(!stores.sessions.add(&late, Some(&old)).await.expect("reads"));
    let new = hash("new");
    assert!(stores.sessions.add(&late, Some(&new)).await.expect("adds"));
    other.close().await;
}

async fn two_changes_of_an_operator_at_once_are_both_made(rig: &mut Rig) {
    let other = rig.another().await;
    let stores = stores(rig);
    owner(&stores).await;
    let adam = operator("adam@example.org", Role::Admin);
    let operators = &stores.operators;
    operators.add(&adam, None, None).await.expect("adds");
    let renamed = OperatorChanges {
        name: Some(PersonName::parse("Adam II").expect("a name")),
        ..OperatorChanges::default()
    };
    let demoted = role(Role::Viewer);
    let elsewhere = other.operator_stores().operators;
    let (a, b) = tokio::join!(
        operators.update(adam.id, &renamed, NOW),
        elsewhere.update(adam.id, &demoted, NOW)
    );
    a.and(b).expect("both are made");
    let found = operators.lookup(adam.id).await.expect("reads");
    let found = found.expect("is there");
    assert_eq!((found.name.as_str(), found.role), ("Adam II", Role::Viewer));
    other.close().await;
}

async fn a_step_and_a_recovery_code_are_used_once(rig: &mut Rig) {
    let stores = stores(rig);
    let olga = owner(&stores).await;
    let operators = &stores.operators;
    let codes = ["one", "two"].map(TokenHash::of);
    assert!(!operators.use_totp_step(olga.id, 7).await.expect("is off"));
    let on = operators.set_totp(olga.id, NOW, 7, &codes).await;
    assert!(on.expect("turns on"));
    let again = operators.set_totp(olga.id, NOW, 9, &[]).await;
    assert!(!again.expect("is on"));
    let found = operators.lookup(olga.id).await.expect("reads");
    assert_eq!(found.and_then(|olga| olga.totp), Some(NOW));
    for (step, good) in [(6, false), (7, false), (9, true), (9, false), (8, false)] {
        let used = operators.use_totp_step(olga.id, step).await;
        assert_eq!(used.expect("is decided"), good, "{step}");
    }
    for good in [true, false] {
        let used = operators.use_recovery_code(olga.id, &codes[0]).await;
        assert_eq!(used.expect("is decided"), good);
    }
    operators.clear_totp(olga.id).await.expect("turns off");
    let used = operators.use_recovery_code(olga.id, &codes[1]).await;
    assert!(!used.expect("is decided"));
    let found = operators.lookup(olga.id).await.expect("reads");
    assert_eq!(found.and_then(|olga| olga.totp), None);
}

async fn a_passkeys_count_only_grows(rig: &mut Rig) {
    let stores = stores(rig);
    let olga = owner(&stores).await;
    let passkeys = &stores.passkeys;
    let (counts, silent) = (passkey(&olga, 5), passkey(&olga, 0));
    for key in [&counts, &silent] {
        passkeys.add(key).await.expect("adds");
    }
    let refused = passkeys.add(&counts).await;
    assert!(matches!(
        refused,
        Err(StoreError::Conflict { what: "passkey" })
    ));
    for (key, count, good) in [
        (&counts, 5, false),
        (&counts, 0, false),
        (&counts, 6, true),
        (&counts, 6, false),
        (&silent, 0, true),
        (&silent, 0, true),
    ] {
        let used = passkeys.used(&key.id, count, LATER).await;
        assert_eq!(used.expect("is decided"), good, "{count}");
    }
    let found = passkeys.find(&counts.id).await.expect("reads");
    let used = Passkey {
        sign_count: 6,
        last_used: Some(LATER),
        ..counts.clone()
    };
    assert_eq!(found, Some(used));
    assert_eq!(passkeys.list(olga.id).await.expect("reads").len(), 2);
    let mallory = OperatorId::generate(&SystemEntropy);
    let removed = passkeys.remove(mallory, &counts.id).await;
    assert!(!removed.expect("removes nothing"));
    let removed = passkeys.remove(olga.id, &counts.id).await;
    assert!(removed.expect("removes"));
}

async fn a_challenge_is_answered_once(rig: &mut Rig) {
    let passkeys = stores(rig).passkeys;
    let challenge = TokenHash::of("a challenge");
    for good in [true, false] {
        let used = passkeys.use_challenge(&challenge, LATER).await;
        assert_eq!(used.expect("is decided"), good);
    }
    assert_eq!(passkeys.sweep_challenges(NOW).await.expect("sweeps"), 0);
    assert_eq!(passkeys.sweep_challenges(LATER).await.expect("sweeps"), 1);
}

async fn attempts_are_counted_also_when_many_come_at_once(rig: &mut Rig) {
    let attempts = stores(rig).attempts;
    let latest = NOW.plus(Duration::from_secs(10));
    let tries: Vec<_> = (0..30)
        .map(|_| {
            let attempts = stores(rig).attempts;
            tokio::spawn(async move { attempts.charge("peer:x", 1000, NOW, latest).await })
        })
        .collect();
    let mut let_in = 0;
    for attempt in tries {
        let_in += usize::from(attempt.await.expect("ends").expect("is decided"));
    }
    assert_eq!(let_in, 10);
    let forgiven = attempts.forgiven_at("peer:x").await.expect("reads");
    assert_eq!(forgiven, Some(latest));
    assert_eq!(attempts.forgiven_at("peer:y").await.expect("reads"), None);
    attempts.refund("peer:x", 1000).await.expect("refunds");
    let charged = attempts.charge("peer:x", 1000, NOW, latest).await;
    assert!(charged.expect("is decided"));
    // A long time later one attempt is one.
    let charged = attempts
        .charge("peer:x", 1000, LATER, LATER.plus(Duration::from_secs(10)))
        .await;
    assert!(charged.expect("is decided"));
    let forgiven = attempts.forgiven_at("peer:x").await.expect("reads");
    assert_eq!(forgiven, Some(LATER.plus(Duration::from_secs(1))));
    assert_eq!(attempts.sweep(LATER).await.expect("sweeps"), 0);
    let end = LATER.plus(Duration::from_secs(1));
    assert_eq!(attempts.sweep(end).await.expect("sweeps"), 1);
}

async fn where_an_operator_signed_in_is_remembered(rig: &mut Rig) {
    let stores = stores(rig);
    let olga = owner(&stores).await;
    let operators = &stores.operators;
    let adam = operator("adam@example.org", Role::Admin);
    operators.add(&adam, None, None).await.expect("adds");
    let address = |n: u8| AddressHash::from_stored(&[n; 32]).expect("32 bytes");
    for (id, n) in [(olga.id, 1), (adam.id, 1), (adam.id, 2)] {
        let noted = operators.signed_in(id, &address(n), NOW).await;
        noted.expect("notes");
    }
    let earlier = NOW.minus(Duration::from_millis(1));
    for (n, since, known) in [
        (1, earlier, true),
        (1, NOW, false),
        (2, earlier, true),
        (3, earlier, false),
    ] {
        let found = operators.knows(&address(n), since).await;
        assert_eq!(found.expect("reads"), known, "{n}");
    }
    let found = operators.lookup(olga.id).await.expect("reads");
    assert_eq!(found.and_then(|olga| olga.last_sign_in), Some(NOW));
    // Those of an operator who may not sign in are as unfamiliar as any.
    let updated = operators.update(adam.id, &disabled(), NOW).await;
    updated.expect("updates");
    for (n, known) in [(1, true), (2, false)] {
        let found = operators.knows(&address(n), earlier).await;
        assert_eq!(found.expect("reads"), known, "{n}");
    }
    operators.remove(adam.id).await.expect("removes");
    let swept = operators.sweep_addresses(earlier).await;
    assert_eq!(swept.expect("sweeps"), 0);
    let swept = operators.sweep_addresses(NOW).await;
    assert_eq!(
        swept.expect("sweeps"),
        1,
        "the other went with its operator"
    );
}

fn stores(rig: &Rig) -> OperatorStores {
    rig.database.operator_stores()
}

async fn owner(stores: &OperatorStores) -> Operator {
    let olga = operator("olga@example.org", Role::Owner);
    let added = stores.operators.add_first(&olga, &hash("old")).await;
    assert!(added.expect("adds"));
    olga
}

fn operator(email: &str, role: Role) -> Operator {
    Operator {
        id: OperatorId::generate(&SystemEntropy),
        email: Email::parse(email).expect("an address"),
        name: PersonName::parse(email).expect("a name"),
        role,
        apps: None,
        created: NOW,
        disabled: None,
        last_sign_in: None,
        totp: None,
        has_password: false,
        passkeys: 0,
    }
}

fn hash(password: &str) -> PasswordHash {
    PasswordHash::from_stored(format!("$argon2id$of {password}"))
}

fn role(role: Role) -> OperatorChanges {
    OperatorChanges {
        role: Some(role),
        ..OperatorChanges::default()
    }
}

fn disabled() -> OperatorChanges {
    OperatorChanges {
        disabled: Some(true),
        ..OperatorChanges::default()
    }
}

fn invitation(operator: &Operator, token: u32) -> Invitation {
    Invitation {
        hash: TokenHash::of(&token.to_string()),
        operator: operator.id,
        expires: LATER,
    }
}

fn session(operator: &Operator, token: &str) -> ConsoleSession {
    ConsoleSession {
        id: ConsoleSessionId::generate(&SystemEntropy),
        hash: TokenHash::of(token),
        operator: operator.id,
        created: NOW,
        seen: NOW,
        confirmed: Some(NOW),
        peer: "192.0.2.1".to_owned(),
        agent: "a browser".to_owned(),
    }
}

fn passkey(operator: &Operator, sign_count: u32) -> Passkey {
    let id = OperatorId::generate(&SystemEntropy).to_string();
    Passkey {
        id: id.into_bytes(),
        operator: operator.id,
        label: "a key".to_owned(),
        public_key: vec![1, 2, 3],
        sign_count,
        created: NOW,
        last_used: None,
    }
}

const LATER: Timestamp = Timestamp::from_secs(1_800_086_400);
