//! Who learns of whom in a channel.

use std::collections::BTreeSet;

use hexline_tests::{Push, Socket, TestApp, TestServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_learns_of_the_members_and_they_of_the_newcomer() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let mut carol = app.connect("carol/web").await;
    let at = addresses(&mut [&mut alice, &mut bob, &mut carol]).await;
    join(&mut alice).await;
    assert_eq!(alice.after_ping().await, [], "nobody is there yet");
    join(&mut bob).await;
    assert_eq!(
        bob.after_ping().await,
        [presence("signal.join_back", &at[0])]
    );
    assert_eq!(
        alice.caused_by(&mut bob).await,
        [presence("signal.join", &at[1])]
    );
    join(&mut carol).await;
    let mut back = carol.after_ping().await;
    back.sort_by_key(|p| p.params["from"].to_string());
    assert_eq!(
        back,
        [
            presence("signal.join_back", &at[0]),
            presence("signal.join_back", &at[1])
        ]
    );
    for member in [&mut alice, &mut bob] {
        assert_eq!(
            member.caused_by(&mut carol).await,
            [presence("signal.join", &at[2])]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn join_back_comes_before_anything_that_a_member_answers_with() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    join(&mut alice).await;
    for round in 0..50 {
        let mut newcomer = app.connect("bob/web").await;
        newcomer
            .notify("signal.join", json!({"id": "room", "presence": true}))
            .await;
        let from = alice.expect("signal.join").await["from"].clone();
        alice
            .notify(
                "signal.send",
                json!({"to": from, "id": "room", "state": {"round": round}}),
            )
            .await;
        newcomer.expect("signal.join_back").await;
        assert_eq!(
            newcomer.expect("signal.send").await["state"],
            json!({"round": round})
        );
        newcomer.close().await;
        assert_eq!(alice.expect("signal.leave").await["from"], from);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leave_is_told_to_the_presence_members() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let (mut alice, mut bob, at) = two_members(&app).await;
    bob.call("signal.leave", json!({"id": "room"})).await;
    assert_eq!(
        alice.caused_by(&mut bob).await,
        [presence("signal.leave", &at[1])]
    );
    assert_eq!(bob.after_ping().await, []);
    bob.notify("signal.leave", json!({"id": "room"})).await;
    alice.hears_nothing_of(&mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_socket_is_a_leave() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let (mut alice, bob, at) = two_members(&app).await;
    bob.close().await;
    assert_eq!(alice.push().await, presence("signal.leave", &at[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_is_a_leave_and_a_reconnect_a_new_participant() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let (mut alice, bob, at) = two_members(&app).await;
    drop(bob);
    assert_eq!(alice.push().await, presence("signal.leave", &at[1]));
    let mut bob = app.connect("bob/web").await;
    bob.call("signal.join", json!({"id": "room", "presence": true}))
        .await;
    let joined = alice.expect("signal.join").await;
    assert_ne!(joined["from"], at[1].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_presence_hears_publishes_but_of_nobody_and_is_not_told_of() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut quiet = app.connect("quiet/web").await;
    quiet.call("signal.join", json!({"id": "room"})).await;
    let (mut alice, mut bob, _) = two_members(&app).await;
    assert_eq!(alice.caused_by(&mut quiet).await, []);
    let mut other = app.connect("other/web").await;
    other
        .call("signal.join", json!({"id": "room", "presence": false}))
        .await;
    assert_eq!(other.after_ping().await, []);
    alice.hears_nothing_of(&mut other).await;
    alice
        .notify("signal.publish", json!({"id": "room", "n": 1}))
        .await;
    bob.call("signal.leave", json!({"id": "room"})).await;
    other.call("signal.leave", json!({"id": "room"})).await;
    let heard = quiet.caused_by(&mut alice).await;
    assert_eq!(
        heard.iter().map(|p| p.method.as_str()).collect::<Vec<_>>(),
        ["signal.publish"]
    );
    quiet.hears_nothing_of(&mut bob).await;
    alice.expect("signal.leave").await;
    alice.hears_nothing_of(&mut other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_again_announces_nothing() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let (mut alice, mut bob, _) = two_members(&app).await;
    join(&mut bob).await;
    assert_eq!(bob.after_ping().await, []);
    alice.hears_nothing_of(&mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_members_that_join_at_once_each_learns_of_each() {
    const MEMBERS: usize = 12;
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut observer = app.connect("observer/web").await;
    let mut members = Vec::new();
    let mut at = BTreeSet::new();
    for n in 0..MEMBERS {
        let mut member = app.connect(&format!("member{n}/web")).await;
        at.insert(member.address_seen_by(&mut observer).await);
        members.push(member);
    }
    for round in 0..20 {
        let room = format!("room{round}");
        let tasks: Vec<_> = members
            .drain(..)
            .map(|mut member| {
                let params = json!({"id": room, "presence": true});
                tokio::spawn(async move {
                    member.call("signal.join", params).await;
                    member
                })
            })
            .collect();
        for task in tasks {
            members.push(task.await.expect("the join is answered"));
        }
        // Every join was answered, so whatever it causes is queued before this ping's answer.
        let mut seen_by_all = Vec::new();
        for member in &mut members {
            let pushes = member.after_ping().await;
            let seen: BTreeSet<String> = pushes
                .iter()
                .map(|p| {
                    assert!(p.method == "signal.join" || p.method == "signal.join_back");
                    assert_eq!(p.params["id"], room.as_str());
                    p.params["from"].as_str().expect("a string").to_owned()
                })
                .collect();
            assert_eq!(seen.len(), pushes.len(), "nobody is told of twice");
            seen_by_all.push(seen);
        }
        for (n, seen) in seen_by_all.iter().enumerate() {
            let me: Vec<_> = at.difference(seen).collect();
            assert_eq!(me.len(), 1, "member {n} misses {} others", me.len() - 1);
            assert!(me[0].starts_with(&format!("member{n}/")), "{n} is {me:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_at_once_agree_in_the_end() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut watcher = app.connect("watcher/web").await;
    join(&mut watcher).await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let mut member = app.connect(&format!("member{n}/web")).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                join(&mut member).await;
                member.call("signal.leave", json!({"id": "room"})).await;
            }
            join(&mut member).await;
            member
        }));
    }
    let mut members = Vec::new();
    for task in tasks {
        members.push(task.await.expect("every call is answered"));
    }
    let mut there = BTreeSet::new();
    for push in watcher.after_ping().await {
        let from = push.params["from"].as_str().expect("a string").to_owned();
        match push.method.as_str() {
            "signal.join" => assert!(there.insert(from), "joined twice"),
            "signal.leave" => assert!(there.remove(&from), "left without having joined"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(there.len(), members.len());
}

async fn join(socket: &mut Socket) {
    socket
        .call("signal.join", json!({"id": "room", "presence": true}))
        .await;
}

async fn two_members(app: &TestApp) -> (Socket, Socket, Vec<String>) {
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    let at = addresses(&mut [&mut alice, &mut bob]).await;
    join(&mut alice).await;
    join(&mut bob).await;
    bob.expect("signal.join_back").await;
    alice.expect("signal.join").await;
    (alice, bob, at)
}

async fn addresses(sockets: &mut [&mut Socket]) -> Vec<String> {
    let mut found = Vec::new();
    for at in 0..sockets.len() {
        let (left, right) = sockets.split_at_mut(at);
        let (me, after) = right.split_first_mut().expect("at is within");
        let other = left.first_mut().or(after.first_mut()).expect("two sockets");
        found.push(me.address_seen_by(other).await);
    }
    found
}

fn presence(method: &str, from: &str) -> Push {
    Push {
        method: method.to_owned(),
        params: json!({"id": "room", "from": from}),
    }
}
